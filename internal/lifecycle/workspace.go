package lifecycle

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

const (
	// checkInterval is how long what Seam said of a workspace is believed.
	checkInterval = time.Hour
	// refusedInterval is how often a credential that Seam refused is tried again.
	refusedInterval = time.Minute
	// longestCheckPause and longestPollPause bound the growing pauses after calls that failed.
	longestCheckPause, longestPollPause = 5 * time.Minute, 10 * time.Minute
	// forbiddenPollPause is the pause after Seam did not let the credential read events.
	forbiddenPollPause = time.Hour
	// defaultPollInterval is the default of the CRD, for objects that were made without one.
	defaultPollInterval = 30 * time.Second
	// EventOverlap is how far windows of events reach back behind the time up to which they were read: events may come late.
	EventOverlap = 5 * time.Minute
	// longestWindow is how far a window reaches back at most. Sessions are fetched more often than that.
	longestWindow = 24 * time.Hour
	// persistInterval is how often the time up to which events were read is written, if there are none.
	persistInterval = 10 * time.Minute
)

// WorkspaceObservation is what is known of a workspace before anything is done.
type WorkspaceObservation struct {
	// Workspace is the newest copy that is known. It is read only.
	Workspace *v1alpha1.SeamWorkspace
	// SelectorsWatched says whether the labels of namespaces can be seen.
	SelectorsWatched bool
	// CheckWanted says that its credential has changed, or a session found it wanting.
	CheckWanted bool
	// Memory is what is remembered beside the status. A process that has just begun remembers nothing.
	Memory WorkspaceMemory
}

// WorkspaceMemory is what is remembered of a workspace beside its status.
type WorkspaceMemory struct {
	// Checked and Polled are when Seam was last called, or could not be; zero if not by this process.
	Checked, Polled time.Time
	// CheckFailures and PollFailures count the attempts in a row that failed.
	CheckFailures, PollFailures int
	// ReadUntil is the time, by Seam's clock, up to which events were read; zero if not by this process.
	ReadUntil time.Time
	// Generation is that of the spec with which Seam was last called.
	Generation int64
}

// Check is what came of asking Seam which workspace a credential is of.
type Check struct {
	// Progress is NotTried, Queued, Prevented, Failed or Answered, as for a session.
	Progress Progress
	// Problem is why there is no good answer: with Prevented and Failed.
	Problem *Problem
	// Answer is Seam's: with Answered.
	Answer *seam.Workspace
	// At is when the check ended.
	At time.Time
	// LookAgain is when to look again at the latest; zero where the rest says.
	LookAgain time.Time
}

// Poll is what came of reading Seam's events.
type Poll struct {
	// Progress is NotTried, Queued, Failed or Answered, as for a session.
	Progress Progress
	// Problem is why they could not be read: with Failed.
	Problem *Problem
	// News says whether there were events that had not been read before.
	News bool
	// ReadUntil is the time, by Seam's clock, up to which events have been read now: with Answered.
	ReadUntil time.Time
	// At is when the poll ended.
	At time.Time
	// LookAgain is when to look again at the latest; zero where the rest says.
	LookAgain time.Time
}

// WorkspaceReady says whether sessions may be fetched with the credential of a workspace: Seam has taken it, and it is the
// workspace that the spec names.
func WorkspaceReady(workspace *v1alpha1.SeamWorkspace) bool {
	status := &workspace.Status
	return meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) && status.WorkspaceID != "" &&
		(workspace.Spec.WorkspaceID == "" || workspace.Spec.WorkspaceID == status.WorkspaceID)
}

// NextCheck is when Seam is next asked which workspace the credential is of.
func NextCheck(seen WorkspaceObservation, now time.Time) time.Time {
	status, memory := &seen.Workspace.Status, seen.Memory
	last := notAfter(memory.Checked, now)
	unseen := status.ObservedGeneration != seen.Workspace.Generation
	switch {
	case seen.CheckWanted, unseen && memory.Generation != seen.Workspace.Generation:
		return last.Add(minGap)
	case memory.CheckFailures > 0:
		return last.Add(checkPause(readyReason(status), memory.CheckFailures))
	case unseen, !WorkspaceReady(seen.Workspace):
		return last.Add(minGap)
	}
	next := notAfter(timeOf(status.LastCheckTime), now).Add(checkInterval)
	if gap := last.Add(minGap); gap.After(next) { // the API server did not take the status of the last one
		return gap
	}
	return next
}

