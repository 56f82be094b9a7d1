package metrics

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// What anybody who reaches the port can have the operator hold is bounded by these. controller-runtime's own server takes a
// megabyte of header, and any number of connections.
const (
	// maxHeader is that of a request, its first line included, in bytes. A token has a few thousand.
	maxHeader = 16 << 10
	// maxConnections is how many are served at a time; others wait to be accepted.
	maxConnections = 128
	// maxScrapes is how many answers are made at a time; others get a 503.
	maxScrapes = 4

	headerTimeout = 5 * time.Second
	// answerTimeout bounds all of a request, so that whoever reads slowly does not keep an answer in memory.
	answerTimeout = 30 * time.Second
	// idleTimeout is more than the usual interval between scrapes.
	idleTimeout = 90 * time.Second
	// shutdownTimeout is how long answers that are under way may take to end.
	shutdownTimeout = 5 * time.Second
)

// Endpoint is where metrics are served, and to whom.
type Endpoint struct {
	// Address to listen at; empty or "0" is nowhere.
	Address string
	// Secure serves over HTTPS, to clients that the API server authenticates and authorizes.
	Secure bool
	// CertDir has tls.crt and tls.key; empty is a self-signed certificate. They are read anew when they change.
	CertDir string
}

// Serve has a manager serve at an endpoint what is registered.
func Serve(ctx context.Context, mgr manager.Manager, endpoint Endpoint, registered prometheus.Gatherer) error {
	if endpoint.Address == "" || endpoint.Address == "0" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", endpoint.Address)
	if err != nil {
		return fmt.Errorf("listening for scrapes: %w", err)
	}
	listener = netutil.LimitListener(listener, maxConnections)
	handler := scraped(registered)
	if endpoint.Secure {
		reviewed, err := newGuard(mgr.GetConfig(), mgr.GetHTTPClient())
		if err != nil {
			return err
		}
		certificate, err := certificateOf(mgr, endpoint.CertDir)
		if err != nil {
			return fmt.Errorf("the certificate of the metrics: %w", err)
		}
		handler = reviewed.filter(handler)
		listener = tls.NewListener(listener, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate})
	}
	shutdown := shutdownTimeout
	return mgr.Add(&manager.Server{Name: "metrics", Listener: listener, ShutdownTimeout: &shutdown, Server: &http.Server{
		Handler:           routed(handler),
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       answerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
	}})
}

// scraped answers with all that is registered.
func scraped(registered prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(registered, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError, MaxRequestsInFlight: maxScrapes})
}

// routed lets nothing through but GET and HEAD of /metrics.
func routed(handler http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", handler)
	return mux
}

type getCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// certificateOf is the certificate in a folder, which the manager watches, or a self-signed one.
func certificateOf(mgr manager.Manager, dir string) (getCertificate, error) {
	if dir != "" {
		watcher, err := certwatcher.New(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
		if err != nil {
			return nil, err
		}
		return watcher.GetCertificate, mgr.Add(watcher)
	}
	cert, key, err := certutil.GenerateSelfSignedCertKey("localhost", []net.IP{{127, 0, 0, 1}}, nil)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }, err
}
