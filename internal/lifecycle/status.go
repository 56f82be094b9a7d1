package lifecycle

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// fingerprintLength is how many hexadecimal digits of a token's hash are shown.
const fingerprintLength = 12

// NextStatus is the status of a session after an attempt.
func NextStatus(seen Observation, attempt Attempt, now time.Time) v1alpha1.SeamClientSessionStatus {
	status := clamped(seen.Session.Status, now)
	if called := attempt.Fetch.CalledAt(); !called.IsZero() {
		status.LastAttemptTime = &metav1.Time{Time: called}
	}
	status.Provisioning = nextProvisioning(seen, attempt, now)
	status.Provisioned = nextProvisioned(seen, attempt)
	if attempt.Inconclusive() {
		if attempt.Fetch.Progress == TooLate { // to be acted on, and yet something that Seam has said in between
			status.NotFoundSince = nil
		}
		status.Conditions = meanwhile(seen, status, now)
		status.Reason = reason(&seen.Session.Status, status)
		return status
	}
	status = recorded(seen, attempt, status, now)
	status.Conditions = concluded(seen, attempt, status, now)
	status.Reason = reason(&seen.Session.Status, status)
	status.NextFetchTime = nextFetch(seen.Session, attempt, status, now)
	status.WaitingFor = waitingFor(seen.Session, attempt.Problem(), status)
	return status
}

// clamped is a copy of a status in which times that lie in the future count as now: the clock was set back. Left as they
// are, they would hold off the next fetch until the clock has caught up. That of a call is rounded up, to the next second.
func clamped(status v1alpha1.SeamClientSessionStatus, now time.Time) v1alpha1.SeamClientSessionStatus {
	next := *status.DeepCopy()
	for _, t := range []**metav1.Time{&next.LastFetchTime, &next.LastAttemptTime, &next.ExpiryObservedTime} {
		if *t != nil && (*t).Sub(now) > time.Second {
			*t = &metav1.Time{Time: now}
		}
	}
	return next
}

// recorded is the status with what was fetched, what came of it, and what is in the Secret.
func recorded(seen Observation, attempt Attempt, status v1alpha1.SeamClientSessionStatus, now time.Time) v1alpha1.SeamClientSessionStatus {
	session, fetch, problem := seen.Session, attempt.Fetch, attempt.Problem()
	status.ObservedGeneration = session.Generation
	if refreshRequested(session) && (fetch.Called() || problem != nil && problem.Row().Kind == Blocked) {
		status.LastHandledRefreshRequest = session.Annotations[v1alpha1.AnnotationRefreshRequestedAt]
	}
	if fetch.Called() {
		status.NotFoundSince = notFoundSince(&seen.Session.Status, fetch, attempt.Applied.Verdict, now)
	}
	status.LastRefusal = lastRefusal(seen, attempt)
	if attempt.Repaired() {
		status.SecretRepairs = repaired(status.SecretRepairs, seen.Secret.Manager, now)
	}
	if fetch.Called() || problem != nil {
		status.FailedRequestFingerprint = failedRequest(fetch)
	}
	status = counted(attempt, status)
	if fetch.Progress == Answered && attempt.Applied.Problem == nil {
		status.LastFetchTime, status.SecretFingerprint = &metav1.Time{Time: fetch.At}, attempt.Applied.Secret.Fingerprint
		status = told(session, attempt, status, now)
	}
	switch {
	case attempt.Applied.Effect == Removed:
		status.SecretName, status.TokenFingerprint = "", ""
	case holdsToken(attempt.Applied.Secret):
		status.SecretName = session.SecretName()
	}
	return status
}

// told is the status with what Seam has told of the session.
func told(session *v1alpha1.SeamClientSession, attempt Attempt, status v1alpha1.SeamClientSessionStatus, now time.Time) v1alpha1.SeamClientSessionStatus {
	switch {
	case attempt.Applied.Verdict == KeepOther:
		return staying(&session.Status, status, attempt.Applied.Secret)
	case siblingEnded(session, attempt) && gone(session, attempt): // which brings no token back that is gone
		return status
	}
	return answered(attempt, status, now)
}

