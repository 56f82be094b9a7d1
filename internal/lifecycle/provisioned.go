package lifecycle

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

const (
	// madeWithin is how long after it was asked for a session can have been made by that call, which may have waited.
	madeWithin = 2 * time.Minute
	// leaveAfter is how long an object waits for Seam to delete its session, and leaveSoonAfter where its namespace is deleted.
	leaveAfter, leaveSoonAfter = 5 * time.Minute, time.Minute
	// leaveUntriedAfter is how much longer it waits that could not even try.
	leaveUntriedAfter = 30 * time.Second
	// maxFormer is how many sessions of former users are remembered.
	maxFormer = 16
)

// Deletes says whether the session that an object made is deleted with it.
func Deletes(session *v1alpha1.SeamClientSession) bool {
	return session.Spec.Provision != nil && session.Spec.Provision.WhenDeleted == v1alpha1.ProvisionedDelete
}

// MayMake says whether all is written that must be before a session is made: since when one is this object's, and the finalizer that
// has it deleted. saved is the status that the API server has.
func MayMake(session *v1alpha1.SeamClientSession, saved *v1alpha1.SeamClientSessionStatus, wish *Wish) bool {
	if !wish.Creating {
		return true
	}
	requested := saved.Provisioned != nil && saved.Provisioned.RequestedTime != nil && saved.Provisioned.RequestedTime.Time.Equal(wish.RequestedTime)
	return requested && (!Deletes(session) || slices.Contains(session.Finalizers, v1alpha1.Finalizer))
}

// nextProvisioned is what the status says of the session that the object made after an attempt.
func nextProvisioned(seen Observation, attempt Attempt) *v1alpha1.Provisioned {
	next := seen.Session.Status.Provisioned.DeepCopy()
	if next == nil {
		next = &v1alpha1.Provisioned{}
	}
	fetch := attempt.Fetch
	switch {
	case attempt.Wish != nil && attempt.Wish.Creating:
		if fetch.Progress == Answered { // one that has ended, perhaps of another user than the one before
			next = claimed(next, fetch.Answer, SameRequest(&seen.Session.Status, fetch.Fingerprint))
		}
		next.RequestedTime = &metav1.Time{Time: attempt.Wish.RequestedTime}
	case fetch.Progress == Answered && madeInstead(seen.Wish, fetch):
		next = claimedToo(next, fetch.Answer)
	case fetch.Progress == Answered:
		next = claimed(next, fetch.Answer, SameRequest(&seen.Session.Status, fetch.Fingerprint))
	case fetch.Provided.Problem != nil && madeNone(fetch.Provided.Problem.Cause):
		next.RequestedTime = nil
	}
	if next.RequestedTime == nil && next.ClientSessionID == "" && len(next.FormerClientSessionIDs) == 0 {
		return nil
	}
	return next
}

// claimed is what was made, once Seam has told of a session. One that was made when this object had asked for it is taken to be its;
// one that it made for another user is remembered as that. An answer that does not tell when it was made leaves that open.
func claimed(made *v1alpha1.Provisioned, told *seam.ClientSession, sameRequest bool) *v1alpha1.Provisioned {
	next := made.DeepCopy()
	if told.CreatedAt != nil || told.ID == made.ClientSessionID {
		next.RequestedTime = nil
	}
	if told.ID == made.ClientSessionID {
		return next
	}
	if made.ClientSessionID != "" && !sameRequest {
		next.FormerClientSessionIDs = remembered(next.FormerClientSessionIDs, made.ClientSessionID)
	}
	if isOurs(made, told) {
		next.ClientSessionID, next.WorkspaceID = told.ID, told.WorkspaceID
	} else if !sameRequest {
		next.ClientSessionID = ""
	}
	return next
}

// madeInstead says whether Seam made another session than the one that it was asked to extend.
func madeInstead(wish *Wish, fetch Fetch) bool {
	return fetch.Provided.Tried && wish != nil && !wish.Creating && fetch.Answer.ID != wish.ClientSessionID &&
		isOurs(&v1alpha1.Provisioned{RequestedTime: &metav1.Time{Time: wish.RequestedTime}}, fetch.Answer)
}

// claimedToo is what was made, once Seam has made another session than the one that it was asked to extend. If this object had made
// that, it may be there still.
func claimedToo(made *v1alpha1.Provisioned, told *seam.ClientSession) *v1alpha1.Provisioned {
	next := made.DeepCopy()
	next.RequestedTime = nil
	if next.ClientSessionID != "" {
		next.FormerClientSessionIDs = remembered(next.FormerClientSessionIDs, next.ClientSessionID)
	}
	next.ClientSessionID, next.WorkspaceID = told.ID, told.WorkspaceID
	return next
}

// remembered is a list of former sessions with another one. Where there is no room, the oldest is forgotten, which ends first.
func remembered(former []string, id string) []string {
	if slices.Contains(former, id) {
		return former
	}
	all := append(slices.Clone(former), id)
	return all[max(0, len(all)-maxFormer):]
}

// isOurs says whether a session was made by the call that was last made for that.
func isOurs(made *v1alpha1.Provisioned, told *seam.ClientSession) bool {
	if made.RequestedTime == nil || told.CreatedAt == nil {
		return false
	}
	after := told.CreatedAt.Sub(made.RequestedTime.Time)
	return after >= 0 && after <= madeWithin
}

// madeNone says whether a call that failed so is known to have made no session.
func madeNone(cause Cause) bool {
	switch cause {
	case CredentialForbidden, CredentialRefused, RequestInvalid, SessionConflict, TooManyRequests:
		return true
	}
	return false
}

// Made are the sessions that an object made, as far as that is known.
func Made(session *v1alpha1.SeamClientSession) []string {
	made := session.Status.Provisioned
	if made == nil {
		return nil
	}
	ids := slices.Clone(made.FormerClientSessionIDs)
	if made.ClientSessionID != "" {
		ids = append(ids, made.ClientSessionID)
	}
	return ids
}

// MayHaveMade says whether an object asked for a session and does not know whether it was made.
func MayHaveMade(session *v1alpha1.SeamClientSession) bool {
	return session.Status.Provisioned != nil && session.Status.Provisioned.RequestedTime != nil
}

// IsOurs says whether a session that Seam tells of is the one that an object asked for and does not know of.
func IsOurs(session *v1alpha1.SeamClientSession, told *seam.ClientSession) bool {
	return MayHaveMade(session) && isOurs(session.Status.Provisioned, told)
}

// GivesUp says whether an object that is being deleted waits for Seam no longer. One for which no call was free to try it waits a
// little longer.
func GivesUp(deleted time.Time, terminating, tried bool, now time.Time) bool {
	limit := leaveAfter
	if terminating {
		limit = leaveSoonAfter
	}
	if !tried {
		limit += leaveUntriedAfter
	}
	return now.Sub(deleted) >= limit
}

// FarewellPause is how long it is until Seam is asked again to delete a session, after that failed so often.
func FarewellPause(failures int32) time.Duration { return doubled(failures, 30*time.Second) }
