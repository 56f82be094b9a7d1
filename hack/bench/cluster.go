package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// workers is how many requests the bare client has under way: more make it no faster, since the API server is busy.
	workers = 16
	// near and far are how long Seam takes to answer: from a region of its own cloud, and from another continent.
	near, far = 30 * time.Millisecond, 200 * time.Millisecond
	namespace = "default"
	// patience bounds every wait.
	patience = 10 * time.Minute
)

// cluster is an API server and a Seam, both made for one measurement.
type cluster struct {
	env    envtest.Environment
	config *rest.Config
	api    client.WithWatch
	dir    string
	seam   *seamtest.Server
}

func (b *bench) newCluster(ctx context.Context) (*cluster, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, env: envtest.Environment{
		UseExistingCluster:       ptr.To(false),
		CRDDirectoryPaths:        []string{"config/crd/bases"},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: time.Minute,
	}}
	if c.config, err = c.env.Start(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, errors.Join(err, c.close())
	}
	if c.api, err = client.NewWithWatch(c.config, client.Options{Scheme: scheme}); err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.seam = seamtest.New(nil)
	c.seam.Seed()
	c.seam.SetLatency(b.away)
	c.seam.Start()
	err = errors.Join(
		os.WriteFile(c.kubeconfig(), c.env.KubeConfig, 0o600),
		c.createCredential(ctx, "seam", seamtest.APIKey1))
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *cluster) kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

func (c *cluster) close() error {
	if c.seam != nil {
		c.seam.Close()
	}
	return errors.Join(c.env.Stop(), os.RemoveAll(c.dir))
}

func (c *cluster) createCredential(ctx context.Context, name, value string) error {
	return c.api.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		StringData: map[string]string{v1alpha1.DefaultCredentialKey: value},
	})
}

// createSessions makes sessions at Seam and objects for them.
func (c *cluster) createSessions(ctx context.Context, prefix string, n int, change func(*v1alpha1.SeamClientSession)) error {
	for i := range n {
		id := fmt.Sprintf("%s-%d", prefix, i)
		c.seam.Put(seamtest.Session{
			ID: id, WorkspaceID: seamtest.Workspace1, Token: "seam_cst1_" + id, ExpiresAt: time.Now().AddDate(0, 1, 0),
		})
	}
	return inParallel(ctx, n, func(ctx context.Context, i int) error {
		session := &v1alpha1.SeamClientSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s-%d", prefix, i)},
			Spec: v1alpha1.SeamClientSessionSpec{
				ClientSessionID:     fmt.Sprintf("%s-%d", prefix, i),
				CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam"},
			},
		}
		if change != nil {
			change(session)
		}
		return c.api.Create(ctx, session)
	})
}

// awaitReady waits until n sessions are Ready, by one watch, or more where the API server ends one.
func (c *cluster) awaitReady(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ready := map[string]bool{}
	for len(ready) < n {
		if err := c.watchReady(ctx, n, ready); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d sessions became Ready within %s", len(ready), n, patience)
		}
	}
	return nil
}

func (c *cluster) watchReady(ctx context.Context, n int, ready map[string]bool) error {
	watcher, err := c.api.Watch(ctx, &v1alpha1.SeamClientSessionList{}, client.InNamespace(namespace))
	if err != nil {
		return err
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		session, ok := event.Object.(*v1alpha1.SeamClientSession)
		if !ok {
			return fmt.Errorf("watching sessions: %w", apierrors.FromObject(event.Object))
		}
		if meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady) {
			ready[session.Name] = true
		}
		if len(ready) == n {
			return nil
		}
	}
	return nil
}

// requests counts what the API server has served, as "verb resource".
func (c *cluster) requests(ctx context.Context) (map[string]float64, error) {
	return c.apiServerMetric(ctx, "apiserver_request_total")
}

// openWatches counts the watches of Secrets that are open.
func (c *cluster) openWatches(ctx context.Context) (float64, error) {
	open, err := c.apiServerMetric(ctx, "apiserver_longrunning_requests")
	return open["WATCH secrets"], err
}

// apiServerMetric is a metric of the API server for the resources that the operator uses, as "verb resource".
func (c *cluster) apiServerMetric(ctx context.Context, name string) (map[string]float64, error) {
	clientset, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return nil, err
	}
	body, err := clientset.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for _, metric := range families[name].GetMetric() {
		labels := map[string]string{}
		for _, label := range metric.GetLabel() {
			labels[label.GetName()] = label.GetValue()
		}
		resource := labels["resource"]
		if labels["subresource"] != "" {
			resource += "/" + labels["subresource"]
		}
		switch labels["resource"] {
		case "secrets", "seamclientsessions", "events", "tokenreviews":
			values[labels["verb"]+" "+resource] += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return values, nil
}

// inParallel does n things, as many at a time as the bare client has requests under way.
func inParallel(ctx context.Context, n int, do func(context.Context, int) error) error {
	return atATime(ctx, workers, n, do)
}

// atATime does n things, some at a time.
func atATime(ctx context.Context, some, n int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range some {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
