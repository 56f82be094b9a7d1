package seam

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const maxRetryAfter = time.Hour

// What Seam's error.type says, as far as it decides anything or calls for another advice.
const (
	typeSessionNotFound = "client_session_not_found"
	typeSessionExpired  = "client_session_expired"
	typeSessionRevoked  = "client_session_revoked"
	typeWrongWorkspace  = "access_token_used_for_api_key"
	typeUnauthorized    = "unauthorized"
	typeAlreadyExists   = "client_session_token_already_exists"
)

var (
	errorType = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	// secretLike finds what has the form of a credential or a token of Seam's.
	secretLike = regexp.MustCompile(`(?i)seam_[a-z0-9_-]+|\bey[a-z0-9_-]+(\.[a-z0-9_-]+)+`)
)

// envelope is Seam's answer to what it can't do. Of the error's other fields, message and stack must never be shown, and
// validation_errors mixes shapes: none is read.
type envelope struct {
	Error struct {
		Type json.RawMessage `json:"type"`
	} `json:"error"`
}

// decodeError reads error.type. It is empty if the body is not Seam's.
func decodeError(body []byte) string {
	var decoded envelope
	if json.Unmarshal(body, &decoded) != nil {
		return ""
	}
	return parseString(decoded.Error.Type, maxOtherBytes)
}

// err is the error for an answer whose status isn't 200.
func (a *answer) err(now time.Time, r route, credential plainCredential, secret string) *Error {
	secrets := []string{credential.value, secret}
	typ := decodeError(a.body)
	kind, advice := classify(r, a.status, typ)
	failed := &Error{Kind: kind, StatusCode: a.status, RequestID: requestID(a.header, secrets), Date: dateOf(a.header)}
	if kind == RateLimited {
		failed.RetryAfter = retryAfter(a.header.Get("Retry-After"), now)
	}
	failed.message = "seam answered " + strconv.Itoa(a.status)
	if shown := shownType(typ, secrets); shown != "" {
		failed.message += " " + shown
	}
	failed.message += ": " + advice
	return failed
}

// wrong adds to the error for an answer of status 200 what is known of the answer.
func (a *answer) wrong(failed *Error, credential plainCredential, secret string) *Error {
	failed.StatusCode = a.status
	failed.RequestID = requestID(a.header, []string{credential.value, secret})
	return failed
}

// classify says what a status and an error.type mean in the answer of a route, and what to do.
func classify(r route, status int, typ string) (Kind, string) {
	switch status {
	case http.StatusUnauthorized:
		return Unauthorized, adviceFor401(typ)
	case http.StatusForbidden:
		return Forbidden, r.adviceFor403()
	case http.StatusTooManyRequests:
		return RateLimited, "too many requests with this credential; it is asked again later"
	case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict:
		return classifyRefusal(r, status, typ)
	case http.StatusProxyAuthRequired:
		return Unavailable, "check the proxy"
	}
	switch {
	case status == http.StatusRequestTimeout, status >= 500 && status < 600:
		return Unavailable, "it is asked again; if this lasts, see whether Seam or a proxy before it is down"
	case status >= 300 && status < 400:
		return InvalidResponse, "a redirect, which is not followed: " + checkEndpoint
	}
	return InvalidResponse, checkEndpoint
}

// classifyRefusal is classify for statuses whose meaning depends on the route.
func classifyRefusal(r route, status int, typ string) (Kind, string) {
	changes := r == getOrCreateClientSession
	selects := r == getClientSession || r == deleteClientSession
	switch {
	case selects && status == http.StatusNotFound && typ == typeSessionNotFound:
		return NotFound, "no such client session in the workspace of the credential"
	case changes && (status == http.StatusConflict || typ == typeAlreadyExists):
		return Conflict, "seam has a client session of that user which it neither returns nor extends: delete that one at Seam"
	case status == http.StatusBadRequest, changes && status == http.StatusNotFound && typ != "":
		return InvalidRequest, r.adviceFor400()
	}
	return InvalidResponse, checkEndpoint
}

// adviceFor401 depends on which credentials get the type: a client session token that is dead is told from other causes.
func adviceFor401(typ string) string {
	switch typ {
	case typeWrongWorkspace:
		return "check that the workspace ID is one that the personal access token may use"
	case typeSessionExpired, typeSessionRevoked, typeSessionNotFound:
		return "the client session whose token is the credential has ended: use another credential"
	}
	return "check that the credential is current and not revoked"
}

// shownType is a server's error.type if it can be shown.
func shownType(typ string, secrets []string) string {
	switch typ {
	case typeSessionNotFound, typeSessionExpired, typeSessionRevoked, typeWrongWorkspace, typeUnauthorized, typeAlreadyExists:
		return typ
	}
	if !errorType.MatchString(typ) || containsAny(typ, secrets) || secretLike.MatchString(typ) {
		return ""
	}
	return typ
}

// requestID is a server's seam-request-id if it can be shown.
func requestID(header http.Header, secrets []string) string {
	id := header.Get("Seam-Request-Id")
	if !identifier.MatchString(id) || containsAny(id, secrets) || secretLike.MatchString(id) {
		return ""
	}
	return id
}

// containsAny says whether s holds any of the secrets, in whatever case.
func containsAny(s string, secrets []string) bool {
	s = strings.ToLower(s)
	for _, secret := range secrets {
		if secret != "" && strings.Contains(s, strings.ToLower(secret)) {
			return true
		}
	}
	return false
}

// retryAfter reads a Retry-After header, in seconds or as a date: 0 to 1 h; 0 if it can't be read.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseInt(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		bounded := min(max(0, seconds), int64(maxRetryAfter/time.Second)) // of a number out of range, the nearest in range
		return time.Duration(bounded) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(0, date.Sub(now)), maxRetryAfter)
	}
	return 0
}
