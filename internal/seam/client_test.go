package seam

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

func TestConfigThatIsWrong(t *testing.T) {
	notACertificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	privateKey := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
	const baseURL = "endpoint: must be a base URL such as https://connect.getseam.com"
	const clear = "endpoint: credentials and tokens would travel in the clear: use https, or allow http with --seam-allow-http"
	for _, test := range []struct {
		config Config
		want   string
	}{
		{Config{Endpoint: ""}, baseURL},
		{Config{Endpoint: "connect.getseam.com"}, baseURL},
		{Config{Endpoint: "ftp://connect.getseam.com"}, baseURL},
		{Config{Endpoint: "https:connect.getseam.com"}, baseURL},
		{Config{Endpoint: "https://"}, baseURL},
		{Config{Endpoint: "https://:443"}, baseURL},
		{Config{Endpoint: "https://a b"}, baseURL},
		{Config{Endpoint: "https://user:hunter2@seam.test"}, "endpoint: must hold no user and password: the credential comes from a Secret"},
		{Config{Endpoint: "https://user:hunter2@seam.test:port"}, baseURL},
		{Config{Endpoint: "https://seam.test/?a=b"}, "endpoint: must have neither query nor fragment: a base URL such as https://connect.getseam.com"},
		{Config{Endpoint: "https://seam.test/?"}, "endpoint: must have neither query nor fragment: a base URL such as https://connect.getseam.com"},
		{Config{Endpoint: "https://seam.test/#a"}, "endpoint: must have neither query nor fragment: a base URL such as https://connect.getseam.com"},
		{Config{Endpoint: "http://seam.test"}, clear},
		{Config{Endpoint: "http://10.0.0.1"}, clear},
		{Config{Endpoint: "http://localhost.seam.test"}, clear},
		{Config{Endpoint: DefaultEndpoint, CABundle: []byte("x")}, "CA bundle: holds no certificate in PEM (BEGIN CERTIFICATE)"},
		{Config{Endpoint: DefaultEndpoint, CABundle: privateKey}, "CA bundle: must hold certificates alone (BEGIN CERTIFICATE)"},
		{Config{Endpoint: DefaultEndpoint, CABundle: notACertificate}, "CA bundle: certificate 1 can't be read: x509: malformed certificate"},
		{Config{Endpoint: DefaultEndpoint, UserAgent: "a\nb"}, "user agent: must be printable ASCII such as seam-session-operator/1.0.0"},
		{Config{Endpoint: DefaultEndpoint, Timeout: -1}, "timeout: must be a positive duration such as 30s, not -1ns"},
	} {
		if _, err := NewClient(test.config); textOf(err) != test.want {
			t.Errorf("endpoint %q: got %q, want %q", test.config.Endpoint, textOf(err), test.want)
		}
	}
}

func TestConfigThatIsRight(t *testing.T) {
	for _, config := range []Config{
		{Endpoint: DefaultEndpoint}, {Endpoint: "https://seam.test:8443/base/"}, {Endpoint: "http://localhost:8080"},
		{Endpoint: "http://127.0.0.2"}, {Endpoint: "http://[::1]:80"}, {Endpoint: "http://seam.test", AllowHTTP: true},
	} {
		if _, err := NewClient(config); err != nil {
			t.Errorf("endpoint %q: %v", config.Endpoint, err)
		}
	}
}

