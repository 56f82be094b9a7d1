package lifecycle

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/schedule"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// Action is what is to be done about a session now.
type Action int

const (
	// Rest means that nothing is due.
	Rest Action = iota
	// Fetching means that the session is to be fetched from Seam, and its Secret brought up to date.
	Fetching
	// FetchingIfChanged means that the same, unless the request would be the very one that Seam refused last.
	FetchingIfChanged
	// Correcting means that nothing else is due, but the Secret has drifted from what was written.
	Correcting
	// Providing means that Seam is to be asked to make or extend the session that was just fetched.
	Providing
	// Refuse means that something is due, and Problem says why it is pointless now.
	Refuse
	// Defer means that something is due, and the last call was made too short a while ago.
	Defer
)

// Decision is what is to be done about a session now.
type Decision struct {
	Action Action
	// Problem is why nothing is tried: with Refuse.
	Problem *Problem
	// LookAgain is when to look again at the latest: with Refuse and Defer; zero where the status alone says.
	LookAgain time.Time
}

// minGap is the least time between two calls for one object, but for the one at the end of its token: however often a spec,
// an annotation or a Secret is changed, this is how often it leads to a call.
const minGap = schedule.MinDelay

// Decide says what is to be done about a session now.
func Decide(seen Observation, now time.Time) Decision {
	action := due(seen, now)
	if action == Rest {
		return Decision{}
	}
	if obstacle := obstacleOf(seen, action, now); obstacle.Problem != nil {
		return obstacle
	}
	if at := gapEnds(seen, now); at.After(now) && action != Providing { // which goes on from the last call
		return Decision{Action: Defer, LookAgain: at}
	}
	return Decision{Action: action}
}

// due says what there is to do, if nothing stands in the way.
func due(seen Observation, now time.Time) Action {
	session, status := seen.Session, &seen.Session.Status
	switch {
	case session.Spec.Suspend:
		return Rest
	case seen.Wish != nil:
		return Providing
	case refreshRequested(session), specChanged(seen), provisionDue(seen, now), syncedReason(status) == v1alpha1.ReasonSuspended:
		return Fetching
	case seen.Ungranted && syncedReason(status) != v1alpha1.ReasonNotGranted, seen.Deletion == DeletionHeard:
		return Fetching
	case unscheduled(status):
		return FetchingIfChanged
	case !nextCall(session, status, now).After(now):
		return Fetching
	case seen.ReferenceChanged && AwaitsReference(session, status):
		return FetchingIfChanged
	case drifted(seen, now):
		return Correcting
	}
	return Rest
}

// obstacleOf finds what makes fetching pointless: a template that can't be rendered, a Secret that can't be written, or must
// not be so soon.
func obstacleOf(seen Observation, action Action, now time.Time) Decision {
	if seen.Ungranted {
		return Decision{Action: Refuse, Problem: UngrantedProblem(seen.Session)}
	}
	if err := secret.CheckTemplates(seen.Session.Spec.Secret.Template); err != nil {
		return Decision{Action: Refuse, Problem: TemplateProblem(err)}
	}
	if p := ConflictProblem(seen.Secret, seen.Session); p != nil && p.Cause == SecretForeign {
		return Decision{Action: Refuse, Problem: p, LookAgain: LookAtConflict(&seen.Session.Status, now)}
	}
	if at := seen.Drift.Next(); action == Correcting && at.After(now) {
		return Decision{Action: Refuse, Problem: contestedProblem(seen.Session, opponent(seen), at)}
	}
	return Decision{}
}

// MustTryFirst says whether the API server refused the Secret last, so that Seam is not called before it would take one. An
// attempt that is as old as refreshInterval is made all the same: what is tried is not the very Secret.
func MustTryFirst(seen Observation, now time.Time) bool {
	session, status := seen.Session, &seen.Session.Status
	return syncedReason(status) == v1alpha1.ReasonSecretWriteFailed && status.LastAttemptTime != nil &&
		now.Sub(status.LastAttemptTime.Time) < scheduleInput(session, status).RefreshInterval
}

// gapEnds is when the next call for an object may be made; zero if it may now.
func gapEnds(seen Observation, now time.Time) time.Time {
	var ends time.Time
	end := timeOf(seen.Session.Status.ExpiresAt)
	for _, last := range []time.Time{timeOf(seen.Session.Status.LastAttemptTime), seen.UnsavedCall} {
		atEnd := last.Before(end) && !end.After(now)
		setBack := last.Sub(now) > time.Second // the clock was
		if gap := last.Add(minGap); !atEnd && !setBack && gap.After(ends) {
			ends = gap
		}
	}
	return ends
}

// specChanged says whether the spec was changed since it was last acted on, in what matters: the Secret is not for it, or,
// where a change was taken back, the last attempt was for something else.
func specChanged(seen Observation) bool {
	status := &seen.Session.Status
	return status.ObservedGeneration != seen.Session.Generation &&
		(!seen.Secret.ForSpec || failures(status) > 0 || seen.Secret.ClientSessionID != status.ClientSessionID)
}

// refreshRequested says whether a refresh was requested that has not been acted on.
func refreshRequested(session *v1alpha1.SeamClientSession) bool {
	request := session.Annotations[v1alpha1.AnnotationRefreshRequestedAt]
	return request != "" && len(request) <= v1alpha1.MaxRefreshRequestLength &&
		request != session.Status.LastHandledRefreshRequest
}

