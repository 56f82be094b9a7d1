package seam

import "time"

const (
	// probeInterval is how often a credential that Seam refused is tried again.
	probeInterval = time.Minute
	// firstPause and longestPause bound the pause after a 429 that does not say how long to wait.
	firstPause   = 5 * time.Second
	longestPause = time.Minute
)

// breaker is the circuit breaker of one credential. A 401 opens the circuit: from then on there is one call a minute, the
// probe, until one is accepted. A 429 pauses everything for as long as Seam asks; where it does not say, for ever longer.
type breaker struct {
	circuit block  // open while it has a cause, also between until and the next accepted call
	probe   uint64 // the number of the call under way while the circuit is open, or 0
	pause   block
	backoff time.Duration // the last pause whose length Seam left to us
}

// block keeps calls back for a while.
type block struct {
	cause       *Error
	from, until time.Time
}

// active says whether the block is in force. A clock that was set back moves the block with it, rather than make it longer.
func (b *block) active(now time.Time) bool {
	if b.cause == nil {
		return false
	}
	if now.Before(b.from) {
		b.from, b.until = now, now.Add(b.until.Sub(b.from))
	}
	return now.Before(b.until)
}

// held returns the block in force that ends last. While calls are under way there is no other probe.
func (b *breaker) held(now time.Time, underWay bool) *HeldError {
	var held *HeldError
	open := b.circuit.active(now)
	if !open && b.circuit.cause != nil && underWay { // a call that takes longer than the interval
		b.circuit.from, b.circuit.until = now, now.Add(probeInterval)
		open = true
	}
	if open {
		held = &HeldError{Until: b.circuit.until, Cause: b.circuit.cause}
	}
	if b.pause.active(now) && (held == nil || b.pause.until.After(held.Until)) {
		held = &HeldError{Until: b.pause.until, Cause: b.pause.cause}
	}
	return held
}

// start notes a call. With the circuit open it is the probe.
func (b *breaker) start(now time.Time, call uint64) {
	if b.circuit.cause != nil {
		b.probe = call
		b.circuit.from, b.circuit.until = now, now.Add(probeInterval)
	}
}

// end says whether the call was the probe.
func (b *breaker) end(call uint64) bool {
	probed := b.probe == call
	if probed {
		b.probe = 0
	}
	return probed
}

// accept closes the circuit if the call was the probe: what was sent before the 401 proves nothing. It returns whether the
// circuit is closed now.
func (b *breaker) accept(probed bool) bool {
	if b.circuit.cause != nil && !probed {
		return false
	}
	b.circuit = block{}
	return true
}

// refuse opens the circuit, and returns whether it was closed before. A probe's own 401 renews what the block says.
func (b *breaker) refuse(now time.Time, probed bool, cause *Error) bool {
	switch {
	case b.circuit.cause == nil:
		b.circuit = block{cause: cause, from: now, until: now.Add(probeInterval)}
		return true
	case probed:
		b.circuit.cause = cause
		if !now.Before(b.circuit.until) {
			b.circuit.from, b.circuit.until = now, now.Add(probeInterval)
		}
	}
	return false
}

// pauseFor pauses for as long as a 429 says. One that does not say, and was sent before the last pause, is no news: then it
// returns false.
func (b *breaker) pauseFor(now time.Time, news bool, cause *Error) bool {
	length := cause.RetryAfter
	if length <= 0 {
		if !news && b.pause.active(now) {
			return false
		}
		b.backoff = min(max(2*b.backoff, firstPause), longestPause)
		length = b.backoff
	}
	if until := now.Add(length); !b.pause.active(now) || until.After(b.pause.until) {
		b.pause = block{cause: cause, from: now, until: until}
	}
	return true
}
