package controller

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// namespaceLabels watches the labels of namespaces, from when somebody first asks for them: where no grant selects by
// labels, no namespace is watched.
type namespaceLabels struct {
	ctx   context.Context // ends with this process
	cache cache.Cache     // nil where nothing is cached
	// known and changed are called when the labels of all namespaces are known, and when those of one change.
	known   func(context.Context)
	changed func(ctx context.Context, namespace string)

	mu       sync.Mutex
	watching bool
}

// namespaceMetadata is what is read of a namespace: its labels are all that is used.
func namespaceMetadata() *metav1.PartialObjectMetadata {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return namespace
}

// labelsRetry is when a session looks again whose namespace's labels are not known, should it never be enqueued.
const labelsRetry = time.Minute

// errLabelsUnknown says that the labels of namespaces are not known yet. Whoever asked is enqueued when they are.
var errLabelsUnknown = errors.New("the labels of namespaces are not known yet: the operator must be allowed to list and watch namespaces")

// watch begins to watch, and fails as long as not all labels are known.
func (l *namespaceLabels) watch(ctx context.Context) error {
	if l.cache == nil {
		return nil
	}
	informer, err := l.cache.GetInformer(ctx, namespaceMetadata(), cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	if err := l.begin(informer); err != nil {
		return err
	}
	if !informer.HasSynced() {
		return errLabelsUnknown
	}
	return nil
}

func (l *namespaceLabels) begin(informer cache.Informer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watching {
		return nil
	}
	added := func(obj any) {
		if informer.HasSynced() { // before that, nobody could be told anything
			l.tell(nil, obj)
		}
	}
	_, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: added, UpdateFunc: l.tell, DeleteFunc: func(obj any) { l.tell(obj, nil) },
	})
	if err != nil {
		return err
	}
	l.watching = true
	go func() {
		if toolscache.WaitForCacheSync(l.ctx.Done(), informer.HasSynced) {
			l.known(l.ctx)
		}
	}()
	return nil
}

func (l *namespaceLabels) tell(before, after any) {
	was, existed := before.(client.Object)
	is, exists := after.(client.Object)
	switch {
	case exists && (!existed || !equality.Semantic.DeepEqual(was.GetLabels(), is.GetLabels())):
		l.changed(l.ctx, is.GetName())
	case existed && !exists:
		l.changed(l.ctx, was.GetName())
	}
}

// enqueueNamespace has a worker look at every session of a namespace that names a SeamWorkspace.
func (r *Reconciler) enqueueNamespace(ctx context.Context, namespace string) {
	var sessions v1alpha1.SeamClientSessionList
	if err := r.client.List(ctx, &sessions, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		logf.FromContext(ctx).Error(err, "listing the sessions of a namespace whose labels changed")
		return
	}
	for i := range sessions.Items {
		if sessions.Items[i].Spec.WorkspaceRef != nil {
			r.queue.enqueue(client.ObjectKeyFromObject(&sessions.Items[i]))
		}
	}
}
