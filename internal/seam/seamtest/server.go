// Package seamtest is a Seam server for tests, and for the demo where Seam's own fake can't run. It answers
// the routes that the project calls as Seam does, for every kind of credential, and fails as Seam and the networks before it fail.
// Where it is unknown what Seam does, Behaviour says what the server does.
//
// In it goes what a server does, seen from outside. It knows neither the client that it serves nor Kubernetes, and imports
// nothing of the project, so that every package's tests can use it.
package seamtest

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// keptCalls bounds what Calls returns.
const keptCalls = 10_000

// Server is a Seam server. It is safe for concurrent use, and everything about it can be changed while it runs.
type Server struct {
	clock   clock.PassiveClock
	handler http.Handler
	done    chan struct{}
	closing sync.Once

	mu          sync.Mutex
	listening   *httptest.Server
	credentials map[string][]string // the workspaces of each
	sessions    []Session           // oldest first
	positions   map[string]int      // in sessions, by ID
	secrets     map[string]struct{}
	events      []deletion // oldest first
	faults      faults
	behaviour   Behaviour
	latency     time.Duration
	changed     chan struct{} // closed when the latency changes
	ahead       time.Duration
	created     int

	requests int
	calls    []Call
	total    int
	now, max int
	with     map[string]*usage
	about    map[string]int
	to       map[string]int
}

// usage counts the calls of one credential.
type usage struct{ total, now, max int }

// The routes.
const (
	getPath         = "/client_sessions/get"
	getOrCreatePath = "/client_sessions/get_or_create"
	deletePath      = "/client_sessions/delete"
	workspacePath   = "/workspaces/get"
	eventsPath      = "/events/list"
)

// Call is one call of a route of Seam's.
type Call struct {
	// At is when it came, by the server's clock.
	At time.Time
	// Path is the route.
	Path string
	// Body is what was sent.
	Body string
	// Credential and Workspace are what came in the headers.
	Credential, Workspace string
	// ClientSessionID and UserIdentifierKey are what was asked for.
	ClientSessionID, UserIdentifierKey string
	// UserAgent is what the caller called itself.
	UserAgent string
	// RequestID is what the answer's seam-request-id header said.
	RequestID string
}

// New returns a server without credentials and sessions, whose time is the clock's; nil stands for the system's.
func New(c clock.PassiveClock) *Server {
	if c == nil {
		c = clock.RealClock{}
	}
	s := &Server{
		clock:       c,
		done:        make(chan struct{}),
		credentials: map[string][]string{},
		positions:   map[string]int{},
		changed:     make(chan struct{}),
		secrets:     map[string]struct{}{},
		faults:      newFaults(),
		with:        map[string]*usage{},
		about:       map[string]int{},
		to:          map[string]int{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc(getPath, s.serve(getClientSession))
	mux.HandleFunc(getOrCreatePath, s.serve(getOrCreateClientSession))
	mux.HandleFunc(deletePath, s.serve(deleteClientSession))
	mux.HandleFunc(workspacePath, s.serve(getWorkspace))
	mux.HandleFunc(eventsPath, s.serve(listEvents))
	mux.HandleFunc("GET /health/get_health", s.getHealth)
	mux.HandleFunc("GET /_test/client_sessions", s.controlList)
	mux.HandleFunc("POST /_test/client_sessions", s.controlUpsert)
	mux.HandleFunc("DELETE /_test/client_sessions/{id}", s.controlDelete)
	s.handler = mux
	return s
}

// Handler answers as the server does.
func (s *Server) Handler() http.Handler { return s.handler }

// Start listens on a free port of 127.0.0.1. It panics if it can't.
func (s *Server) Start() {
	s.listen((*httptest.Server).Start)
}

// StartTLS is Start with TLS and HTTP/2, and a certificate of CA.
func (s *Server) StartTLS() {
	s.listen(func(server *httptest.Server) {
		server.EnableHTTP2 = true
		server.StartTLS()
	})
}

func (s *Server) listen(start func(*httptest.Server)) {
	server := httptest.NewUnstartedServer(s.handler)
	server.Config.ErrorLog = discardLog()
	start(server)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listening = server
}

// Close ends the calls under way and stops listening.
func (s *Server) Close() {
	s.closing.Do(func() { close(s.done) })
	s.mu.Lock()
	server := s.listening
	s.mu.Unlock()
	if server != nil {
		server.CloseClientConnections()
		server.Close()
	}
}

// URL is the base URL, once the server has started.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening.URL
}

// CA is the certificate, in PEM, that who calls a server started with TLS must trust.
func (s *Server) CA() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.listening.Certificate().Raw})
}

// SetLatency makes every answer take that long, by the system's clock. Those that are waited for are given at once.
func (s *Server) SetLatency(latency time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.latency, s.changed = latency, make(chan struct{})
}

// SetSkew makes the server's Date header differ from its clock.
func (s *Server) SetSkew(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
}

// CallCount is how many calls there were since the start or ResetCounts.
func (s *Server) CallCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// CallsWith is how many of them came with a credential.
func (s *Server) CallsWith(credential string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usage(credential).total
}

// CallsTo is how many of them went to a route, such as /client_sessions/get.
func (s *Server) CallsTo(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to[path]
}

// CallsFor is how many of them asked for a client session ID or a user identifier key.
func (s *Server) CallsFor(selector string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.about[selector]
}

// MaxInFlight is how many of them were under way at once at most.
func (s *Server) MaxInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.max
}

// MaxInFlightWith is how many with one credential were.
func (s *Server) MaxInFlightWith(credential string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usage(credential).max
}

// Calls returns the last calls, oldest first; at most 10,000 are kept.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls[max(0, len(s.calls)-keptCalls):]...)
}

// ResetCounts forgets the calls that were. Those under way count as they end.
func (s *Server) ResetCounts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.total, s.max, s.about, s.to = nil, 0, s.now, map[string]int{}, map[string]int{}
	for _, u := range s.with {
		u.total, u.max = 0, u.now
	}
}

// usage returns the counts of a credential. The lock is held.
func (s *Server) usage(credential string) *usage {
	if s.with[credential] == nil {
		s.with[credential] = &usage{}
	}
	return s.with[credential]
}

// begin records a call and returns what ends it. The lock is held.
func (s *Server) begin(call Call) (end func()) {
	if len(s.calls) == 2*keptCalls { // now and then, rather than move all of them at each call
		s.calls = append([]Call(nil), s.calls[keptCalls:]...)
	}
	s.calls = append(s.calls, call)
	s.total++
	s.about[call.ClientSessionID+call.UserIdentifierKey]++
	s.to[call.Path]++
	s.now++
	s.max = max(s.max, s.now)
	u := s.usage(call.Credential)
	u.total++
	u.now++
	u.max = max(u.max, u.now)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now--
		u.now--
	}
}

// nextRequestID names a request as Seam's fake does. The lock is held.
func (s *Server) nextRequestID() string {
	s.requests++
	return "request" + strconv.Itoa(s.requests)
}

// wait lets the time pass that the answer takes, or until it is given sooner. It returns false if nobody waits for it any more.
func (s *Server) wait(r *http.Request, duration time.Duration, sooner <-chan struct{}) bool {
	if duration <= 0 {
		return true
	}
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-sooner:
		return true
	case <-r.Context().Done():
	case <-s.done:
	}
	return false
}
