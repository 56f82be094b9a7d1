package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/schedule"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// fingerprintLength is how many hexadecimal digits of a token's hash are shown.
const fingerprintLength = 12

// nextStatus is the status of a session after an outcome. It is the one place that sets conditions.
func nextStatus(seen *observation, result outcome, now time.Time) v1alpha1.SeamClientSessionStatus {
	session := seen.session.DeepCopy()
	status := &session.Status
	clampToNow(status, now)
	if result.queued {
		return *status
	}
	status.ObservedGeneration = session.Generation
	record(status, session, result, now)

	report := conditions{status: status, generation: session.Generation, now: now}
	synced := syncedCondition(session, result)
	report.set(synced)
	report.set(readyCondition(session, result, synced, now))
	report.setOrRemove(result.problem != nil && result.problem.kind == blocked || !result.tried && stalled(status),
		condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, synced.Reason, synced.Message))
	status.NextFetchTime = nextFetch(session, result, now)
	report.setOrRemove(expiring(session, now), condition(v1alpha1.ConditionExpiring, metav1.ConditionTrue,
		v1alpha1.ReasonNotRenewed, fmt.Sprintf("the session ends at %s and was not extended; reading it does not extend it: "+
			"whoever owns it does so at Seam, with /client_sessions/get_or_create", instant(status.ExpiresAt))))
	return *status
}

// clampToNow lets times that lie in the future count as now: the clock was set back. Left as they are, they would hold
// off the next fetch until the clock has caught up.
func clampToNow(status *v1alpha1.SeamClientSessionStatus, now time.Time) {
	for _, t := range []**metav1.Time{&status.LastFetchTime, &status.LastAttemptTime, &status.ExpiryObservedTime} {
		if *t != nil && (*t).After(now) {
			*t = &metav1.Time{Time: now}
		}
	}
}

// record notes what was asked, what came of it, and what is in the Secret.
func record(status *v1alpha1.SeamClientSessionStatus, session *v1alpha1.SeamClientSession, result outcome, now time.Time) {
	if result.asked {
		status.LastAttemptTime = &metav1.Time{Time: now}
	}
	if request := session.Annotations[v1alpha1.AnnotationRefreshRequestedAt]; result.tried && refreshRequested(session) &&
		(result.asked || result.problem.kind == blocked) {
		status.LastHandledRefreshRequest = request
	}
	switch {
	case result.asked && result.problem != nil:
		status.FailedFetches++
	case result.asked:
		status.FailedFetches = 0
		status.LastFetchTime = &metav1.Time{Time: now}
		status.CredentialVersion = result.credential
		if !result.superseded {
			recordAnswer(status, result, now)
		}
	}
	if result.asked && result.problem == nil && result.secret != nil { // not before a former one is gone
		status.SecretName = session.SecretName()
	}
	if result.removed {
		status.SecretName, status.TokenFingerprint = "", ""
	}
}

// recordAnswer notes what a good answer says of the session.
func recordAnswer(status *v1alpha1.SeamClientSessionStatus, result outcome, now time.Time) {
	answer := result.answer
	expiresAt := optionalTime(answer.ExpiresAt)
	over := expired(status.ExpiresAt, now) && expired(expiresAt, now) // when it ended is the same to whoever waits
	if status.ExpiryObservedTime == nil || !over && !expiresAt.Equal(status.ExpiresAt) {
		status.ExpiryObservedTime = &metav1.Time{Time: now}
	}
	if expiresAt == nil {
		status.ExpiryObservedTime = nil
	}
	status.ClientSessionID, status.WorkspaceID = answer.ID, answer.WorkspaceID
	status.CreatedAt, status.ExpiresAt = optionalTime(answer.CreatedAt), expiresAt
	status.DeviceCount = answer.DeviceCount
	if mark := fingerprint(answer.Token); result.secret != nil && mark != status.TokenFingerprint && !expired(expiresAt, now) {
		status.TokenFingerprint = mark
		status.LastRotationTime = &metav1.Time{Time: now}
	}
}

// nextFetch is when Seam is asked again; nil while that waits for a change.
func nextFetch(session *v1alpha1.SeamClientSession, result outcome, now time.Time) *metav1.Time {
	problem := result.problem
	switch {
	case session.Spec.Suspend:
		return nil
	case problem != nil && problem.kind == waiting && problem.until.IsZero(), problem != nil && problem.kind == blocked && !result.asked:
		return nil
	case problem != nil && problem.kind == waiting:
		return &metav1.Time{Time: problem.until}
	case result.asked: // what was planned before does not bind any more
		session.Status.NextFetchTime = nil
		if problem != nil && !problem.until.IsZero() {
			session.Status.NextFetchTime = &metav1.Time{Time: problem.until}
		}
	}
	return &metav1.Time{Time: schedule.Next(scheduleInput(session), now)}
}

