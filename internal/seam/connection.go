package seam

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Connection is a credential in use, and the throttle that all calls with it pass. It is safe for concurrent use. Take it
// from the Client anew for each call, rather than keep it.
type Connection struct {
	client     *Client
	credential Credential

	// Both are guarded by the client's lock.
	throttle *throttle
	used     time.Time
}

// GetClientSession fetches the one session that the selector names, and returns what can be relied upon: a usable token, the
// ID of a session, and nothing about another session, user or workspace than the selector and credential name. It may have
// expired. Fetching a session does not extend it.
//
// The error is a *HeldError if no call was made; an *Error if one was, or if the selector can't be sent; or, if the context
// ended, neither, but one that wraps the context's. A waiter that was held is woken once when it is worth trying again: when
// there is room, and early if what held it changes. Where there is room a call is kept for its group for a second: the first
// of the group who comes has it. If nobody comes, the next is woken. A waiter without Wake is not queued.
func (c *Connection) GetClientSession(ctx context.Context, selector Selector, waiter Waiter) (*ClientSession, error) {
	if err := selector.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("the call to seam was not made: %w", err)
	}
	started, held := c.enter(waiter)
	if held != nil {
		return nil, held
	}
	var err error = errGaveUp{} // as if what runs in between panicked
	defer func() { c.leave(started, err) }()
	session, err := c.client.getClientSession(ctx, c.credential.reveal(), selector)
	return session, err
}

func (c *Connection) enter(waiter Waiter) (*call, *HeldError) {
	now := c.client.clock.Now()
	c.client.mu.Lock()
	c.used = now
	started, held, woken := c.client.pool.acquire(now, c.throttle, waiter)
	c.client.setTimer()
	c.client.mu.Unlock()
	wake(woken)
	return started, held
}

func (c *Connection) leave(done *call, err error) {
	end, cause := verdictOf(err)
	now := c.client.clock.Now()
	c.client.mu.Lock()
	c.used = now
	woken := c.client.pool.release(now, done, end, cause)
	c.client.setTimer()
	c.client.mu.Unlock()
	wake(woken)
}

// idle says whether nothing is lost if the connection is forgotten. The client's lock is held.
func (c *Connection) idle(now time.Time) bool {
	if now.Before(c.used) { // the clock was set back
		c.used = now
	}
	return c.throttle.idle(now) && now.Sub(c.used) >= idleAfter
}

func wake(waiters []Waiter) {
	for _, waiter := range waiters {
		waiter.Wake()
	}
}

// verdictOf is what a call's end says about the credential, and the *Error that it ended with, if any.
func verdictOf(err error) (verdict, *Error) {
	if err == nil {
		return accepted, nil
	}
	var failed *Error
	if !errors.As(err, &failed) { // the caller gave up
		return neutral, nil
	}
	switch failed.Kind {
	case Unauthorized:
		return unauthorized, failed
	case RateLimited:
		return rateLimited, failed
	case NotFound, Forbidden, InvalidRequest, Mismatch:
		return accepted, failed
	case Unavailable:
		return unreachable, failed
	}
	return neutral, failed // not Seam's answer
}
