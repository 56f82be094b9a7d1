package lifecycle

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

func TestSummary(t *testing.T) {
	is := func(conditionType string, status metav1.ConditionStatus, reason string) metav1.Condition {
		return conditionAt(conditionType, status, reason, "")
	}
	fetched := is(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonFetched)
	usable := is(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonTokenAvailable)
	pending := is(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPending)
	suspended := is(v1alpha1.ConditionSynced, metav1.ConditionUnknown, v1alpha1.ReasonSuspended)
	down := is(v1alpha1.ConditionSynced, metav1.ConditionFalse, v1alpha1.ReasonSeamUnavailable)
	for name, test := range map[string]struct {
		conditions []metav1.Condition
		want       string
	}{
		"nothing was said":        {nil, ""},
		"all is well":             {[]metav1.Condition{fetched, usable}, v1alpha1.ReasonFetched},
		"the last attempt failed": {[]metav1.Condition{down, usable}, v1alpha1.ReasonSeamUnavailable},
		"there is no token":       {[]metav1.Condition{fetched, is(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSessionExpired)}, v1alpha1.ReasonSessionExpired},
		"it ended, and can't be extended": {[]metav1.Condition{
			is(v1alpha1.ConditionSynced, metav1.ConditionFalse, v1alpha1.ReasonUnauthorized),
			is(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSessionExpired),
		}, v1alpha1.ReasonUnauthorized},
		"it was not found":         {[]metav1.Condition{down, is(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound)}, v1alpha1.ReasonSessionNotFound},
		"it ends soon":             {[]metav1.Condition{fetched, usable, is(v1alpha1.ConditionExpiring, metav1.ConditionTrue, v1alpha1.ReasonNotRenewed)}, v1alpha1.ReasonNotRenewed},
		"suspended":                {[]metav1.Condition{suspended, usable}, v1alpha1.ReasonSuspended},
		"suspended from the start": {[]metav1.Condition{suspended, pending}, v1alpha1.ReasonSuspended},
		"about to be written":      {[]metav1.Condition{fetched, pending}, v1alpha1.ReasonPending},
	} {
		if got := summary(test.conditions); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestAnEarlierReleasesStatusGetsNoWriteForTheSummaryAlone(t *testing.T) {
	seen := healthy()
	idle := Attempt{Applied: Applied{Secret: seen.Secret}}
	seen.Session.Status.Conditions = NextStatus(seen, idle, now).Conditions
	if got := NextStatus(seen, idle, now).Reason; got != "" {
		t.Errorf("reason %s is written", got)
	}
	if got := NextStatus(seen, Attempt{Decision: Decision{Action: Fetching}, Fetch: good(), Applied: idle.Applied}, now).Reason; got != v1alpha1.ReasonFetched {
		t.Errorf("reason %q", got)
	}
}

func TestWaitingFor(t *testing.T) {
	scheduled := status(func(s *v1alpha1.SeamClientSessionStatus) { s.NextFetchTime = at(time.Minute) })
	waits := status(func(s *v1alpha1.SeamClientSessionStatus) {
		s.NextFetchTime, s.WaitingFor = nil, "a change of Secret seam"
	})
	none := status(func(s *v1alpha1.SeamClientSessionStatus) { s.NextFetchTime = nil })
	byKey := func(seen *Observation) {
		none(seen)
		seen.Session.Spec.UserIdentifierKeySecretRef = &v1alpha1.SecretKeyReference{Name: "jane-key", Key: "key"}
	}
	byWorkspace := func(seen *Observation) {
		none(seen)
		seen.Session.Spec.WorkspaceRef = &v1alpha1.WorkspaceReference{Name: "production", Namespace: "platform"}
	}
	suspended := func(seen *Observation) { none(seen); seen.Session.Spec.Suspend = true }
	for name, test := range map[string]struct {
		seen    Observation
		problem *Problem
		want    string
	}{
		"a time is set":         {healthy(scheduled), &Problem{Cause: CredentialMissing}, ""},
		"suspended":             {healthy(suspended), nil, "spec.suspend to be false"},
		"a credential":          {healthy(none), &Problem{Cause: CredentialMissing}, "a change of Secret seam"},
		"a refused credential":  {healthy(none), &Problem{Cause: CredentialRefused}, "a change of Secret seam"},
		"a user key":            {healthy(byKey), &Problem{Cause: CredentialUnusable}, "a change of Secret seam or Secret jane-key"},
		"a grant":               {healthy(byWorkspace), &Problem{Cause: WorkspaceUngranted}, "a change of SeamWorkspace platform/production"},
		"a workspace's answer":  {healthy(byWorkspace), &Problem{Cause: SessionOther}, "a change of SeamWorkspace platform/production"},
		"a template":            {healthy(none), &Problem{Cause: TemplateWrong}, "a change of this object"},
		"somebody's Secret":     {healthy(none), &Problem{Cause: SecretForeign}, "a change of Secret jane"},
		"a quota":               {healthy(none), &Problem{Cause: SecretRefused}, "the API server to take Secret jane"},
		"as before":             {healthy(waits), nil, "a change of Secret seam"},
		"as before, and it was": {healthy(scheduled), nil, ""},
	} {
		if got := waitingFor(test.seen.Session, test.problem, test.seen.Session.Status); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestNothingThatIsWaitedForIsARiddle(t *testing.T) {
	for cause := range Causes {
		attempt := Attempt{Decision: Decision{Action: Refuse, Problem: &Problem{Cause: cause, Message: "it failed"}}}
		if next := NextStatus(healthy(), attempt, now); (next.NextFetchTime == nil) != (next.WaitingFor != "") {
			t.Errorf("cause %d: next fetch %v, waiting for %q", cause, next.NextFetchTime, next.WaitingFor)
		}
	}
}
