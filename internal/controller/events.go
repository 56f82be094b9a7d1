package controller

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
	eventExpiring        = "Expiring"
)

// transition is one thing that changed, worth an event and a line in the log.
type transition struct {
	kind, reason, note string
	// requestID is Seam's, where Seam's answer is what is newly wrong.
	requestID string
}

// transitions says what changed between two statuses.
func transitions(session *v1alpha1.SeamClientSession, before, after *v1alpha1.SeamClientSessionStatus, result outcome) []transition {
	var all []transition
	normal := func(reason, format string, args ...any) {
		all = append(all, transition{kind: corev1.EventTypeNormal, reason: reason, note: fmt.Sprintf(format, args...)})
	}
	name := session.SecretName()
	switch {
	case before.ClientSessionID != "" && before.ClientSessionID != after.ClientSessionID:
		normal(eventSessionReplaced, "client session %s took the place of %s", after.ClientSessionID, before.ClientSessionID)
	case before.TokenFingerprint != "" && after.TokenFingerprint != "" && before.TokenFingerprint != after.TokenFingerprint:
		normal(eventTokenRotated, "the token in Secret %q changed", name)
	case extended(before, after):
		normal(eventExpiryExtended, "the session was extended to %s", instant(after.ExpiresAt))
	case result.wrote, before.TokenFingerprint == "" && after.TokenFingerprint != "":
		normal(eventTokenWritten, "the token was written to Secret %q", name)
	case result.removed:
		normal(eventSecretDeleted, "Secret %q was deleted because its session ended", name)
	}
	return append(all, warnings(before, after, result)...)
}

// warnings says what is newly wrong.
func warnings(before, after *v1alpha1.SeamClientSessionStatus, result outcome) []transition {
	var all []transition
	warn := func(reason, note, requestID string) {
		all = append(all, transition{corev1.EventTypeWarning, reason, note, requestID})
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
		if result.problem != nil && result.problem.requestID != "" {
			requestID = result.problem.requestID
			note += " (Seam request " + requestID + ")"
		}
		warn(synced.Reason, note, requestID)
	}
	return all
}

func extended(before, after *v1alpha1.SeamClientSessionStatus) bool {
	return before.ExpiresAt != nil && after.ExpiresAt != nil && after.ExpiresAt.After(before.ExpiresAt.Time)
}

func reasonWas(status *v1alpha1.SeamClientSessionStatus, conditionType, reason string) bool {
	condition := meta.FindStatusCondition(status.Conditions, conditionType)
	return condition != nil && condition.Reason == reason
}
