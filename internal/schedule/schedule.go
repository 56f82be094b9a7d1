// Package schedule says when Seam is asked about a session again.
//
// Only pure arithmetic over times goes in it: no clock (now is an argument), no randomness (jitter comes from a hash of
// the object's UID), no I/O, and nothing but the standard library. Every result is in whole seconds and, as long as the
// clock is not set back, the same on every evaluation: a status round-trips in whole seconds, and what is stored must
// not differ from what is computed.
package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

const (
	// MinDelay is the least time between two calls for one object, but for the one at the end of the session.
	MinDelay = 5 * time.Second
	// minInterval is the least RefreshInterval, as in the CRD. Less is taken as this, so that an object which was stored
	// past the CRD's validation does not make the operator poll.
	minInterval = 30 * time.Second
	// maxDuration bounds RefreshInterval and RenewBefore, so that no sum of them overflows.
	maxDuration = 100 * 365 * 24 * time.Hour
	// maxTransientDelay is where the back-off after a failure of Seam or the network stops doubling: within this time of
	// the end of an outage every object has recovered.
	maxTransientDelay = 5 * time.Minute
	// minNotFoundCap is the least time at which the back-off of a session that is not found stops doubling, so that a
	// short RefreshInterval does not poll for what may never come back.
	minNotFoundCap = time.Minute
	// maxRetryAfter bounds what a 429 may ask for: a wrong Retry-After must not stop an object for ever.
	maxRetryAfter = time.Hour
	// maxDefaultRenewBefore bounds the default of RenewBefore: a session of a year is not looked at more often for four
	// months.
	maxDefaultRenewBefore = 24 * time.Hour
)

// Result is how the last attempt to ask Seam ended.
type Result int

const (
	// Good is an answer that could be used. It may be about a session that has ended.
	Good Result = iota
	// NotFound is Seam's word that there is no such session.
	NotFound
	// Transient is a failure that a later attempt may not meet: of Seam, of the network, or of an answer.
	Transient
	// Blocked is a failure that only a change of the object ends. It is tried again all the same, since Seam may change
	// its mind, but no more often than a session that is well.
	Blocked
	// RateLimited is Seam's word that there were too many requests.
	RateLimited
)

// Input is all that the schedule depends on, but for the current time. Times are read in whole seconds, fractions are
// dropped; a zero time means never, or none.
type Input struct {
	// UID of the object. Its hash is the source of jitter.
	UID string
	// RefreshInterval is the longest time between two calls while all is well.
	RefreshInterval time.Duration
	// RenewBefore is how long before the end Seam is asked more often. Nil means a third of the life that the expiry
	// promised when it was first seen, ExpiresAt - ExpiryObserved, and at most 24h.
	RenewBefore *time.Duration

	// LastFetch is the last good answer.
	LastFetch time.Time
	// LastAttempt is the last call.
	LastAttempt time.Time
	// ExpiresAt is the end of the session; zero if Seam gave none.
	ExpiresAt time.Time
	// ExpiryObserved is when this ExpiresAt was first seen.
	ExpiryObserved time.Time

	// Result of the last attempt.
	Result Result
	// Failures in a row, the last one included.
	Failures int
	// RetryAt is when Seam said to come back, with a Result of RateLimited; zero if it did not say.
	RetryAt time.Time
}

// Next is when Seam is asked again. A time that is not after now means now; it is not raised to now, so that it stays
// the same until the call is made. The reasons for asking at once that are not times (a changed spec, a requested
// refresh, a changed credential) are the caller's.
//
// A LastFetch or LastAttempt more than a second in the future counts as now: the clock was set back, and waiting for it to
// catch up could take for ever. For as long as the caller does not store the clamped time, the result moves along with now.
func Next(in Input, now time.Time) time.Time {
	now = seconds(now)
	in = normalize(in, now)
	if in.LastAttempt.IsZero() {
		return firstAsked(in, now)
	}
	if in.Result == Good {
		return afterGood(in)
	}
	return afterFailure(in, now)
}

// firstAsked is when Seam is asked for the first time: at once, unless others with the same credential were told to wait.
// No wait is longer than maxRetryAfter; one that seems to be is of a clock that was set back.
func firstAsked(in Input, now time.Time) time.Time {
	if in.Result == RateLimited && in.RetryAt.After(now) && in.RetryAt.Sub(now) <= maxRetryAfter {
		return in.RetryAt
	}
	return now
}

// RenewBefore is the time before the end from which on Seam is asked more often: the given or the default one, widened
// by jitter by up to a tenth, so that sessions that were created together are not asked about together. It is in whole
// seconds, and zero if the session has no end.
func RenewBefore(in Input) time.Duration {
	d := renewBefore(in)
	return d + jitter(in.UID, "renew-before", d)
}

// Expiring says whether the session is within RenewBefore of its end and has not ended. Jitter is left out, so that it
// is true when the user expects it, and Seam has been asked by then.
func Expiring(in Input, now time.Time) bool {
	now = seconds(now)
	return now.Before(seconds(in.ExpiresAt)) && !now.Before(ExpiringFrom(in))
}

// ExpiringFrom is when Expiring becomes true; zero if the session has no end.
func ExpiringFrom(in Input) time.Time {
	if in.ExpiresAt.IsZero() {
		return time.Time{}
	}
	return seconds(in.ExpiresAt).Add(-renewBefore(in))
}

