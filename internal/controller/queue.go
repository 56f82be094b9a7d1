package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// queue lets what happens outside the watches, a changed credential or a free slot, bring sessions back to the workers.
type queue struct {
	mu     sync.Mutex
	work   workqueue.TypedRateLimitingInterface[reconcile.Request]
	nudged map[types.NamespacedName]struct{}
}

func (q *queue) start(work workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.work = work
}

// wake brings a session back to a worker.
func (q *queue) wake(key types.NamespacedName) {
	q.mu.Lock()
	work := q.work
	q.mu.Unlock()
	if work != nil {
		work.Add(reconcile.Request{NamespacedName: key})
	}
}

// nudge brings a session back to a worker, which is told that something it refers to has changed.
func (q *queue) nudge(key types.NamespacedName) {
	q.mark(key)
	q.wake(key)
}

// mark has the next worker told that something a session refers to has changed.
func (q *queue) mark(key types.NamespacedName) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.nudged == nil {
		q.nudged = map[types.NamespacedName]struct{}{}
	}
	q.nudged[key] = struct{}{}
}

// changed says, once, whether a session was nudged.
func (q *queue) changed(key types.NamespacedName) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, nudged := q.nudged[key]
	delete(q.nudged, key)
	return nudged
}

func (q *queue) forget(key types.NamespacedName) { q.changed(key) }
