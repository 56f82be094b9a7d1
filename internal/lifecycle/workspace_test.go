package lifecycle

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// accepted is a workspace whose credential was checked, and its events read, ten minutes ago; changes makes something else of
// it.
func accepted(changes ...func(*WorkspaceObservation)) WorkspaceObservation {
	seen := WorkspaceObservation{
		Workspace: &v1alpha1.SeamWorkspace{
			ObjectMeta: metav1.ObjectMeta{Name: "production", Namespace: "platform", UID: "1", Generation: 2},
			Spec:       v1alpha1.SeamWorkspaceSpec{CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam"}},
			Status: v1alpha1.SeamWorkspaceStatus{
				ObservedGeneration: 2, WorkspaceID: "w1", Name: "Production", LastCheckTime: at(-10 * time.Minute), LastEventTime: at(-5 * time.Minute),
				Conditions: []metav1.Condition{
					conditionAt(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonCredentialAccepted, "Seam takes it"),
					conditionAt(v1alpha1.ConditionEventsPolled, metav1.ConditionTrue, v1alpha1.ReasonPolled, "Seam is asked"),
				},
			},
		},
		SelectorsWatched: true,
		Memory:           WorkspaceMemory{Checked: now.Add(-10 * time.Minute), Polled: now.Add(-20 * time.Second), ReadUntil: now.Add(-20 * time.Second), Generation: 2},
	}
	for _, change := range changes {
		change(&seen)
	}
	return seen
}

func notAccepted(cause Cause) func(*WorkspaceObservation) {
	return func(seen *WorkspaceObservation) {
		seen.Workspace.Status.Conditions[0] = conditionAt(v1alpha1.ConditionReady, metav1.ConditionFalse, Causes[cause].Reason, "no")
		seen.Memory.Checked, seen.Memory.CheckFailures = now, 1
	}
}

func TestNextCheck(t *testing.T) {
	tests := []struct {
		name string
		seen WorkspaceObservation
		want time.Duration // from now
	}{
		{"an hour after the last", accepted(), 50 * time.Minute},
		{"an hour after the last, also after a restart", accepted(func(s *WorkspaceObservation) { s.Memory = WorkspaceMemory{} }), 50 * time.Minute},
		{"at once when it is new", accepted(func(s *WorkspaceObservation) {
			s.Workspace.Status, s.Memory = v1alpha1.SeamWorkspaceStatus{}, WorkspaceMemory{}
		}), -forever},
		{"at once when the spec changes", accepted(func(s *WorkspaceObservation) { s.Workspace.Generation = 3 }), -10*time.Minute + minGap},
		{"at once when a session finds it wanting", accepted(func(s *WorkspaceObservation) { s.CheckWanted = true }), -10*time.Minute + minGap},
		{"not twice in five seconds", accepted(func(s *WorkspaceObservation) { s.CheckWanted, s.Memory.Checked = true, now }), minGap},
		{"a minute after a 401", accepted(notAccepted(CredentialRefused)), time.Minute},
		{"five seconds after the first failure", accepted(notAccepted(SeamDown)), 5 * time.Second},
		{"ever later", accepted(notAccepted(SeamDown), func(s *WorkspaceObservation) { s.Memory.CheckFailures = 4 }), 40 * time.Second},
		{"never later than that", accepted(notAccepted(SeamDown), func(s *WorkspaceObservation) { s.Memory.CheckFailures = 400 }), 5 * time.Minute},
		{"as if it had not failed when the spec changes", accepted(notAccepted(SeamDown), func(s *WorkspaceObservation) { s.Memory.CheckFailures, s.Workspace.Generation = 400, 3 }), minGap},
		{"ever later also where no status was written for the spec", accepted(notAccepted(SeamDown), func(s *WorkspaceObservation) {
			s.Memory.CheckFailures, s.Memory.Generation, s.Workspace.Generation = 4, 3, 3
		}), 40 * time.Second},
		{"not twice in five seconds also where the status of the last could not be written", accepted(func(s *WorkspaceObservation) {
			s.Workspace.Status.LastCheckTime, s.Memory.Checked = at(-2*time.Hour), now
		}), minGap},
		{"at once when the clock was set back", accepted(func(s *WorkspaceObservation) { s.Workspace.Status.LastCheckTime = at(24 * time.Hour) }), -forever},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := NextCheck(test.seen, now).Sub(now)
			if test.want == -forever && got < 0 || got == test.want {
				return
			}
			t.Errorf("it is in %s, must be in %s", got, test.want)
		})
	}
}

// forever is more than any pause.
const forever = time.Duration(1 << 62)

