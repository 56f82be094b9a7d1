package seam

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Connection is a credential in use, and the gate that all calls with it pass. It is safe for concurrent use. Take it from
// the Client anew for each call, rather than keep it.
type Connection struct {
	client     *Client
	credential credentialSecret

	mu   sync.Mutex
	gate *gate
	used time.Time
}

// GetClientSession asks Seam for the one session that the selector names, and returns what can be relied upon: a usable
// token, the ID of a session, and nothing about another session, user or workspace than was asked about. It may have
// expired. Reading a session does not extend it.
//
// The error is a *HeldError if no call was made, and else an *Error. A waiter that was held is woken once when it is worth
// trying again: when there is room, and early if what held it changes. Nothing is reserved for it. A waiter without Wake is
// not queued.
func (c *Connection) GetClientSession(ctx context.Context, selector Selector, waiter Waiter) (*ClientSession, error) {
	if err := selector.check(); err != nil {
		return nil, err
	}
	ticket, held := c.enter(waiter)
	if held != nil {
		return nil, held
	}
	var err *Error
	result := neutral
	defer func() { c.leave(ticket, result, err) }() // also when what runs in between panics
	session, err := c.client.getClientSession(ctx, c.credential, selector)
	result = outcomeOf(err)
	if err != nil {
		return nil, err
	}
	return session, nil
}

// Reset says that the Secret with the credential has changed: what Seam said of the credential before is of the past. The
// circuit closes; the pause that Seam asked for with a 429 stays.
func (c *Connection) Reset() {
	now := c.client.clock.Now()
	c.mu.Lock()
	woken := c.gate.close(now)
	c.mu.Unlock()
	wake(woken)
}

func (c *Connection) enter(waiter Waiter) (ticket, *HeldError) {
	now := c.client.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = now
	return c.gate.acquire(now, waiter)
}

func (c *Connection) leave(t ticket, o outcome, err *Error) {
	var cause *Error
	if err != nil {
		// Others will see it: leave out what was meant for one.
		cause = &Error{Kind: err.Kind, StatusCode: err.StatusCode, Type: err.Type, RequestID: err.RequestID,
			RetryAfter: err.RetryAfter, text: err.text}
	}
	now := c.client.clock.Now()
	c.mu.Lock()
	c.used = now
	woken := c.gate.release(now, t, o, cause)
	c.mu.Unlock()
	wake(woken)
}

func (c *Connection) touch(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = now
}

func (c *Connection) idle(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gate.idle(now) && now.Sub(c.used) >= idleAfter
}

func wake(waiters []Waiter) {
	for _, waiter := range waiters {
		waiter.Wake()
	}
}

// outcomeOf says what a call's end says about the credential.
func outcomeOf(err *Error) outcome {
	if err == nil {
		return accepted
	}
	switch err.Kind {
	case Unauthorized:
		return unauthorized
	case RateLimited:
		return rateLimited
	case NotFound, Forbidden, InvalidRequest, Mismatch:
		return accepted
	case Unavailable:
		if errors.Is(err, errCallerGaveUp) {
			return neutral
		}
		return unreachable
	case InvalidResponse:
	}
	return neutral
}
