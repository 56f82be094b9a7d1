package seam

import (
	"container/list"
	"slices"
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

// reach is whether the last call with a credential that says anything about it reached Seam.
type reach int

const (
	_ reach = iota // nothing was called yet, or nothing that says anything
	// reached is one that Seam answered, be it with a refusal.
	reached
	// unreached is one with which Seam could not be reached, or could not answer.
	unreached
)

// after is what is known after another call.
func (r reach) after(v verdict) reach {
	switch v {
	case accepted, unauthorized, rateLimited:
		return reached
	case unreachable:
		return unreached
	}
	return r
}

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

// account is what the throttles of one credential share: one for each route that it calls.
type account struct {
	// circuit is open while Seam does not know the credential, whatever the route. Nothing pauses it.
	circuit   breaker
	throttles []*throttle
	issued    uint64 // the number of the last call
	reach     reach
}

// throttle adds a route. identifies says that its 401 can only mean that Seam does not know the credential: routes that any
// credential may call. On other routes a 401 may mean, as a 403 does, that it is not allowed, and holds back that route alone.
func (a *account) throttle(maxInFlight int, identifies bool) *throttle {
	t := &throttle{
		account: a, identifies: identifies, maxInFlight: max(1, maxInFlight), limit: 1, class: untried, kept: map[string][]*keep{},
	}
	a.throttles = append(a.throttles, t)
	return t
}

// inFlight is how many calls of all routes there are, those that are kept for a waiter included.
func (a *account) inFlight() int {
	calls := 0
	for _, t := range a.throttles {
		calls += t.inFlight
	}
	return calls
}

// free returns the throttles that are not held.
func (a *account) free(now time.Time) []*throttle {
	var free []*throttle
	for _, t := range a.throttles {
		if t.held(now) == nil {
			free = append(free, t)
		}
	}
	return free
}

// underWay says whether a call of any route is.
func (a *account) underWay() bool {
	for _, t := range a.throttles {
		if t.inFlight > t.keptCalls {
			return true
		}
	}
	return false
}

// held says whether a route is.
func (a *account) held(now time.Time) bool { return len(a.free(now)) < len(a.throttles) }

// idle says whether nothing would be lost by forgetting the account.
func (a *account) idle(now time.Time) bool {
	return !slices.ContainsFunc(a.throttles, func(t *throttle) bool { return !t.idle(now) })
}

// throttle decides which calls of one credential to one route may be made, as far as that depends on these alone: it is a
// concurrency limit behind a circuit breaker, which has its own circuit and pause beside the account's circuit. So a 429 or a
// refusal on one route does not hold back the others. The pool that it shares with others decides the rest.
//
// Until the first call succeeds there is one at a time; each success doubles the limit, and a failure to reach Seam takes it
// back to one.
type throttle struct {
	account    *account
	identifies bool
	breaker    breaker
	queue      waiters

	maxInFlight int
	limit       int
	inFlight    int                // calls, those that are kept for a waiter included
	kept        map[string][]*keep // by group
	keptCalls   int
	stale       uint64 // calls up to this one were made before the limit last fell: their success does not raise it
	slowCalls   int    // calls under way for longer than slowAfter
	wasSlow     bool   // whether the last success took that long

	// What the pool has counted: it follows what is above.
	class   class
	counted int
	ready   *list.Element // in pool.ready, if somebody waits whom the pool alone keeps back
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

// held returns what keeps calls back the longest, or nil.
func (t *throttle) held(now time.Time) *HeldError {
	held := t.breaker.held(now, t.inFlight > t.keptCalls)
	if all := t.account.circuit.held(now, t.account.underWay()); held == nil || all != nil && all.Until.After(held.Until) {
		return all
	}
	return held
}

func (t *throttle) start(now time.Time) *call {
	t.inFlight++
	t.account.issued++
	t.breaker.start(now, t.account.issued)
	t.account.circuit.start(now, t.account.issued)
	return &call{throttle: t, number: t.account.issued, started: now}
}

// end takes a call back. It returns the throttles whose limit that narrowed, and those that are held from now on. cause is the
// call's error where its verdict is unauthorized or rateLimited.
func (t *throttle) end(now time.Time, done *call, v verdict, cause *Error) (narrowed, held []*throttle) {
	t.inFlight--
	if done.slow {
		t.slowCalls--
		t.wasSlow = true
	}
	t.account.reach = t.account.reach.after(v)
	probed, probedAll := t.breaker.end(done.number), t.account.circuit.end(done.number)
	free := t.account.free(now)
	switch v {
	case accepted:
		t.accept(done, probed, probedAll)
	case unauthorized:
		if (t.identifies || probedAll) && t.account.circuit.refuse(now, probedAll, cause) {
			narrowed = t.account.throttles
		}
		if !t.identifies && t.breaker.refuse(now, probed, cause) {
			narrowed = []*throttle{t}
		}
	case rateLimited:
		if t.breaker.pauseFor(now, done.number > t.stale, cause) {
			narrowed = []*throttle{t}
		}
	case unreachable:
		narrowed = []*throttle{t}
	case neutral:
	}
	for _, n := range narrowed { // back to one call at a time; what is under way already will not widen it
		n.limit = 1
		n.stale = t.account.issued
	}
	return narrowed, slices.DeleteFunc(free, func(t *throttle) bool { return t.held(now) == nil })
}

// accept closes the circuits whose probe the call was, and widens the limit.
func (t *throttle) accept(done *call, probed, probedAll bool) {
	if !done.slow && t.slowCalls == 0 {
		t.wasSlow = false
	}
	known := t.account.circuit.accept(probedAll)
	if t.breaker.accept(probed) && known && done.number > t.stale {
		t.limit = min(2*t.limit, t.maxInFlight)
		t.breaker.backoff = 0
	}
}

// idle says whether nothing would be lost by forgetting the throttle.
func (t *throttle) idle(now time.Time) bool {
	return t.inFlight == 0 && t.ready == nil && t.held(now) == nil
}
