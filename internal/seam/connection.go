package seam

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Connection is a credential in use, and the throttles that all calls with it pass: one for each route. It is safe for
// concurrent use. Take it from the Client anew for each call, rather than keep it.
type Connection struct {
	client     *Client
	credential Credential

	// Both are guarded by the client's lock.
	account *account
	used    time.Time
}

func newConnection(client *Client, credential Credential) *Connection {
	connection := &Connection{client: client, credential: credential, account: &account{}}
	for r := range routes {
		connection.account.throttle(client.pool.size, r.identifies())
	}
	return connection
}

// throttle is the one of a route. The client's lock is held.
func (c *Connection) throttle(r route) *throttle { return c.account.throttles[r] }

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
	return exchange(ctx, c, getClientSession, requestOf(selector), waiter, readClientSession(selector))
}

// readClientSession returns what reads an answer about a session.
func readClientSession(selector Selector) func(*answer, plainCredential) (*ClientSession, *Error) {
	return func(a *answer, credential plainCredential) (*ClientSession, *Error) {
		session, wrong := decodeClientSession(a.body, credential, selector)
		if wrong != nil {
			return nil, wrong
		}
		session.Date = dateOf(a.header)
		return session, nil
	}
}

// exchange makes a call to a route if it may be made now: the one path of every request. decode reads an answer of status 200.
// Its error is as GetClientSession says.
func exchange[T any](
	ctx context.Context, c *Connection, r route, request request, waiter Waiter, decode func(*answer, plainCredential) (T, *Error),
) (got T, err error) {
	credential := c.credential.reveal()
	if credential.kind == clientSessionToken && r != getClientSession {
		return got, &Error{Kind: Forbidden, message: "a client session token may only read its own session: " + usableElsewhere}
	}
	if err := ctx.Err(); err != nil {
		return got, fmt.Errorf("the call to seam was not made: %w", err)
	}
	started, held := c.enter(r, waiter)
	if held != nil {
		return got, held
	}
	err = errGaveUp{} // as if what runs in between panicked
	defer func() { c.leave(started, err) }()
	answer, err := c.client.call(ctx, credential, r, request)
	if err != nil {
		return got, err
	}
	got, wrong := decode(answer, credential)
	if wrong != nil {
		return got, answer.wrong(wrong, credential, request.secret)
	}
	return got, nil
}

func (c *Connection) enter(r route, waiter Waiter) (*call, *HeldError) {
	now := c.client.clock.Now()
	c.client.mu.Lock()
	c.used = now
	started, held, woken := c.client.pool.acquire(now, c.throttle(r), waiter)
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
	return c.account.idle(now) && now.Sub(c.used) >= idleAfter
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
	case NotFound, Forbidden, InvalidRequest, Conflict, Mismatch:
		return accepted, failed
	case Unavailable:
		return unreachable, failed
	}
	return neutral, failed // not Seam's answer
}
