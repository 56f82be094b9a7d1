package seamtest

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	// hangsFor bounds how long an answer that never comes keeps a connection.
	hangsFor = 2 * time.Minute
	// hugeBody is how many bytes HugeBody sends.
	hugeBody = 1 << 30
	// pauseFor is what RateLimitedSeconds and RateLimitedDate ask for.
	pauseFor = 20 * time.Second
)

// Fault is a way to fail. The zero Fault is none.
type Fault struct {
	// Name says what happens, and is unique among Faults.
	Name  string
	serve func(*exchange)
	acts  bool
}

// AfterActing is the fault of a Seam that did what it was asked to before it failed.
func (f Fault) AfterActing() Fault {
	f.Name += ", after acting"
	f.acts = true
	return f
}

// String is the fault's name.
func (f Fault) String() string { return f.Name }

// The faults, one for each way in which Seam, or what is between it and its caller, can fail. Where there is an error
// message, it repeats the credential, the token and the user identifier key.
var (
	Unauthorized       = refusal("401", http.StatusUnauthorized, "unauthorized")
	Forbidden          = refusal("403", http.StatusForbidden, "forbidden")
	NotFound           = refusal("404 typed", http.StatusNotFound, "client_session_not_found")
	NotFoundUntyped    = page("404 untyped", http.StatusNotFound, "text/plain", "404 page not found\n")
	BadRequest         = refusal("400 typed", http.StatusBadRequest, "invalid_input")
	BadRequestPlain    = page("400 plain text", http.StatusBadRequest, "text/plain", "Invalid JSON")
	RequestTimeout     = page("408", http.StatusRequestTimeout, "text/plain", "")
	RateLimitedSeconds = RateLimited(pauseFor)
	RateLimitedDate    = failing("429 with a date", func(x *exchange) {
		x.w.Header().Set("Retry-After", x.call.At.Add(pauseFor).UTC().Format(http.TimeFormat))
		x.refuse(http.StatusTooManyRequests, "too_many_requests")
	})
	RateLimitedSilent  = refusal("429 without header", http.StatusTooManyRequests, "too_many_requests")
	ServerError        = refusal("500", http.StatusInternalServerError, "internal_server_error")
	BadGateway         = page("502 with HTML", http.StatusBadGateway, "text/html", "<html><body>Bad Gateway</body></html>")
	Outage             = page("503 with an empty body", http.StatusServiceUnavailable, "", "")
	Redirect           = RedirectTo("http://elsewhere.invalid/client_sessions/get")
	ResetBeforeHeaders = acting("reset before the headers", (*exchange).reset)
	ResetInBody        = acting("reset in the middle of the body", (*exchange).resetInBody)
	Hang               = acting("headers and then nothing", (*exchange).hang)
	HugeBody           = acting("1 GiB of body", (*exchange).flood)
	TruncatedJSON      = page("200 with truncated JSON", http.StatusOK, "application/json", `{"client_session": {"client_ses`)
	HTML               = page("200 with HTML", http.StatusOK, "text/html", "<html><body>Sign in to the hotel's network</body></html>")
	NotOK              = altered("200 with ok: false", func(body, _ map[string]any) { body["ok"] = false })
	EmptyToken         = altered("200 with an empty token", set("token", ""))
	NoSession          = altered("200 with no session", func(body, _ map[string]any) { delete(body, "client_session") })
	AnotherSession     = altered("200 with another session", func(_, session map[string]any) {
		session["client_session_id"], session["user_identifier_key"] = "another_session", "another_user"
	})
	AnotherWorkspace = altered("200 with another workspace", set("workspace_id", "another_workspace"))
	UnreadableExpiry = altered("200 with an unreadable expires_at", set("expires_at", "tomorrow"))
	PastExpiry       = acting("200 with an expires_at in the past", func(x *exchange) {
		x.alter(set("expires_at", x.call.At.Add(-time.Hour)))
	})
	NoExpiry      = altered("200 without expires_at", func(_, session map[string]any) { delete(session, "expires_at") })
	UnknownFields = altered("200 with unknown fields", func(body, session map[string]any) {
		body["warnings"] = []string{"new"}
		session["scopes"] = map[string]any{"devices": []int{1}}
		session["device_count"], session["created_at"], session["customer_key"] = 2.5, 17, []string{"a"}
	})
	SecretsEverywhere = failing("401 with secrets in type and request ID", func(x *exchange) {
		x.w.Header().Set("Seam-Request-Id", x.call.Credential)
		x.fail(&failure{http.StatusUnauthorized, x.call.Credential, x.indiscretion()})
	})
)

