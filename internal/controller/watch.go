package controller

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

const (
	// watchPeriod is how long one watch lasts before it is asked whether it is still wanted.
	watchPeriod = 10 * time.Minute
	// watchRetry is the pause before a watch that broke is made again.
	watchRetry = time.Second
)

// watches notices that a Secret which failed as a credential has changed. It watches single Secrets by name, their
// metadata only, each for as long as it is broken: so neither memory nor watches depend on what else is in the cluster.
type watches struct {
	client client.WithWatch
	clock  clock.Clock
	// wanted says whether any session still refers to the Secret; changed is told when it has changed, and on which
	// connections its credential failed.
	wanted  func(context.Context, types.NamespacedName) bool
	changed func(context.Context, types.NamespacedName, []*seam.Connection)

	mu  sync.Mutex
	ctx context.Context
	// active are the watches under way, each with the connections to Seam that its Secret's credential failed on.
	active map[types.NamespacedName]map[*seam.Connection]struct{}
}

// start lets watches begin, until the context ends.
func (w *watches) start(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx, w.active = ctx, map[types.NamespacedName]map[*seam.Connection]struct{}{}
}

// add watches a Secret until it is another one than the version that failed; empty is one that does not exist. Then what
// Seam refused on the connection, if there was one, is forgiven.
func (w *watches) add(key types.NamespacedName, failed string, connection *seam.Connection) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx == nil {
		return
	}
	connections, active := w.active[key]
	if !active {
		connections = map[*seam.Connection]struct{}{}
		w.active[key] = connections
		go w.run(w.ctx, key, failed)
	}
	if connection != nil {
		connections[connection] = struct{}{}
	}
}

func (w *watches) run(ctx context.Context, key types.NamespacedName, failed string) {
	moved := false
	for !moved && ctx.Err() == nil && w.wanted(ctx, key) {
		var err error
		if moved, err = w.await(ctx, key, failed); err != nil {
			logf.FromContext(ctx).V(1).Info("watching a credential failed; trying again", "secret", key, "error", err.Error())
		}
		if !moved {
			select {
			case <-ctx.Done():
			case <-w.clock.After(watchRetry):
			}
		}
	}
	connections := slices.Collect(maps.Keys(w.done(key)))
	switch {
	case moved:
		w.changed(ctx, key, connections)
	case ctx.Err() == nil && w.wanted(ctx, key): // by one that failed while this was ending
		for _, connection := range append(connections, nil) {
			w.add(key, failed, connection)
		}
	}
}

// done ends a watch, and returns the connections that its Secret's credential failed on.
func (w *watches) done(key types.NamespacedName) map[*seam.Connection]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	connections := w.active[key]
	delete(w.active, key)
	return connections
}

// await returns true once the Secret is another than the version that failed, and false when the watch has ended.
func (w *watches) await(ctx context.Context, key types.NamespacedName, failed string) (bool, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(secretListKind)
	watcher, err := w.client.Watch(ctx, list, client.InNamespace(key.Namespace), client.MatchingFields{"metadata.name": key.Name},
		&client.ListOptions{Raw: &metav1.ListOptions{TimeoutSeconds: ptr.To(int64(watchPeriod.Seconds()))}})
	if err != nil {
		return false, err
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		object, ok := event.Object.(client.Object)
		switch {
		case !ok:
			return false, nil // an error, such as a version that is too old: begin anew
		case event.Type == watch.Deleted && failed != "",
			event.Type != watch.Deleted && event.Type != watch.Bookmark && version(object) != failed:
			return true, nil
		}
	}
	return false, nil
}