// checkPause is the pause after a check that failed. What waits for a change is watched for that, and else tried now and then.
func checkPause(reason string, failures int) time.Duration {
	switch row := byReason[reason]; {
	case reason == v1alpha1.ReasonUnauthorized:
		return refusedInterval
	case row.Kind != Transient:
		return longestCheckPause
	}
	return backoff(minGap, failures, longestCheckPause)
}

// backoff is the pause after a number of failures in a row: twice as long after each.
func backoff(shortest time.Duration, failures int, longest time.Duration) time.Duration {
	pause := shortest
	for range failures - 1 {
		if pause *= 2; pause >= longest {
			return longest
		}
	}
	return min(pause, longest)
}

// NextPoll is when Seam's events are next read; zero if they are not.
func NextPoll(seen WorkspaceObservation, now time.Time) time.Time {
	interval := pollInterval(seen.Workspace)
	if interval == 0 || !WorkspaceReady(seen.Workspace) {
		return time.Time{}
	}
	last := notAfter(seen.Memory.Polled, now)
	switch failures := seen.Memory.PollFailures; {
	case failures > 0 && polledReason(&seen.Workspace.Status) == v1alpha1.ReasonUnauthorized:
		return last.Add(forbiddenPollPause)
	case failures > 0:
		return last.Add(max(interval, backoff(interval, failures, longestPollPause)))
	case last.IsZero():
		return now
	}
	return last.Add(interval)
}

// EventsSince is the beginning of the window of events that is to be read now, by Seam's clock.
func EventsSince(seen WorkspaceObservation, now time.Time) time.Time {
	if read := seen.Memory.ReadUntil; !read.IsZero() { // Seam's own time, wherever our clock stands
		return read.Add(-EventOverlap)
	}
	from := timeOf(seen.Workspace.Status.LastEventTime)
	if from.IsZero() {
		from = now
	}
	from = from.Add(-EventOverlap)
	if earliest := now.Add(-longestWindow); from.Before(earliest) {
		return earliest
	}
	return from
}

func pollInterval(workspace *v1alpha1.SeamWorkspace) time.Duration {
	if interval := workspace.Spec.Events.PollInterval; interval != nil {
		return interval.Duration
	}
	return defaultPollInterval
}

// Remember is what is remembered of a workspace after it was looked at.
func Remember(seen WorkspaceObservation, check Check, poll Poll) WorkspaceMemory {
	memory := seen.Memory
	if check.Progress != NotTried && check.Progress != Queued {
		memory.Generation = seen.Workspace.Generation
	}
	switch check.Progress {
	case Answered:
		memory.Checked, memory.CheckFailures = check.At, 0
	case Failed, Prevented:
		memory.Checked, memory.CheckFailures = check.At, memory.CheckFailures+1
	}
	switch poll.Progress {
	case Answered:
		memory.Polled, memory.PollFailures, memory.ReadUntil = poll.At, 0, poll.ReadUntil
	case Failed:
		memory.Polled, memory.PollFailures = poll.At, memory.PollFailures+1
	}
	return memory
}

// NextWorkspaceStatus is the status of a workspace after it was looked at.
func NextWorkspaceStatus(seen WorkspaceObservation, check Check, poll Poll, now time.Time) v1alpha1.SeamWorkspaceStatus {
	workspace := seen.Workspace.DeepCopy()
	status := &workspace.Status
	conditions := changing{status.Conditions, workspace.Generation, now}
	status.Conditions = checkConditions(conditions, workspace, check).list // before what they are compared with changes
	if check.Progress == Answered {
		status.WorkspaceID, status.Name, status.Sandbox = check.Answer.ID, check.Answer.Name, &check.Answer.Sandbox
		status.LastCheckTime = optionalTime(&check.At)
	}
	if check.Progress == Answered || check.Problem != nil && check.Problem.Row().Kind != Transient {
		status.ObservedGeneration = workspace.Generation
	}
	status.LastEventTime = lastEventTime(status, poll)
	conditions.list = status.Conditions
	status.Conditions = grantConditions(pollConditions(conditions, workspace, poll), workspace, seen.SelectorsWatched).list
	return *status
}

