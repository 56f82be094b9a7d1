package controller

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/references"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// Name is the name of the operator: the reporting controller of its events, and the controller in its metrics.
const Name = "seam-session-operator"

// indexController finds the Secrets of a namespace that an object controls, by its UID.
const indexController = "metadata.controller.uid"

const (
	// reconcileTimeout bounds one reconcile: a call to Seam, which bounds itself, and a few to the API server.
	reconcileTimeout = 2 * time.Minute
	// firstRetry and longestRetry bound the pause after the API server did not take a status.
	firstRetry, longestRetry = 500 * time.Millisecond, time.Minute
)

// CacheOptions is what the cache of the manager must hold for the reconciler: of Secrets only the operator's own, and of
// those a digest in place of the data.
func CacheOptions(namespaces []string) cache.Options {
	options := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {
				Label:     labels.SelectorFromSet(labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}),
				Transform: toolscache.TransformFunc(secret.Digest),
			},
		},
	}
	for _, namespace := range namespaces {
		if options.DefaultNamespaces == nil {
			options.DefaultNamespaces = map[string]cache.Config{}
		}
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options
}

// Options are what a Reconciler needs beside a manager.
type Options struct {
	Seam *seam.Client
	// Workers is how many sessions are worked on at a time, at least 1.
	Workers int
	Clock   clock.WithDelayedExecution
}

// SetupWithManager makes a Reconciler and lets the manager run it.
func SetupWithManager(ctx context.Context, mgr ctrl.Manager, options Options) error {
	watcher, err := client.NewWithWatch(mgr.GetConfig(), client.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
	})
	if err != nil {
		return err
	}
	r := New(mgr.GetClient(), mgr.GetAPIReader(), watcher, mgr.GetEventRecorder(Name), options)
	if err := mgr.GetFieldIndexer().IndexField(ctx, &corev1.Secret{}, indexController, controllerUID); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		For(&v1alpha1.SeamClientSession{}).
		Watches(&corev1.Secret{}, r.secretHandler()).
		WatchesRawSource(source.Func(r.start)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: options.Workers,
			EnableWarmup:            ptr.To(true), // a standby keeps its caches warm
			ReconciliationTimeout:   reconcileTimeout,
			// For errors of the API server alone: an object must not wait long once it is back.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, longestRetry),
		}).
		Complete(r)
}

// New makes a Reconciler. Its client reads sessions and the operator's own Secrets, as CacheOptions has them; live reads
// from the API server; watcher watches single Secrets.
func New(cached client.Client, live client.Reader, watcher client.WithWatch, events recorder.EventRecorder, options Options) *Reconciler {
	// The field owner is how a Secret tells the operator's writes from those of others.
	r := &Reconciler{client: client.WithFieldOwner(cached, v1alpha1.ManagedBy), live: live, seam: options.Seam, events: events, clock: options.Clock}
	r.reader = references.NewReader(live, options.Clock)
	r.waiting = references.NewWaiting(watcher, r.reader, options.Clock, r.queue.enqueue)
	return r
}

// start is called with the controller's work queue before the first session is reconciled.
func (r *Reconciler) start(ctx context.Context, work workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	r.queue.start(work)
	r.waiting.Start(ctx)
	go watchClock(ctx, r.clock, r.enqueueAll)
	return nil
}

// secretHandler enqueues the session that a Secret of ours names or is controlled by, before and after a change.
func (r *Reconciler) secretHandler() handler.EventHandler {
	enqueue := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, s client.Object) []reconcile.Request {
		var requests []reconcile.Request
		for _, name := range secret.Sessions(s) {
			requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: s.GetNamespace(), Name: name}})
		}
		return requests
	})
	return handler.Funcs{
		CreateFunc: enqueue.Create,
		UpdateFunc: enqueue.Update,
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, work workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			r.secrets.forget(client.ObjectKeyFromObject(e.Object))
			enqueue.Delete(ctx, e, work)
		},
	}
}

func controllerUID(object client.Object) []string {
	if controller := metav1.GetControllerOfNoCopy(object); controller != nil {
		return []string{string(controller.UID)}
	}
	return nil
}
