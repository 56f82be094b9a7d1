package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// oneByOne is how many sessions are created one after the other, for oneByOneFor at most.
	oneByOne    = 200
	oneByOneFor = time.Minute
	// waiting is how many sessions wait for each slow credential, and refused how many use a revoked one.
	waiting, refused = 100, 500
	// slowAnswer is how long Seam takes to answer with a slow credential.
	slowAnswer = 20 * time.Second
	// mostCalls and mostCallsWith are how many calls may be under way at once: in all, and with one credential.
	mostCalls, mostCallsWith = 56, 42
)

// measureOne measures an operator that has nothing else to do.
func (b *bench) measureOne(ctx context.Context) error {
	return b.withOperator(ctx, func(c *cluster, _ *operator) error {
		took, _, err := b.oneByOne(ctx, c, &corev1.SecretList{}, func(client.Object) bool { return true })
		if err != nil {
			return err
		}
		b.addLatency("one session, create to Secret", took, atMost(20), atMost(100))
		return nil
	})
}

// measureNeighbours measures a healthy credential beside three that worked until Seam became slow with them, and one that
// Seam refuses.
func (b *bench) measureNeighbours(ctx context.Context) error {
	slow := []string{"slow1", "slow2", "slow3"}
	return b.withOperator(ctx, func(c *cluster, _ *operator) error {
		if err := c.createCredential(ctx, "dead", keyOf("dead")); err != nil {
			return err
		}
		for _, name := range slow {
			c.seam.AddCredential(keyOf(name), seamtest.Workspace1)
			err := errors.Join(c.createCredential(ctx, name, keyOf(name)), c.createSessions(ctx, name+"-before", waiting, using(name)))
			if err != nil {
				return err
			}
		}
		if err := c.awaitReady(ctx, len(slow)*waiting); err != nil { // so that each may have as many calls under way as any
			return err
		}
		c.seam.ResetCounts()
		began := time.Now()
		for _, name := range slow {
			c.seam.FailCredential(keyOf(name), seamtest.Slow(slowAnswer))
			if err := c.createSessions(ctx, name, waiting, using(name)); err != nil {
				return err
			}
		}
		if err := c.createSessions(ctx, "dead", refused, using("dead")); err != nil {
			return err
		}
		return b.addNeighbours(ctx, c, slow, began)
	})
}

// addNeighbours creates healthy sessions while others wait, and counts the calls of these since they began to.
func (b *bench) addNeighbours(ctx context.Context, c *cluster, slow []string, began time.Time) error {
	took, ready, err := b.oneByOne(ctx, c, &v1alpha1.SeamClientSessionList{}, isReady)
	if err != nil {
		return err
	}
	const sessions = 3*waiting + refused
	b.add(sessions, "healthy sessions beside three slow credentials and a revoked one: Ready within a minute", float64(ready), "", atLeast(oneByOne))
	b.addLatency("the same, create to Ready", took, atMost(20), atMost(2000))
	for _, name := range slow {
		b.add(sessions, "the same: calls under way at once, at most, with "+name, float64(c.seam.MaxInFlightWith(keyOf(name))), "", countAtMost(mostCallsWith))
	}
	b.add(sessions, "the same: calls under way at once, at most, in all", float64(c.seam.MaxInFlight()), "", countAtMost(mostCalls))
	b.add(sessions, "the same: calls with the revoked credential", float64(c.seam.CallsWith(keyOf("dead"))), "", countAtMost(1+float64(time.Since(began)/time.Minute)))
	return nil
}

func keyOf(credential string) string { return "seam_" + credential }

func using(credential string) func(*v1alpha1.SeamClientSession) {
	return func(s *v1alpha1.SeamClientSession) { s.Spec.CredentialSecretRef.Name = credential }
}

// oneByOne creates sessions one after the other, and returns how long each took until an object of its name was done, beyond Seam's
// own latency, and how many were. One that is not when the time is over counts with the time it has waited.
func (b *bench) oneByOne(
	ctx context.Context, c *cluster, kind client.ObjectList, done func(client.Object) bool,
) (took []time.Duration, ready int, err error) {
	over := time.After(oneByOneFor)
	for i := range oneByOne {
		ok, waited, err := c.createOne(ctx, fmt.Sprintf("one%d", i), kind, done, over)
		if err != nil {
			return nil, 0, err
		}
		took = append(took, waited-b.away)
		if !ok {
			break
		}
		ready++
	}
	return took, ready, nil
}

// createOne creates a session, waits until the object of its name is done, and returns whether it was before the time was
// over, and how long it took. It watches that object alone: of a watch that others keep busy the API server tires.
func (c *cluster) createOne(
	ctx context.Context, prefix string, kind client.ObjectList, done func(client.Object) bool, over <-chan time.Time,
) (bool, time.Duration, error) {
	name := prefix + "-0"
	watcher, err := c.api.Watch(ctx, kind, client.InNamespace(namespace), client.MatchingFields{"metadata.name": name})
	if err != nil {
		return false, 0, err
	}
	defer watcher.Stop()
	began := time.Now()
	if err := c.createSessions(ctx, prefix, 1, nil); err != nil {
		return false, 0, err
	}
	ok, err := await(ctx, watcher, name, done, over)
	return ok, time.Since(began), err
}

// await waits until the object of a name is done, and says whether it was before the time was over.
func await(
	ctx context.Context, watcher watch.Interface, name string, done func(client.Object) bool, over <-chan time.Time,
) (bool, error) {
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-over:
			return false, nil
		case event, open := <-watcher.ResultChan():
			object, ok := event.Object.(client.Object)
			switch {
			case !open:
				return false, errors.New("the watch has ended")
			case ok && object.GetName() == name && done(object):
				return true, nil
			}
		}
	}
}

func isReady(object client.Object) bool {
	session, ok := object.(*v1alpha1.SeamClientSession)
	return ok && meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady)
}

func (b *bench) addLatency(name string, took []time.Duration, p50, p99 target) {
	slices.Sort(took)
	b.add(1, name+", beyond Seam's latency, p50", took[len(took)/2].Seconds()*1000, "ms", p50)
	b.add(1, name+", beyond Seam's latency, p99", took[len(took)*99/100].Seconds()*1000, "ms", p99)
}
