package seamtest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

var now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// console is a console session: a JWT.
const console = "eyJhbGciOiJIUzI1NiJ9.eyJrZXkiOiJhIn0.c2ln"

func newServer(t *testing.T) (*Server, *testclock.FakePassiveClock) {
	t.Helper()
	clock := testclock.NewFakePassiveClock(now)
	s := New(clock)
	s.Seed()
	s.Start()
	t.Cleanup(s.Close)
	return s, clock
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) session(t *testing.T) Session {
	t.Helper()
	var body struct {
		ClientSession Session `json:"client_session"`
		OK            *bool   `json:"ok"`
	}
	if err := json.Unmarshal([]byte(r.body), &body); err != nil || r.status != http.StatusOK {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	return body.ClientSession
}

func (r reply) errorType() string {
	var body struct {
		Error struct {
			Type string `json:"type"`
		} `json:"error"`
	}
	_ = json.Unmarshal([]byte(r.body), &body)
	return body.Error.Type
}

func do(t *testing.T, s *Server, method, path, body string, header ...string) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(content)}
}

func get(t *testing.T, s *Server, credential, workspace, body string) reply {
	t.Helper()
	header := []string{"Authorization", "Bearer " + credential}
	if workspace != "" {
		header = append(header, "Seam-Workspace", workspace)
	}
	return do(t, s, http.MethodPost, "/client_sessions/get", body, header...)
}

const byID = `{"client_session_id":"cst1"}`

func TestCredentials(t *testing.T) {
	s, clock := newServer(t)
	s.AddCredential(console, Workspace1)
	s.AddCredential("seam_revoked", Workspace1)
	s.Revoke("seam_revoked")
	s.Put(Session{ID: "dead", WorkspaceID: Workspace1, Token: "seam_cst1dead", ExpiresAt: now})
	s.Put(Session{ID: "revoked", WorkspaceID: Workspace1, Token: "seam_cst1revoked", RevokedAt: now})
	s.Put(Session{ID: "mine", WorkspaceID: Workspace1, Token: "seam_cst1mine", ExpiresAt: now.Add(time.Second)})
	for _, test := range []struct {
		name, credential, workspace, body string
		status                            int
		typ, session                      string
	}{
		{"API key", APIKey1, "", byID, 200, "", "cst1"},
		{"API key, whatever workspace is asked for", APIKey1, "elsewhere", byID, 200, "", "cst1"},
		{"API key of another workspace", APIKey2, "", byID, 404, "client_session_not_found", ""},
		{"API key that was revoked", "seam_revoked", "", byID, 401, "unauthorized", ""},
		{"no credential", "", "", byID, 401, "unauthorized", ""},
		{"PAT", AccessToken, Workspace1, byID, 200, "", "cst1"},
		{"PAT without workspace", AccessToken, "", byID, 401, "access_token_used_for_api_key", ""},
		{"PAT of another workspace", AccessToken, Workspace2, byID, 401, "access_token_used_for_api_key", ""},
		{"unknown PAT", "seam_at9", Workspace1, byID, 401, "access_token_used_for_api_key", ""},
		{"console session", console, Workspace1, byID, 200, "", "cst1"},
		{"console session without workspace", console, "", byID, 401, "unauthorized", ""},
		{"publishable key", PublishableKey, "", byID, 401, "unauthorized", ""},
		{"client session token", JohnToken, "", byID, 200, "", "cst1"},
		{"client session token, asked for another", "seam_cst1mine", "", byID, 200, "", "mine"},
		{"client session token that is unknown", "seam_cst9", "", byID, 401, "client_session_not_found", ""},
		{"client session token that has expired", "seam_cst1dead", "", byID, 401, "client_session_expired", ""},
		{"client session token that was revoked", "seam_cst1revoked", "", byID, 401, "client_session_revoked", ""},
		{"client session token with both selectors", JohnToken, "", `{"client_session_id":"a","user_identifier_key":"b"}`, 400, "invalid_options", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := get(t, s, test.credential, test.workspace, test.body)
			if got.status != test.status || got.errorType() != test.typ {
				t.Fatalf("got %d %s", got.status, got.body)
			}
			if test.session != "" && got.session(t).ID != test.session {
				t.Errorf("got session %q, want %q", got.session(t).ID, test.session)
			}
			if !strings.HasPrefix(got.header.Get("Seam-Request-Id"), "request") {
				t.Errorf("request ID %q", got.header.Get("Seam-Request-Id"))
			}
		})
	}
	clock.SetTime(now.Add(time.Second))
	if got := get(t, s, "seam_cst1mine", "", byID); got.errorType() != "client_session_expired" {
		t.Errorf("once it has expired: %d %s", got.status, got.body)
	}
	if got := do(t, s, http.MethodPost, "/client_sessions/get", byID, "Authorization", "bearer "+APIKey1); got.status != 401 {
		t.Errorf("bearer in lower case: %d", got.status)
	}
}

