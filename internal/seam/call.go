package seam

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/go-logr/logr"
)

const (
	getClientSessionPath = "/client_sessions/get"

	maxBodyBytes    = 1 << 20
	maxMessageBytes = 512
	maxRetryAfter   = time.Hour
	maxSkew         = 30 * time.Second

	typeNotFound = "client_session_not_found"

	checkEndpoint = "check --seam-endpoint"
)

var (
	errorType = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	// secretLike finds what has the form of a credential or token of Seam's.
	secretLike = regexp.MustCompile(`seam_[A-Za-z0-9_-]+|\bey[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+`)

	// errCallerGaveUp marks calls that ended because their context did, and not for anything that Seam or the network did.
	errCallerGaveUp = errors.New("the caller gave up")
)

// proxyRefusal is the status with which a proxy refused to connect.
type proxyRefusal int

func (s proxyRefusal) Error() string { return "proxy answered " + strconv.Itoa(int(s)) }

// getClientSession makes the call, and nothing but the call.
func (c *Client) getClientSession(
	ctx context.Context, credential credentialSecret, selector Selector,
) (*ClientSession, *Error) {
	answer, err := c.post(ctx, credential, getClientSessionPath, requestOf(selector))
	if err != nil {
		return nil, err
	}
	if answer.status != http.StatusOK {
		return nil, answer.err(c.clock.Now(), credential, selector)
	}
	session, err := decodeClientSession(answer.body, credential, selector)
	if answer.tooLong {
		session, err = nil, &Error{Kind: InvalidResponse, text: "the answer is longer than 1 MiB: " + checkEndpoint}
	}
	if err != nil {
		err.StatusCode = answer.status
		err.RequestID = requestID(answer.header, []string{credential.value, selector.UserIdentifierKey})
		return nil, err
	}
	return session, nil
}

func requestOf(selector Selector) map[string]string {
	if selector.ClientSessionID != "" {
		return map[string]string{"client_session_id": selector.ClientSessionID}
	}
	return map[string]string{"user_identifier_key": selector.UserIdentifierKey}
}

// answer is what came back, whoever sent it.
type answer struct {
	status  int
	header  http.Header
	body    []byte // at most maxBodyBytes
	tooLong bool   // there was more
}

func (c *Client) post(
	ctx context.Context, credential credentialSecret, path string, fields map[string]string,
) (*answer, *Error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := c.newRequest(bounded, credential, path, fields)
	if err != nil {
		return nil, &Error{Kind: InvalidRequest, text: "the request can't be made: " + checkEndpoint}
	}
	// The transport and not an http.Client: that would follow redirects, with the credential.
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, c.failure(ctx, bounded, err)
	}
	defer func() { _ = response.Body.Close() }()
	c.skew.observe(ctx, c.clock.Now(), response.Header)
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBodyBytes+1))
	if err != nil && !decidedByStatus(response.StatusCode) {
		return nil, c.failure(ctx, bounded, err)
	}
	got := &answer{status: response.StatusCode, header: response.Header, body: body}
	if len(body) > maxBodyBytes {
		got.body, got.tooLong = body[:maxBodyBytes], true
	}
	return got, nil
}

func (c *Client) newRequest(
	ctx context.Context, credential credentialSecret, path string, fields map[string]string,
) (*http.Request, error) {
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	target := c.endpoint.JoinPath(path).String()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+credential.value)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", c.userAgent)
	if credential.workspaceID != "" {
		request.Header.Set("Seam-Workspace", credential.workspaceID)
	}
	// Sends nothing, but tells the transport that this POST only reads: if an idle connection turns out to be dead, it takes
	// another.
	request.Header["Idempotency-Key"] = nil
	return request, nil
}

// decidedByStatus says whether the status alone says what to do, even if the body did not arrive.
func decidedByStatus(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests
}

// failure is the error of a call that got no answer. Its text depends on the cause alone: no addresses, no ports.
func (c *Client) failure(ctx, bounded context.Context, err error) *Error {
	switch {
	case ctx.Err() != nil:
		return &Error{Kind: Unavailable, Err: errors.Join(errCallerGaveUp, ctx.Err()), text: "the call was given up: " + ctx.Err().Error()}
	case bounded.Err() != nil:
		return &Error{Kind: Unavailable, Err: context.DeadlineExceeded, text: fmt.Sprintf("seam can't be reached: timed out after %s", c.timeout)}
	}
	reason, number := describe(err)
	failed := &Error{Kind: Unavailable, text: "seam can't be reached: " + reason}
	if number != 0 {
		failed.Err = number
	}
	return failed
}

