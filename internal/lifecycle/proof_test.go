package lifecycle

import (
	"testing"
	"time"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

func since(d time.Duration) func(*Observation) {
	return status(func(s *v1alpha1.SeamClientSessionStatus) { s.NotFoundSince = at(-d) })
}

func TestJudge(t *testing.T) {
	another := func(s *seam.ClientSession) { s.ID = "cst2" }
	aDayBehind := func(f Fetch) Fetch { f.SeamTime = now.Add(-24 * time.Hour); return f }
	for name, test := range map[string]struct {
		seen  Observation
		fetch Fetch
		want  Verdict
	}{
		"nothing was fetched":                     {healthy(deletes), Fetch{}, Keep},
		"a good answer":                           {healthy(), good(), Write},
		"without an end":                          {healthy(), good(func(s *seam.ClientSession) { s.ExpiresAt = nil }), Write},
		"that ends this second":                   {healthy(), good(func(s *seam.ClientSession) { s.ExpiresAt = &at(0).Time }), Keep},
		"another session that has ended":          {healthy(deletes, since(time.Hour)), good(ended, another), KeepOther},
		"another that has ended, of another spec": {healthy(deletes, since(time.Hour), oldSpec), good(ended, another), Keep},
		"ended":                            {healthy(deletes), good(ended), Keep},
		"ended for 59 s":                   {healthy(deletes, since(59*time.Second)), good(ended), Keep},
		"ended for a minute":               {healthy(deletes, since(time.Minute)), good(ended), Remove},
		"ended for a minute, and retained": {healthy(since(time.Minute)), good(ended), Keep},
		"ended for a minute, and the clocks are apart":      {healthy(deletes, since(48*time.Hour)), aDayBehind(good(ended)), Keep},
		"ended for a minute, and no Secret":                 {healthy(deletes, since(time.Minute), noSecret), good(ended), Keep},
		"not found":                                         {healthy(deletes), refused(seam.NotFound, fingerprint), Keep},
		"not found for a minute":                            {healthy(deletes, since(time.Minute)), refused(seam.NotFound, fingerprint), Remove},
		"not found for a minute, and the Secret was edited": {healthy(deletes, since(time.Minute), scribbled), refused(seam.NotFound, fingerprint), Remove},
		"not found for a minute, and it was stripped":       {healthy(deletes, since(time.Minute), stripped), refused(seam.NotFound, fingerprint), Keep},
		"ended for a minute, and it was stripped":           {healthy(deletes, since(time.Minute), stripped), good(ended), Keep},
		"not found for a minute, with another template":     {healthy(deletes, since(time.Minute), oldSpec), refused(seam.NotFound, fingerprint), Remove},
		"not found for a minute, of another question":       {healthy(deletes, since(time.Minute)), refused(seam.NotFound, "another"), Keep},
		"not found for a minute, beside another's token":    {healthy(deletes, since(time.Minute), anothersToken), refused(seam.NotFound, fingerprint), Keep},
		"503 after not found for a minute":                  {healthy(deletes, since(time.Minute)), refused(seam.Unavailable, fingerprint), Keep},
		"403 after not found for a minute":                  {healthy(deletes, since(time.Minute)), refused(seam.Forbidden, fingerprint), Keep},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Judge(test.seen, test.fetch, now); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestNotFoundSince(t *testing.T) {
	later := func(f Fetch) Fetch { f.At, f.SeamTime = now, now; return f }
	for name, test := range map[string]struct {
		before  *time.Duration
		fetch   Fetch
		verdict Verdict
		want    *time.Duration
	}{
		"not found begins":                     {nil, refused(seam.NotFound, fingerprint), Keep, ago(0)},
		"not found goes on":                    {ago(time.Hour), later(refused(seam.NotFound, fingerprint)), Keep, ago(time.Hour)},
		"another question":                     {ago(time.Hour), refused(seam.NotFound, "another"), Keep, nil},
		"another question, while Seam is down": {ago(time.Hour), refused(seam.Unavailable, "another"), Keep, nil},
		"an outage in between":                 {ago(time.Hour), refused(seam.Unavailable, fingerprint), Keep, ago(time.Hour)},
		"a good answer":                        {ago(time.Hour), good(), Write, nil},
		"an ended sibling":                     {ago(time.Hour), good(ended), KeepOther, nil},
		"ended":                                {nil, good(ended), Keep, ago(0)},
		"ended, and not found before":          {ago(time.Hour), good(ended), Keep, ago(time.Hour)},
		"ended, of another question":           {ago(time.Hour), Fetch{Progress: Answered, Answer: good(ended).Answer, Fingerprint: "another", At: now}, Keep, ago(0)},
		"ended, and the clocks are apart":      {nil, Fetch{Progress: Answered, Answer: good(ended).Answer, Fingerprint: fingerprint, At: now, SeamTime: now.Add(-time.Hour)}, Keep, nil},
		"Seam's clock was set back by an hour": {ago(-time.Hour), refused(seam.NotFound, fingerprint), Keep, ago(0)},
		"Seam did not say when it answered":    {nil, Fetch{Progress: Failed, Problem: refused(seam.NotFound, fingerprint).Problem, Fingerprint: fingerprint, At: now}, Keep, ago(0)},
	} {
		t.Run(name, func(t *testing.T) {
			seen := healthy()
			if test.before != nil {
				seen.Session.Status.NotFoundSince = at(-*test.before)
			}
			got := notFoundSince(&seen.Session.Status, test.fetch, test.verdict, now)
			if (got == nil) != (test.want == nil) || got != nil && !got.Equal(at(-*test.want)) {
				t.Errorf("got %v, want %v ago", got, test.want)
			}
		})
	}
}

func ago(d time.Duration) *time.Duration { return &d }