// afterGood is when Seam is asked again after a good answer.
func afterGood(in Input) time.Time {
	fetched, end := in.LastFetch, in.ExpiresAt
	interval := jitteredInterval(in)
	switch {
	case end.IsZero():
		return fetched.Add(interval)
	case !fetched.Before(end):
		// The owner may extend the session yet. As long again as it has already been waited for doubles without a counter.
		// What is waited for began when the end was seen: a session can be long over when it is first asked for. An
		// ExpiryObserved after the answer it came with is of a clock that was set back.
		since := end
		if in.ExpiryObserved.After(since) && !in.ExpiryObserved.After(fetched) {
			since = in.ExpiryObserved
		}
		return fetched.Add(clamp(fetched.Sub(since), MinDelay, interval))
	}

	delay := interval
	if renew := end.Add(-RenewBefore(in)); fetched.Before(renew) {
		delay = min(delay, renew.Sub(fetched))
	} else {
		// A third of what is left gives the owner's extension some three chances to be seen, and ever more often as the end
		// comes near.
		delay = min(delay, (end.Sub(fetched) / 3).Truncate(time.Second))
	}
	return notAfterEnd(fetched, max(delay, MinDelay), end)
}

// afterFailure is when Seam is asked again after an attempt that failed.
func afterFailure(in Input, now time.Time) time.Time {
	tried := in.LastAttempt
	var delay time.Duration
	switch in.Result {
	case NotFound:
		delay = backOff(in.Failures, max(jitteredInterval(in), minNotFoundCap))
	case Blocked:
		delay = jitteredInterval(in)
	case RateLimited:
		if in.RetryAt.IsZero() {
			return tried.Add(transientDelay(in))
		}
		if in.RetryAt.Sub(now) > maxRetryAfter { // of a clock that was set back
			return tried.Add(maxRetryAfter)
		}
		// What Seam asks for stands above the end of the session: the call at the end would not be answered either. It may have
		// asked another with the same credential, long after this one last called.
		return tried.Add(max(in.RetryAt.Sub(tried), MinDelay))
	default:
		delay = transientDelay(in)
	}
	return notAfterEnd(tried, delay, in.ExpiresAt)
}

// transientDelay doubles from 5 s to 5 min. Jitter shortens it, for the objects that fail together in an outage; it is
// the same for every evaluation, since a delay that is rolled anew with each look at the clock never ends.
func transientDelay(in Input) time.Duration {
	delay := backOff(in.Failures, maxTransientDelay)
	return max(delay-jitter(in.UID, "back-off", delay), MinDelay)
}

// backOff doubles MinDelay with every failure after the first, up to limit.
func backOff(failures int, limit time.Duration) time.Duration {
	delay := MinDelay
	for i := 1; i < failures && delay < limit; i++ {
		delay *= 2
	}
	return min(delay, limit)
}

// notAfterEnd is delay after t, or the end if that comes first, even if it comes within MinDelay: the object must be
// looked at in the second in which its token dies. An end that is not after t is past.
func notAfterEnd(t time.Time, delay time.Duration, end time.Time) time.Time {
	next := t.Add(delay)
	if t.Before(end) && end.Before(next) {
		return end
	}
	return next
}

// renewBefore is RenewBefore without jitter.
func renewBefore(in Input) time.Duration {
	switch {
	case in.ExpiresAt.IsZero():
		return 0
	case in.RenewBefore != nil:
		return clamp(in.RenewBefore.Truncate(time.Second), 0, maxDuration)
	}
	observed := in.ExpiryObserved
	if observed.IsZero() {
		observed = in.LastFetch
	}
	life := seconds(in.ExpiresAt).Sub(seconds(observed))
	return clamp((life / 3).Truncate(time.Second), 0, maxDefaultRenewBefore)
}

// jitteredInterval is RefreshInterval, shortened by up to a tenth.
func jitteredInterval(in Input) time.Duration {
	interval := clamp(in.RefreshInterval.Truncate(time.Second), minInterval, maxDuration)
	return interval - jitter(in.UID, "refresh-interval", interval)
}

// jitter is a part of a tenth of d, in whole seconds, that depends on the object and on what it is for alone. d is at
// most maxDuration, so the product fits.
func jitter(uid, purpose string, d time.Duration) time.Duration {
	sum := sha256.Sum256([]byte(purpose + "/" + uid))
	tenth := int64(d / (10 * time.Second))
	return time.Duration(tenth*int64(binary.BigEndian.Uint32(sum[:]))>>32) * time.Second
}

// normalize reads times in whole seconds, and those in the future of what has happened as now.
func normalize(in Input, now time.Time) Input {
	in.LastFetch = happened(seconds(in.LastFetch), now)
	in.LastAttempt = happened(seconds(in.LastAttempt), now)
	// One stands in for the other where only one was stored.
	if in.LastAttempt.IsZero() {
		in.LastAttempt = in.LastFetch
	}
	if in.LastFetch.IsZero() {
		in.LastFetch = in.LastAttempt
	}
	in.ExpiresAt = seconds(in.ExpiresAt)
	in.ExpiryObserved = seconds(in.ExpiryObserved)
	if !in.RetryAt.IsZero() {
		in.RetryAt = seconds(in.RetryAt.Add(time.Second - 1)) // Rounded up: not before what Seam said.
	}
	return in
}

func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// happened is when something happened. The time of a call is rounded up, so that it can lie in the next second; one that lies
// further in the future counts as now.
func happened(t, now time.Time) time.Time {
	if t.Sub(now) > time.Second {
		return now
	}
	return t
}

func clamp(d, low, high time.Duration) time.Duration { return min(max(d, low), high) }
