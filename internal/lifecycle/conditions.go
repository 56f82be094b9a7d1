package lifecycle

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/schedule"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// concluded are the conditions after an attempt that came to a conclusion, or where none was due. status is that which the
// attempt led to. This and meanwhile are the one place that sets conditions.
func concluded(seen Observation, attempt Attempt, status v1alpha1.SeamClientSessionStatus, now time.Time) []metav1.Condition {
	session, problem := seen.Session, attempt.Problem()
	synced := syncedCondition(session, attempt, status, now)
	ready := readyCondition(session, attempt, status, synced, now)
	wasStalled := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStalled)

	conditions := changing{status.Conditions, session.Generation, now}
	conditions = conditions.with(synced).with(ready)
	if problem != nil && problem.Row().Kind == Blocked || problem == nil && !attempt.Fetch.Called() && wasStalled {
		conditions = conditions.with(condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, synced.Reason, stalledMessage))
	} else {
		conditions = conditions.without(v1alpha1.ConditionStalled)
	}
	return conditions.expiring(session, status).list
}

// meanwhile are the conditions while something is due and can't be done yet: the token can end, be taken away, or be no
// longer what the spec asks for, all the same. What the last attempt said stands.
func meanwhile(seen Observation, status v1alpha1.SeamClientSessionStatus, now time.Time) []metav1.Condition {
	conditions := changing{status.Conditions, seen.Session.Generation, now}
	synced := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionSynced)
	if synced == nil { // nothing was said yet, and soon will be
		return conditions.list
	}
	ready := readyCondition(seen.Session, Attempt{Applied: Applied{Secret: seen.Secret}}, status, *synced, now)
	return conditions.with(ready).expiring(seen.Session, status).list
}

// syncedCondition says whether the last attempt to bring the Secret up to date worked.
func syncedCondition(session *v1alpha1.SeamClientSession, attempt Attempt, status v1alpha1.SeamClientSessionStatus, now time.Time) metav1.Condition {
	previous := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionSynced)
	problem := attempt.Problem()
	switch {
	case session.Spec.Suspend:
		return condition(v1alpha1.ConditionSynced, metav1.ConditionUnknown, v1alpha1.ReasonSuspended,
			"spec.suspend is true: Seam is not asked, and the Secret stays as it is")
	case problem != nil:
		return condition(v1alpha1.ConditionSynced, metav1.ConditionFalse, problem.Row().Reason,
			failure(problem, previous, status.LastRefusal, metav1.Time{Time: now}))
	case attempt.Applied.Verdict == KeepOther:
		return condition(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonFetched,
			fmt.Sprintf("Seam returned client session %s, which has ended; the token of client session %s stays",
				attempt.Fetch.Answer.ID, status.ClientSessionID))
	case attempt.Fetch.Called(), previous == nil:
		return condition(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonFetched,
			fmt.Sprintf("client session %s was fetched from Seam", status.ClientSessionID))
	}
	return *previous
}

// readyCondition says whether a usable token is in the Secret.
func readyCondition(session *v1alpha1.SeamClientSession, attempt Attempt, status v1alpha1.SeamClientSessionStatus, synced metav1.Condition, now time.Time) metav1.Condition {
	token := attempt.Applied.Secret
	switch {
	case gone(session, attempt) && !holdsAnother(token, status.ClientSessionID, now):
		return notReady(v1alpha1.ReasonSessionNotFound, goneMessageFor(session))
	case holdsToken(token) && !tokenEnded(token, status, now):
		message := fmt.Sprintf("the token in Secret %q can be used", session.SecretName())
		if token.ExpiresAt != nil {
			message += " until " + token.ExpiresAt.UTC().Format(time.RFC3339)
		}
		return condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonTokenAvailable, message)
	case holdsToken(token), synced.Status == metav1.ConditionTrue && expired(status.ExpiresAt, now):
		return notReady(v1alpha1.ReasonSessionExpired, expiredMessage(session, status))
	case synced.Status == metav1.ConditionFalse && status.LastRefusal != nil && saysNothing(synced.Reason):
		return notReady(status.LastRefusal.Reason, fmt.Sprintf("there is no usable token in Secret %q: status.lastRefusal says what Seam last said",
			session.SecretName()))
	case synced.Status == metav1.ConditionFalse:
		return notReady(synced.Reason, fmt.Sprintf("there is no usable token in Secret %q: Synced says why, and what to do", session.SecretName()))
	}
	message := fmt.Sprintf("no token was written to Secret %q yet", session.SecretName())
	if status.TokenFingerprint != "" {
		message = fmt.Sprintf("Secret %q is to be written anew, once Seam has answered", session.SecretName())
	}
	return notReady(v1alpha1.ReasonPending, message)
}

// stalledMessage points at what Synced says, rather than say it once more.
const stalledMessage = "only a change of this object helps: Synced says which"

// holdsToken says whether the Secret holds a token for the spec, be it one that has ended.
func holdsToken(s secret.State) bool { return s.Ours && s.DataIntact && s.ForSpec }

// holdsAnother says whether the Secret holds, for the spec, the good token of another session than that of an ID: what Seam says of that
// is not said of this token.
func holdsAnother(s secret.State, clientSessionID string, now time.Time) bool {
	return s.ForSpec && holdsGoodToken(s, now) && s.ClientSessionID != clientSessionID
}

