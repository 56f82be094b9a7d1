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
	// Forbidden is 403.
	Forbidden
	// NotFound is 404 with error.type client_session_not_found: no such session in the credential's workspace. Any other
	// 404 says nothing about the session.
	NotFound
	// InvalidRequest is 400, or a selector that can't be sent: only another selector can help.
	InvalidRequest
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
	case RateLimited:
		return "RateLimited"
	case InvalidResponse:
		return "InvalidResponse"
	case Mismatch:
		return "Mismatch"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Error is a call that failed. Its text says what happened and what to do, is the same each time that happens, and holds
// nothing that must not be shown: it may go into a condition.
type Error struct {
	// Kind is what the error means.
	Kind Kind
	// StatusCode is the HTTP status, 0 if there was none.
	StatusCode int
	// Type is Seam's error.type: 1 to 64 lower-case letters, digits and '_'; empty if there was none that can be shown.
	Type string
	// Message is Seam's error.message, at most 512 bytes. It must not be shown: what could be recognised as a secret is
	// taken out of it, but it is the server's text and may name any.
	Message string `json:"-"`
	// RequestID is the seam-request-id header: 1 to 64 letters, digits, '_' and '-'. It differs on every try: it belongs in
	// events and logs, not in conditions.
	RequestID string
	// RetryAfter is how long Seam asked to wait with a 429, 0 to 1 h; 0 if it did not say.
	RetryAfter time.Duration
	// Err is what an errors.Is may look for (context.Canceled, context.DeadlineExceeded, a syscall.Errno) or nil; never an
	// error with text of a server or an address in it.
	Err error `json:"-"`

	// text is what Error returns.
	text string
}

// Error says what happened and what to do.
func (e *Error) Error() string { return e.text }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Format writes Error's text, whatever the verb.
func (e *Error) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.text) }

// HeldError says that no call was made, and when to try again. It unwraps to nothing: its cause is another call's error.
type HeldError struct {
	// Until is when to try again. Zero where Cause is nil.
	Until time.Time
	// Cause is the answer that holds the credential back, a 401 or a 429, without its Message. Nil where every call that the
	// credential may have under way is: then the Waiter is woken.
	Cause *Error
}

// Error says why no call was made.
func (e *HeldError) Error() string {
	if e.Cause == nil {
		return "not asked yet: other calls with the same credential are under way"
	}
	return "not asked: an earlier call with the same credential failed: " + e.Cause.Error()
}

func invalidResponse(text string) *Error { return &Error{Kind: InvalidResponse, text: text} }
