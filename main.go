// Command seam-session-operator keeps Seam client session tokens in Kubernetes Secrets.
//
// Flags, the manager and the wiring stand here, and nothing else.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/controller"
	"github.com/seam-session-operator/seam-session-operator/internal/metrics"
	"github.com/seam-session-operator/seam-session-operator/internal/preflight"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

const (
	// mostVerbose is the highest verbosity that is logged. client-go logs the bodies of requests, Secrets included, from 8
	// on.
	mostVerbose = 5
	// garbageTarget is how much garbage may pile up before it is collected, in percent of what is in use. Less than Go's default
	// takes a quarter off the peak of memory (docs/performance.md), for CPU time that nobody misses: the operator waits for
	// others most of the time.
	garbageTarget = 40
	// shutdownTimeout is how long what is under way may take to end; less than a pod's usual grace period of 30 s.
	shutdownTimeout = 20 * time.Second
)

// version is stamped by the linker.
var version = ""

// What the operator is allowed, as the manifests and the chart install it.
var (
	//go:embed config/rbac/role.yaml
	role []byte
	//go:embed config/rbac/namespaces_role.yaml
	namespacesRole []byte
	//go:embed config/rbac/leader_election_role.yaml
	leaseRole []byte
	//go:embed config/rbac/metrics_auth_role.yaml
	metricsAuthRole []byte
)

func main() {
	err := run(ctrl.SetupSignalHandler(), os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "seam-session-operator:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	seamEndpoint   string
	seamAllowHTTP  bool
	seamCAFile     string
	namespaces     string
	workers        int
	leaderElect    bool
	leaderID       string
	leaderNS       string
	leaseDuration  time.Duration
	renewDeadline  time.Duration
	retryPeriod    time.Duration
	metricsAddress string
	metricsSecure  bool
	metricsCerts   string
	probeAddress   string
	pprofAddress   string
	check          bool
	showVersion    bool
	zap            zap.Options
}

func parse(args []string, out io.Writer) (*options, error) {
	o := &options{seamEndpoint: seam.DefaultEndpoint}
	if endpoint := os.Getenv("SEAM_ENDPOINT"); endpoint != "" {
		o.seamEndpoint = endpoint
	}
	flags := flag.NewFlagSet("seam-session-operator", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.seamEndpoint, "seam-endpoint", o.seamEndpoint, "Base URL of Seam's API. SEAM_ENDPOINT sets the default.")
	flags.BoolVar(&o.seamAllowHTTP, "seam-allow-http", false, "Allow --seam-endpoint to be plain HTTP to another host than this one. Credentials and tokens then cross the network unencrypted.")
	flags.StringVar(&o.seamCAFile, "seam-ca-file", "", "PEM file of certificate authorities to trust for Seam, in addition to the system's.")
	flags.StringVar(&o.namespaces, "watch-namespaces", "", "Comma-separated namespaces to work in. Empty is all.")
	flags.IntVar(&o.workers, "max-concurrent-reconciles", 64, "How many sessions are worked on at a time; seven of eight of them may wait for Seam.")
	flags.BoolVar(&o.leaderElect, "leader-elect", false, "Let one of several replicas work at a time.")
	flags.StringVar(&o.leaderID, "leader-election-id", "seam-session-operator.connect.seam.co", "Name of the Lease of the leader election.")
	flags.StringVar(&o.leaderNS, "leader-election-namespace", "", "Namespace of the Lease. Empty is the pod's own.")
	flags.DurationVar(&o.leaseDuration, "leader-elect-lease-duration", 15*time.Second, "How long a leader that was not heard of keeps the lease.")
	flags.DurationVar(&o.renewDeadline, "leader-elect-renew-deadline", 10*time.Second, "How long the leader tries to renew the lease before it ends itself.")
	flags.DurationVar(&o.retryPeriod, "leader-elect-retry-period", 2*time.Second, "How often the lease is tried for and renewed.")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "Where metrics are served. 0 turns them off.")
	flags.BoolVar(&o.metricsSecure, "metrics-secure", false, "Serve metrics over HTTPS, to clients that the API server authenticates and authorizes.")
	flags.StringVar(&o.metricsCerts, "metrics-cert-dir", "", "Folder of tls.crt and tls.key for --metrics-secure. Empty is a self-signed certificate.")
	flags.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "Where /healthz and /readyz are served. 0 turns them off.")
	flags.StringVar(&o.pprofAddress, "pprof-bind-address", "0", "Where profiles are served, below /debug/pprof/: to this host alone, unless the address names another. 0 turns them off.")
	flags.BoolVar(&o.check, "check", false, "Find out whether a replica leads, by the flags of the leader election, and whether this service account may do what the operator does in --watch-namespaces, and for --metrics-secure; then exit.")
	flags.BoolVar(&o.showVersion, "version", false, "Print the version and exit.")
	o.zap.BindFlags(flags)
	err := flags.Parse(args)
	if err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q: all options are flags, see --help", flags.Arg(0))
	}
	if o.workers < 1 {
		return nil, fmt.Errorf("--max-concurrent-reconciles=%d: must be at least 1", o.workers)
	}
	if o.pprofAddress, err = loopbackUnlessNamed(o.pprofAddress); err != nil {
		return nil, fmt.Errorf("--pprof-bind-address: %w", err)
	}
	if o.check && o.leaderNS == "" {
		return nil, errors.New("--check needs --leader-election-namespace")
	}
	return o, nil
}