// checkConditions are Ready and Stalled after a check.
func checkConditions(conditions changing, workspace *v1alpha1.SeamWorkspace, check Check) changing {
	if check.Progress == Answered {
		return conditions.without(v1alpha1.ConditionStalled).with(condition(v1alpha1.ConditionReady, metav1.ConditionTrue,
			v1alpha1.ReasonCredentialAccepted, fmt.Sprintf("Seam takes the credential in Secret %q", workspace.Spec.CredentialSecretRef.Name)))
	}
	if check.Problem == nil {
		return conditions
	}
	row, message := check.Problem.Row(), check.Problem.Message
	conditions = conditions.without(v1alpha1.ConditionStalled)
	switch {
	case row.Kind == Transient && WorkspaceReady(workspace): // what is known stands while nothing else is
		return conditions
	case row.Kind == Transient:
		return conditions.with(condition(v1alpha1.ConditionReady, metav1.ConditionUnknown, row.Reason, message))
	case row.Kind == Blocked:
		conditions = conditions.with(condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, row.Reason, message))
	}
	return conditions.with(condition(v1alpha1.ConditionReady, metav1.ConditionFalse, row.Reason, message))
}

// lastEventTime is the time up to which events were read as it is kept: anew when there were some, and now and then.
func lastEventTime(status *v1alpha1.SeamWorkspaceStatus, poll Poll) *metav1.Time {
	until := poll.ReadUntil
	if poll.Progress != Answered || until.IsZero() {
		return status.LastEventTime
	}
	if kept := status.LastEventTime; kept != nil && !poll.News && until.Sub(kept.Time) >= 0 && until.Sub(kept.Time) < persistInterval {
		return kept
	}
	return optionalTime(&until)
}

// pollConditions adds whether Seam's events are read.
func pollConditions(conditions changing, workspace *v1alpha1.SeamWorkspace, poll Poll) changing {
	interval := pollInterval(workspace)
	switch {
	case interval == 0:
		return conditions.without(v1alpha1.ConditionEventsPolled)
	case !WorkspaceReady(workspace):
		return conditions.with(condition(v1alpha1.ConditionEventsPolled, metav1.ConditionFalse, v1alpha1.ReasonWorkspaceNotReady,
			"Seam's events are read as soon as this SeamWorkspace is Ready"))
	case poll.Progress == Answered:
		return conditions.with(condition(v1alpha1.ConditionEventsPolled, metav1.ConditionTrue, v1alpha1.ReasonPolled,
			fmt.Sprintf("Seam is asked every %s which client sessions were deleted", interval)))
	case poll.Progress == Failed:
		return conditions.with(condition(v1alpha1.ConditionEventsPolled, metav1.ConditionFalse, poll.Problem.Row().Reason,
			poll.Problem.Message+"; until then a client session that is deleted at Seam shows when it is fetched again"))
	}
	return conditions
}

// grantConditions adds whether any grant is without effect.
func grantConditions(conditions changing, workspace *v1alpha1.SeamWorkspace, selectorsWatched bool) changing {
	if selectorsWatched || !UsesSelectors(workspace) {
		return conditions.without(v1alpha1.ConditionGrantsApplied)
	}
	return conditions.with(condition(v1alpha1.ConditionGrantsApplied, metav1.ConditionFalse, v1alpha1.ReasonSelectorsUnavailable,
		"the operator is installed for some namespaces alone and can't see the labels of namespaces, so that grants by selector "+
			"are without effect: grant them by names"))
}

