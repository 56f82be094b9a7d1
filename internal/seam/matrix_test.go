package seam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// server is a seeded seamtest.Server and a client of it, both with a clock that is stepped.
type server struct {
	*seamtest.Server
	clock  *testclock.FakePassiveClock
	client *Client
}

func newServer(t *testing.T, change func(*Config)) *server {
	t.Helper()
	s := &server{clock: testclock.NewFakePassiveClock(start)}
	s.Server = seamtest.New(s.clock)
	s.Seed()
	s.Start()
	t.Cleanup(s.Close)
	s.client = s.newClient(t, change)
	return s
}

func (s *server) newClient(t *testing.T, change func(*Config)) *Client {
	t.Helper()
	config := Config{Endpoint: s.URL(), UserAgent: "seam-session-operator/test", MaxInFlight: 8, Clock: s.clock}
	if change != nil {
		change(&config)
	}
	client, err := NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIdle(client) })
	return client
}

func closeIdle(client *Client) {
	if transport, ok := client.transport.(*http.Transport); ok {
		transport.CloseIdleConnections()
	}
}

func (s *server) step(d time.Duration) { s.clock.SetTime(s.clock.Now().Add(d)) }

func credential(t *testing.T, value, workspaceID string) Credential {
	t.Helper()
	c, err := ParseCredential(value, workspaceID)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var (
	john    = Selector{ClientSessionID: seamtest.JohnSessionID}
	johnKey = Selector{UserIdentifierKey: seamtest.JohnUserIdentifierKey}
)

func (s *server) get(t *testing.T, selector Selector) (*ClientSession, error) {
	t.Helper()
	return s.client.Connection(credential(t, seamtest.APIKey1, "")).GetClientSession(t.Context(), selector, Waiter{})
}

// expectSilent fails if a value shows a secret, however it is printed.
func expectSilent(t *testing.T, value any, secrets ...string) {
	t.Helper()
	shown := fmt.Sprintf("%v %+v %#v %s %q %d %x", value, value, value, value, value, value, value)
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	shown += string(encoded)
	for _, secret := range append(secrets, seamtest.JohnToken, seamtest.JohnUserIdentifierKey, seamtest.APIKey1) {
		if strings.Contains(shown, secret) || strings.Contains(shown, fmt.Sprintf("%x", secret)) {
			t.Errorf("%T shows %q: %s", value, secret, shown)
		}
	}
}

// shortTimeout is for calls that get no answer.
const shortTimeout = 300 * time.Millisecond

// fail makes every call meet a fault, and does not wait long for an answer that never comes.
func (s *server) fail(fault seamtest.Fault) {
	s.Fail(fault)
	if fault.Name == seamtest.Hang.Name {
		s.client.timeout = shortTimeout
	}
}

// matrix says what each fault is to who asks, by a client session ID that Seam knows.
var matrix = []struct {
	fault      seamtest.Fault
	kind       Kind
	status     int
	retryAfter time.Duration
	text       string
}{
	{fault: seamtest.Unauthorized, kind: Unauthorized, status: 401,
		text: "seam answered 401 unauthorized: check that the credential is current and not revoked"},
	{fault: seamtest.SecretsEverywhere, kind: Unauthorized, status: 401,
		text: "seam answered 401: check that the credential is current and not revoked"},
	{fault: seamtest.Forbidden, kind: Forbidden, status: 403,
		text: "seam answered 403 forbidden: check what the credential may do"},
	{fault: seamtest.NotFound, kind: NotFound, status: 404,
		text: "seam answered 404 client_session_not_found: no such client session in the workspace of the credential"},
	{fault: seamtest.NotFoundUntyped, kind: InvalidResponse, status: 404,
		text: "seam answered 404: check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.Status(404, "workspace_not_found"), kind: InvalidResponse, status: 404,
		text: "seam answered 404 workspace_not_found: check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.BadRequest, kind: InvalidRequest, status: 400,
		text: "seam answered 400 invalid_input: check the client session ID or user identifier key that is asked for"},
	{fault: seamtest.BadRequestPlain, kind: InvalidRequest, status: 400,
		text: "seam answered 400: check the client session ID or user identifier key that is asked for"},
	{fault: seamtest.Status(409, "client_session_not_found"), kind: InvalidResponse, status: 409,
		text: "seam answered 409 client_session_not_found: check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.Status(407, "x"), kind: Unavailable, status: 407, text: "seam answered 407 x: check the proxy"},
	{fault: seamtest.RequestTimeout, kind: Unavailable, status: 408,
		text: "seam answered 408: it is asked again; if this lasts, see whether Seam or a proxy before it is down"},
	{fault: seamtest.Status(418, "Not a type"), kind: InvalidResponse, status: 418,
		text: "seam answered 418: check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.RateLimitedSeconds, kind: RateLimited, status: 429, retryAfter: 20 * time.Second,
		text: "seam answered 429 too_many_requests: too many requests with this credential; it is asked again later"},
	{fault: seamtest.RateLimitedDate, kind: RateLimited, status: 429, retryAfter: 20 * time.Second,
		text: "seam answered 429 too_many_requests: too many requests with this credential; it is asked again later"},
	{fault: seamtest.RateLimitedSilent, kind: RateLimited, status: 429,
		text: "seam answered 429 too_many_requests: too many requests with this credential; it is asked again later"},
	{fault: seamtest.ServerError, kind: Unavailable, status: 500,
		text: "seam answered 500 internal_server_error: it is asked again; if this lasts, see whether Seam or a proxy before it is down"},
	{fault: seamtest.BadGateway, kind: Unavailable, status: 502,
		text: "seam answered 502: it is asked again; if this lasts, see whether Seam or a proxy before it is down"},
	{fault: seamtest.Outage, kind: Unavailable, status: 503,
		text: "seam answered 503: it is asked again; if this lasts, see whether Seam or a proxy before it is down"},
	{fault: seamtest.Redirect, kind: InvalidResponse, status: 307,
		text: "seam answered 307: a redirect, which is not followed: check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.RedirectTo(":not a URL"), kind: InvalidResponse, status: 307,
		text: "seam answered 307: a redirect, which is not followed: check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.ResetBeforeHeaders, kind: Unavailable, text: "seam can't be reached: connection reset"},
	{fault: seamtest.ResetInBody, kind: Unavailable, text: "seam can't be reached: connection reset"},
	{fault: seamtest.Hang, kind: Unavailable, text: "seam can't be reached: timed out after 300ms"},
	{fault: seamtest.HugeBody, kind: InvalidResponse, status: 200,
		text: "the answer is longer than 1 MiB: check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.Status(204, "x"), kind: InvalidResponse, status: 204,
		text: "seam answered 204: check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.TruncatedJSON, kind: InvalidResponse, status: 200,
		text: "the answer is not a client session in JSON: check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.HTML, kind: InvalidResponse, status: 200,
		text: "the answer is not a client session in JSON: check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.NotOK, kind: InvalidResponse, status: 200, text: "the answer has status 200 but says that it is not ok"},
	{fault: seamtest.EmptyToken, kind: InvalidResponse, status: 200, text: "the client session in the answer has no token"},
	{fault: seamtest.NoSession, kind: InvalidResponse, status: 200,
		text: "the answer holds no client session: check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.AnotherSession, kind: Mismatch, status: 200,
		text: `client_session_id of the answer is "another_session", and "cst1" was asked for: ` + "check --seam-endpoint, and what is between here and Seam"},
	{fault: seamtest.UnreadableExpiry, kind: InvalidResponse, status: 200,
		text: "the expires_at in the answer is not a time that can be read"},
}

func TestFaultIsAnErrorThatSaysWhatToDo(t *testing.T) {
	for _, test := range matrix {
		t.Run(test.fault.Name, func(t *testing.T) {
			s := newServer(t, nil)
			s.fail(test.fault)
			_, err := s.get(t, john)
			var failed *Error
			if !errors.As(err, &failed) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if failed.Kind != test.kind || failed.StatusCode != test.status ||
				failed.RetryAfter != test.retryAfter || failed.Error() != test.text {
				t.Errorf("got %s, status %d, retry after %s: %s\nwant %s, status %d, retry after %s: %s",
					failed.Kind, failed.StatusCode, failed.RetryAfter, failed,
					test.kind, test.status, test.retryAfter, test.text)
			}
			expectSilent(t, failed)
			expectSilent(t, *failed)
			expectSilent(t, failed.RequestID)
			expectSilent(t, &HeldError{Cause: failed})

			s.step(2 * time.Hour) // past every block
			_, again := s.get(t, john)
			if again == nil || again.Error() != err.Error() {
				t.Errorf("the second time the text is %q, the first time it was %q", again, err)
			}
		})
	}
}

func TestEveryFaultIsInTheMatrix(t *testing.T) {
	good := map[string]bool{}
	for _, fault := range []seamtest.Fault{
		seamtest.PastExpiry, seamtest.NoExpiry, seamtest.UnknownFields, seamtest.AnotherWorkspace,
	} {
		good[fault.Name] = true // TestAnswersThatAreGood
	}
	for _, test := range matrix {
		good[test.fault.Name] = true
	}
	for _, fault := range seamtest.Faults {
		if !good[fault.Name] {
			t.Errorf("no test has the fault %q", fault)
		}
	}
}

func TestFaultsOverTLSAndHTTP2(t *testing.T) {
	for _, test := range matrix {
		t.Run(test.fault.Name, func(t *testing.T) {
			s := &server{clock: testclock.NewFakePassiveClock(start)}
			s.Server = seamtest.New(s.clock)
			s.Seed()
			s.StartTLS()
			t.Cleanup(s.Close)
			var protocol atomic.Value
			s.client = s.newClient(t, func(c *Config) {
				c.CABundle = s.CA()
				c.Instrument = func(next http.RoundTripper) http.RoundTripper {
					t.Cleanup(next.(*http.Transport).CloseIdleConnections)
					return roundTripper(func(r *http.Request) (*http.Response, error) {
						response, err := next.RoundTrip(r)
						if err == nil {
							protocol.Store(response.Proto)
						}
						return response, err
					})
				}
			})
			s.fail(test.fault)
			_, err := s.get(t, john)
			var failed *Error
			if !errors.As(err, &failed) || failed.Kind != test.kind || failed.StatusCode != test.status {
				t.Fatalf("got %v, want %s, status %d", err, test.kind, test.status)
			}
			if got := protocol.Load(); got != nil && got != "HTTP/2.0" {
				t.Errorf("the call was made over %v", got)
			}
			expectSilent(t, failed)
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAnswersThatAreGood(t *testing.T) {
	end := start.Add(365 * 24 * time.Hour)
	past := start.Add(-time.Hour)
	for _, test := range []struct {
		fault seamtest.Fault
		end   *time.Time
	}{
		{seamtest.Fault{}, &end}, {seamtest.PastExpiry, &past}, {seamtest.NoExpiry, nil}, {seamtest.UnknownFields, &end},
	} {
		t.Run(test.fault.Name, func(t *testing.T) {
			s := newServer(t, nil)
			s.Fail(test.fault)
			session, err := s.get(t, john)
			if err != nil {
				t.Fatal(err)
			}
			if session.ID != "cst1" || session.Token != seamtest.JohnToken || session.WorkspaceID != seamtest.Workspace1 ||
				session.UserIdentifierKey != seamtest.JohnUserIdentifierKey {
				t.Errorf("got another session: ID %q of %q", session.ID, session.WorkspaceID)
			}
			if (session.ExpiresAt == nil) != (test.end == nil) || test.end != nil && !session.ExpiresAt.Equal(*test.end) {
				t.Errorf("expires at %v, want %v", session.ExpiresAt, test.end)
			}
			if !session.Date.Equal(start) {
				t.Errorf("answered at %s, want %s", session.Date, start)
			}
			expectSilent(t, session)
			expectSilent(t, *session)
		})
	}
}

func TestAnswerOfAnotherWorkspace(t *testing.T) {
	s := newServer(t, nil)
	s.Fail(seamtest.AnotherWorkspace)
	if session, err := s.get(t, john); err != nil || session.WorkspaceID != "another_workspace" {
		t.Errorf("where none is asked for: got %v, %v", session, err)
	}
	connection := s.client.Connection(credential(t, seamtest.APIKey1, seamtest.Workspace1))
	_, err := connection.GetClientSession(t.Context(), john, Waiter{})
	var failed *Error
	const want = `workspace_id of the answer is "another_workspace", and "seed_workspace_1" was asked for: check the workspace ID and the credential`
	if !errors.As(err, &failed) || failed.Kind != Mismatch || failed.Error() != want || failed.StatusCode != 200 || failed.RequestID == "" {
		t.Errorf("got %v", err)
	}
}

func TestAnswerAboutAnotherUser(t *testing.T) {
	s := newServer(t, nil)
	s.Fail(seamtest.AnotherSession)
	_, err := s.get(t, johnKey)
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != Mismatch {
		t.Errorf("got %v", err)
	}
	expectSilent(t, failed, "another_user")
}

func TestConnectionRefused(t *testing.T) {
	s := newServer(t, nil)
	s.Close()
	_, err := s.get(t, john)
	if textOf(err) != "seam can't be reached: connection refused" {
		t.Errorf("got %v", err)
	}
}

func TestHostNotFound(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Endpoint = "https://seam.invalid" })
	_, err := s.get(t, john)
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != Unavailable {
		t.Fatalf("got %v", err)
	}
	// Which of them depends on whether this machine has a name server.
	notFound := "seam can't be reached: host not found: " + checkEndpoint
	if text := failed.Error(); text != notFound && text != "seam can't be reached: the lookup of the host failed" {
		t.Errorf("got %q", text)
	}
}

func TestTLS(t *testing.T) {
	s := seamtest.New(nil)
	s.Seed()
	s.StartTLS()
	defer s.Close()
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"unknown CA", func(*Config) {},
			"seam can't be reached: TLS: certificate signed by unknown authority: give the certificate of its CA with --seam-ca-file"},
		{"known CA", func(c *Config) { c.CABundle = s.CA() }, ""},
		{"another host", func(c *Config) {
			c.CABundle, c.Endpoint = s.CA(), strings.Replace(s.URL(), "127.0.0.1", "localhost", 1)
		}, "seam can't be reached: TLS: certificate is for another host: " + checkEndpoint},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := Config{Endpoint: s.URL()}
			test.change(&config)
			client, err := NewClient(config)
			if err != nil {
				t.Fatal(err)
			}
			defer closeIdle(client)
			_, err = client.Connection(credential(t, seamtest.APIKey1, "")).GetClientSession(t.Context(), john, Waiter{})
			if got := textOf(err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestServerThatDoesNotSpeakTLS(t *testing.T) {
	s := newServer(t, nil)
	s.client = s.newClient(t, func(c *Config) { c.Endpoint = strings.Replace(s.URL(), "http:", "https:", 1) })
	_, err := s.get(t, john)
	if want := "seam can't be reached: TLS: the server does not speak it: " + checkEndpoint; textOf(err) != want {
		t.Errorf("got %q, want %q", textOf(err), want)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var strays atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strays.Add(1) }))
	defer elsewhere.Close()
	s := newServer(t, nil)
	s.Fail(seamtest.RedirectTo(elsewhere.URL))
	if _, err := s.get(t, john); err == nil {
		t.Error("a redirect is no error")
	}
	if strays.Load() != 0 {
		t.Error("the redirect was followed, with the credential")
	}
}

func TestHugeBodyIsNotRead(t *testing.T) {
	s := newServer(t, nil)
	s.Fail(seamtest.HugeBody)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	if _, err := s.get(t, john); err == nil {
		t.Fatal("1 GiB is no error")
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 16<<20 || took > 10*time.Second {
		t.Errorf("took %s and %d bytes", took, allocated)
	}
}

// answering is a connection to a server that runs f.
func answering(t *testing.T, f http.HandlerFunc) *Connection {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	client, err := NewClient(Config{Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIdle(client) })
	return client.Connection(credential(t, seamtest.APIKey1, ""))
}

func TestTimeoutCoversTheBody(t *testing.T) {
	for status, want := range map[int]string{
		200: "seam can't be reached: timed out after 300ms",
		404: "seam can't be reached: timed out after 300ms",
		401: "seam answered 401: check that the credential is current and not revoked",
		403: "seam answered 403: check what the credential may do",
		429: "seam answered 429: too many requests with this credential; it is asked again later",
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			connection := answering(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(status)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
			connection.client.timeout = shortTimeout
			began := time.Now()
			_, err := connection.GetClientSession(t.Context(), john, Waiter{})
			if took := time.Since(began); textOf(err) != want || took < shortTimeout || took > 10*time.Second {
				t.Errorf("got %q after %s, want %q", textOf(err), took, want)
			}
		})
	}
}

func TestConnectionClosedInTheMiddle(t *testing.T) {
	for _, part := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"} {
		connection := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, part)
			_ = conn.Close()
		})
		_, err := connection.GetClientSession(t.Context(), john, Waiter{})
		if want := "seam can't be reached: connection reset"; textOf(err) != want {
			t.Errorf("after %q: got %q, want %q", part, textOf(err), want)
		}
	}
}

func TestAnswerThatIsNotHTTP(t *testing.T) {
	for _, words := range []string{"SSH-2.0-OpenSSH_9.9\r\n", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"} {
		connection := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, words)
			_, _ = io.Copy(io.Discard, conn) // until the client closes: no reset
			_ = conn.Close()
		})
		_, err := connection.GetClientSession(t.Context(), john, Waiter{})
		if want := "seam can't be reached: the connection failed, or what answers does not speak HTTP: " + checkEndpoint; textOf(err) != want {
			t.Errorf("got %q, want %q", textOf(err), want)
		}
	}
}

func TestCallerGivesUp(t *testing.T) {
	s := newServer(t, nil)
	s.Fail(seamtest.Hang)
	ctx, cancel := context.WithCancel(t.Context())
	connection := s.client.Connection(credential(t, seamtest.APIKey1, ""))
	ended := make(chan error)
	go func() {
		_, err := connection.GetClientSession(ctx, john, Waiter{})
		ended <- err
	}()
	for s.CallCount() == 0 {
		runtime.Gosched()
	}
	cancel()
	err := <-ended
	var failed *Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
		t.Errorf("got %v, want what wraps context.Canceled and is no *Error", err)
	}
	_, err = connection.GetClientSession(ctx, john, Waiter{})
	if !errors.Is(err, context.Canceled) || s.CallCount() != 1 || connection.account.issued != 1 {
		t.Errorf("with a context that had ended: got %v, %d calls, %d issued", err, s.CallCount(), connection.account.issued)
	}
}