// loopbackUnlessNamed is an address to listen on that, without a host, is of the loopback interface; 0 stays.
func loopbackUnlessNamed(address string) (string, error) {
	if address == "" || address == "0" {
		return "0", nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%q: must be host:port or :port", address)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if o.showVersion {
		_, err := fmt.Fprintln(out, currentVersion())
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbageTarget)
	}
	logger := newLogger(&o.zap)
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	if o.check {
		return check(ctx, o, out)
	}

	mgr, err := newManager(ctx, o)
	if err != nil {
		return err
	}
	seamClient, err := newSeamClient(o, mgr)
	if err != nil {
		return err
	}
	leftBehind, err := metrics.NewLeftBehind(ctrlmetrics.Registry)
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	err = controller.SetupWithManager(ctx, mgr, controller.Options{
		Seam: seamClient, Workers: o.workers, Clock: clock.RealClock{}, Namespaces: splitNamespaces(o.namespaces), LeftBehind: leftBehind,
	})
	if err != nil {
		return fmt.Errorf("setting up the controller: %w", err)
	}
	logger.Info("starting", "version", currentVersion(), "seamEndpoint", o.seamEndpoint, "namespaces", o.namespaces)
	return mgr.Start(ctx)
}

// check proves that an installation can do its work.
func check(ctx context.Context, o *options, out io.Writer) error {
	config, err := newConfig()
	if err != nil {
		return err
	}
	cluster, err := client.New(config, client.Options{Scheme: clientgoscheme.Scheme})
	if err != nil {
		return err
	}
	namespaces := splitNamespaces(o.namespaces)
	var work, everywhere, lease, metricsAuth rbacv1.Role
	err = errors.Join(yaml.Unmarshal(role, &work), yaml.Unmarshal(leaseRole, &lease))
	if len(namespaces) == 0 {
		err = errors.Join(err, yaml.Unmarshal(namespacesRole, &everywhere))
	}
	if o.metricsSecure {
		err = errors.Join(err, yaml.Unmarshal(metricsAuthRole, &metricsAuth))
	}
	if err != nil {
		return err
	}
	return (&preflight.Check{
		Client:         cluster,
		Clock:          clock.RealClock{},
		Rules:          work.Rules,
		Namespaces:     namespaces,
		ClusterRules:   slices.Concat(everywhere.Rules, metricsAuth.Rules),
		LeaseRules:     lease.Rules,
		LeaseNamespace: o.leaderNS,
		LeaseName:      o.leaderID,
		Out:            out,
	}).Run(ctx)
}

