package controller

import (
	"context"
	"sync"

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
	cache   cache.Cache // nil where nothing is cached
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

// watch begins to watch.
func (l *namespaceLabels) watch(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watching || l.cache == nil {
		return nil
	}
	informer, err := l.cache.GetInformer(ctx, namespaceMetadata(), cache.BlockUntilSynced(true))
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { l.tell(nil, obj) },
		UpdateFunc: l.tell,
		DeleteFunc: func(obj any) { l.tell(obj, nil) },
	})
	l.watching = err == nil
	return err
}

func (l *namespaceLabels) tell(before, after any) {
	was, existed := before.(client.Object)
	is, exists := after.(client.Object)
	switch {
	case exists && (!existed || !equality.Semantic.DeepEqual(was.GetLabels(), is.GetLabels())):
		l.changed(context.Background(), is.GetName())
	case existed && !exists:
		l.changed(context.Background(), was.GetName())
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