func TestSelectors(t *testing.T) {
	s, _ := newServer(t)
	s.Put(Session{ID: "second", WorkspaceID: Workspace1, Token: "t", UserIdentifierKey: JohnUserIdentifierKey})
	s.Extend(JohnSessionID, now.Add(-time.Hour))
	for _, test := range []struct {
		body    string
		status  int
		session string
	}{
		{`{"user_identifier_key":"john_user_identifier_key"}`, 200, "cst1"}, // the oldest, even if it has expired
		{`{"client_session_id":"second"}`, 200, "second"},
		{`{"client_session_id":"none","user_identifier_key":"john_user_identifier_key"}`, 200, "cst1"}, // either
		{`{}`, 404, ""}, {``, 404, ""}, {`{"client_session_id":"none"}`, 404, ""}, {`{"user_identifier_key":""}`, 404, ""},
		{`{"client_session_id":7}`, 400, ""}, {`{`, 400, ""},
	} {
		got := get(t, s, APIKey1, "", test.body)
		if got.status != test.status || test.session != "" && got.session(t).ID != test.session {
			t.Errorf("%s: got %d %s", test.body, got.status, got.body)
		}
	}
	if got := get(t, s, APIKey1, "", `{`); got.body != "Invalid JSON\n" {
		t.Errorf("got %q", got.body)
	}
	if got := do(t, s, http.MethodDelete, "/client_sessions/get", ""); got.status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", got.status)
	}
	if got := do(t, s, http.MethodPost, "/elsewhere", ""); got.status != http.StatusNotFound || got.errorType() != "" {
		t.Errorf("another route: %d %s", got.status, got.body)
	}
}

func TestOwnerChangesSessions(t *testing.T) {
	s, _ := newServer(t)
	expect := func(id, token string, expires time.Time) {
		t.Helper()
		got := get(t, s, APIKey1, "", `{"user_identifier_key":"john_user_identifier_key"}`).session(t)
		if got.ID != id || got.Token != token || !got.ExpiresAt.Equal(expires) {
			t.Errorf("got %+v", got)
		}
	}
	expect("cst1", JohnToken, now.Add(year))
	s.Extend("cst1", now.Add(time.Minute))
	expect("cst1", JohnToken, now.Add(time.Minute))
	s.Change("cst1", func(session *Session) { session.Token = "seam_cst1b" })
	expect("cst1", "seam_cst1b", now.Add(time.Minute))
	s.Replace("cst1", Session{ID: "cst2", WorkspaceID: Workspace1, Token: "seam_cst2", UserIdentifierKey: JohnUserIdentifierKey})
	expect("cst2", "seam_cst2", time.Time{})
	if _, ok := s.Session("cst1"); ok || s.Delete("cst1") || !s.Delete("cst2") {
		t.Error("cst1 should be gone, and cst2 not yet")
	}
	for _, secret := range []string{JohnToken, "seam_cst1b", "seam_cst2", JohnUserIdentifierKey, APIKey1, AccessToken} {
		if !strings.Contains(strings.Join(s.Secrets(), " "), secret) {
			t.Errorf("%q is not among the secrets", secret)
		}
	}
}

// upsert sends a body to the control route.
func upsert(t *testing.T, s *Server, body string) Session {
	t.Helper()
	return do(t, s, http.MethodPost, "/_test/client_sessions", body).session(t)
}

func TestControlRouteUpserts(t *testing.T) {
	s, _ := newServer(t)
	added := upsert(t, s, `{"client_session_id":"rotating","token":"seam_cst1_before","expires_in_seconds":30,"unknown":[1]}`)
	want := Session{
		ID: "rotating", WorkspaceID: Workspace1, Token: "seam_cst1_before", CreatedAt: now, ExpiresAt: now.Add(30 * time.Second),
	}
	if !reflect.DeepEqual(added, want) {
		t.Errorf("got %+v, want %+v", added, want)
	}
	changed := upsert(t, s, `{"client_session_id":"rotating","user_identifier_key":"joe","expires_in_seconds":-0.5}`)
	want.UserIdentifierKey, want.ExpiresAt = "joe", now.Add(-time.Second/2)
	if !reflect.DeepEqual(changed, want) {
		t.Errorf("got %+v, want %+v", changed, want)
	}
	changed = upsert(t, s, `{"client_session_id":"rotating","user_identifier_key":null,"expires_at":null}`)
	want.UserIdentifierKey, want.ExpiresAt = "", time.Time{}
	if !reflect.DeepEqual(changed, want) {
		t.Errorf("got %+v, want %+v", changed, want)
	}
	first, second := upsert(t, s, `{}`), upsert(t, s, `{}`)
	if first.ID == second.ID || first.Token == second.Token || !first.ExpiresAt.Equal(now.Add(year)) {
		t.Errorf("got %+v and %+v", first, second)
	}
}

