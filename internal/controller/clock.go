package controller

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

const (
	// clockInterval is how often the clock is compared with a timer.
	clockInterval = 30 * time.Second
	// clockJump is how much more or less than the timer's time makes a clock that was set, or a process that was suspended. A
	// tick that a busy machine delivers late is no jump.
	clockJump = 5 * time.Second
)

// clockWatch notices when the clock has been set, or the process was suspended. Timers run on regardless: whoever waits for a time of
// the clock has then to look at it again. One watch serves all sessions, which else would each look every few minutes.
type clockWatch struct {
	mu sync.Mutex
	// ticked is when the clock was last compared with the timer, by the clock without its monotonic reading.
	ticked time.Time
	// set says that the clock showed since then what it can't have shown, even if it is right again.
	set bool
}

// run calls jumped whenever the clock has been set.
func (w *clockWatch) run(ctx context.Context, c clock.Clock, jumped func(context.Context)) {
	w.tick(c.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.After(clockInterval):
		}
		if ahead, set := w.tick(c.Now()); set {
			logf.FromContext(ctx).Info("The clock was set, or this process was suspended: looking at every session", "ahead", ahead.Round(time.Second).String())
			jumped(ctx)
		}
	}
}

// tick compares the clock with the timer. It says how much the clock is ahead of what it should show, and whether it was set.
func (w *clockWatch) tick(now time.Time) (ahead time.Duration, set bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ahead = now.Round(0).Sub(w.ticked) - clockInterval
	set = w.set || ahead.Abs() > clockJump
	w.ticked, w.set = now.Round(0), false
	return ahead, set
}

// shown notes what the clock shows between two ticks to somebody who waits for a time of it.
func (w *clockWatch) shown(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	passed := now.Round(0).Sub(w.ticked)
	w.set = w.set || !w.ticked.IsZero() && (passed < -clockJump || passed > clockInterval+clockJump)
}

// enqueueAll has a worker look at every session.
func (r *Reconciler) enqueueAll(ctx context.Context) {
	var sessions v1alpha1.SeamClientSessionList
	if err := r.client.List(ctx, &sessions, client.UnsafeDisableDeepCopy); err != nil {
		logf.FromContext(ctx).Error(err, "listing sessions after the clock was set")
		return
	}
	for i := range sessions.Items {
		r.queue.enqueue(types.NamespacedName{Namespace: sessions.Items[i].Namespace, Name: sessions.Items[i].Name})
	}
}
