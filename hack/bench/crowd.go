package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/schedule"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// crowd is how many sessions there are that are refreshed every hour.
	crowd = 10_000
	// interval is the default of refreshInterval.
	interval = time.Hour
	// firstDue is how long after a fetch the first of a crowd is due, since jitter shortens the interval by up to a tenth.
	firstDue = interval * 9 / 10
	// ahead is how long before the first of a crowd is due it is made ready: it takes minutes to move ten thousand fetches back.
	ahead = 5 * time.Minute
	// idlePeriod is how long an operator is watched that has next to nothing to do.
	idlePeriod = 2 * time.Minute
	// outage is how long Seam is away.
	outage = 10 * time.Minute
)

// withCrowd has the operator make a crowd of sessions Ready, and then calls do without an operator.
func (b *bench) withCrowd(ctx context.Context, do func(*cluster) error) error {
	c, err := b.newCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	if err := c.createSessions(ctx, "s", crowd, nil); err != nil {
		return err
	}
	o, err := c.startOperator(b.operator)
	if err != nil {
		return err
	}
	err = c.awaitReady(ctx, crowd)
	o.stop()
	if err != nil {
		return err
	}
	return do(c)
}

// measureIdle measures the CPU time of an operator whose sessions were last fetched at any time of the last hour.
func (b *bench) measureIdle(ctx context.Context) error {
	return b.withCrowd(ctx, func(c *cluster) error {
		err := c.backdate(ctx, func(own time.Duration) time.Duration { return rand.N(own) })
		if err != nil {
			return err
		}
		o, err := c.startOperator(b.operator)
		if err != nil {
			return err
		}
		defer o.stop()
		if _, err := o.quiet(ctx); err != nil {
			return err
		}
		calls, cpu, err := c.during(ctx, o, idlePeriod)
		if err != nil {
			return err
		}
		if err := b.profile(ctx, o, crowd, "idle-cpu", "profile?seconds=60"); err != nil {
			return err
		}
		b.add(crowd, "idle, refreshed hourly: calls to Seam per second", float64(calls)/idlePeriod.Seconds(), "1/s")
		b.add(crowd, "idle, refreshed hourly: CPU, of one core", 100*cpu.Seconds()/idlePeriod.Seconds(), "%", atMost(1))
		return b.addMemory(crowd, "idle, refreshed hourly", o)
	})
}

// measureSpread counts calls of sessions that were all fetched at the same second, over the interval after it.
func (b *bench) measureSpread(ctx context.Context) error {
	return b.withCrowd(ctx, func(c *cluster) error {
		if err := c.backdate(ctx, together(time.Now())); err != nil {
			return err
		}
		calls := c.seam.CallCount()
		o, err := c.startOperator(b.operator)
		if err != nil {
			return err
		}
		defer o.stop()
		most, took, err := c.busiest(ctx, ahead+interval-firstDue+patience, func() bool { return c.seam.CallCount()-calls >= crowd })
		if err != nil {
			return err
		}
		b.add(crowd, "created together, the next hour: seconds from the first call to the last", took.Seconds(), "s")
		b.add(crowd, "created together, the next hour: calls in the busiest second", most, "")
		b.add(crowd, "created together, the next hour: the busiest second, of the mean", most/(crowd/took.Seconds()), "")
		return nil
	})
}

// measureOutage lets Seam be away while all of them are due, and counts the calls once it is back.
func (b *bench) measureOutage(ctx context.Context) error {
	return b.withCrowd(ctx, func(c *cluster) error {
		if err := c.backdate(ctx, together(time.Now())); err != nil {
			return err
		}
		calls := c.seam.CallCount()
		c.seam.Fail(seamtest.Outage)
		o, err := c.startOperator(b.operator)
		if err != nil {
			return err
		}
		defer o.stop()
		over := time.Now().Add(outage)
		most, _, err := c.busiest(ctx, 2*outage, func() bool { return time.Now().After(over) })
		if err != nil {
			return err
		}
		during := c.seam.CallCount() - calls
		failing, err := c.notSynced(ctx)
		if err != nil {
			return err
		}
		b.add(crowd, "outage of 10 min: sessions that it hit", float64(failing), "")
		b.add(crowd, "outage of 10 min: calls per session during it", float64(during)/crowd, "")
		b.add(crowd, "outage of 10 min: calls in the busiest second of it", most, "")
		c.seam.Heal()
		calls, failing = c.seam.CallCount(), crowd
		most, took, err := c.busiest(ctx, 2*outage, func() bool {
			if c.seam.CallCount()-calls >= crowd*99/100 {
				failing, err = c.notSynced(ctx)
			}
			return failing == 0 || err != nil
		})
		b.add(crowd, "after the outage: seconds until all are up to date", took.Seconds(), "s")
		b.add(crowd, "after the outage: calls per session until then", float64(c.seam.CallCount()-calls)/crowd, "")
		b.add(crowd, "after the outage: calls in the busiest second", most, "")
		return err
	})
}

// together gives all the same last fetch, some time before the first is due again.
func together(now time.Time) func(time.Duration) time.Duration {
	at := now.Add(ahead - firstDue)
	return func(time.Duration) time.Duration { return time.Since(at) }
}

// backdate moves the last fetch of each session back, as if the operator had not run since: to an age that may depend on the
// session's own interval, which is the common one with its jitter.
func (c *cluster) backdate(ctx context.Context, age func(own time.Duration) time.Duration) error {
	return inParallel(ctx, crowd, func(ctx context.Context, i int) error {
		session := &v1alpha1.SeamClientSession{}
		if err := c.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: fmt.Sprintf("s-%d", i)}, session); err != nil {
			return err
		}
		before := session.DeepCopy()
		now := time.Now().Truncate(time.Second)
		due := func(fetched time.Time) time.Time {
			in := schedule.Input{UID: string(session.UID), RefreshInterval: interval, LastFetch: fetched, LastAttempt: fetched}
			return schedule.Next(in, now)
		}
		fetched := metav1.NewTime(now.Add(-age(due(now).Sub(now))).Truncate(time.Second))
		next := metav1.NewTime(due(fetched.Time))
		session.Status.LastFetchTime, session.Status.LastAttemptTime, session.Status.NextFetchTime = &fetched, &fetched, &next
		return c.api.Status().Patch(ctx, session, client.MergeFrom(before))
	})
}

// busiest is the most calls to Seam per second, second by second until done, and the time from the first of them until then.
func (c *cluster) busiest(ctx context.Context, timeout time.Duration, done func() bool) (most float64, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var first time.Time
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for before, since := c.seam.CallCount(), time.Now(); !done(); {
		select {
		case <-ctx.Done():
			return most, took, errors.Join(errors.New("not done in time"), ctx.Err())
		case <-ticker.C:
		}
		calls, now := c.seam.CallCount(), time.Now()
		if calls > before && first.IsZero() {
			first = since
		}
		most = max(most, float64(calls-before)/now.Sub(since).Seconds()) // a busy machine ticks late
		before, since = calls, now
	}
	return most, time.Since(first), nil
}

// notSynced counts the sessions whose last fetch failed.
func (c *cluster) notSynced(ctx context.Context) (int, error) {
	var sessions v1alpha1.SeamClientSessionList
	if err := c.api.List(ctx, &sessions, client.InNamespace(namespace)); err != nil {
		return 0, err
	}
	failing := 0
	for i := range sessions.Items {
		if !meta.IsStatusConditionTrue(sessions.Items[i].Status.Conditions, v1alpha1.ConditionSynced) {
			failing++
		}
	}
	return failing, nil
}
