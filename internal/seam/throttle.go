package seam

import (
	"container/list"
	"time"
)

// verdict is what a call's end says about the credential that it was made with.
type verdict int

const (
	// neutral says nothing: cancelled, or an answer that may not be Seam's.
	neutral verdict = iota
	// accepted is any answer for which Seam must have taken the credential.
	accepted
	// unauthorized is a 401.
	unauthorized
	// rateLimited is a 429.
	rateLimited
	// unreachable is a Seam that could not answer.
	unreachable
)

// class is how soon a credential can be trusted to give its calls back.
type class int

const (
	// steady is a credential whose last answers came soon.
	steady class = iota
	// untried is one with which no call has succeeded, or none since it last failed.
	untried
	// slow is one with a call that takes longer than slowAfter, or that was last answered so.
	slow
	classes
)

// call is the right to one call. Every one that acquire gives must come back through release.
type call struct {
	throttle *throttle
	number   uint64 // of its credential, from 1
	started  time.Time
	slow     bool
	young    *list.Element // in pool.young, until it is slow
}

// throttle decides which calls of one credential may be made, as far as that depends on the credential alone: it is a
// concurrency limit behind a circuit breaker. The pool that it shares with others decides the rest.
//
// Until the first call succeeds there is one at a time; each success doubles the limit, and a failure to reach Seam takes it
// back to one.
type throttle struct {
	breaker breaker
	queue   waiters

	maxInFlight int
	limit       int
	inFlight    int                // calls, those that are kept for a waiter included
	kept        map[string][]*keep // by group
	keptCalls   int
	issued      uint64 // the number of the last call
	stale       uint64 // calls up to this one were made before the limit last fell: their success does not raise it
	slowCalls   int    // calls under way for longer than slowAfter
	wasSlow     bool   // whether the last success took that long

	// What the pool has counted: it follows what is above.
	class   class
	counted int
	ready   *list.Element // in pool.ready, if somebody waits whom the pool alone keeps back
}

func newThrottle(maxInFlight int) *throttle {
	return &throttle{maxInFlight: max(1, maxInFlight), limit: 1, class: untried, kept: map[string][]*keep{}}
}

func (t *throttle) classify() class {
	switch {
	case t.slowCalls > 0 || t.wasSlow:
		return slow
	case t.limit == 1:
		return untried
	}
	return steady
}

// held returns what the breaker keeps calls back with, or nil.
func (t *throttle) held(now time.Time) *HeldError {
	return t.breaker.held(now, t.inFlight > t.keptCalls)
}

func (t *throttle) start(now time.Time) *call {
	t.inFlight++
	t.issued++
	t.breaker.start(now, t.issued)
	return &call{throttle: t, number: t.issued, started: now}
}

// end takes a call back. It returns whether that narrowed the limit, and whether calls are held from now on. cause is the
// call's error where its verdict is unauthorized or rateLimited.
func (t *throttle) end(now time.Time, done *call, v verdict, cause *Error) (narrows, holds bool) {
	t.inFlight--
	if done.slow {
		t.slowCalls--
		t.wasSlow = true
	}
	probed := t.breaker.end(done.number)
	before := t.held(now) != nil
	switch v {
	case accepted:
		if !done.slow && t.slowCalls == 0 {
			t.wasSlow = false
		}
		if t.breaker.accept(probed) && done.number > t.stale {
			t.limit = min(2*t.limit, t.maxInFlight)
			t.breaker.backoff = 0
		}
	case unauthorized:
		narrows = t.breaker.refuse(now, probed, cause)
	case rateLimited:
		narrows = t.breaker.pauseFor(now, done.number > t.stale, cause)
	case unreachable:
		narrows = true
	case neutral:
	}
	if narrows { // back to one call at a time; what is under way already will not widen it
		t.limit = 1
		t.stale = t.issued
	}
	return narrows, !before && t.held(now) != nil
}

// idle says whether nothing would be lost by forgetting the throttle.
func (t *throttle) idle(now time.Time) bool {
	return t.inFlight == 0 && t.ready == nil && t.held(now) == nil
}
