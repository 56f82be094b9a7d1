package seamtest

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"time"
)

// failure is an answer other than 200, in Seam's envelope.
type failure struct {
	status       int
	typ, message string
}

var (
	errUnauthorized = &failure{http.StatusUnauthorized, "unauthorized", "Unauthorized"}
	errSessionDead  = &failure{http.StatusUnauthorized, "client_session_not_found", "Unauthorized (client session not found)"}
	errRevoked      = &failure{http.StatusUnauthorized, "client_session_revoked", "Unauthorized (client session revoked)"}
	errExpired      = &failure{http.StatusUnauthorized, "client_session_expired", "Unauthorized (client session expired)"}
	errPAT          = &failure{http.StatusUnauthorized, "access_token_used_for_api_key",
		"An access token was used instead of an API key"}
	errNotFound = &failure{http.StatusNotFound, "client_session_not_found", "Could not find client session"}
	errOptions  = &failure{http.StatusBadRequest, "invalid_options",
		"Cannot send client_session_id or user_identifier_key params when using a client session token"}
)

// caller is who a credential stands for.
type caller struct {
	workspace string
	session   string // the ID of the one session that a client session token can read
}

// request is the body of a request to any route.
type request struct {
	ClientSessionID     *string     `json:"client_session_id"`
	UserIdentifierKey   *string     `json:"user_identifier_key"`
	ExpiresAt           *time.Time  `json:"expires_at"`
	ConnectedAccountIDs []string    `json:"connected_account_ids"`
	ConnectWebviewIDs   []string    `json:"connect_webview_ids"`
	UserIdentityID      *string     `json:"user_identity_id"`
	Since               *time.Time  `json:"since"`
	Between             []time.Time `json:"between"`
	EventTypes          []string    `json:"event_types"`
	Limit               *int        `json:"limit"`
}

// exchange is a call and what Seam would answer: a session, other fields, or a failure.
type exchange struct {
	server  *Server
	w       http.ResponseWriter
	r       *http.Request
	call    Call
	request request
	who     caller
	session *Session
	other   map[string]any
	failure *failure
}

// serve answers calls to a route. act finds or changes what the call is about, with the lock held.
func (s *Server) serve(act func(*exchange)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost && r.Method != http.MethodGet {
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		badJSON := err != nil || len(body) > 0 && !json.Valid(body)

		s.mu.Lock()
		x := &exchange{server: s, w: w, r: r}
		x.read(body, badJSON)
		end := s.begin(x.call)
		defer end()
		fault, failing := s.faults.of(x)
		if x.failure == nil && (!failing || fault.acts) {
			act(x)
		}
		latency, changed, date := s.latency, s.changed, x.call.At.Add(s.ahead)
		s.mu.Unlock()

		w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
		w.Header().Set("Seam-Request-Id", x.call.RequestID)
		if !s.wait(r, latency, changed) {
			return
		}
		switch {
		case failing:
			fault.serve(x)
		case badJSON:
			http.Error(w, "Invalid JSON", http.StatusBadRequest)
		default:
			x.answer()
		}
	}
}

// read notes what is asked, who asks, and the session that it is about, if there is one. The lock is held.
func (x *exchange) read(body []byte, badJSON bool) {
	badShape := !badJSON && len(body) > 0 && json.Unmarshal(body, &x.request) != nil
	x.call = x.server.callOf(x.r, x.request, body)
	if badJSON || badShape {
		x.failure = &failure{http.StatusBadRequest, "invalid_input", "a field is not of the type that it must be"}
		return
	}
	if x.who, x.failure = x.server.authenticate(x.call); x.failure != nil {
		return
	}
	if i := x.server.asked(x.who, x.request); i >= 0 {
		session := x.server.sessions[i]
		x.session = &session
	}
}

// callOf describes a request. The lock is held.
func (s *Server) callOf(r *http.Request, request request, body []byte) Call {
	call := Call{
		At: s.clock.Now(), Path: r.URL.Path, Body: string(body), Workspace: r.Header.Get("Seam-Workspace"), UserAgent: r.UserAgent(),
		RequestID: s.nextRequestID(),
	}
	call.Credential, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if request.ClientSessionID != nil {
		call.ClientSessionID = *request.ClientSessionID
	}
	if request.UserIdentifierKey != nil {
		call.UserIdentifierKey = *request.UserIdentifierKey
	}
	return call
}