// WorkspacePause is how long a workspace need not be looked at.
func WorkspacePause(seen WorkspaceObservation, check Check, poll Poll, now time.Time) time.Duration {
	nextCheck, nextPoll := NextCheck(seen, now), NextPoll(seen, now)
	switch Queued { // it is enqueued when there is room
	case check.Progress:
		nextCheck, nextPoll = time.Time{}, time.Time{} // events are read after the check
	case poll.Progress:
		nextPoll = time.Time{}
	}
	pause := soonest(now, nextCheck, nextPoll, check.LookAgain, poll.LookAgain)
	return max(pause, shortestPause)
}

// AwaitsCredential says whether a change of the Secret with the credential of a workspace may help.
func AwaitsCredential(status *v1alpha1.SeamWorkspaceStatus) bool {
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Status == metav1.ConditionFalse && byReason[ready.Reason].Cure == CuredByReference
}

// WorkspaceProblem turns Seam's refusal of a call for a workspace, or what happened on the way, into a problem.
func WorkspaceProblem(workspace *v1alpha1.SeamWorkspace, err *seam.Error) *Problem {
	p := &Problem{Cause: seamCauses[err.Kind], Message: err.Error(), RequestID: err.RequestID}
	from := fmt.Sprintf("the credential in Secret %q", workspace.Spec.CredentialSecretRef.Name)
	switch p.Cause {
	case CredentialRefused:
		p.Message = fmt.Sprintf("Seam refuses %s: %s; put a valid one there, it is noticed within seconds; this one is tried again once a minute", from, err)
	case CredentialForbidden:
		p.Message = fmt.Sprintf("Seam does not let %s do this: %s", from, err)
	case SessionOther:
		p.Cause = WorkspaceOther
		p.Message = fmt.Sprintf("%s is of another workspace than spec.workspaceID says, %s: correct one of them", from, workspace.Spec.WorkspaceID)
	case SessionMissing: // no answer of these routes
		p.Cause = AnswerInvalid
	}
	return p
}

// WorkspaceTransitions says what changed between two statuses of a workspace.
func WorkspaceTransitions(before, after *v1alpha1.SeamWorkspaceStatus, check Check, poll Poll) []Transition {
	var all []Transition
	tell := func(conditionType string, problem *Problem) {
		was, is := meta.FindStatusCondition(before.Conditions, conditionType), meta.FindStatusCondition(after.Conditions, conditionType)
		if is == nil || was != nil && was.Status == is.Status && was.Reason == is.Reason {
			return
		}
		t := Transition{Type: corev1.EventTypeNormal, Reason: is.Reason, Note: is.Message}
		if is.Status != metav1.ConditionTrue {
			t.Type = corev1.EventTypeWarning
		}
		if problem != nil && problem.RequestID != "" {
			t.RequestID = problem.RequestID
			t.Note += " (Seam request " + problem.RequestID + ")"
		}
		all = append(all, t)
	}
	tell(v1alpha1.ConditionReady, check.Problem)
	if before.WorkspaceID != "" && before.WorkspaceID != after.WorkspaceID {
		all = append(all, Transition{
			Type: corev1.EventTypeWarning, Reason: eventWorkspaceChanged,
			Note: fmt.Sprintf("the credential is of workspace %s, and was of %s: sessions are fetched there from now on; "+
				"spec.workspaceID holds it to one", after.WorkspaceID, before.WorkspaceID),
		})
	}
	if polledReason(after) != v1alpha1.ReasonWorkspaceNotReady { // that, Ready has told
		tell(v1alpha1.ConditionEventsPolled, poll.Problem)
	}
	tell(v1alpha1.ConditionGrantsApplied, nil)
	return all
}

func readyReason(status *v1alpha1.SeamWorkspaceStatus) string {
	return reasonOf(status.Conditions, v1alpha1.ConditionReady)
}

func polledReason(status *v1alpha1.SeamWorkspaceStatus) string {
	return reasonOf(status.Conditions, v1alpha1.ConditionEventsPolled)
}

func reasonOf(conditions []metav1.Condition, conditionType string) string {
	if found := meta.FindStatusCondition(conditions, conditionType); found != nil {
		return found.Reason
	}
	return ""
}

// notAfter is a time that has passed: one that lies ahead is of a clock that was set back, and counts as none.
func notAfter(t, now time.Time) time.Time {
	if t.Sub(now) > time.Second {
		return time.Time{}
	}
	return t
}
