package controller

import (
	"context"
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

// watchClock calls jumped whenever the clock has been set, or the process was suspended. Timers run on regardless: whoever
// waits for a time of the clock has then to look at it again. One watch serves all sessions, which else would each look
// every few minutes.
func watchClock(ctx context.Context, c clock.Clock, jumped func(context.Context)) {
	for {
		before := c.Now().Round(0) // without the monotonic reading
		select {
		case <-ctx.Done():
			return
		case <-c.After(clockInterval):
		}
		if ahead := c.Now().Round(0).Sub(before) - clockInterval; ahead.Abs() > clockJump {
			logf.FromContext(ctx).Info("The clock was set, or this process was suspended: looking at every session", "ahead", ahead.Round(time.Second).String())
			jumped(ctx)
		}
	}
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
