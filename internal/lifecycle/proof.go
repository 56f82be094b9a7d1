package lifecycle

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

const (
	// confirmation is how far apart, by Seam's clock, two answers must be which say that there is no such session, or that it
	// has ended, before a Secret is deleted for it. One such answer may be a mistake.
	confirmation = time.Minute
	// farApart is how much our clock and Seam's may differ before an end is not taken for one that has come.
	farApart = time.Minute
)

// Verdict is what an answer means for the Secret.
type Verdict int

const (
	// Keep means that the Secret stays as it is.
	Keep Verdict = iota
	// KeepOther means that the same, because the answer is about a session that has ended, while the Secret holds the good token of
	// another: Seam returns any of the sessions of a user.
	KeepOther
	// Write means that the Secret is to hold what Seam answered.
	Write
	// Remove means that the Secret is to be deleted, because its session is proven to be over.
	Remove
)

// Judge says what came of a fetch means for the Secret. An answer about a session that has ended is never written. Taking a
// token away needs whenSessionEnds: Delete and a second such answer to the same question, or an event that says so as well.
func Judge(seen Observation, fetch Fetch, now time.Time) Verdict {
	ended := fetch.Progress == Answered && expired(optionalTime(fetch.Answer.ExpiresAt), now)
	switch {
	case fetch.Progress == Answered && !ended:
		return Write
	case ended && holdsGoodToken(seen.Secret, now) && seen.Secret.ClientSessionID != fetch.Answer.ID:
		if seen.Secret.ForSpec {
			return KeepOther
		}
		return Keep // of what the spec asked for before
	case !ended && !isGone(fetch), !holdsWhatWasAsked(seen, now), !confirmed(seen, fetch, now):
		return Keep
	case seen.Session.Spec.Secret.RetentionPolicy.WhenSessionEnds == v1alpha1.RetentionDelete:
		return Remove
	}
	return Keep
}

func isGone(fetch Fetch) bool { return fetch.Progress == Failed && fetch.Problem.Cause == SessionGone }

// holdsGoodToken says whether the Secret holds, by its own word, a token that has not ended.
func holdsGoodToken(s secret.State, now time.Time) bool {
	return s.Ours && s.DataIntact && (s.ExpiresAt == nil || s.ExpiresAt.After(now))
}

// holdsWhatWasAsked says whether the token in the Secret is of the session that the last good answer was about, so that what
// Seam says of that session is said of this token, or has ended by its own word. A good token of another session is another
// matter, and where a Secret no longer says of which its token is, that may be one.
func holdsWhatWasAsked(seen Observation, now time.Time) bool {
	held, asked := seen.Secret, seen.Session.Status.ClientSessionID
	return held.Ours && (held.ClientSessionID == asked && asked != "" || held.DataIntact && !holdsGoodToken(held, now))
}

// SameRequest says whether a request is the one that last had a good answer: what Seam says to another says nothing about
// the token that is there, whether the credential, the workspace or the selector differs.
func SameRequest(status *v1alpha1.SeamClientSessionStatus, fingerprint string) bool {
	return status.RequestFingerprint != "" && status.RequestFingerprint == fingerprint
}

// confirmed says whether the same question has been answered so for long enough, or an event of Seam's says the same as its
// answer.
func confirmed(seen Observation, fetch Fetch, now time.Time) bool {
	status := &seen.Session.Status
	if isGone(fetch) && seen.Deletion != NotDeleted {
		return true
	}
	since := status.NotFoundSince
	return since != nil && SameRequest(status, fetch.Fingerprint) && !clocksApart(fetch, now) &&
		seamTime(fetch).Sub(since.Time) >= confirmation
}

// notFoundSince is when the answers in a row began that say that there is no such session, or that it has ended. Another
// question begins anew, and so does a good answer; what says nothing of the session, such as an outage, changes nothing.
func notFoundSince(status *v1alpha1.SeamClientSessionStatus, fetch Fetch, verdict Verdict, now time.Time) *metav1.Time {
	since := status.NotFoundSince
	if !SameRequest(status, fetch.Fingerprint) {
		since = nil
	}
	answered := seamTime(fetch)
	if since != nil && since.After(answered) {
		since = nil
	}
	switch {
	case verdict == Write, verdict == KeepOther:
		return nil
	case fetch.Progress == Answered && clocksApart(fetch, now), fetch.Progress == Failed && !isGone(fetch), since != nil:
		return since
	}
	return &metav1.Time{Time: answered}
}

// seamTime is when an answer was given, by Seam's clock where it said so: that clock is not set back or forward with ours.
func seamTime(fetch Fetch) time.Time {
	if fetch.SeamTime.IsZero() {
		return fetch.At
	}
	return fetch.SeamTime
}

// clocksApart says whether our clock and Seam's are so far apart that an end which seems to have come may not have.
func clocksApart(fetch Fetch, now time.Time) bool { return seamTime(fetch).Sub(now).Abs() > farApart }
