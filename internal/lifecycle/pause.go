package lifecycle

import (
	"time"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/schedule"
)

// shortestPause and shortestRetry keep an object that seems to be due, without and with a problem, from spinning.
const shortestPause, shortestRetry = time.Second, 5 * time.Second

// Pause is how long a session with this status, which an attempt led to, need not be looked at; zero if nothing is due
// until something changes.
func Pause(session *v1alpha1.SeamClientSession, attempt Attempt, now time.Time) time.Duration {
	status := &session.Status
	shortest := shortestPause
	if attempt.Problem() != nil {
		shortest = shortestRetry
	}
	next := timeOf(status.NextFetchTime)
	if attempt.Inconclusive() { // that time may have come already, and it is something else that is waited for
		next = now.Add(minGap)
		if attempt.Fetch.Progress == Queued || attempt.Decision.Action == Defer {
			next = time.Time{}
		}
	}
	pause := max(soonest(now, attempt.Decision.LookAgain, attempt.Fetch.LookAgain, attempt.Applied.LookAgain, next, provisionNext(session, status, now)), shortest)
	// No pause outlasts the token: Ready ends with it, and Expiring begins on time.
	for _, at := range []time.Time{schedule.ExpiringFrom(scheduleInput(session, status)), TokenEnds(attempt.Applied.Secret, status, now)} {
		if at.After(now) {
			pause = min(pause, at.Sub(now))
		}
	}
	if pause == never {
		return 0
	}
	return pause
}

// never is longer than any pause.
const never = time.Duration(1<<63 - 1)

// soonest is how long it is until the first of some times, zero times left out.
func soonest(now time.Time, times ...time.Time) time.Duration {
	first := never
	for _, at := range times {
		if !at.IsZero() {
			first = min(first, at.Sub(now))
		}
	}
	return first
}
