package controller

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/schedule"
)

// decision says whether anything is to be done about a session now, and what.
type decision int

const (
	// idle: nothing is due.
	idle decision = iota
	// ask: Seam is to be asked, for one of the reasons in decide.
	ask
	// repair: nothing else is due, but the Secret is not as it was written.
	repair
	// yield: the same, but it was put right too often lately: somebody else keeps changing it.
	yield
)

// decide says whether a session is to be brought up to date now.
func decide(seen *observation, now time.Time) decision {
	session, status := seen.session, &seen.session.Status
	switch {
	case session.Spec.Suspend:
		return idle
	case refreshRequested(session), seen.changed && !synced(status), waitsForChange(seen):
		return ask
	case renamed(session) && seen.state.ForSpec && status.FailedFetches == 0: // the former Secret was not removed yet
		return ask
	case specChanged(seen):
		return ask
	case !schedule.Next(scheduleInput(session), now).After(now):
		return ask
	case !damaged(seen, now):
		return idle
	case seen.repairs.next().After(now):
		return yield
	}
	return repair
}

// specChanged says whether the spec was changed since it was last acted on, in what matters: the Secret is not for it, or,
// where a change was taken back, the last attempt was for something else.
func specChanged(seen *observation) bool {
	status := &seen.session.Status
	return status.ObservedGeneration != seen.session.Generation &&
		(!seen.state.ForSpec || status.FailedFetches > 0 || seen.state.ClientSessionID != status.ClientSessionID)
}

// synced says whether the last attempt worked. A change that it was nudged for before that has been seen then.
func synced(status *v1alpha1.SeamClientSessionStatus) bool {
	return meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionSynced)
}

// refreshRequested says whether a refresh was requested that has not been acted on.
func refreshRequested(session *v1alpha1.SeamClientSession) bool {
	request := session.Annotations[v1alpha1.AnnotationRefreshRequestedAt]
	return request != "" && len(request) <= v1alpha1.MaxRefreshRequestLength &&
		request != session.Status.LastHandledRefreshRequest
}

// renamed says whether the Secret of an earlier secret.name is still to be removed.
func renamed(session *v1alpha1.SeamClientSession) bool {
	return session.Status.SecretName != "" && session.Status.SecretName != session.SecretName()
}

// damaged says whether the Secret is not as the last good answer left it. A Secret that is missing because its session
// ended is not damaged, and what failed for another reason is tried again when that is due.
func damaged(seen *observation, now time.Time) bool {
	status := &seen.session.Status
	if status.LastFetchTime == nil || status.FailedFetches > 0 && !obstacleGone(seen) || expired(status.ExpiresAt, now) {
		return false
	}
	return !seen.state.Ours || !seen.state.Intact || !seen.state.ForSpec
}

// obstacleGone says whether the last attempt failed for a Secret that could not be changed, and nothing of that is left:
// somebody has deleted it, as the message says.
func obstacleGone(seen *observation) bool {
	return syncedReason(&seen.session.Status) == v1alpha1.ReasonSecretConflict && conflict(seen.secret, seen.session) == nil
}

// waitsForChange says whether the last attempt failed for want of something that only a change can bring, so that no
// time was set for the next. Trying again costs no call to Seam while nothing has changed.
func waitsForChange(seen *observation) bool {
	status := &seen.session.Status
	if status.NextFetchTime != nil {
		return false
	}
	switch syncedReason(status) {
	case v1alpha1.ReasonCredentialNotFound, v1alpha1.ReasonCredentialInvalid, v1alpha1.ReasonUnauthorized,
		v1alpha1.ReasonTemplateInvalid, v1alpha1.ReasonSuspended:
		return true
	case v1alpha1.ReasonSecretConflict:
		return !seen.state.Ours
	}
	return false
}

// defaultRefreshInterval is the default of the CRD, for objects that were made without one.
const defaultRefreshInterval = time.Hour

// scheduleInput is what the schedule needs to know of a session.
func scheduleInput(session *v1alpha1.SeamClientSession) schedule.Input {
	status := &session.Status
	in := schedule.Input{
		UID:             string(session.UID),
		RefreshInterval: defaultRefreshInterval,
		Failures:        int(status.FailedFetches),
	}
	if interval := session.Spec.RefreshInterval; interval != nil {
		in.RefreshInterval = interval.Duration
	}
	if before := session.Spec.RenewBefore; before != nil {
		in.RenewBefore = &before.Duration
	}
	in.LastFetch, in.LastAttempt = timeOf(status.LastFetchTime), timeOf(status.LastAttemptTime)
	in.ExpiresAt, in.ExpiryObserved = timeOf(status.ExpiresAt), timeOf(status.ExpiryObservedTime)
	in.Result = resultOf(status)
	if in.Result == schedule.RateLimited {
		in.RetryAt = timeOf(status.NextFetchTime)
	}
	return in
}

// resultOf is the last attempt's result, as the schedule distinguishes them.
func resultOf(status *v1alpha1.SeamClientSessionStatus) schedule.Result {
	reason := syncedReason(status)
	switch {
	case reason == v1alpha1.ReasonRateLimited: // also of an object that was held back and has not failed itself
		return schedule.RateLimited
	case status.FailedFetches == 0:
		return schedule.Good
	case reason == v1alpha1.ReasonSessionNotFound:
		return schedule.NotFound
	case reason == v1alpha1.ReasonInvalidRequest, reason == v1alpha1.ReasonTemplateInvalid:
		return schedule.Blocked
	}
	return schedule.Transient
}

// syncedReason is the reason of the condition Synced, empty before the first attempt.
func syncedReason(status *v1alpha1.SeamClientSessionStatus) string {
	if synced := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionSynced); synced != nil {
		return synced.Reason
	}
	return ""
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
