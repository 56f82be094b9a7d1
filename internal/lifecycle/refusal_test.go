package lifecycle

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// refusedBefore is a session without a token that Seam refused ten seconds ago, for the first time an hour ago.
func refusedBefore(reason string) func(*Observation) {
	return func(seen *Observation) {
		noSecret(seen)
		failing(reason)(seen)
		s := &seen.Session.Status
		s.FailedRequestFingerprint = fingerprint
		synced := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionSynced)
		synced.LastTransitionTime, synced.Message = *at(-time.Hour), "do this"+failingSince+shown(at(-time.Hour))
	}
}

func TestWhatSeamSaidOutlastsAnOutage(t *testing.T) {
	fetched := func(fetch Fetch) Attempt { return Attempt{Decision: Decision{Action: Fetching}, Fetch: fetch} }
	outage := fetched(refused(seam.Unavailable, fingerprint))
	for _, reason := range []string{
		v1alpha1.ReasonSessionNotFound, v1alpha1.ReasonSessionMismatch, v1alpha1.ReasonInvalidRequest, v1alpha1.ReasonUnauthorized,
		v1alpha1.ReasonCredentialInvalid,
	} {
		seen := healthy(refusedBefore(reason))
		for _, attempt := range []Attempt{outage, fetched(refused(seam.RateLimited, fingerprint)), outage} {
			seen.Session.Status = NextStatus(seen, attempt, now)
			said := seen.Session.Status.LastRefusal
			if said == nil || said.Reason != reason || said.Message != "do this" || !said.Time.Equal(at(-10*time.Second)) {
				t.Fatalf("%s is forgotten: %v", reason, said)
			}
			ready := meta.FindStatusCondition(seen.Session.Status.Conditions, v1alpha1.ConditionReady)
			if ready.Reason != reason {
				t.Errorf("Ready %s, and not %s", ready.Reason, reason)
			}
			synced := meta.FindStatusCondition(seen.Session.Status.Conditions, v1alpha1.ConditionSynced)
			if want := "; attempts fail since 2026-03-01T11:00:00Z; Seam's last word was " + reason + ": see status.lastRefusal"; !strings.HasSuffix(synced.Message, want) {
				t.Errorf("Synced says %s", synced.Message)
			}
		}
	}
}

func TestWhatSeamSaidGoesWhenItSaysSomethingElse(t *testing.T) {
	said := func(seen *Observation) {
		failing(v1alpha1.ReasonSeamUnavailable)(seen)
		seen.Session.Status.LastRefusal = &v1alpha1.Refusal{
			Time: *at(-time.Hour), Reason: v1alpha1.ReasonSessionNotFound, Message: "do this", RequestFingerprint: fingerprint,
		}
	}
	for name, test := range map[string]struct {
		before func(*Observation)
		fetch  Fetch
		kept   bool
	}{
		"an outage goes on":               {said, refused(seam.Unavailable, fingerprint), true},
		"no call is free":                 {said, Fetch{Progress: Queued}, true},
		"the credential is missing":       {said, Fetch{Progress: Prevented, Problem: MissingProblem("it is missing")}, true},
		"something else is asked":         {said, refused(seam.Unavailable, "another"), false},
		"a good answer":                   {said, good(), false},
		"Synced says it again":            {said, refused(seam.NotFound, fingerprint), false},
		"another answer, which Synced is": {said, refused(seam.Unauthorized, fingerprint), false},
		"nothing was refused":             {failing(v1alpha1.ReasonSeamUnavailable), refused(seam.Unavailable, fingerprint), false},
		"the credential can't be used, by our own word": {
			held(v1alpha1.ReasonCredentialInvalid), refused(seam.Unavailable, fingerprint), false,
		},
	} {
		seen := healthy(test.before)
		next := NextStatus(seen, Attempt{Decision: Decision{Action: Fetching}, Fetch: test.fetch, Applied: Applied{Secret: seen.Secret}}, now)
		if kept := next.LastRefusal != nil; kept != test.kept {
			t.Errorf("%s: %v", name, next.LastRefusal)
		}
	}
}

func TestWhatSeamSaidOutlastsASuspension(t *testing.T) {
	seen := healthy(refusedBefore(v1alpha1.ReasonSessionNotFound), func(seen *Observation) { seen.Session.Spec.Suspend = true })
	if next := NextStatus(seen, Attempt{}, now); next.LastRefusal == nil {
		t.Error("it is forgotten")
	}
}

func TestSyncedSaysSinceWhenAttemptsFail(t *testing.T) {
	problem := &Problem{Cause: SeamDown, Message: "it is down"}
	previous := metav1.Condition{Status: metav1.ConditionTrue, LastTransitionTime: *at(-time.Hour)}
	if got := failure(problem, &previous, nil, *at(0)); got != "it is down; attempts fail since 2026-03-01T12:00:00Z" {
		t.Error(got)
	}
	previous.Status = metav1.ConditionFalse
	if got := failure(problem, &previous, nil, *at(0)); got != "it is down; attempts fail since 2026-03-01T11:00:00Z" {
		t.Error(got)
	}
}
