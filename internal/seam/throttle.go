package seam

import "time"

const (
	// probeInterval is how often a credential that Seam refused is tried again.
	probeInterval = time.Minute
	// firstPause and longestPause bound the pause after a 429 that does not say how long to wait.
	firstPause   = 5 * time.Second
	longestPause = time.Minute
)

// Waiter is who to wake when it is worth trying again.
type Waiter struct {
	// Key tells waiters apart: one of the same key takes the other's place.
	Key string
	// Wake is called without locks held, at most once for each HeldError. It must not block.
	Wake func()
}

// outcome is what a call's end says about the credential that it was made with.
type outcome int

const (
	// neutral says nothing: cancelled, or an answer that may not be Seam's.
	neutral outcome = iota
	// accepted is any answer for which Seam must have taken the credential.
	accepted
	// unauthorized is a 401.
	unauthorized
	// rateLimited is a 429.
	rateLimited
	// unreachable is a Seam that could not answer.
	unreachable
)

// ticket is the right to one call. Every one that acquire gives must come back through release.
type ticket struct{ number uint64 }

// hold keeps calls back for a while.
type hold struct {
	cause       *Error
	from, until time.Time
}

// active says whether the hold is in force. A clock that was set back moves the hold with it, rather than make it longer.
func (h *hold) active(now time.Time) bool {
	if h.cause == nil {
		return false
	}
	if now.Before(h.from) {
		h.from, h.until = now, now.Add(h.until.Sub(h.from))
	}
	return now.Before(h.until)
}

// gate decides which calls of one credential may be made now. It does no I/O and has no lock and no clock: Connection
// brings all three.
//
// Until the first call succeeds there is one at a time; each success doubles the limit, and a failure to reach Seam takes it
// back to one. A 401 opens the circuit: from then on there is one call a minute, until one is accepted. A 429 pauses
// everything. Whoever is refused is queued, and is woken when there is room, or when what holds it back changes.
type gate struct {
	maxInFlight int

	limit    int
	inFlight int
	issued   uint64 // the number of the last ticket
	stale    uint64 // tickets up to this one were issued before the limit last fell: their success does not raise it
	reset    uint64 // tickets up to this one were issued before the last reset: their 401 is of the past

	circuit hold   // open while it has a cause, also between until and the next accepted call
	probe   uint64 // the ticket under way while the circuit is open, or 0
	pause   hold
	backoff time.Duration // the last pause whose length Seam left to us

	queue waiters
}

func newGate(maxInFlight int) *gate {
	return &gate{maxInFlight: max(1, maxInFlight), limit: 1}
}

// acquire gives a ticket, or says why there is none and queues w.
func (g *gate) acquire(now time.Time, w Waiter) (ticket, *HeldError) {
	held := g.held(now)
	if held == nil && g.inFlight >= g.limit {
		held = &HeldError{}
	}
	if held != nil {
		if w.Wake != nil {
			g.queue.add(w)
		}
		return ticket{}, held
	}
	g.queue.drop(w.Key)
	g.inFlight++
	g.issued++
	if g.circuit.cause != nil {
		g.probe = g.issued
		g.circuit.from, g.circuit.until = now, now.Add(probeInterval)
	}
	return ticket{g.issued}, nil
}

// held returns the hold in force that ends last.
func (g *gate) held(now time.Time) *HeldError {
	var held *HeldError
	open := g.circuit.active(now)
	if !open && g.circuit.cause != nil && g.inFlight > 0 { // a call that takes longer than the interval: a probe is alone
		g.circuit.from, g.circuit.until = now, now.Add(probeInterval)
		open = true
	}
	if open {
		held = &HeldError{Until: g.circuit.until, Cause: g.circuit.cause}
	}
	if g.pause.active(now) && (held == nil || g.pause.until.After(held.Until)) {
		held = &HeldError{Until: g.pause.until, Cause: g.pause.cause}
	}
	return held
}

// release takes a ticket back and returns who is to be woken. cause is the call's error where its outcome is unauthorized
// or rateLimited.
func (g *gate) release(now time.Time, t ticket, o outcome, cause *Error) []Waiter {
	g.inFlight--
	isProbe := g.probe == t.number
	if isProbe {
		g.probe = 0
	}
	before := g.held(now) != nil
	switch o {
	case accepted:
		g.accept(t, isProbe)
	case unauthorized:
		g.refuse(now, t, isProbe, cause)
	case rateLimited:
		g.slowDown(now, t, cause)
	case unreachable:
		g.narrow()
	case neutral:
	}
	if !before && g.held(now) != nil {
		return g.queue.take(g.queue.len()) // to learn what holds them back, and until when
	}
	return g.wakeFree(now)
}

func (g *gate) accept(t ticket, isProbe bool) {
	if g.circuit.cause != nil {
		if !isProbe { // asked before the 401
			return
		}
		g.circuit = hold{}
	}
	if t.number > g.stale {
		g.limit = min(2*g.limit, g.maxInFlight)
		g.backoff = 0
	}
}

func (g *gate) refuse(now time.Time, t ticket, isProbe bool, cause *Error) {
	switch {
	case t.number <= g.reset:
	case g.circuit.cause == nil:
		g.circuit = hold{cause: cause, from: now, until: now.Add(probeInterval)}
		g.narrow()
	case isProbe:
		g.circuit.cause = cause
		if !now.Before(g.circuit.until) {
			g.circuit.from, g.circuit.until = now, now.Add(probeInterval)
		}
	}
}

func (g *gate) slowDown(now time.Time, t ticket, cause *Error) {
	length := cause.RetryAfter
	if length <= 0 {
		if t.number <= g.stale && g.pause.active(now) { // asked before the pause
			return
		}
		g.backoff = min(max(2*g.backoff, firstPause), longestPause)
		length = g.backoff
	}
	if until := now.Add(length); !g.pause.active(now) || until.After(g.pause.until) {
		g.pause = hold{cause: cause, from: now, until: until}
	}
	g.narrow()
}

// narrow goes back to one call at a time; what is under way already will not widen it.
func (g *gate) narrow() {
	g.limit = 1
	g.stale = g.issued
}

// close closes the circuit, and returns who is to be woken. A pause is Seam's wish and stays.
func (g *gate) close(now time.Time) []Waiter {
	g.reset = g.issued
	if g.circuit.cause == nil {
		return nil
	}
	g.circuit = hold{}
	g.probe = 0
	g.narrow()
	return g.wakeFree(now)
}

// wakeFree takes as many from the queue as could have a ticket now.
func (g *gate) wakeFree(now time.Time) []Waiter {
	if g.held(now) != nil {
		return nil
	}
	return g.queue.take(g.limit - g.inFlight)
}

// idle says whether nothing would be lost by forgetting the gate.
func (g *gate) idle(now time.Time) bool {
	return g.inFlight == 0 && g.held(now) == nil
}