func newConfig() (*rest.Config, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("no access to a Kubernetes cluster: %w", err)
	}
	config = rest.CopyConfig(config)
	config.QPS = -1 // the API server's own fairness governs
	config.UserAgent = userAgent()
	return config, nil
}

func newManager(ctx context.Context, o *options) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	config, err := newConfig()
	if err != nil {
		return nil, err
	}
	graceful := shutdownTimeout
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controller.CacheOptions(splitNamespaces(o.namespaces)),
		Metrics:                       metricsserver.Options{BindAddress: "0"}, // ours has bounds
		HealthProbeBindAddress:        o.probeAddress,
		PprofBindAddress:              o.pprofAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              o.leaderID,
		LeaderElectionNamespace:       o.leaderNS,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &o.leaseDuration,
		RenewDeadline:                 &o.renewDeadline,
		RetryPeriod:                   &o.retryPeriod,
		GracefulShutdownTimeout:       &graceful,
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	endpoint := metrics.Endpoint{Address: o.metricsAddress, Secure: o.metricsSecure, CertDir: o.metricsCerts}
	if err := metrics.Serve(ctx, mgr, endpoint, ctrlmetrics.Registry); err != nil {
		return nil, err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("caches", cachesSynced(mgr.GetCache()))
}

// cachesSynced says that the operator knows what there is in the cluster.
func cachesSynced(c cache.Cache) healthz.Checker {
	return func(req *http.Request) error {
		for _, object := range []client.Object{&v1alpha1.SeamClientSession{}, &v1alpha1.SeamWorkspace{}, &corev1.Secret{}} {
			informer, err := c.GetInformer(req.Context(), object, cache.BlockUntilSynced(false))
			if err != nil {
				return err
			}
			if !informer.HasSynced() {
				return fmt.Errorf("the cache of %T is not in sync yet", object)
			}
		}
		return nil
	}
}

// newSeamClient makes the client for Seam, and registers what there is to measure.
func newSeamClient(o *options, mgr ctrl.Manager) (*seam.Client, error) {
	var bundle []byte
	if o.seamCAFile != "" {
		var err error
		if bundle, err = os.ReadFile(o.seamCAFile); err != nil {
			return nil, fmt.Errorf("--seam-ca-file: %w", err)
		}
	}
	calls, err := metrics.NewCalls(ctrlmetrics.Registry, clock.RealClock{})
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	seamClient, err := seam.NewClient(seam.Config{
		Endpoint:    o.seamEndpoint,
		AllowHTTP:   o.seamAllowHTTP,
		CABundle:    bundle,
		UserAgent:   userAgent(),
		MaxInFlight: max(1, o.workers*7/8), // the others write meanwhile what was fetched
		Clock:       clock.RealClock{},
		Instrument:  calls.Instrument,
	})
	if err != nil {
		return nil, fmt.Errorf("--seam-endpoint or --seam-ca-file: %w", err)
	}
	paused := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "seam_credentials_paused",
		Help: "How many credentials are held back now, because Seam refused them (401) or asked to wait (429).",
	}, func() float64 { return float64(seamClient.Paused()) })
	err = errors.Join(
		ctrlmetrics.Registry.Register(paused),
		ctrlmetrics.Registry.Register(metrics.NewReach(seamClient.Reach)),
		ctrlmetrics.Registry.Register(metrics.NewSessions(mgr.GetCache(), mgr.Elected(), clock.RealClock{})),
		ctrlmetrics.Registry.Register(metrics.NewWorkspaces(mgr.GetCache(), mgr.Elected())),
	)
	return seamClient, err
}

// newLogger caps the verbosity, whatever the flags say.
func newLogger(options *zap.Options) klog.Logger {
	if level, ok := options.Level.(interface{ Level() zapcore.Level }); ok && level.Level() < -mostVerbose {
		options.Level = zapcore.Level(-mostVerbose)
	}
	return zap.New(zap.UseFlagOptions(options))
}

func splitNamespaces(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func userAgent() string { return "seam-session-operator/" + currentVersion() }

// currentVersion is what the linker stamped, else what go install knows.
func currentVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
