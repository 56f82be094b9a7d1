package main

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// steadySessions is how many sessions are refreshed every 30s.
const steadySessions = 1000

// measureSteady watches sessions that are refreshed every 30s while nothing changes.
func (b *bench) measureSteady(ctx context.Context) error {
	c, err := b.newCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	err = c.createSessions(ctx, "s", steadySessions, func(s *v1alpha1.SeamClientSession) {
		s.Spec.RefreshInterval = &metav1.Duration{Duration: 30 * time.Second}
	})
	if err != nil {
		return err
	}
	o, err := c.startOperator(b.operator)
	if err != nil {
		return err
	}
	defer o.stop()
	if err := c.awaitReady(ctx, steadySessions); err != nil {
		return err
	}
	if _, err := o.quiet(ctx); err != nil { // the last events
		return err
	}
	before, err := c.requests(ctx)
	if err != nil {
		return err
	}
	calls, cpu, err := c.during(ctx, o, b.steady)
	if err != nil {
		return err
	}
	if calls == 0 {
		return errors.New("no session was refreshed: give -steady more than 30s")
	}
	b.add(steadySessions, "steady: refreshes", float64(calls), "")
	b.add(steadySessions, "steady: CPU per thousand refreshes", cpu.Seconds()/float64(calls)*1000, "s")
	// One that is under way at either end may be counted on one side only.
	return b.addRequests(ctx, c, calls, "steady, per refresh", before, countAtMost(1+float64(2*workers)/float64(calls)))
}

// during is how often Seam is called and what CPU time the operator uses in a period.
func (c *cluster) during(ctx context.Context, o *operator, period time.Duration) (calls int, cpu time.Duration, err error) {
	before, err := o.cpu()
	if err != nil {
		return 0, 0, err
	}
	calls = c.seam.CallCount()
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(period):
	}
	cpu, err = o.cpu()
	return c.seam.CallCount() - calls, cpu - before, err
}