func TestControlRoutes(t *testing.T) {
	s, _ := newServer(t)
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{http.MethodPost, "/_test/client_sessions", `{"expires_at":"soon"}`, 400, "soon"},
		{http.MethodPost, "/_test/client_sessions", `[]`, 400, "error"},
		{http.MethodPost, "/_test/client_sessions", `{"client_session_id":"new"}`, 200, `"token":"seam_cst1`},
		{http.MethodGet, "/_test/client_sessions", ``, 200, `"client_session_id":"new"`},
		{http.MethodDelete, "/_test/client_sessions/new", ``, 200, "{}"},
		{http.MethodDelete, "/_test/client_sessions/new", ``, 404, "{}"},
		{http.MethodGet, "/health/get_health", ``, 200, "ok"},
	} {
		if got := do(t, s, test.method, test.path, test.body); got.status != test.status || !strings.Contains(got.body, test.want) {
			t.Errorf("%s %s %s: got %d %s", test.method, test.path, test.body, got.status, got.body)
		}
	}
	if s.CallCount() != 0 {
		t.Errorf("%d of them were counted", s.CallCount())
	}
}

func TestFaultsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, fault := range Faults {
		if fault.Name == "" || seen[fault.Name] || fault.serve == nil || fault.String() != fault.Name {
			t.Errorf("fault %q", fault.Name)
		}
		seen[fault.Name] = true
	}
}

func TestFaultsAreForAllOrForOne(t *testing.T) {
	s, _ := newServer(t)
	s.AddCredential("seam_other", Workspace1)
	s.Put(Session{ID: "cst2", WorkspaceID: Workspace1, Token: "t"})
	expect := func(credential, body string, want int) {
		t.Helper()
		if got := get(t, s, credential, "", body); got.status != want {
			t.Errorf("credential %s, %s: got %d, want %d", credential, body, got.status, want)
		}
	}
	const other = `{"client_session_id":"cst2"}`
	s.FailSession("cst1", Status(410, "gone"))
	expect(APIKey1, byID, 410)
	expect(APIKey1, `{"user_identifier_key":"john_user_identifier_key"}`, 410)
	expect(APIKey1, other, 200)
	s.FailCredential(APIKey1, Outage)
	expect(APIKey1, byID, 410)
	expect(APIKey1, other, 503)
	expect("seam_other", other, 200)
	s.Fail(ServerError)
	expect("seam_other", other, 500)
	s.HealSession("cst1")
	expect(APIKey1, byID, 503)
	s.HealCredential(APIKey1)
	expect(APIKey1, byID, 500)
	s.Fail(Fault{})
	expect(APIKey1, byID, 200)
	s.Fail(EmptyToken)
	expect(APIKey1, `{`, 400)
	s.Heal()
	expect(APIKey1, byID, 200)
}

func TestCallsAreCounted(t *testing.T) {
	s, clock := newServer(t)
	get(t, s, APIKey1, "w", byID)
	clock.SetTime(now.Add(time.Second))
	get(t, s, APIKey2, "", byID)
	get(t, s, APIKey2, "", `{"user_identifier_key":"jane"}`)
	if s.CallCount() != 3 || s.CallsWith(APIKey2) != 2 || s.CallsFor("cst1") != 2 || s.CallsFor("jane") != 1 || s.MaxInFlight() != 1 {
		t.Errorf("%d calls, %d with a key, %d for cst1, %d for jane, %d at once",
			s.CallCount(), s.CallsWith(APIKey2), s.CallsFor("cst1"), s.CallsFor("jane"), s.MaxInFlight())
	}
	want := Call{
		At: now, Path: "/client_sessions/get", Body: byID, Credential: APIKey1, Workspace: "w", ClientSessionID: "cst1", UserAgent: "Go-http-client/1.1", RequestID: "request1",
	}
	if got := s.Calls()[0]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.ResetCounts()
	if s.CallCount()+s.CallsWith(APIKey2)+s.CallsFor("cst1")+s.MaxInFlight()+len(s.Calls()) != 0 {
		t.Error("counts are left")
	}
	for range 2*keptCalls + 5 {
		s.mu.Lock()
		end := s.begin(Call{})
		s.mu.Unlock()
		end()
	}
	if s.CallCount() != 2*keptCalls+5 || len(s.Calls()) != keptCalls {
		t.Errorf("%d calls, %d kept", s.CallCount(), len(s.Calls()))
	}
}

func TestConcurrencyIsCounted(t *testing.T) {
	s, _ := newServer(t)
	s.Fail(Hang)
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/client_sessions/get", bytes.NewReader(nil))
			if err != nil {
				t.Error(err)
				return
			}
			request.Header.Set("Authorization", "Bearer "+APIKey1)
			response, err := http.DefaultTransport.RoundTrip(request)
			if err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
	for s.MaxInFlightWith(APIKey1) < 3 {
		runtime.Gosched()
	}
	s.Close() // ends what hangs
	group.Wait()
	if s.MaxInFlight() != 3 {
		t.Errorf("%d calls at once", s.MaxInFlight())
	}
}

func TestTLSAndTime(t *testing.T) {
	s := New(testclock.NewFakePassiveClock(now))
	s.StartTLS()
	defer s.Close()
	s.SetSkew(time.Minute)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CA()) {
		t.Fatal("no CA")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/client_sessions/get", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.Proto != "HTTP/2.0" || response.Header.Get("Date") != "Tue, 01 Jan 2030 00:01:00 GMT" {
		t.Errorf("%s at %s", response.Proto, response.Header.Get("Date"))
	}
}
