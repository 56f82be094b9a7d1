package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// queue lets what happens outside the controller's watches, such as a call that is free, enqueue sessions.
type queue struct {
	mu   sync.Mutex
	work workqueue.TypedRateLimitingInterface[reconcile.Request]
}

func (q *queue) start(work workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.work = work
}

// enqueue has a worker look at a session.
func (q *queue) enqueue(key types.NamespacedName) {
	q.mu.Lock()
	work := q.work
	q.mu.Unlock()
	if work != nil {
		work.Add(reconcile.Request{NamespacedName: key})
	}
}