func TestNextPoll(t *testing.T) {
	interval := func(d time.Duration) func(*WorkspaceObservation) {
		return func(s *WorkspaceObservation) { s.Workspace.Spec.Events.PollInterval = &metav1.Duration{Duration: d} }
	}
	failed := func(failures int, reason string) func(*WorkspaceObservation) {
		return func(s *WorkspaceObservation) {
			s.Memory.PollFailures, s.Memory.Polled = failures, now
			s.Workspace.Status.Conditions[1] = conditionAt(v1alpha1.ConditionEventsPolled, metav1.ConditionFalse, reason, "no")
		}
	}
	tests := []struct {
		name string
		seen WorkspaceObservation
		want time.Duration // from now; forever for never
	}{
		{"after the default interval", accepted(), 10 * time.Second},
		{"at once after a restart", accepted(func(s *WorkspaceObservation) { s.Memory = WorkspaceMemory{} }), 0},
		{"after the spec's interval", accepted(interval(time.Minute)), 40 * time.Second},
		{"never with 0s", accepted(interval(0)), forever},
		{"never while it is not ready", accepted(notAccepted(CredentialRefused)), forever},
		{"never while it is of another workspace", accepted(func(s *WorkspaceObservation) { s.Workspace.Spec.WorkspaceID = "w2" }), forever},
		{"after the interval when it failed once", accepted(failed(1, v1alpha1.ReasonSeamUnavailable)), 30 * time.Second},
		{"ever later when it fails again", accepted(failed(3, v1alpha1.ReasonSeamUnavailable)), 2 * time.Minute},
		{"never later than ten minutes", accepted(failed(300, v1alpha1.ReasonSeamUnavailable)), 10 * time.Minute},
		{"never sooner than the interval", accepted(failed(3, v1alpha1.ReasonSeamUnavailable), interval(time.Hour)), time.Hour},
		{"after an hour when Seam forbids it", accepted(failed(1, v1alpha1.ReasonUnauthorized)), time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := NextPoll(test.seen, now)
			if test.want == forever && got.IsZero() || test.want != forever && got.Sub(now) == test.want {
				return
			}
			t.Errorf("it is at %s, must be in %s", got, test.want)
		})
	}
}

// A workspace that waits for a free call is enqueued when there is one: that its events are due as well does not have it looked at before.
func TestWorkspacePauseWhileItWaitsForACall(t *testing.T) {
	seen := accepted(func(s *WorkspaceObservation) { s.Memory = WorkspaceMemory{} }) // whose events are due
	queued := at(time.Minute).Time
	if got := WorkspacePause(seen, Check{Progress: Queued, LookAgain: queued}, Poll{}, now); got != time.Minute {
		t.Errorf("with a check that waits it is %s", got)
	}
	if got := WorkspacePause(seen, Check{}, Poll{Progress: Queued, LookAgain: queued}, now); got != time.Minute {
		t.Errorf("with a poll that waits it is %s", got)
	}
}

func TestEventsSince(t *testing.T) {
	for name, test := range map[string]struct {
		seen WorkspaceObservation
		want time.Duration
	}{
		"five minutes before what was read": {accepted(), -5*time.Minute - 20*time.Second},
		"before what was read, wherever our clock stands": {accepted(func(s *WorkspaceObservation) {
			s.Memory.ReadUntil = now.Add(-48 * time.Hour)
		}), -48*time.Hour - 5*time.Minute},
		"what the status says, after a restart": {accepted(func(s *WorkspaceObservation) { s.Memory = WorkspaceMemory{} }), -10 * time.Minute},
		"now, at first":                         {accepted(func(s *WorkspaceObservation) { s.Memory, s.Workspace.Status.LastEventTime = WorkspaceMemory{}, nil }), -5 * time.Minute},
		"no more than a day, after a long time without": {accepted(func(s *WorkspaceObservation) {
			s.Memory, s.Workspace.Status.LastEventTime = WorkspaceMemory{}, at(-24*30*time.Hour)
		}), -24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			if got := EventsSince(test.seen, now).Sub(now); got != test.want {
				t.Errorf("it is %s, must be %s", got, test.want)
			}
		})
	}
}

