package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// oneByOne is how many sessions are created one after the other.
	oneByOne = 200
	// troubled is how many sessions use a credential that is in trouble.
	troubled = 500
)

// measureOne measures an operator that has nothing else to do.
func (b *bench) measureOne(ctx context.Context) error {
	c, err := newCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	o, err := c.startOperator(b.operator)
	if err != nil {
		return err
	}
	defer o.stop()
	return b.addLatency(ctx, c, "one session", "seam")
}

// measureNeighbours measures a healthy credential while a thousand sessions hang on two others: Seam takes 5 s to answer
// with one, and refuses the other.
func (b *bench) measureNeighbours(ctx context.Context) error {
	const slow, dead = "seam_slow", "seam_dead"
	c, err := newCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	c.seam.AddCredential(slow, seamtest.Workspace1)
	c.seam.FailCredential(slow, seamtest.Slow(5*time.Second))
	err = errors.Join(c.createCredential(ctx, "slow", slow), c.createCredential(ctx, "dead", dead))
	if err != nil {
		return err
	}
	for _, credential := range []string{"slow", "dead"} {
		if err := c.createSessions(ctx, credential, troubled, using(credential)); err != nil {
			return err
		}
	}
	o, err := c.startOperator(b.operator)
	if err != nil {
		return err
	}
	defer o.stop()
	for tick := time.Tick(time.Second); c.seam.MaxInFlightWith(slow) < workers/2; <-tick { // as many as it may have
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if err := b.addLatency(ctx, c, "one session while 500 wait for a slow Seam and 500 are refused", "seam"); err != nil {
		return err
	}
	b.add(2*troubled, "the same: calls with the slow credential, of 500", float64(c.seam.CallsWith(slow)), "")
	b.add(2*troubled, "the same: calls with the dead credential, of 500", float64(c.seam.CallsWith(dead)), "")
	return nil
}

func using(credential string) func(*v1alpha1.SeamClientSession) {
	return func(s *v1alpha1.SeamClientSession) { s.Spec.CredentialSecretRef.Name = credential }
}

// addLatency creates sessions one after the other, and measures from create to Secret.
func (b *bench) addLatency(ctx context.Context, c *cluster, name, credential string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	watcher, err := c.api.Watch(ctx, &corev1.SecretList{}, client.InNamespace(namespace),
		client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	var took []time.Duration
	for i := range oneByOne + 1 {
		prefix := fmt.Sprintf("one%d", i)
		began := time.Now()
		if err := c.createSessions(ctx, prefix, 1, using(credential)); err != nil {
			return err
		}
		if err := awaitAdded(ctx, watcher, prefix+"-0"); err != nil {
			return err
		}
		if i > 0 { // the first waits for the operator's start
			took = append(took, time.Since(began)-latency)
		}
	}
	slices.Sort(took)
	b.add(1, name+": create to Secret, beyond Seam's latency, p50", took[len(took)/2].Seconds()*1000, "ms", atMost(20))
	b.add(1, name+": the same, p99", took[len(took)*99/100].Seconds()*1000, "ms", atMost(100))
	return nil
}

func awaitAdded(ctx context.Context, watcher watch.Interface, name string) error {
	for event := range watcher.ResultChan() {
		if secret, ok := event.Object.(*corev1.Secret); ok && event.Type == watch.Added && secret.Name == name {
			return nil
		}
	}
	return fmt.Errorf("the Secret %s did not come: %w", name, ctx.Err())
}