// staying is the status where what it says is of the token that stays. If it was of another one, the request that had that for an answer
// says nothing of this one. If it was of this one, and said that Seam has ended it early, it says so still.
func staying(before *v1alpha1.SeamClientSessionStatus, status v1alpha1.SeamClientSessionStatus, token secret.State) v1alpha1.SeamClientSessionStatus {
	switch {
	case before.ClientSessionID != token.ClientSessionID:
		status.RequestFingerprint = ""
	case expired(before.ExpiresAt, timeOf(before.LastFetchTime)):
		return status
	}
	status.ClientSessionID, status.ExpiresAt = token.ClientSessionID, optionalTime(token.ExpiresAt)
	return status
}

// counted is the status with how many calls, and how many writes, have failed in a row.
func counted(attempt Attempt, status v1alpha1.SeamClientSessionStatus) v1alpha1.SeamClientSessionStatus {
	answered := attempt.Fetch.Progress == Answered
	switch {
	case answered:
		status.FailedFetches = 0
	case attempt.Fetch.Called():
		status.FailedFetches++
	}
	switch {
	case attempt.Applied.Problem != nil:
		status.FailedWrites++
	case answered:
		status.FailedWrites = 0
	}
	return status
}

// repaired counts one more correction of a Secret that a field manager had changed, if the API server named one.
func repaired(before *v1alpha1.SecretRepairs, manager string, now time.Time) *v1alpha1.SecretRepairs {
	repairs := &v1alpha1.SecretRepairs{Count: 1, LastTime: metav1.Time{Time: now}, LastManager: manager}
	if before != nil {
		repairs.Count += before.Count
	}
	return repairs
}

// failedRequest is the fingerprint of a request that Seam refused so that another one may help.
func failedRequest(fetch Fetch) string {
	if fetch.Progress == Failed && fetch.Problem.Row().Cure == CuredByReference && !fetch.Problem.Row().Unscheduled {
		return fetch.Fingerprint
	}
	return ""
}

// answered is the status with what a good answer says of the session.
func answered(attempt Attempt, status v1alpha1.SeamClientSessionStatus, now time.Time) v1alpha1.SeamClientSessionStatus {
	answer, at := attempt.Fetch.Answer, attempt.Fetch.At
	expiresAt := optionalTime(answer.ExpiresAt)
	over := expired(status.ExpiresAt, now) && expired(expiresAt, now) // when it ended is the same to whoever waits
	if status.ExpiryObservedTime == nil || !over && !expiresAt.Equal(status.ExpiresAt) {
		status.ExpiryObservedTime = &metav1.Time{Time: at}
	}
	if expiresAt == nil {
		status.ExpiryObservedTime = nil
	}
	status.RequestFingerprint = attempt.Fetch.Fingerprint
	status.ClientSessionID, status.WorkspaceID = answer.ID, answer.WorkspaceID
	status.CreatedAt, status.ExpiresAt = optionalTime(answer.CreatedAt), expiresAt
	status.DeviceCount = answer.DeviceCount
	mark := tokenFingerprint(answer.Token)
	if attempt.Applied.Secret.Ours && mark != status.TokenFingerprint && !expired(expiresAt, now) {
		status.TokenFingerprint = mark
		status.LastRotationTime = &metav1.Time{Time: at}
	}
	return status
}

// nextFetch is when Seam is called next; nil while that waits for a change.
func nextFetch(session *v1alpha1.SeamClientSession, attempt Attempt, status v1alpha1.SeamClientSessionStatus, now time.Time) *metav1.Time {
	problem, called := attempt.Problem(), attempt.Fetch.Called()
	switch {
	case session.Spec.Suspend:
		return nil
	case problem != nil && !called && problem.Until.IsZero(), problem != nil && problem.Row().Unscheduled:
		return nil
	case problem != nil && !called:
		return &metav1.Time{Time: problem.Until}
	case called: // what was planned before does not bind any more
		status.NextFetchTime = nil
		if problem != nil && !problem.Until.IsZero() {
			status.NextFetchTime = &metav1.Time{Time: problem.Until}
		}
		if attempt.Fetch.At.After(now) {
			now = attempt.Fetch.At
		}
	}
	return &metav1.Time{Time: nextCall(session, &status, now)}
}

// tokenFingerprint tells two tokens apart and reveals neither.
func tokenFingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])[:fingerprintLength]
}

func optionalTime(t *time.Time) *metav1.Time {
	if t == nil {
		return nil
	}
	return &metav1.Time{Time: t.UTC().Truncate(time.Second)}
}