// drifted says whether the Secret is not as the last good answer left it, so that it takes another to correct it. A Secret that is missing because its session
// ended has not drifted, and what failed for another reason is retried when that is due.
func drifted(seen Observation, now time.Time) bool {
	status := &seen.Session.Status
	if status.LastFetchTime == nil || failures(status) > 0 && !conflictGone(seen) || expired(status.ExpiresAt, now) {
		return false
	}
	s := seen.Secret
	replaced := status.SecretFingerprint != "" && s.Fingerprint != status.SecretFingerprint // by an earlier copy
	return !s.Ours || !s.DataIntact || !s.ForSpec || replaced || !s.Intact && (s.Immutable || s.TypeDiffers || seen.Drift.Next().After(now))
}

// MayRestore says whether labels, annotations and owner references of the Secret are to be restored: they have drifted, and
// the token has not, so that Seam is not needed for it. What the API server refused last is tried together with the next fetch.
func MayRestore(seen Observation, applied Applied, now time.Time) bool {
	s := seen.Secret
	return applied.Effect == Untouched && applied.Problem == nil && !seen.Session.Spec.Suspend &&
		syncedReason(&seen.Session.Status) != v1alpha1.ReasonSecretWriteFailed &&
		s.Ours && s.DataIntact && s.ForSpec && !s.Intact && !s.Immutable && !s.TypeDiffers && !seen.Drift.Next().After(now)
}

// conflictGone says whether the last attempt failed for a Secret that could not be changed, and nothing of that is left:
// somebody has deleted it, as the message says.
func conflictGone(seen Observation) bool {
	return syncedReason(&seen.Session.Status) == v1alpha1.ReasonSecretConflict && ConflictProblem(seen.Secret, seen.Session) == nil
}

// unscheduled says whether the last attempt failed for want of something that only a change can bring, so that no time was
// set for the next.
func unscheduled(status *v1alpha1.SeamClientSessionStatus) bool {
	return status.NextFetchTime == nil && byReason[syncedReason(status)].Unscheduled
}

// AwaitsReference says whether the last attempt failed so that a change of a Secret which the session refers to may help.
func AwaitsReference(session *v1alpha1.SeamClientSession, status *v1alpha1.SeamClientSessionStatus) bool {
	reason := syncedReason(status)
	keyMatters := reason == v1alpha1.ReasonNotGranted && session.Spec.UserIdentifierKeySecretRef != nil // a grant may be for others
	return keyMatters || byReason[reason].Cure == CuredByReference
}

// LookAtConflict is when to look again at what stands in the way of a Secret: after as long as it has been so, from 5 s to
// a minute, which doubles the pause without counting.
func LookAtConflict(status *v1alpha1.SeamClientSessionStatus, now time.Time) time.Time {
	const shortest, longest = 5 * time.Second, time.Minute
	synced := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionSynced)
	if synced == nil || synced.Status != metav1.ConditionFalse {
		return now.Add(shortest)
	}
	since := now.Sub(synced.LastTransitionTime.Time)
	if since < 0 { // the clock was set back
		return now.Add(longest)
	}
	return now.Add(min(max(since, shortest), longest))
}

// defaultRefreshInterval is the default of the CRD, for objects that were made without one.
const defaultRefreshInterval = time.Hour

// scheduleInput is what the schedule needs to know of a session with a status.
func scheduleInput(session *v1alpha1.SeamClientSession, status *v1alpha1.SeamClientSessionStatus) schedule.Input {
	in := schedule.Input{
		UID:             string(session.UID),
		RefreshInterval: defaultRefreshInterval,
		LastFetch:       timeOf(status.LastFetchTime),
		LastAttempt:     timeOf(status.LastAttemptTime),
		ExpiresAt:       timeOf(status.ExpiresAt),
		ExpiryObserved:  timeOf(status.ExpiryObservedTime),
		Failures:        failures(status),
		Result:          byReason[syncedReason(status)].Schedule,
	}
	if interval := session.Spec.RefreshInterval; interval != nil {
		in.RefreshInterval = interval.Duration
	}
	if before := session.Spec.RenewBefore; before != nil {
		in.RenewBefore = &before.Duration
	}
	if session.Spec.Provision != nil && status.ExpiresAt != nil {
		longest := grantedLife(session, status) / 3
		if in.RenewBefore == nil || *in.RenewBefore > longest {
			in.RenewBefore = &longest
		}
	}
	switch {
	case in.Result == schedule.RateLimited: // also of an object that was held back and has not failed itself
		in.RetryAt = timeOf(status.NextFetchTime)
	case in.Failures == 0:
		in.Result = schedule.Good
	}
	return in
}

// syncedReason is the reason of the condition Synced, empty before the first attempt.
func syncedReason(status *v1alpha1.SeamClientSessionStatus) string {
	if synced := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionSynced); synced != nil {
		return synced.Reason
	}
	return ""
}

// failures are how many attempts in a row have failed, at Seam or at the API server.
func failures(status *v1alpha1.SeamClientSessionStatus) int {
	return int(status.FailedFetches) + int(status.FailedWrites)
}

// expired says whether an end has come. A session ends at that second, not after it; one without an end has none.
func expired(end *metav1.Time, now time.Time) bool { return end != nil && !end.After(now) }

// timeOf is the time in a status field, zero if it is absent.
func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// MayRemoveFormer says whether the Secrets of an earlier secret.name are to go now: the one that the spec names stands. Where
// removing one failed, that is tried again together with the next fetch.
func MayRemoveFormer(seen Observation, fetch Fetch, applied Applied) bool {
	spec := &seen.Session.Spec
	return applied.Problem == nil && !spec.Suspend && spec.Secret.RetentionPolicy.WhenDeleted != v1alpha1.RetentionRetain &&
		applied.Secret.Ours && applied.Secret.Intact && applied.Secret.ForSpec &&
		(fetch.Progress == Answered || failures(&seen.Session.Status) == 0)
}