func TestNextWorkspaceStatus(t *testing.T) {
	answered := Check{Progress: Answered, Answer: &seam.Workspace{ID: "w1", Name: "Production", Sandbox: true}, At: now}
	failed := func(cause Cause) Check {
		return Check{Progress: Failed, Problem: &Problem{Cause: cause, Message: "no"}, At: now}
	}
	fresh := func(s *WorkspaceObservation) {
		s.Workspace.Status, s.Memory = v1alpha1.SeamWorkspaceStatus{}, WorkspaceMemory{}
	}
	tests := []struct {
		name  string
		seen  WorkspaceObservation
		check Check
		poll  Poll
		want  map[string]string // conditions as status and reason
	}{
		{"accepted at first", accepted(fresh), answered, Poll{}, map[string]string{"Ready": "True CredentialAccepted"}},
		{"nothing was due", accepted(), Check{}, Poll{}, map[string]string{"Ready": "True CredentialAccepted", "EventsPolled": "True Polled"}},
		{"no call was free", accepted(fresh), Check{Progress: Queued}, Poll{}, map[string]string{"EventsPolled": "False WorkspaceNotReady"}},
		{"refused", accepted(), failed(CredentialRefused), Poll{}, map[string]string{"Ready": "False Unauthorized", "EventsPolled": "False WorkspaceNotReady"}},
		{"no Secret", accepted(), Check{Progress: Prevented, Problem: MissingProblem("no"), At: now}, Poll{}, map[string]string{"Ready": "False CredentialNotFound", "EventsPolled": "False WorkspaceNotReady"}},
		{"of another workspace", accepted(), failed(WorkspaceOther), Poll{}, map[string]string{"Ready": "False WorkspaceMismatch", "EventsPolled": "False WorkspaceNotReady"}},
		{"wrongly asked", accepted(), failed(RequestInvalid), Poll{}, map[string]string{"Ready": "False InvalidRequest", "Stalled": "True InvalidRequest", "EventsPolled": "False WorkspaceNotReady"}},
		{"an outage at first", accepted(fresh), failed(SeamDown), Poll{}, map[string]string{"Ready": "Unknown SeamUnavailable", "EventsPolled": "False WorkspaceNotReady"}},
		{"an outage later", accepted(), failed(SeamDown), Poll{}, map[string]string{"Ready": "True CredentialAccepted", "EventsPolled": "True Polled"}},
		{"an outage after workspaceID was corrected", accepted(func(s *WorkspaceObservation) { s.Workspace.Spec.WorkspaceID = "w2" }), failed(SeamDown), Poll{}, map[string]string{"Ready": "Unknown SeamUnavailable", "EventsPolled": "False WorkspaceNotReady"}},
		{"events can't be read", accepted(), Check{}, Poll{Progress: Failed, Problem: &Problem{Cause: CredentialForbidden}}, map[string]string{"Ready": "True CredentialAccepted", "EventsPolled": "False Unauthorized"}},
		{"events are not to be read", accepted(func(s *WorkspaceObservation) { s.Workspace.Spec.Events.PollInterval = &metav1.Duration{} }), Check{}, Poll{}, map[string]string{"Ready": "True CredentialAccepted"}},
		{"selectors that see nothing", accepted(func(s *WorkspaceObservation) {
			s.SelectorsWatched, s.Workspace.Spec.Grants = false, []v1alpha1.Grant{{Namespaces: labelled(map[string]v1alpha1.LabelValue{"a": "b"})}}
		}), Check{}, Poll{}, map[string]string{"Ready": "True CredentialAccepted", "EventsPolled": "True Polled", "GrantsApplied": "False SelectorsUnavailable"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status := NextWorkspaceStatus(test.seen, test.check, test.poll, now)
			got := map[string]string{}
			for _, c := range status.Conditions {
				got[c.Type] = string(c.Status) + " " + c.Reason
			}
			if len(got) != len(test.want) {
				t.Fatalf("conditions are %v, must be %v", got, test.want)
			}
			for conditionType, want := range test.want {
				if got[conditionType] != want {
					t.Errorf("%s is %q, must be %q", conditionType, got[conditionType], want)
				}
			}
		})
	}
}

func TestLastEventTime(t *testing.T) {
	read := func(until time.Duration, news bool) Poll {
		return Poll{Progress: Answered, News: news, ReadUntil: now.Add(until), At: now}
	}
	for name, test := range map[string]struct {
		poll Poll
		want time.Duration
	}{
		"kept while there are none":             {read(0, false), -5 * time.Minute},
		"written when there were some":          {read(0, true), 0},
		"written after ten minutes":             {read(5*time.Minute, false), 5 * time.Minute},
		"corrected where it lies in the future": {read(-6*time.Minute, false), -6 * time.Minute},
		"kept when events could not be read":    {Poll{Progress: Failed, Problem: &Problem{}, ReadUntil: now}, -5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			seen := accepted()
			got := NextWorkspaceStatus(seen, Check{}, test.poll, now).LastEventTime
			if got.Sub(now) != test.want {
				t.Errorf("it is %s, must be %s", got.Sub(now), test.want)
			}
		})
	}
}