func TestRequest(t *testing.T) {
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJrZXkiOiJhIn0.c2ln"
	for _, test := range []struct {
		name, value, workspace string
		selector               Selector
		wantBody               string
	}{
		{"API key, by ID", "seam_apikey1_token", "", john, `{"client_session_id":"cst1"}`},
		{"API key, by user key", "seam_apikey1_token", "w", johnKey, `{"user_identifier_key":"john_user_identifier_key"}`},
		{"PAT", "seam_at1_longtoken", "w", john, `{"client_session_id":"cst1"}`},
		{"console session", jwt, "w", john, `{"client_session_id":"cst1"}`},
		{"client session token", "seam_cst1_token", "", john, `{"client_session_id":"cst1"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got *http.Request
			var body strings.Builder
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = r
				_, _ = io.Copy(&body, r.Body)
			}))
			defer server.Close()
			client, err := NewClient(Config{Endpoint: server.URL + "/base/", UserAgent: "seam-session-operator/1.2.3"})
			if err != nil {
				t.Fatal(err)
			}
			defer closeIdle(client)
			_, err = client.Connection(credential(t, test.value, test.workspace)).GetClientSession(t.Context(), test.selector, Waiter{})
			if err == nil {
				t.Fatal("an empty answer is no error")
			}
			want := http.Header{
				"Accept": {"application/json"}, "Authorization": {"Bearer " + test.value}, "Content-Type": {"application/json"},
				"User-Agent": {"seam-session-operator/1.2.3"}, "Seam-Workspace": {test.workspace}, "Accept-Encoding": {""},
			}
			for name, values := range want {
				if got.Header.Get(name) != values[0] {
					t.Errorf("header %s: %q, want %q", name, got.Header.Get(name), values[0])
				}
			}
			if got.Header.Values("Idempotency-Key") != nil || test.workspace == "" && got.Header.Values("Seam-Workspace") != nil {
				t.Errorf("headers %v", got.Header)
			}
			if got.Method != http.MethodPost || got.URL.Path != "/base/client_sessions/get" || body.String() != test.wantBody {
				t.Errorf("got %s %s: %q", got.Method, got.URL.Path, body.String())
			}
		})
	}
}

// countDials makes the client's transport count its connections.
func countDials(client *Client) *atomic.Int32 {
	transport := client.transport.(*http.Transport)
	dials, dial := new(atomic.Int32), transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return dial(ctx, network, address)
	}
	return dials
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	s := newServer(t, nil)
	dials := countDials(s.client)
	for _, fault := range []seamtest.Fault{
		{}, seamtest.NotFound, seamtest.BadGateway, seamtest.Outage, seamtest.Redirect, seamtest.HTML, seamtest.Unauthorized, {},
	} {
		s.Fail(fault)
		s.step(time.Hour)
		_, _ = s.get(t, john)
	}
	if s.CallCount() != 8 || dials.Load() != 1 {
		t.Errorf("%d connections for %d calls, want one for 8", dials.Load(), s.CallCount())
	}
}

func TestIdleConnectionThatDiedIsReplaced(t *testing.T) {
	var cut atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if cut.CompareAndSwap(true, false) { // as a load balancer that has forgotten the connection
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.Close()
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	client, err := NewClient(Config{Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer closeIdle(client)
	for range 2 {
		_, err := client.Connection(credential(t, seamtest.APIKey1, "")).GetClientSession(t.Context(), john, Waiter{})
		if want := "seam answered 403: check what the credential may do"; textOf(err) != want {
			t.Errorf("got %q, want %q", textOf(err), want)
		}
		cut.Store(true)
	}
}

func TestProxyThatRefuses(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer proxy.Close()
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client, err := NewClient(Config{Endpoint: "https://seam.invalid"})
	if err != nil {
		t.Fatal(err)
	}
	client.transport.(*http.Transport).Proxy = http.ProxyURL(address)
	_, err = client.Connection(credential(t, seamtest.APIKey1, "")).GetClientSession(t.Context(), john, Waiter{})
	if want := "seam can't be reached: the proxy refused the connection with status 407"; textOf(err) != want {
		t.Errorf("got %q, want %q", textOf(err), want)
	}
}

func TestClockSkewIsLoggedOnceForEachChange(t *testing.T) {
	s := newServer(t, nil)
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	ctx := logr.NewContext(t.Context(), log)
	for _, step := range []struct {
		ahead time.Duration // how far Seam's clock is before ours
		lines int
	}{
		{0, 0}, {30 * time.Second, 0}, {31 * time.Second, 1}, {time.Hour, 1}, {-time.Hour, 1}, {-30 * time.Second, 2},
		{-31 * time.Second, 3}, {-31 * time.Second, 3},
	} {
		s.SetSkew(step.ahead)
		if _, err := s.connection(t).GetClientSession(ctx, john, Waiter{}); err != nil {
			t.Fatal(err)
		}
		if len(lines) != step.lines {
			t.Fatalf("with Seam's clock %s ahead there are %d lines, want %d: %q", step.ahead, len(lines), step.lines, lines)
		}
	}
	for _, line := range lines {
		expectSilent(t, line)
	}
	if !strings.Contains(lines[0], `"ahead"="-31s"`) {
		t.Errorf("got %q", lines[0])
	}
}

func TestDateIsSeamsOwn(t *testing.T) {
	s := newServer(t, nil)
	s.step(999 * time.Millisecond)
	s.SetSkew(48 * time.Hour)
	session, err := s.get(t, john)
	if err != nil {
		t.Fatal(err)
	}
	if want := start.Add(48 * time.Hour); session.Date != want {
		t.Errorf("got %s, want %s", session.Date, want)
	}
	for _, header := range []http.Header{{}, {"Date": {"today"}}, {"Date": {"2030-01-01T00:00:00Z"}}} {
		if got := dateOf(header); !got.IsZero() {
			t.Errorf("%v: got %s, want none", header, got)
		}
	}
}
