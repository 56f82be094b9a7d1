package seam

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Connection is a credential in use, and the gate that all calls with it pass. It is safe for concurrent use. Take it from
// the Client anew for each call, rather than keep it.
type Connection struct {
	client     *Client
	credential Credential

	mu   sync.Mutex
	gate *gate
	used time.Time
}

// GetClientSession asks Seam for the one session that the selector names, and returns what can be relied upon: a usable
// token, the ID of a session, and nothing about another session, user or workspace than was asked about. It may have
// expired. Reading a session does not extend it.
//
// The error is a *HeldError if no call was made; an *Error if one was, or if the selector can't be sent; or, if the context
// ended, neither, but one that wraps the context's. A waiter that was held is woken once when it is worth trying again: when
// there is room, and early if what held it changes. Nothing is reserved for it, so it can be held again; and if nobody calls
// who could be woken first, the next is not: a caller tries again by itself after a while. A waiter without Wake is not
// queued.
func (c *Connection) GetClientSession(ctx context.Context, selector Selector, waiter Waiter) (*ClientSession, error) {
	if err := selector.check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("seam is not asked any more: %w", err)
	}
	ticket, held := c.enter(waiter)
	if held != nil {
		return nil, held
	}
	var err error = errGaveUp{} // as if what runs in between panicked
	defer func() { c.leave(ticket, err) }()
	session, err := c.client.getClientSession(ctx, c.credential.reveal(), selector)
	return session, err
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

func (c *Connection) leave(t ticket, err error) {
	end, cause := outcomeOf(err)
	now := c.client.clock.Now()
	c.mu.Lock()
	c.used = now
	woken := c.gate.release(now, t, end, cause)
	c.mu.Unlock()
	wake(woken)
}

func (c *Connection) touch(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = now
}

func (c *Connection) paused(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gate.held(now) != nil
}

// idle says whether nothing is lost if the connection is forgotten.
func (c *Connection) idle(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.used) { // the clock was set back
		c.used = now
	}
	return c.gate.idle(now) && now.Sub(c.used) >= idleAfter
}

func wake(waiters []Waiter) {
	for _, waiter := range waiters {
		waiter.Wake()
	}
}

// outcomeOf says what a call's end says about the credential, and returns that end as those may see it who share it.
func outcomeOf(err error) (outcome, *Error) {
	if err == nil {
		return accepted, nil
	}
	var failed *Error
	if !errors.As(err, &failed) { // the caller gave up
		return neutral, nil
	}
	shared := *failed
	shared.Message, shared.Err = "", nil // were meant for one
	switch failed.Kind {
	case Unauthorized:
		return unauthorized, &shared
	case RateLimited:
		return rateLimited, &shared
	case NotFound, Forbidden, InvalidRequest, Mismatch:
		return accepted, &shared
	case Unavailable:
		return unreachable, &shared
	}
	return neutral, &shared // not Seam's answer
}
