package lifecycle

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

func TestNextProvisioned(t *testing.T) {
	made := func(id string, requested *time.Duration, former ...string) func(*Observation) {
		return func(seen *Observation) {
			p := &v1alpha1.Provisioned{ClientSessionID: id, WorkspaceID: "w", FormerClientSessionIDs: former}
			if requested != nil {
				p.RequestedTime = at(*requested)
			}
			seen.Session.Status.Provisioned = p
		}
	}
	after := func(d time.Duration) *time.Duration { return &d }
	told := func(id string, created *time.Duration, fingerprint string) Attempt {
		fetch := good(func(s *seam.ClientSession) {
			s.ID, s.CreatedAt = id, nil
			if created != nil {
				s.CreatedAt = &at(*created).Time
			}
		})
		fetch.Fingerprint = fingerprint
		return Attempt{Fetch: fetch}
	}
	extending := func(id string) func(*Observation) {
		return func(seen *Observation) {
			seen.Wish = &Wish{ClientSessionID: id, RequestedTime: now.Add(-time.Second)}
		}
	}
	extended := func(id string, created time.Duration) Attempt {
		attempt := told(id, &created, fingerprint)
		attempt.Fetch.Provided.Tried = true
		return attempt
	}
	endedOf := func(fingerprint string) Attempt {
		attempt := told("cst2", after(-time.Hour), fingerprint)
		attempt.Wish = &Wish{Creating: true, RequestedTime: now}
		return attempt
	}
	failed := func(cause Cause) Attempt {
		return Attempt{Fetch: Fetch{Progress: Failed, Problem: &Problem{Cause: cause}, Provided: Provided{Tried: true, Problem: &Problem{Cause: cause}}}}
	}
	for name, test := range map[string]struct {
		seen      Observation
		attempt   Attempt
		id        string
		requested bool
		former    []string
		none      bool
	}{
		"nothing was made":                  {seen: healthy(provisions), attempt: told("cst1", after(-time.Hour), fingerprint), none: true},
		"about to be made":                  {seen: healthy(provisions), attempt: Attempt{Wish: &Wish{Creating: true, RequestedTime: now}}, requested: true},
		"about to be extended":              {seen: healthy(provisions), attempt: Attempt{Wish: &Wish{}}, none: true},
		"made":                              {seen: healthy(provisions, made("", after(-time.Second))), attempt: told("cst2", after(0), "b"), id: "cst2"},
		"made in the same second":           {seen: healthy(provisions, made("", after(0))), attempt: told("cst2", after(0), "b"), id: "cst2"},
		"made by somebody else before":      {seen: healthy(provisions, made("", after(-time.Second))), attempt: told("cst2", after(-time.Minute), "b"), none: true},
		"made by somebody else long after":  {seen: healthy(provisions, made("", after(-time.Hour))), attempt: told("cst2", after(0), "b"), none: true},
		"made, Seam says not when":          {seen: healthy(provisions, made("", after(-time.Second))), attempt: told("cst2", nil, "b"), requested: true},
		"revived, Seam says not when made":  {seen: healthy(provisions, made("cst1", after(-time.Second))), attempt: told("cst1", nil, fingerprint), id: "cst1"},
		"revived":                           {seen: healthy(provisions, made("cst1", after(-time.Second))), attempt: told("cst1", after(-time.Hour), fingerprint), id: "cst1"},
		"made again":                        {seen: healthy(provisions, made("cst1", after(-time.Second))), attempt: told("cst2", after(0), fingerprint), id: "cst2"},
		"Seam returns another of the user":  {seen: healthy(provisions, made("cst1", nil)), attempt: told("cst2", after(0), fingerprint), id: "cst1"},
		"made for another user":             {seen: healthy(provisions, made("cst1", after(-time.Second))), attempt: told("cst2", after(0), "b"), id: "cst2", former: []string{"cst1"}},
		"extended":                          {seen: healthy(provisions, extending("cst1"), made("cst1", nil)), attempt: extended("cst1", -time.Hour), id: "cst1"},
		"replaced instead":                  {seen: healthy(provisions, extending("cst1"), made("cst1", nil)), attempt: extended("cst2", 0), id: "cst2", former: []string{"cst1"}},
		"replaced, and not made before":     {seen: healthy(provisions, extending("cst1")), attempt: extended("cst2", 0), id: "cst2"},
		"extended, and just made by others": {seen: healthy(provisions, extending("cst1")), attempt: extended("cst1", 0), none: true},
		"another one extended instead":      {seen: healthy(provisions, extending("cst1")), attempt: extended("cst2", -time.Minute), none: true},
		"another user has one":              {seen: healthy(provisions, made("cst1", nil)), attempt: told("cst2", after(-time.Hour), "b"), former: []string{"cst1"}},
		"another user's has ended":          {seen: healthy(provisions, made("cst1", nil)), attempt: endedOf("b"), requested: true, former: []string{"cst1"}},
		"another of the user's has ended":   {seen: healthy(provisions, made("cst1", nil)), attempt: endedOf(fingerprint), id: "cst1", requested: true},
		"that was so before":                {seen: healthy(provisions, made("cst1", nil, "cst1")), attempt: told("cst2", after(-time.Hour), "b"), former: []string{"cst1"}},
		"refused for certain":               {seen: healthy(provisions, made("", after(0))), attempt: failed(CredentialForbidden), none: true},
		"refused, and was made before":      {seen: healthy(provisions, made("cst1", after(0))), attempt: failed(RequestInvalid), id: "cst1"},
		"no answer, so that it may be made": {seen: healthy(provisions, made("", after(0))), attempt: failed(SeamDown), requested: true},
		"fetching it fails":                 {seen: healthy(provisions, made("cst1", after(0))), attempt: Attempt{Fetch: refused(seam.Unavailable, fingerprint)}, id: "cst1", requested: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := nextProvisioned(test.seen, test.attempt)
			if (got == nil) != test.none {
				t.Fatalf("got %+v", got)
			}
			if got != nil && (got.ClientSessionID != test.id || (got.RequestedTime != nil) != test.requested || !slices.Equal(got.FormerClientSessionIDs, test.former)) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestTheOldestFormerSessionIsForgotten(t *testing.T) {
	var former []string
	for i := range maxFormer + 2 {
		former = remembered(former, fmt.Sprint(i))
	}
	if former = remembered(former, fmt.Sprint(maxFormer)); len(former) != maxFormer || former[0] != "2" || former[maxFormer-1] != fmt.Sprint(maxFormer+1) {
		t.Errorf("got %v", former)
	}
}

func TestMayMake(t *testing.T) {
	wish := &Wish{Creating: true, RequestedTime: now}
	seen := healthy(provisions)
	saved := seen.Session.Status.DeepCopy()
	if MayMake(seen.Session, saved, wish) {
		t.Error("nothing is written yet")
	}
	if !MayMake(seen.Session, saved, &Wish{}) {
		t.Error("what is extended needs nothing written")
	}
	saved.Provisioned = &v1alpha1.Provisioned{RequestedTime: at(-time.Second)}
	if MayMake(seen.Session, saved, wish) {
		t.Error("that is of an earlier call")
	}
	saved.Provisioned.RequestedTime = at(0)
	if !MayMake(seen.Session, saved, wish) {
		t.Error("it is written")
	}
	seen.Session.Spec.Provision.WhenDeleted = v1alpha1.ProvisionedDelete
	if MayMake(seen.Session, saved, wish) {
		t.Error("there is no finalizer")
	}
	seen.Session.Finalizers = []string{v1alpha1.Finalizer}
	if !MayMake(seen.Session, saved, wish) {
		t.Error("there is a finalizer")
	}
}

func TestGivesUp(t *testing.T) {
	for _, test := range []struct {
		after              time.Duration
		terminating, tried bool
		want               bool
	}{
		{4 * time.Minute, false, true, false}, {5 * time.Minute, false, true, true}, {5 * time.Minute, false, false, false},
		{6 * time.Minute, false, false, true}, {59 * time.Second, true, true, false}, {time.Minute, true, true, true},
		{time.Minute, true, false, false}, {90 * time.Second, true, false, true},
	} {
		if got := GivesUp(now.Add(-test.after), test.terminating, test.tried, now); got != test.want {
			t.Errorf("%+v: got %t", test, got)
		}
	}
}
