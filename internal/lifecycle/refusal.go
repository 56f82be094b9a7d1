package lifecycle

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// failingSince comes after the problem in the message of Synced.
const failingSince = "; attempts fail since "

// lastRefusal is what Seam last said against a session and Synced does not say any more, because this attempt failed for
// something that says nothing of the session. Without it, an outage would hide what has to be corrected.
func lastRefusal(seen Observation, attempt Attempt) *v1alpha1.Refusal {
	before, fetch, problem := &seen.Session.Status, attempt.Fetch, attempt.Problem()
	said := before.LastRefusal
	if problem != nil || seen.Session.Spec.Suspend { // Synced is about to change
		if refusal := refusalInSynced(before); refusal != nil {
			said = refusal
		}
	}
	switch {
	case said == nil, fetch.Progress == Answered, problem != nil && refuses(problem.Cause):
		return nil
	case fetch.Called() && said.RequestFingerprint != "" && said.RequestFingerprint != fetch.Fingerprint:
		return nil
	}
	return said.DeepCopy()
}

// refuses says whether a cause is Seam's word about the session or its credential.
func refuses(cause Cause) bool {
	switch cause {
	case CredentialRefused, CredentialForbidden, UserKeyRefused, RequestInvalid, SessionMissing, SessionGone, SessionOther:
		return true
	}
	return false
}

// refusalInSynced is what Synced says, where that is Seam's word.
func refusalInSynced(status *v1alpha1.SeamClientSessionStatus) *v1alpha1.Refusal {
	synced := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionSynced)
	if synced == nil || synced.Status != metav1.ConditionFalse {
		return nil
	}
	switch synced.Reason {
	case v1alpha1.ReasonUnauthorized, v1alpha1.ReasonSessionNotFound, v1alpha1.ReasonSessionMismatch, v1alpha1.ReasonInvalidRequest:
	case v1alpha1.ReasonCredentialInvalid: // Seam has refused a user identifier key, or nobody called it
		if status.FailedRequestFingerprint == "" {
			return nil
		}
	default:
		return nil
	}
	message, _, _ := strings.Cut(synced.Message, failingSince)
	refusal := &v1alpha1.Refusal{
		Time: synced.LastTransitionTime, Reason: synced.Reason, Message: message, RequestFingerprint: status.FailedRequestFingerprint,
	}
	if status.LastAttemptTime != nil && status.LastAttemptTime.After(refusal.Time.Time) {
		refusal.Time = *status.LastAttemptTime
	}
	return refusal
}

// saysNothing says whether a reason tells nothing of the session, so that what Seam said of it before counts.
func saysNothing(reason string) bool {
	return reason == v1alpha1.ReasonSeamUnavailable || reason == v1alpha1.ReasonRateLimited || reason == v1alpha1.ReasonInvalidResponse
}

// failure is the message of Synced: what is wrong, since when attempts fail, and where Seam's own word is if that hides it.
func failure(problem *Problem, previous *metav1.Condition, refusal *v1alpha1.Refusal, now metav1.Time) string {
	since := &now
	if previous != nil && previous.Status == metav1.ConditionFalse {
		since = &previous.LastTransitionTime
	}
	message := problem.Message + failingSince + shown(since)
	if refusal != nil {
		message += "; Seam's last word was " + refusal.Reason + ": see status.lastRefusal"
	}
	return message
}
