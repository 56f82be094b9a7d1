package controller

import (
	"context"
	"errors"
	"hash/maphash"
	"strconv"
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
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
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

const (
	// indexController finds the Secrets of a namespace that an object controls, by the bucket of its UID.
	indexController = "metadata.controller.uid"
	// indexWorkspace finds the sessions that name a SeamWorkspace, by its namespace and name.
	indexWorkspace = "spec.workspaceRef"
	// indexSession finds the sessions that have the token of a client session, by the bucket of its ID.
	indexSession = "status.clientSessionID"
)

// workspaceWorkers is how many SeamWorkspaces are worked on at a time: more than slow credentials can make calls.
const workspaceWorkers = 32

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
	if len(namespaces) == 0 {
		options.ByObject[namespaceMetadata()] = cache.ByObject{Transform: labelsOnly}
	}
	for _, namespace := range namespaces {
		if options.DefaultNamespaces == nil {
			options.DefaultNamespaces = map[string]cache.Config{}
		}
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options
}

// labelsOnly is what goes into memory of a namespace.
func labelsOnly(obj any) (any, error) {
	if namespace, ok := obj.(*metav1.PartialObjectMetadata); ok {
		namespace.Annotations, namespace.ManagedFields, namespace.Finalizers, namespace.OwnerReferences = nil, nil, nil, nil
	}
	return obj, nil
}

// Options are what a Reconciler needs beside a manager.
type Options struct {
	Seam *seam.Client
	// Workers is how many sessions are worked on at a time, at least 1.
	Workers int
	Clock   clock.WithDelayedExecution
	// LeftBehind is called for each client session that could not be deleted with the object that made it; nil for nobody.
	LeftBehind func()
	// Namespaces are those that the operator is installed for; none if it is for all.
	Namespaces []string
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
	r.labels.ctx, r.labels.cache = ctx, mgr.GetCache()
	index := mgr.GetFieldIndexer().IndexField
	err = errors.Join(
		index(ctx, &corev1.Secret{}, indexController, bucketOfController),
		index(ctx, &v1alpha1.SeamClientSession{}, indexWorkspace, workspaceOfSession),
		index(ctx, &v1alpha1.SeamClientSession{}, indexSession, bucketOfSession),
	)
	if err != nil {
		return err
	}
	if err := setupWorkspaces(mgr, NewWorkspaceReconciler(r, watcher)); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		For(&v1alpha1.SeamClientSession{}).
		Watches(&corev1.Secret{}, r.secretHandler()).
		Watches(&v1alpha1.SeamWorkspace{}, r.workspaceHandler()).
		WatchesRawSource(source.Func(r.start)).
		WithOptions(controllerOptions(options.Workers)).
		Complete(r)
}

// New makes a Reconciler. Its client reads sessions and the operator's own Secrets, as CacheOptions has them; live reads
// from the API server; watcher watches single Secrets.
func New(cached client.Client, live client.Reader, watcher client.WithWatch, events recorder.EventRecorder, options Options) *Reconciler {
	r := &Reconciler{
		// The field owner is how a Secret tells the operator's writes from those of others.
		client: client.WithFieldOwner(cached, v1alpha1.ManagedBy), live: live, seam: options.Seam, events: events, clock: options.Clock,
		namespaces: options.Namespaces,
	}
	if r.leftBehind = options.LeftBehind; r.leftBehind == nil {
		r.leftBehind = func() {}
	}
	r.reader = references.NewReader(live, options.Clock)
	r.waiting = references.NewWaiting(watcher, r.reader, options.Clock, r.queue.enqueue)
	r.labels.known, r.labels.changed = r.enqueueAll, r.enqueueNamespace
	return r
}

// setupWorkspaces lets the manager run the reconciler of SeamWorkspaces.
func setupWorkspaces(mgr ctrl.Manager, r *WorkspaceReconciler) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named(Name+"-workspaces").
		For(&v1alpha1.SeamWorkspace{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Func(r.start)).
		WithOptions(controllerOptions(workspaceWorkers)).
		Complete(r)
}

func controllerOptions(workers int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: workers,
		EnableWarmup:            ptr.To(true), // a standby keeps its caches warm
		ReconciliationTimeout:   reconcileTimeout,
		// For errors of the API server alone: an object must not wait long once it is back.
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, longestRetry),
	}
}

// start is called with the controller's work queue before the first session is reconciled.
func (r *Reconciler) start(ctx context.Context, work workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	r.queue.start(work)
	r.waiting.Start(ctx)
	go r.clockWatch.run(ctx, r.clock, r.enqueueAll)
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

// workspaceHandler enqueues the sessions that name a SeamWorkspace, where a change of it may matter to them.
func (r *Reconciler) workspaceHandler() handler.EventHandler {
	type workQueue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, _ workQueue) {
			r.enqueueByWorkspace(ctx, client.ObjectKeyFromObject(e.Object))
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, _ workQueue) {
			before, wasWorkspace := e.ObjectOld.(*v1alpha1.SeamWorkspace)
			after, isWorkspace := e.ObjectNew.(*v1alpha1.SeamWorkspace)
			if wasWorkspace && isWorkspace && workspaceNews(before, after) {
				r.enqueueByWorkspace(ctx, client.ObjectKeyFromObject(after))
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, _ workQueue) {
			r.enqueueByWorkspace(ctx, client.ObjectKeyFromObject(e.Object))
		},
	}
}

func workspaceOfSession(object client.Object) []string {
	if session, ok := object.(*v1alpha1.SeamClientSession); ok && session.Spec.WorkspaceRef != nil {
		return []string{session.Workspace().String()}
	}
	return nil
}

func bucketOfSession(object client.Object) []string {
	if session, ok := object.(*v1alpha1.SeamClientSession); ok && session.Status.ClientSessionID != "" {
		return []string{bucket(session.Status.ClientSessionID)}
	}
	return nil
}

func bucketOfController(object client.Object) []string {
	if controller := metav1.GetControllerOfNoCopy(object); controller != nil {
		return []string{bucket(string(controller.UID))}
	}
	return nil
}

// buckets is how many there are in an index.
const buckets = 1024

var bucketSeed = maphash.MakeSeed()

// bucket is where an index has what belongs to an ID, and what belongs to a few others: who lists it has to look at each. A set for each
// object, which an index by the ID itself would have twice, costs as much as the rest of the object.
func bucket(id string) string {
	return strconv.FormatUint(maphash.String(bucketSeed, id)%buckets, 36)
}
