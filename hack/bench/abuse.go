package main

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// memoryLimit is the limit of the chart, in MB: an operator that takes more is killed.
const memoryLimit = 256

// look is how often something is looked at until it has come about.
const look = 100 * time.Millisecond

// measureAbuse measures what those can cost who may do one thing: reach a port, write Secrets, write sessions.
func (b *bench) measureAbuse(ctx context.Context) error {
	for _, measure := range []func(context.Context) error{
		b.measurePort, b.measureLargeCredentials, b.measureMissing, b.measureMetadata, b.measureRestless, b.measureRefused,
	} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// withOperator calls do with an operator that has settled on a cluster without sessions.
func (b *bench) withOperator(ctx context.Context, do func(*cluster, *operator) error, flags ...string) error {
	c, err := b.newCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	o, err := c.startOperator(b.operator, flags...)
	if err != nil {
		return err
	}
	defer o.stop()
	if _, err := o.quiet(ctx); err != nil {
		return err
	}
	return do(c, o)
}

// footprint is what an operator takes.
type footprint struct{ live, goroutines float64 }

// footprint is what it takes now, and begins a new peak of its memory.
func (o *operator) footprint(ctx context.Context) (footprint, error) {
	live, errLive := o.live(ctx)
	goroutines, errGoroutines := o.goroutines(ctx)
	return footprint{live, goroutines}, errors.Join(errLive, errGoroutines, o.forgetPeak())
}

// addKept adds how much more memory is in use than before, beside what it may be, and the peak beside the chart's limit.
func (b *bench) addKept(ctx context.Context, sessions int, name string, o *operator, before footprint, most float64) error {
	peak, errPeak := o.peak() // first, since the footprint begins a new one
	now, errNow := o.footprint(ctx)
	if err := errors.Join(errNow, errPeak); err != nil {
		return err
	}
	b.add(sessions, name+": memory kept", now.live-before.live, "MB", atMost(most))
	b.add(sessions, name+": peak memory", peak, "MB", atMost(memoryLimit))
	return nil
}

// within waits until done, which it asks every so often, and returns how long that took: as long as it may take at most.
func within(ctx context.Context, every, most time.Duration, done func() (bool, error)) (time.Duration, error) {
	began := time.Now()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for time.Since(began) < most {
		if ok, err := done(); ok || err != nil {
			return time.Since(began), err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-ticker.C:
		}
	}
	return most, nil
}

// pause lets time pass in which something is measured.
func pause(ctx context.Context, period time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(period):
		return nil
	}
}

// isReady says whether a session is Ready.
func (c *cluster) isReady(ctx context.Context, name string) (bool, error) {
	session := &v1alpha1.SeamClientSession{}
	err := c.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, session)
	return isReady(session), err
}

// failing counts the sessions that were tried and failed.
func (c *cluster) failing(ctx context.Context) (int, error) {
	var sessions v1alpha1.SeamClientSessionList
	if err := c.api.List(ctx, &sessions, client.InNamespace(namespace)); err != nil {
		return 0, err
	}
	failing := 0
	for i := range sessions.Items {
		if meta.IsStatusConditionFalse(sessions.Items[i].Status.Conditions, v1alpha1.ConditionSynced) {
			failing++
		}
	}
	return failing, nil
}