// getClientSession is /client_sessions/get.
func getClientSession(x *exchange) {
	switch {
	case x.who.session != "" && x.request.ClientSessionID != nil && x.request.UserIdentifierKey != nil:
		x.failure = errOptions
	case x.session == nil, x.server.behaviour.RevokedNotFound && past(x.session.RevokedAt, x.call.At):
		x.failure = errNotFound
	}
}

// asked is the position of the oldest session that a caller may read and asks for; -1 if there is none. The lock is held.
func (s *Server) asked(who caller, request request) int {
	if who.session != "" {
		return s.position(who.session)
	}
	first := -1
	if request.ClientSessionID != nil {
		first = s.position(*request.ClientSessionID)
	}
	if first >= 0 && s.sessions[first].WorkspaceID != who.workspace {
		first = -1
	}
	if key := request.UserIdentifierKey; key != nil && *key != "" {
		i := slices.IndexFunc(s.sessions, func(session Session) bool {
			return session.WorkspaceID == who.workspace && session.UserIdentifierKey == *key
		})
		if i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	return first
}

// authenticate finds out who calls, telling credentials apart by their prefixes as Seam does. The lock is held.
func (s *Server) authenticate(call Call) (caller, *failure) {
	workspaces, known := s.credentials[call.Credential]
	mayChoose := known && slices.Contains(workspaces, call.Workspace)
	switch value := call.Credential; {
	case strings.HasPrefix(value, "seam_cst") && call.Path != getPath:
		return caller{}, errUnauthorized
	case strings.HasPrefix(value, "seam_cst"):
		return s.authenticateSession(value)
	case strings.HasPrefix(value, "seam_pk"):
		return caller{}, errUnauthorized
	case strings.HasPrefix(value, "seam_at") && !mayChoose:
		return caller{}, errPAT
	case !known, strings.HasPrefix(value, "ey") && !mayChoose:
		return caller{}, errUnauthorized
	case mayChoose:
		return caller{workspace: call.Workspace}, nil
	}
	return caller{workspace: workspaces[0]}, nil // an API key: the header is not looked at
}

func (s *Server) authenticateSession(token string) (caller, *failure) {
	i := slices.IndexFunc(s.sessions, func(session Session) bool { return session.Token == token })
	if i < 0 {
		return caller{}, errSessionDead
	}
	session, now := s.sessions[i], s.clock.Now()
	switch {
	case past(session.RevokedAt, now):
		return caller{}, errRevoked
	case past(session.ExpiresAt, now):
		return caller{}, errExpired
	}
	return caller{workspace: session.WorkspaceID, session: session.ID}, nil
}

func past(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// answer writes what Seam would.
func (x *exchange) answer() {
	if x.failure != nil {
		x.fail(x.failure)
		return
	}
	x.write(http.StatusOK, x.body())
}

// body is what Seam would answer if all is well.
func (x *exchange) body() map[string]any {
	if x.other != nil {
		return x.other
	}
	return map[string]any{"client_session": x.fields(), "ok": true}
}

// fields are the session's as Seam sends them.
func (x *exchange) fields() map[string]any {
	fields := toFields(*x.session)
	for _, list := range []string{"connected_account_ids", "connect_webview_ids", "user_identity_ids"} {
		if fields[list] == nil {
			fields[list] = []string{}
		}
	}
	return fields
}

// fail writes a failure in Seam's envelope, with validation_errors in their mixed shapes.
func (x *exchange) fail(f *failure) {
	body := map[string]any{"type": f.typ, "message": f.message, "request_id": x.call.RequestID}
	if f.status == http.StatusBadRequest {
		body["validation_errors"] = map[string]any{
			"_errors": []string{}, "client_session_id": map[string]any{"_errors": []string{f.message}},
		}
	}
	x.write(f.status, map[string]any{"error": body, "ok": false})
}

func (x *exchange) write(status int, body any) {
	writeJSON(x.w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // whoever asked may be gone
}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