// Faults are all of them.
var Faults = []Fault{
	Unauthorized, Forbidden, NotFound, NotFoundUntyped, BadRequest, BadRequestPlain, RequestTimeout, RateLimitedSeconds,
	RateLimitedDate, RateLimitedSilent, ServerError, BadGateway, Outage, Redirect, ResetBeforeHeaders, ResetInBody, Hang,
	HugeBody, TruncatedJSON, HTML, NotOK, EmptyToken, NoSession, AnotherSession, AnotherWorkspace, UnreadableExpiry,
	PastExpiry, NoExpiry, UnknownFields, SecretsEverywhere,
}

// RateLimited is a 429 that asks to wait for a while, in whole seconds.
func RateLimited(wait time.Duration) Fault {
	return failing("429 with seconds", func(x *exchange) {
		x.w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
		x.refuse(http.StatusTooManyRequests, "too_many_requests")
	})
}

// Slow answers as Seam would, but only after a while.
func Slow(wait time.Duration) Fault {
	return acting("slow", func(x *exchange) {
		if x.server.wait(x.r, wait, nil) {
			x.answer()
		}
	})
}

// RedirectTo is a 307, which would have a client that follows it send body and credential again.
func RedirectTo(url string) Fault {
	return failing("3xx to elsewhere", func(x *exchange) {
		http.Redirect(x.w, x.r, url, http.StatusTemporaryRedirect)
	})
}

// Status is an answer of that status in Seam's envelope.
func Status(status int, typ string) Fault {
	return refusal(fmt.Sprintf("%d %s", status, typ), status, typ)
}

// failing is a fault of who did not do what it was asked to.
func failing(name string, serve func(*exchange)) Fault { return Fault{Name: name, serve: serve} }

// acting is a fault in the answer alone.
func acting(name string, serve func(*exchange)) Fault {
	return Fault{Name: name, serve: serve, acts: true}
}

// refusal answers in Seam's envelope.
func refusal(name string, status int, typ string) Fault {
	return failing(name, func(x *exchange) { x.refuse(status, typ) })
}

// page answers as something between Seam and its caller does, which knows nothing of Seam's headers.
func page(name string, status int, contentType, body string) Fault {
	return failing(name, func(x *exchange) {
		x.w.Header().Del("Seam-Request-Id")
		if contentType != "" {
			x.w.Header().Set("Content-Type", contentType)
		}
		x.w.WriteHeader(status)
		_, _ = x.w.Write([]byte(body))
	})
}

// altered answers as Seam would, but for a change in the body or the session in it. Where there is no session, the answer
// is Seam's.
func altered(name string, change func(body, session map[string]any)) Fault {
	return acting(name, func(x *exchange) { x.alter(change) })
}

func set(field string, value any) func(body, session map[string]any) {
	return func(_, session map[string]any) { session[field] = value }
}

func (x *exchange) alter(change func(body, session map[string]any)) {
	if x.failure != nil {
		x.answer()
		return
	}
	body := x.body()
	session, ok := body["client_session"].(map[string]any)
	if !ok {
		session = map[string]any{} // of another route
	}
	change(body, session)
	x.write(http.StatusOK, body)
}