// tokenEnded says whether the token in the Secret has ended: by its own word, or because Seam has ended it early, which is
// what an end says that had come by the time of the last answer. An end that has come since may be older than the Secret.
func tokenEnded(s secret.State, status v1alpha1.SeamClientSessionStatus, now time.Time) bool {
	return s.ExpiresAt != nil && !s.ExpiresAt.After(now) ||
		s.ClientSessionID == status.ClientSessionID && expired(status.ExpiresAt, now) &&
			expired(status.ExpiresAt, timeOf(status.LastFetchTime))
}

// TokenEnds is when the token in the Secret ends, by its own word or that of the last answer; zero if neither says so, or both
// are past. Ready ends with it.
func TokenEnds(s secret.State, status *v1alpha1.SeamClientSessionStatus, now time.Time) time.Time {
	ends := timeOf(status.ExpiresAt)
	if own := s.ExpiresAt; holdsToken(s) && own != nil && own.After(now) && (!ends.After(now) || own.Before(ends)) {
		ends = *own
	}
	if !ends.After(now) {
		return time.Time{}
	}
	return ends
}

// gone says whether the token in the Secret is proven to be of a session that is no more. It stays so until a good answer: an
// outage or another question doesn't bring that token back.
func gone(session *v1alpha1.SeamClientSession, attempt Attempt) bool {
	switch {
	case attempt.Fetch.Called() && isGone(attempt.Fetch):
		return true
	case attempt.Fetch.Progress == Answered && attempt.Applied.Verdict != KeepOther && !siblingEnded(session, attempt):
		return false
	}
	ready := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonSessionNotFound &&
		(ready.Message == goneMessage || ready.Message == remadeMessage)
}

// siblingEnded says whether Seam has answered the question that last told of a session with another one, which has ended. That says nothing
// of the first.
func siblingEnded(session *v1alpha1.SeamClientSession, attempt Attempt) bool {
	return attempt.Fetch.Progress == Answered && attempt.Applied.Verdict != Write && SameRequest(&session.Status, attempt.Fetch.Fingerprint) &&
		attempt.Fetch.Answer.ID != session.Status.ClientSessionID
}

// ProvenGone says whether it shows in a session, and in its Secret, that its client session is no more.
func ProvenGone(session *v1alpha1.SeamClientSession) bool {
	return gone(session, Attempt{}) && (session.Status.SecretName == "" ||
		session.Spec.Secret.RetentionPolicy.WhenSessionEnds != v1alpha1.RetentionDelete)
}

func expiredMessage(session *v1alpha1.SeamClientSession, status v1alpha1.SeamClientSessionStatus) string {
	if session.Spec.Suspend {
		return fmt.Sprintf("the session ended at %s, by what Seam last said: it is not asked whether it still does while spec.suspend is true",
			shown(status.ExpiresAt))
	}
	if session.Spec.Provision != nil {
		return fmt.Sprintf("the session ended at %s: it is made anew as soon as Seam does that; Synced and status.provisioning say what "+
			"keeps it from that", shown(status.ExpiresAt))
	}
	message := fmt.Sprintf("the session ended at %s: whoever owns it extends it at Seam, with /client_sessions/get_or_create, "+
		"which is noticed by itself, or creates another one", shown(status.ExpiresAt))
	if session.Spec.ClientSessionID != "" {
		message += ", which spec.clientSessionID then has to name"
	}
	return message
}

// changing are conditions that are about to be changed. Its methods return what comes of it, and leave it as it is.
type changing struct {
	list       []metav1.Condition
	generation int64
	now        time.Time
}

func (c changing) with(set metav1.Condition) changing {
	set.ObservedGeneration = c.generation
	set.LastTransitionTime = metav1.Time{Time: c.now}
	list := append([]metav1.Condition(nil), c.list...)
	meta.SetStatusCondition(&list, set)
	c.list = list
	return c
}

func (c changing) without(conditionType string) changing {
	list := append([]metav1.Condition(nil), c.list...)
	meta.RemoveStatusCondition(&list, conditionType)
	c.list = list
	return c
}

// expiring adds the condition Expiring where a token that can be used ends soon, and takes it away where not.
func (c changing) expiring(session *v1alpha1.SeamClientSession, status v1alpha1.SeamClientSessionStatus) changing {
	if !meta.IsStatusConditionTrue(c.list, v1alpha1.ConditionReady) || !schedule.Expiring(scheduleInput(session, &status), c.now) {
		return c.without(v1alpha1.ConditionExpiring)
	}
	if session.Spec.Provision != nil {
		message := fmt.Sprintf("the session ends at %s: it is extended as soon as Seam answers", shown(status.ExpiresAt))
		if last := status.Provisioning; last != nil && last.Reason != "" {
			message = fmt.Sprintf("the session ends at %s, and extending it fails: %s", shown(status.ExpiresAt), last.Message)
		}
		return c.with(condition(v1alpha1.ConditionExpiring, metav1.ConditionTrue, v1alpha1.ReasonNotRenewed, message))
	}
	return c.with(condition(v1alpha1.ConditionExpiring, metav1.ConditionTrue,
		v1alpha1.ReasonNotRenewed, fmt.Sprintf("the session ends at %s and was not extended; reading it does not extend it: "+
			"whoever owns it does so at Seam, with /client_sessions/get_or_create", shown(status.ExpiresAt))))
}

func notReady(reason, message string) metav1.Condition {
	return condition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
}

func condition(conditionType string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: conditionType, Status: status, Reason: reason, Message: message}
}

// shown is a time as it stands in a message.
func shown(t *metav1.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
