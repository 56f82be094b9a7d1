package seam

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// DefaultEndpoint is Seam's own base URL.
	DefaultEndpoint = "https://connect.getseam.com"

	// defaultTimeout is what Seam's maintained SDKs give an attempt.
	defaultTimeout = 30 * time.Second
	// idleAfter is how long a connection that nobody uses is remembered.
	idleAfter = 10 * time.Minute
)

// Config is what a Client needs to know.
type Config struct {
	// Endpoint is the base URL: https, or http to a loopback address.
	Endpoint string
	// AllowHTTP allows http to any address. Credentials and tokens then travel in the clear.
	AllowHTTP bool
	// CABundle holds certificates in PEM that are trusted beside the system's; may be empty.
	CABundle []byte
	// UserAgent is sent with every call: seam-session-operator/<version>.
	UserAgent string
	// Timeout bounds a call, its body included. Default: 30 s.
	Timeout time.Duration
	// MaxInFlight is how many calls may be under way at once, over all credentials, at least 1. One credential alone gets three
	// quarters of them.
	MaxInFlight int
	// Clock is the wall clock. Default: the system's. If it is a clock.WithDelayedExecution, waiters are woken in time also
	// where no call begins or ends; it must then call functions without a lock of its own.
	Clock clock.PassiveClock
	// Instrument, which may be nil, wraps the transport: for metrics.
	Instrument func(http.RoundTripper) http.RoundTripper
}

// Client makes calls to one Seam server. It is safe for concurrent use.
type Client struct {
	endpoint  *url.URL
	userAgent string
	timeout   time.Duration
	clock     clock.PassiveClock
	transport http.RoundTripper
	skew      skewWatch

	mu          sync.Mutex // guards what is below, and in it
	connections map[[sha256.Size]byte]*Connection
	swept       time.Time
	pool        *pool
	timed       bool // whether tick will be called
}

// NewClient returns a client, or an error that says what to write instead.
func NewClient(config Config) (*Client, error) {
	endpoint, err := parseEndpoint(config.Endpoint, config.AllowHTTP)
	if err != nil {
		return nil, err
	}
	roots, err := parseCABundle(config.CABundle)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(config.UserAgent, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, errors.New("user agent: must be printable ASCII such as seam-session-operator/1.0.0")
	}
	if config.Timeout < 0 {
		return nil, fmt.Errorf("timeout: must be a positive duration such as 30s, not %s", config.Timeout)
	}
	if config.Timeout == 0 {
		config.Timeout = defaultTimeout
	}
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	maxCalls := max(1, config.MaxInFlight)
	var transport http.RoundTripper = newTransport(roots, maxCalls)
	if config.Instrument != nil {
		transport = config.Instrument(transport)
	}
	return &Client{
		endpoint:    endpoint,
		userAgent:   config.UserAgent,
		timeout:     config.Timeout,
		clock:       config.Clock,
		transport:   transport,
		connections: map[[sha256.Size]byte]*Connection{},
		swept:       config.Clock.Now(),
		pool:        newPool(maxCalls),
	}, nil
}

func parseEndpoint(endpoint string, allowHTTP bool) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	// The URL itself may hold a password: none of these messages repeats it.
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" || (u.Scheme != "https" && u.Scheme != "http"):
		return nil, errors.New("endpoint: must be a base URL such as " + DefaultEndpoint)
	case u.User != nil:
		return nil, errors.New("endpoint: must hold no user and password: the credential comes from a Secret")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("endpoint: must have neither query nor fragment: a base URL such as " + DefaultEndpoint)
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		return nil, errors.New("endpoint: credentials and tokens would travel in the clear: " +
			"use https, or allow http with --seam-allow-http")
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// parseCABundle returns the system's roots with those of the bundle added, or nil, for the system's, if that is empty.
func parseCABundle(bundle []byte) (*x509.CertPool, error) {
	if len(bundle) == 0 {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	added := 0
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("CA bundle: must hold certificates alone (BEGIN CERTIFICATE)")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("CA bundle: certificate %d can't be read: %w", added+1, err)
		}
		roots.AddCert(certificate)
		added++
	}
	if added == 0 {
		return nil, errors.New("CA bundle: holds no certificate in PEM (BEGIN CERTIFICATE)")
	}
	return roots, nil
}

func newTransport(roots *x509.CertPool, maxCalls int) *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
			if response.StatusCode != http.StatusOK {
				return proxyRefusal(response.StatusCode)
			}
			return nil
		},
		DialContext:       (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
		// A connection that died while it was idle is found out by pings, not by the first call.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		TLSHandshakeTimeout:    10 * time.Second,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxCalls,
		MaxResponseHeaderBytes: 64 << 10,
		// Shorter than the idle time-out of usual load balancers, which is a minute.
		IdleConnTimeout: 30 * time.Second,
	}
}

// Connection is what every caller with this credential and workspace shares: the same one for all of them. The credential
// comes from ParseCredential.
func (c *Client) Connection(credential Credential) *Connection {
	secret := credential.reveal()
	key := sha256.Sum256([]byte(secret.value + "\x00" + secret.workspaceID))
	now := c.clock.Now()

	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(now)
	connection, ok := c.connections[key]
	if !ok {
		connection = newConnection(c, credential)
		c.connections[key] = connection
	}
	connection.used = now
	return connection
}

// sweep forgets, now and then, the connections that nobody has used for a while and that hold nobody back.
func (c *Client) sweep(now time.Time) {
	if age := now.Sub(c.swept); age >= 0 && age < time.Minute {
		return
	}
	c.swept = now
	for key, connection := range c.connections {
		if connection.idle(now) {
			delete(c.connections, key)
		}
	}
}

// Paused is how many credentials are kept back now, by a 401 or a 429, be it from one route.
func (c *Client) Paused() int {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	paused := 0
	for _, connection := range c.connections {
		if connection.account.held(now) {
			paused++
		}
	}
	return paused
}

// Reach is how many credentials that were used lately Seam answered at the last call with each, and with how many it could not
// be reached or could not answer. So an outage can be told from a credential, or a session, that is wrong.
func (c *Client) Reach() (answered, unanswered int) {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, connection := range c.connections {
		switch {
		case now.Sub(connection.used) >= idleAfter:
		case connection.account.reach == reached:
			answered++
		case connection.account.reach == unreached:
			unanswered++
		}
	}
	return answered, unanswered
}

// setTimer sees to it that waiters are woken when time alone makes room for them. The lock is held.
func (c *Client) setTimer() {
	timers, ok := c.clock.(clock.WithDelayedExecution)
	if ok && !c.timed && c.pool.waits() {
		c.timed = true
		timers.AfterFunc(tickInterval, func() { go c.tick() }) // a clock of tests calls with its lock held
	}
}

func (c *Client) tick() {
	now := c.clock.Now()
	c.mu.Lock()
	c.timed = false
	woken := c.pool.tick(now)
	c.setTimer()
	c.mu.Unlock()
	wake(woken)
}
