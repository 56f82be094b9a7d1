package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// cacheLag is how long the cache may take to show what was written.
const cacheLag = 30 * time.Second

// mutationCache, as client-go calls it, remembers objects that this process has just written, until the cache shows them. Without it the event of a
// Secret that was just written, which often comes before that of the status, would make the reconciler ask Seam again
// for what it already knows.
type mutationCache[T client.Object] struct {
	mu      sync.Mutex
	objects map[types.NamespacedName]mutation[T]
}

type mutation[T client.Object] struct {
	object T
	at     time.Time
}

// saved remembers object as the API server returned it.
func (r *mutationCache[T]) saved(object T, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.objects == nil {
		r.objects = map[types.NamespacedName]mutation[T]{}
	}
	r.objects[client.ObjectKeyFromObject(object)] = mutation[T]{object: object, at: now}
}

// forget drops what is remembered under a name: the object is gone.
func (r *mutationCache[T]) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.objects, key)
}

// missing returns what is remembered under a name that the cache does not show, if anything. It is believed for cacheLag: a
// cache that was cut off may never see an object that came and went in the meantime.
func (r *mutationCache[T]) missing(key types.NamespacedName, now time.Time) (object T, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry, ok := r.objects[key]
	if age := now.Sub(entry.at); !ok || age > cacheLag || age < 0 { // one from the future is of a clock that was set back
		delete(r.objects, key)
		return object, false
	}
	return entry.object, true
}

// newest returns the newer of the cache's copy and the written one, which it forgets once the cache has caught up.
func (r *mutationCache[T]) newest(cached T) T {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(cached)
	entry, ok := r.objects[key]
	if !ok {
		return cached
	}
	order, err := resourceversion.CompareResourceVersion(cached.GetResourceVersion(), entry.object.GetResourceVersion())
	if err != nil || order >= 0 || cached.GetUID() != entry.object.GetUID() {
		delete(r.objects, key)
		return cached
	}
	return entry.object
}
