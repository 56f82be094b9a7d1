package lifecycle

import (
	"testing"
	"time"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

func TestDecide(t *testing.T) {
	refreshRequested := func(seen *Observation) {
		seen.Session.Annotations = map[string]string{v1alpha1.AnnotationRefreshRequestedAt: "now"}
	}
	justCalled := status(func(s *v1alpha1.SeamClientSessionStatus) {
		s.LastFetchTime, s.LastAttemptTime = at(-2*time.Second), at(-2*time.Second)
	})
	suspended := func(seen *Observation) { seen.Session.Spec.Suspend = true }
	referenceChanged := func(seen *Observation) { seen.ReferenceChanged = true }
	foreign := func(seen *Observation) { seen.Secret = secret.State{Exists: true} }
	for name, test := range map[string]struct {
		seen  Observation
		want  Action
		cause Cause
	}{
		"nothing is due": {seen: healthy(), want: Rest},
		"a new session":  {seen: healthy(noSecret, status(func(s *v1alpha1.SeamClientSessionStatus) { *s = v1alpha1.SeamClientSessionStatus{} })), want: Fetching},
		"the interval is over": {seen: healthy(status(func(s *v1alpha1.SeamClientSessionStatus) {
			s.LastFetchTime, s.LastAttemptTime = at(-time.Hour), at(-time.Hour)
		})), want: Fetching},
		"a refresh was requested":                {seen: healthy(refreshRequested), want: Fetching},
		"a refresh was requested, and suspended": {seen: healthy(refreshRequested, suspended), want: Rest},
		"a refresh was requested twice in 5 s":   {seen: healthy(refreshRequested, justCalled), want: Defer},
		"another selector":                       {seen: healthy(oldSpec, spec(func(s *v1alpha1.SeamClientSessionSpec) { s.ClientSessionID = "cst2" })), want: Fetching},
		"another selector within 5 s":            {seen: healthy(oldSpec, justCalled, spec(func(s *v1alpha1.SeamClientSessionSpec) { s.ClientSessionID = "cst2" })), want: Defer},
		"another interval alone":                 {seen: healthy(spec(func(s *v1alpha1.SeamClientSessionSpec) {})), want: Rest},
		"a change taken back after it failed":    {seen: healthy(failing(v1alpha1.ReasonSessionNotFound), spec(func(s *v1alpha1.SeamClientSessionSpec) {})), want: Fetching},
		"resumed":                                {seen: healthy(held(v1alpha1.ReasonSuspended)), want: Fetching},
		"the Secret was scribbled on":            {seen: healthy(scribbled), want: Correcting},
		"a label was stripped":                   {seen: healthy(mislabelled), want: Rest}, // it is restored without Seam
		"labels are stripped again and again":    {seen: healthy(mislabelled, func(seen *Observation) { seen.Drift = Drift{corrections: 5, last: now} }), want: Refuse, cause: SecretContested},
		"the Secret was deleted":                 {seen: healthy(noSecret), want: Correcting},
		"the Secret was deleted right after":     {seen: healthy(noSecret, justCalled), want: Defer},
		"deleted while Seam is down":             {seen: healthy(noSecret, failing(v1alpha1.ReasonSeamUnavailable)), want: Rest},
		"missing because the session ended": {seen: healthy(noSecret, tokenEnded5m, noSecret, status(func(s *v1alpha1.SeamClientSessionStatus) {
			s.LastFetchTime, s.LastAttemptTime = at(-time.Minute), at(-time.Minute)
		})), want: Rest},
		"corrected again and again":     {seen: healthy(scribbled, func(seen *Observation) { seen.Drift = Drift{corrections: 5, last: now} }), want: Refuse, cause: SecretContested},
		"the Secret is somebody else's": {seen: healthy(foreign), want: Refuse, cause: SecretForeign},
		"a template can't be used": {seen: healthy(oldSpec, spec(func(s *v1alpha1.SeamClientSessionSpec) {
			s.Secret.Template = map[string]v1alpha1.Template{"a": "{{ .tokn }}"}
		})), want: Refuse, cause: TemplateWrong},
		"the credential is missing":              {seen: healthy(held(v1alpha1.ReasonCredentialNotFound)), want: FetchingIfChanged},
		"403, and it is not time yet":            {seen: healthy(failing(v1alpha1.ReasonUnauthorized)), want: Rest},
		"403, and a Secret may have changed":     {seen: healthy(failing(v1alpha1.ReasonUnauthorized), referenceChanged), want: FetchingIfChanged},
		"503, and a Secret may have changed":     {seen: healthy(failing(v1alpha1.ReasonSeamUnavailable), referenceChanged), want: Rest},
		"the end, within 5 s of the call before": {seen: healthy(justCalled, status(func(s *v1alpha1.SeamClientSessionStatus) { s.ExpiresAt = at(0) })), want: Fetching},
		"the clock was set back by a day":        {seen: healthy(refreshRequested, status(func(s *v1alpha1.SeamClientSessionStatus) { s.LastAttemptTime = at(24 * time.Hour) })), want: Fetching},
	} {
		t.Run(name, func(t *testing.T) {
			got := Decide(test.seen, now)
			if got.Action != test.want || (got.Problem != nil) != (test.want == Refuse) {
				t.Fatalf("got %+v, want action %d", got, test.want)
			}
			if got.Problem != nil && got.Problem.Cause != test.cause {
				t.Errorf("because of %d, want %d", got.Problem.Cause, test.cause)
			}
			if got.Action == Defer && !got.LookAgain.Equal(now.Add(3*time.Second)) {
				t.Errorf("looks again at %s", got.LookAgain)
			}
		})
	}
}

func TestLookAtConflictDoublesWithoutCounting(t *testing.T) {
	for since, want := range map[time.Duration]time.Duration{
		0: 5 * time.Second, 3 * time.Second: 5 * time.Second, 20 * time.Second: 20 * time.Second, time.Hour: time.Minute, -time.Hour: time.Minute,
	} {
		seen := healthy(failing(v1alpha1.ReasonSecretConflict))
		for i := range seen.Session.Status.Conditions {
			seen.Session.Status.Conditions[i].LastTransitionTime = *at(-since)
		}
		if got := LookAtConflict(&seen.Session.Status, now).Sub(now); got != want {
			t.Errorf("after %s: in %s, want %s", since, got, want)
		}
	}
	if got := LookAtConflict(&healthy().Session.Status, now).Sub(now); got != 5*time.Second {
		t.Errorf("a new conflict: in %s", got)
	}
}

func TestDriftYields(t *testing.T) {
	var drift Drift
	for range promptCorrections {
		if !drift.Next().IsZero() {
			t.Fatalf("yields after %d corrections", drift.corrections)
		}
		drift = drift.Corrected(now)
	}
	for _, want := range []time.Duration{10, 20, 40, 80, 160, 320, 600, 600} {
		if got := drift.Next().Sub(now); got != want*time.Second {
			t.Errorf("after %d corrections: in %s, want %d s", drift.corrections, got, want)
		}
		drift = drift.Corrected(now)
	}
	if again := drift.Corrected(now.Add(time.Hour)); again.corrections != 1 {
		t.Errorf("after a quiet hour: %d corrections", again.corrections)
	}
	if set := drift.At(now.Add(-time.Hour)); set.last.After(now.Add(-time.Hour)) {
		t.Error("a clock that was set back keeps a Secret from being corrected")
	}
}

func TestFormerSecretsGoOnceTheNewOneStands(t *testing.T) {
	stands := Applied{Secret: healthy().Secret}
	for name, test := range map[string]struct {
		seen    Observation
		fetch   Fetch
		applied Applied
		want    bool
	}{
		"it stands":                              {healthy(), Fetch{}, stands, true},
		"it does not":                            {healthy(), Fetch{}, Applied{}, false},
		"it is of an earlier spec":               {healthy(), Fetch{}, Applied{Secret: healthy(oldSpec).Secret}, false},
		"it could not be written":                {healthy(), good(), Applied{Secret: healthy().Secret, Problem: &Problem{}}, false},
		"suspended":                              {healthy(func(s *Observation) { s.Session.Spec.Suspend = true }), Fetch{}, stands, false},
		"they are to be retained":                {healthy(func(s *Observation) { s.Session.Spec.Secret.RetentionPolicy.WhenDeleted = "Retain" }), Fetch{}, stands, false},
		"it failed, and nothing was fetched now": {healthy(failing(v1alpha1.ReasonSecretWriteFailed)), Fetch{}, stands, false},
		"it failed, and was fetched again":       {healthy(failing(v1alpha1.ReasonSecretWriteFailed)), good(), stands, true},
	} {
		if got := MayRemoveFormer(test.seen, test.fetch, test.applied); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLabelsAreRestoredWithoutSeam(t *testing.T) {
	for name, test := range map[string]struct {
		seen    Observation
		applied Applied
		want    bool
	}{
		"nothing drifted":          {healthy(), Applied{}, false},
		"a label was stripped":     {healthy(mislabelled), Applied{}, true},
		"while Seam is down":       {healthy(mislabelled, failing(v1alpha1.ReasonSeamUnavailable)), Applied{}, true},
		"beside an ended sibling":  {healthy(mislabelled), Applied{Verdict: KeepOther}, true},
		"with the token":           {healthy(scribbled), Applied{}, false},
		"of an earlier spec":       {healthy(mislabelled, oldSpec), Applied{}, false},
		"written already":          {healthy(mislabelled), Applied{Effect: Written}, false},
		"removed":                  {healthy(mislabelled), Applied{Effect: Removed}, false},
		"it can't be changed":      {healthy(mislabelled, func(seen *Observation) { seen.Secret.Immutable = true }), Applied{}, false},
		"suspended":                {healthy(mislabelled, func(seen *Observation) { seen.Session.Spec.Suspend = true }), Applied{}, false},
		"stripped again and again": {healthy(mislabelled, func(seen *Observation) { seen.Drift = Drift{corrections: 5, last: now} }), Applied{}, false},
	} {
		if got := MayRestore(test.seen, test.applied, now); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