// syncedCondition says whether the last attempt to bring the Secret up to date worked.
func syncedCondition(session *v1alpha1.SeamClientSession, result outcome) metav1.Condition {
	status := &session.Status
	previous := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionSynced)
	switch {
	case session.Spec.Suspend:
		return condition(v1alpha1.ConditionSynced, metav1.ConditionUnknown, v1alpha1.ReasonSuspended,
			"spec.suspend is true: Seam is not asked, and the Secret stays as it is")
	case result.problem != nil:
		return condition(v1alpha1.ConditionSynced, metav1.ConditionFalse, result.problem.reason, result.problem.message)
	case result.superseded:
		return condition(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonFetched,
			fmt.Sprintf("Seam returned client session %s, which has ended; the token of client session %s stays",
				result.answer.ID, status.ClientSessionID))
	case result.asked || previous == nil:
		return condition(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonFetched,
			fmt.Sprintf("client session %s was fetched from Seam", status.ClientSessionID))
	}
	return *previous
}

// readyCondition says whether a usable token is in the Secret.
func readyCondition(session *v1alpha1.SeamClientSession, result outcome, synced metav1.Condition, now time.Time) metav1.Condition {
	state := secret.Inspect(result.secret, session)
	status := &session.Status
	written := state.Ours && state.DataIntact && state.ForSpec
	ended := written && (state.ExpiresAt != nil && !state.ExpiresAt.After(now) ||
		state.ClientSessionID == status.ClientSessionID && expired(status.ExpiresAt, now)) // Seam ended it early
	no := func(reason, message string) metav1.Condition {
		return condition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	}
	switch {
	case gone(status, result, state):
		return no(v1alpha1.ReasonSessionNotFound, "Seam has no such client session any more: create it at Seam, or select another one")
	case written && !ended:
		message := fmt.Sprintf("the token in Secret %q can be used", session.SecretName())
		if state.ExpiresAt != nil {
			message += " until " + state.ExpiresAt.UTC().Format(time.RFC3339)
		}
		return condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonTokenAvailable, message)
	case ended, synced.Status == metav1.ConditionTrue && expired(status.ExpiresAt, now):
		return no(v1alpha1.ReasonSessionExpired, expiredMessage(session))
	case synced.Status == metav1.ConditionFalse:
		return no(synced.Reason, fmt.Sprintf("there is no usable token in Secret %q: %s", session.SecretName(), synced.Message))
	}
	return no(v1alpha1.ReasonPending, fmt.Sprintf("no token was written to Secret %q yet", session.SecretName()))
}

func expiredMessage(session *v1alpha1.SeamClientSession) string {
	message := fmt.Sprintf("the session ended at %s: whoever owns it extends it at Seam, with /client_sessions/get_or_create, "+
		"which is noticed by itself, or creates another one", instant(session.Status.ExpiresAt))
	if session.Spec.ClientSessionID != "" {
		message += ", which spec.clientSessionID then has to name"
	}
	return message
}

// gone says whether Seam's last word on the session was that there is none, on a credential that can tell.
func gone(status *v1alpha1.SeamClientSessionStatus, result outcome, state secret.State) bool {
	if result.asked && (result.problem == nil || result.problem.gone) {
		return result.problem != nil
	}
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	return state.ForSpec && ready != nil && ready.Reason == v1alpha1.ReasonSessionNotFound &&
		ready.ObservedGeneration == status.ObservedGeneration // it may be what an earlier spec asked for that is gone
}

// stalled says whether the status says that only a change of the object can help.
func stalled(status *v1alpha1.SeamClientSessionStatus) bool {
	return meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStalled)
}

// expiring says whether a token that can be used ends soon.
func expiring(session *v1alpha1.SeamClientSession, now time.Time) bool {
	return meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady) &&
		schedule.Expiring(scheduleInput(session), now)
}

// conditions sets conditions of one status.
type conditions struct {
	status     *v1alpha1.SeamClientSessionStatus
	generation int64
	now        time.Time
}

func (c conditions) set(condition metav1.Condition) {
	condition.ObservedGeneration = c.generation
	condition.LastTransitionTime = metav1.Time{Time: c.now}
	meta.SetStatusCondition(&c.status.Conditions, condition)
}

func (c conditions) setOrRemove(holds bool, condition metav1.Condition) {
	if holds {
		c.set(condition)
		return
	}
	meta.RemoveStatusCondition(&c.status.Conditions, condition.Type)
}

func condition(conditionType string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: conditionType, Status: status, Reason: reason, Message: message}
}

// fingerprint tells two tokens apart and reveals neither.
func fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])[:fingerprintLength]
}

func optionalTime(t *time.Time) *metav1.Time {
	if t == nil {
		return nil
	}
	return &metav1.Time{Time: t.UTC().Truncate(time.Second)}
}

func instant(t *metav1.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
