package seam

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// Kind is what an error means for who asked.
type Kind int

const (
	// Unavailable is a Seam that can't be reached or can't answer: network, DNS and TLS failures, timeouts, 407, 408, 5xx.
	Unavailable Kind = iota
	// Unauthorized is 401 of whatever type: Seam does not know the credential, or no longer.
	Unauthorized
	// Forbidden is 403, or a credential that is never let use a route, and so not sent.
	Forbidden
	// NotFound is 404 with error.type client_session_not_found: no such session in the credential's workspace. Any other
	// 404 says nothing about the session.
	NotFound
	// InvalidRequest is 400, or a request that can't be sent: only another request can help. Of a request to make or extend a
	// session it is a 404 as well, which is about what the session may see.
	InvalidRequest
	// Conflict is 409, or an error.type client_session_token_already_exists: Seam has a session that it neither returns nor lets
	// another be made beside.
	Conflict
	// RateLimited is 429.
	RateLimited
	// InvalidResponse is an answer that isn't Seam's, or that lacks what every session has.
	InvalidResponse
	// Mismatch is a good answer about another session, user or workspace than was asked about.
	Mismatch
)

// String is the name of the constant.
func (k Kind) String() string {
	switch k {
	case Unavailable:
		return "Unavailable"
	case Unauthorized:
		return "Unauthorized"
	case Forbidden:
		return "Forbidden"
	case NotFound:
		return "NotFound"
	case InvalidRequest:
		return "InvalidRequest"
	case Conflict:
		return "Conflict"
	case RateLimited:
		return "RateLimited"
	case InvalidResponse:
		return "InvalidResponse"
	case Mismatch:
		return "Mismatch"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Error is a call that failed. Its message says what happened and what to do, is the same each time that happens, and holds
// nothing that must not be shown: it may go into a condition.
type Error struct {
	// Kind is what the error means.
	Kind Kind
	// StatusCode is the HTTP status, 0 if there was none.
	StatusCode int
	// RequestID is the seam-request-id header: 1 to 64 letters, digits, '_' and '-'. It differs on every try: it belongs in
	// events and logs, not in conditions.
	RequestID string
	// Date is when Seam answered, by its own clock (the Date header), in whole seconds; zero if there was no answer or it did
	// not say.
	Date time.Time
	// RetryAfter is how long Seam asked to wait with a 429, 0 to 1 h; 0 if it did not say.
	RetryAfter time.Duration

	// message is what Error returns.
	message string
}

// Error says what happened and what to do.
func (e *Error) Error() string { return e.message }

// Format writes Error's message, whatever the verb.
func (e *Error) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.message) }

// HeldError says that no call was made, and when to try again. It unwraps to nothing: its cause is another call's error.
type HeldError struct {
	// Until is when to try again. Zero where Cause is nil.
	Until time.Time
	// Cause is the answer that holds the credential back, a 401 or a 429. Nil where there is no free call: then the Waiter is
	// woken.
	Cause *Error
}

// Error says why no call was made.
func (e *HeldError) Error() string {
	if e.Cause == nil {
		return "not fetched yet: as many calls are under way as may be"
	}
	return "not fetched: an earlier call with the same credential failed: " + e.Cause.Error()
}

func invalidResponse(message string) *Error { return &Error{Kind: InvalidResponse, message: message} }