// describe gives the text for a network failure, the same for the same cause, and the system's error number if there is
// one.
func describe(err error) (string, syscall.Errno) {
	var number syscall.Errno
	errors.As(err, &number)
	var (
		refusal     proxyRefusal
		dns         *net.DNSError
		unknownCA   x509.UnknownAuthorityError
		wrongHost   x509.HostnameError
		certificate x509.CertificateInvalidError
		verify      *tls.CertificateVerificationError
		noTLS       tls.RecordHeaderError
		alert       tls.AlertError
		network     net.Error
	)
	switch {
	case errors.As(err, &refusal):
		return "the proxy refused the connection with status " + strconv.Itoa(int(refusal)), 0
	case errors.As(err, &dns) && dns.IsNotFound:
		return "host not found: " + checkEndpoint, 0
	case errors.As(err, &dns):
		return "the lookup of the host failed", 0
	case errors.As(err, &unknownCA):
		return "TLS: certificate signed by unknown authority: give its CA with --seam-ca-file", 0
	case errors.As(err, &wrongHost):
		return "TLS: certificate is for another host: " + checkEndpoint, 0
	case errors.As(err, &certificate) && certificate.Reason == x509.Expired:
		return "TLS: certificate has expired or is not yet valid", 0
	case errors.As(err, &verify):
		return "TLS: certificate is not valid", 0
	case errors.As(err, &noTLS):
		return "TLS: the server does not speak it: " + checkEndpoint, 0
	case errors.As(err, &alert):
		return "TLS: the server refused the handshake", 0
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused", number
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to host", number
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection reset", number // which of them it is, is chance
	case errors.As(err, &network) && network.Timeout():
		return "timed out connecting", 0
	}
	return "the connection failed", number
}

// envelope is Seam's answer to what it can't do. Of the error's other fields, validation_errors mixes shapes and stack must
// never be shown: neither is read.
type envelope struct {
	Error struct {
		Type    json.RawMessage `json:"type"`
		Message json.RawMessage `json:"message"`
	} `json:"error"`
}

// err is the error for an answer whose status isn't 200.
func (a *answer) err(now time.Time, credential credentialSecret, selector Selector) *Error {
	secrets := []string{credential.value, selector.UserIdentifierKey}
	var body envelope
	if json.Unmarshal(a.body, &body) != nil { // then it isn't Seam's
		body = envelope{}
	}
	typ := text(body.Error.Type, maxOtherBytes)
	failed := &Error{
		StatusCode: a.status,
		Type:       shownType(typ, secrets),
		Message:    redact(text(body.Error.Message, maxBodyBytes), secrets),
		RequestID:  requestID(a.header, secrets),
	}
	var advice string
	failed.Kind, advice = classify(a.status, typ)
	if failed.Kind == RateLimited {
		failed.RetryAfter = retryAfter(a.header.Get("Retry-After"), now)
	}
	failed.text = "seam answered " + strconv.Itoa(a.status)
	if failed.Type != "" {
		failed.text += " " + failed.Type
	}
	if advice != "" {
		failed.text += ": " + advice
	}
	return failed
}

// classify says what a status and an error.type mean, and what to do.
func classify(status int, typ string) (Kind, string) {
	switch {
	case status == http.StatusUnauthorized:
		return Unauthorized, "check that the credential is current, and of the workspace that is asked for"
	case status == http.StatusForbidden:
		return Forbidden, "check what the credential may do"
	case status == http.StatusNotFound && typ == typeNotFound:
		return NotFound, "no such client session in the workspace of the credential"
	case status == http.StatusBadRequest:
		return InvalidRequest, "check the client session ID or user identifier key"
	case status == http.StatusTooManyRequests:
		return RateLimited, "too many requests with this credential"
	case status == http.StatusRequestTimeout, status >= 500 && status < 600:
		return Unavailable, ""
	case status == http.StatusProxyAuthRequired:
		return Unavailable, "check the proxy"
	case status >= 300 && status < 400:
		return InvalidResponse, "a redirect, which is not followed: " + checkEndpoint
	}
	return InvalidResponse, checkEndpoint
}

// shownType is a server's error.type if it can be shown.
func shownType(typ string, secrets []string) string {
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

// redact takes out of a message what can be recognised as a secret, and bounds it.
func redact(message string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" {
			message = strings.ReplaceAll(message, secret, "[redacted]")
		}
	}
	message = secretLike.ReplaceAllString(message, "[redacted]")
	message = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, message)
	if len(message) > maxMessageBytes {
		message = strings.ToValidUTF8(message[:maxMessageBytes], "")
	}
	return message
}

// retryAfter reads a Retry-After header, in seconds or as a date: 0 to 1 h; 0 if it can't be read.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	var wait time.Duration
	if seconds, err := strconv.ParseFloat(header, 64); err == nil {
		if seconds > maxRetryAfter.Seconds() {
			return maxRetryAfter
		}
		wait = time.Duration(seconds * float64(time.Second))
	} else if date, err := http.ParseTime(header); err == nil {
		wait = date.Sub(now)
	}
	return min(max(0, wait), maxRetryAfter)
}

// skewWatch notices when our clock and Seam's come apart, and when they agree again.
type skewWatch struct {
	mu     sync.Mutex
	skewed bool
}

func (w *skewWatch) observe(ctx context.Context, now time.Time, header http.Header) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	skew := now.Sub(date)
	skewed := skew.Abs() > maxSkew
	w.mu.Lock()
	changed := skewed != w.skewed
	w.skewed = skewed
	w.mu.Unlock()
	switch log := logr.FromContextOrDiscard(ctx); {
	case changed && skewed:
		log.Info("Warning: this clock and Seam's differ, so sessions seem to end too early or too late: check the time of this node",
			"ahead", skew.Round(time.Second).String())
	case changed:
		log.Info("This clock and Seam's agree again")
	}
}