func (x *exchange) refuse(status int, typ string) {
	x.fail(&failure{status, typ, x.indiscretion()})
}

// indiscretion is a message that repeats all that it must not.
func (x *exchange) indiscretion() string {
	token := ""
	if x.session != nil {
		token = x.session.Token
	}
	return fmt.Sprintf("credential %s, key %s, token %s", x.call.Credential, x.call.UserIdentifierKey, token)
}

// resetInBody resets the connection when a part of the answer is sent.
func (x *exchange) resetInBody() {
	x.w.Header().Set("Content-Length", "1000")
	_, _ = x.w.Write([]byte(`{"client_session": {`))
	_ = http.NewResponseController(x.w).Flush()
	x.reset()
}

// reset resets the connection, or over HTTP/2 the stream.
func (x *exchange) reset() {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = conn.Close() }()
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // close with a RST
	}
}

// hang sends the headers and nothing more, until nobody waits for it any more.
func (x *exchange) hang() {
	x.w.Header().Set("Content-Length", "1000")
	x.w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(x.w).Flush()
	_ = x.server.wait(x.r, hangsFor, nil)
	panic(http.ErrAbortHandler)
}

// flood sends more than anybody wants, until nobody reads it any more.
func (x *exchange) flood() {
	x.w.Header().Set("Content-Type", "application/json")
	_, _ = x.w.Write([]byte(`{"client_session": {"padding": "`))
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	for range hugeBody / len(chunk) {
		if _, err := x.w.Write(chunk); err != nil {
			return
		}
	}
}

// faults are those in force.
type faults struct {
	all           Fault
	ofCredentials map[string]Fault
	ofSessions    map[string]Fault
	ofRoutes      map[string]Fault
	ofBoth        map[[2]string]Fault // of a credential and a route
}

func newFaults() faults {
	return faults{
		ofCredentials: map[string]Fault{}, ofSessions: map[string]Fault{}, ofRoutes: map[string]Fault{},
		ofBoth: map[[2]string]Fault{},
	}
}

// of returns the fault that a call meets: that of the session that is asked for, or else of the credential on the
// route, of the credential, of the route, or of all.
func (f *faults) of(x *exchange) (Fault, bool) {
	id := x.call.ClientSessionID
	if x.session != nil {
		id = x.session.ID
	}
	both := [2]string{x.call.Credential, x.call.Path}
	for _, fault := range []Fault{
		f.ofSessions[id], f.ofBoth[both], f.ofCredentials[x.call.Credential], f.ofRoutes[x.call.Path], f.all,
	} {
		if fault.serve != nil {
			return fault, true
		}
	}
	return Fault{}, false
}

// Fail makes every call fail, until Heal.
func (s *Server) Fail(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.all = fault
}

// FailCredential makes every call with a credential fail, until Heal or HealCredential.
func (s *Server) FailCredential(credential string, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.ofCredentials[credential] = fault
}

// HealCredential ends what FailCredential began.
func (s *Server) HealCredential(credential string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults.ofCredentials, credential)
}

// FailRoute makes every call to a route fail, such as /client_sessions/get, until Heal or HealRoute.
func (s *Server) FailRoute(path string, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.ofRoutes[path] = fault
}

// HealRoute ends what FailRoute began.
func (s *Server) HealRoute(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults.ofRoutes, path)
}

// FailCredentialOn makes every call with a credential to a route fail, until Heal: with Forbidden, a credential that may not do
// everything.
func (s *Server) FailCredentialOn(credential, path string, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.ofBoth[[2]string{credential, path}] = fault
}

// FailSession makes every call for a session fail, until Heal or HealSession.
func (s *Server) FailSession(id string, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.ofSessions[id] = fault
}

// HealSession ends what FailSession began.
func (s *Server) HealSession(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults.ofSessions, id)
}

// Heal ends every fault.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = newFaults()
}
