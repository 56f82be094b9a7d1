package lifecycle

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// Reasons of events, beside those of the conditions Ready, Synced and Expiring.
const (
	eventTokenWritten    = "TokenWritten"
	eventTokenRotated    = "TokenRotated"
	eventSessionReplaced = "SessionReplaced"
	eventExpiryExtended  = "ExpiryExtended"
	eventSecretDeleted   = "SecretDeleted"
	eventSecretRepaired  = "SecretRepaired"
	eventExpiring        = "Expiring"
	eventSessionCreated  = "SessionCreated"
	eventSessionExtended = "SessionExtended"

	eventWorkspaceChanged = "WorkspaceChanged"
)

// Transition is one thing that changed, worth an event and a line in the log.
type Transition struct {
	// Type is that of the event, Reason and Note are its own.
	Type, Reason, Note string
	// Repeats means that it is told again and again in the same words, so that one event with a count is enough.
	Repeats bool
	// RequestID is Seam's, where Seam's answer is what is newly wrong.
	RequestID string
}

// Transitions says what changed between two statuses of a session.
func Transitions(session *v1alpha1.SeamClientSession, before, after *v1alpha1.SeamClientSessionStatus, attempt Attempt) []Transition {
	var all []Transition
	effect := attempt.Applied.Effect
	if attempt.Repaired() {
		all = append(all, Transition{Type: corev1.EventTypeNormal, Reason: eventSecretRepaired, Note: repairNote(session, after), Repeats: true})
		effect = Untouched // that it was written is said
	}
	all = append(all, provided(before, after, attempt.Fetch)...)
	extended := attempt.Fetch.Provided.Tried && attempt.Fetch.Progress == Answered // which is said as well
	if news := news(session, before, after, effect); news.Reason != "" && (!extended || news.Reason != eventExpiryExtended) {
		news.Type = corev1.EventTypeNormal
		all = append(all, news)
	}
	return append(all, warnings(before, after, attempt.Problem())...)
}

// repairNote says who had changed the Secret. It is the same each time: the recorder makes one event of them, with a count.
func repairNote(session *v1alpha1.SeamClientSession, after *v1alpha1.SeamClientSessionStatus) string {
	if repairs := after.SecretRepairs; repairs != nil && repairs.LastManager != "" {
		return fmt.Sprintf("field manager %q had changed Secret %q, and it was corrected", repairs.LastManager, session.SecretName())
	}
	return fmt.Sprintf("something else had changed or deleted Secret %q, and it was corrected", session.SecretName())
}

// provided tells of a session that was made or extended, or could not be while it lives.
func provided(before, after *v1alpha1.SeamClientSessionStatus, fetch Fetch) []Transition {
	switch last := after.Provisioning; {
	case !fetch.Provided.Tried:
	case fetch.Progress == Answered && fetch.Provided.Creating && fetch.Answer.ID != before.ClientSessionID:
		return []Transition{{Type: corev1.EventTypeNormal, Reason: eventSessionCreated,
			Note: fmt.Sprintf("client session %s was made at Seam", fetch.Answer.ID)}}
	case fetch.Progress == Answered:
		return []Transition{{Type: corev1.EventTypeNormal, Reason: eventSessionExtended,
			Note: fmt.Sprintf("client session %s was extended to %s", fetch.Answer.ID, shown(after.ExpiresAt))}}
	case fetch.Provided.Problem != nil && last != nil && !fetch.Provided.Creating && (before.Provisioning == nil || before.Provisioning.Reason != last.Reason):
		return []Transition{{Type: corev1.EventTypeWarning, Reason: last.Reason, Note: last.Message, RequestID: fetch.Provided.Problem.RequestID}}
	}
	return nil
}

// news is what became of the token, if anything did.
func news(session *v1alpha1.SeamClientSession, before, after *v1alpha1.SeamClientSessionStatus, effect Effect) Transition {
	name := session.SecretName()
	switch {
	case effect == Removed:
		return Transition{Reason: eventSecretDeleted, Note: fmt.Sprintf("Secret %q was deleted because its session ended", name)}
	case before.ClientSessionID != "" && before.ClientSessionID != after.ClientSessionID:
		return Transition{Reason: eventSessionReplaced, Note: fmt.Sprintf("client session %s took the place of %s", after.ClientSessionID, before.ClientSessionID)}
	case before.TokenFingerprint != "" && after.TokenFingerprint != "" && before.TokenFingerprint != after.TokenFingerprint:
		return Transition{Reason: eventTokenRotated, Note: fmt.Sprintf("the token in Secret %q changed", name)}
	case before.ExpiresAt != nil && after.ExpiresAt != nil && after.ExpiresAt.After(before.ExpiresAt.Time):
		return Transition{Reason: eventExpiryExtended, Note: fmt.Sprintf("the session was extended to %s", shown(after.ExpiresAt))}
	case effect == Written, before.TokenFingerprint == "" && after.TokenFingerprint != "":
		return Transition{Reason: eventTokenWritten, Note: fmt.Sprintf("the token was written to Secret %q", name)}
	}
	return Transition{}
}

// warnings says what is newly wrong.
func warnings(before, after *v1alpha1.SeamClientSessionStatus, problem *Problem) []Transition {
	var all []Transition
	warn := func(reason, note, requestID string) {
		contested := problem != nil && problem.Cause == SecretContested
		all = append(all, Transition{corev1.EventTypeWarning, reason, note, contested && reason == v1alpha1.ReasonSecretConflict, requestID})
	}
	ready := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Reason == v1alpha1.ReasonSessionExpired && !reasonWas(before, v1alpha1.ConditionReady, ready.Reason) {
		warn(ready.Reason, ready.Message, "")
	}
	if soon := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionExpiring); soon != nil &&
		!reasonWas(before, v1alpha1.ConditionExpiring, soon.Reason) {
		warn(eventExpiring, soon.Message, "")
	}
	if synced := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionSynced); synced != nil &&
		synced.Status == metav1.ConditionFalse && !reasonWas(before, v1alpha1.ConditionSynced, synced.Reason) {
		note, requestID := synced.Message, ""
		if problem != nil {
			note = problem.Message
		}
		if problem != nil && problem.RequestID != "" {
			requestID = problem.RequestID
			note += " (Seam request " + requestID + ")"
		}
		warn(synced.Reason, note, requestID)
	}
	return all
}

func reasonWas(status *v1alpha1.SeamClientSessionStatus, conditionType, reason string) bool {
	condition := meta.FindStatusCondition(status.Conditions, conditionType)
	return condition != nil && condition.Reason == reason
}
