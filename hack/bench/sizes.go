package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// drifting is how many Secrets are deleted to see how soon they are back.
const drifting = 100

const (
	cpuPerThousand = ": CPU per thousand sessions"
	firstSyncCPU   = "first sync" + cpuPerThousand
)

// minCompared is from how many sessions on the first sync is compared with the floor: with fewer, how long the operator takes
// to start weighs as much as what it does.
const minCompared = 5000

// comparedFar is how many sessions are measured with a Seam far away too.
const comparedFar = 5000

// peakMemory are the targets for the operator's peak memory, in MB, by the number of sessions.
var peakMemory = map[int]float64{1000: 50, 10_000: 110}

func (b *bench) measureSizes(ctx context.Context, sizes []string) error {
	for _, size := range sizes {
		n, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("-sessions: %w", err)
		}
		if err := b.measureSize(ctx, n); err != nil {
			return fmt.Errorf("%d sessions: %w", n, err)
		}
	}
	costs := b.valuesOf(firstSyncCPU)
	if len(costs) > 1 {
		b.add(0, "first sync: CPU per session, the most of all sizes to the least", slices.Max(costs)/slices.Min(costs), "", atMost(1.3))
	}
	return nil
}

// measureSize measures the operator with n sessions, and the floor before and after it: a machine that is shared changes its
// speed within minutes. The floor calls no Seam, and is the same however far away that is.
func (b *bench) measureSize(ctx context.Context, n int) error {
	before, err := b.measureFloor(ctx, n)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	distances := []time.Duration{near}
	if n == comparedFar {
		distances = append(distances, far)
	}
	took := make([]time.Duration, len(distances))
	for i, away := range distances {
		if err := b.at(away, func() error { took[i], err = b.measureOperator(ctx, n); return err }); err != nil {
			return fmt.Errorf("with Seam at %s: %w", away, err)
		}
	}
	after, err := b.measureFloor(ctx, n)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	b.add(n, "floor: a bare client's sessions per second, before", float64(n)/before.Seconds(), "1/s")
	b.add(n, "floor: a bare client's sessions per second, after", float64(n)/after.Seconds(), "1/s")
	for i, away := range distances {
		_ = b.at(away, func() error {
			b.add(n, "first sync: ratio to the floor", (before+after).Seconds()/2/took[i].Seconds(), "", ratioTargets(n, away)...)
			return nil
		})
	}
	return nil
}

// ratioTargets are the targets for the ratio to the floor.
func ratioTargets(n int, away time.Duration) []target {
	switch {
	case n < minCompared:
		return nil
	case n == comparedFar && away == near:
		return []target{atLeast(0.9)}
	}
	return []target{atLeast(0.7)}
}

// measureOperator measures the operator from its first start with n sessions on, and returns how long the first sync took.
func (b *bench) measureOperator(ctx context.Context, n int) (time.Duration, error) {
	c, err := b.newCluster(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.close() }()
	if err := c.createSessions(ctx, "s", n, nil); err != nil {
		return 0, err
	}
	took, err := b.firstSync(ctx, c, n)
	if err != nil {
		return 0, fmt.Errorf("first sync: %w", err)
	}
	if b.away == far { // which a restart does not call
		return took, nil
	}
	return took, b.restart(ctx, c, n)
}

// firstSync measures from the operator's first call to Seam until all sessions are Ready.
func (b *bench) firstSync(ctx context.Context, c *cluster, n int) (time.Duration, error) {
	before, err := c.requests(ctx)
	if err != nil {
		return 0, err
	}
	o, err := c.startOperator(b.operator)
	if err != nil {
		return 0, err
	}
	defer o.stop()
	for tick := time.Tick(time.Millisecond); c.seam.CallCount() == 0; <-tick {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	profiled := b.profileCPU(ctx, o, n)
	if err := c.awaitReady(ctx, n); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if err := errors.Join(<-profiled, b.profile(ctx, o, n, "heap", "heap")); err != nil {
		return 0, err
	}
	if _, err := o.quiet(ctx); err != nil { // the last events
		return 0, err
	}
	b.add(n, "first sync: seconds", took.Seconds(), "s")
	b.add(n, "first sync: sessions per second", float64(n)/took.Seconds(), "1/s")
	b.add(n, "first sync: calls to Seam per session", float64(c.seam.CallCount())/float64(n), "", countAtMost(1))
	if err := b.addRequests(ctx, c, n, "first sync", before, countAtMost(3.1)); err != nil {
		return 0, err
	}
	if err := errors.Join(b.addProcess(n, "first sync", o), b.drift(ctx, c, n)); err != nil {
		return 0, err
	}
	_, err = o.quiet(ctx) // so that the next one has nothing to bring to its end
	return took, err
}

// addRequests adds what the API server has served since before, per one of n.
func (b *bench) addRequests(ctx context.Context, c *cluster, n int, phase string, before map[string]float64, targets ...target) error {
	after, err := c.requests(ctx)
	if err != nil {
		return err
	}
	total := 0.0
	for _, request := range slices.Sorted(maps.Keys(after)) {
		if strings.HasPrefix(request, "WATCH") || after[request] == before[request] {
			continue
		}
		count := after[request] - before[request]
		total += count
		b.add(n, phase+": "+request, count/float64(n), "")
	}
	b.add(n, phase+": API requests", total/float64(n), "", targets...)
	return nil
}

// addProcess adds what the process has used since it started.
func (b *bench) addProcess(n int, phase string, o *operator) error {
	cpu, errCPU := o.cpu()
	b.add(n, phase+cpuPerThousand, cpu.Seconds()/float64(n)*1000, "s")
	return errors.Join(errCPU, b.addMemory(n, phase, o))
}

func (b *bench) addMemory(n int, phase string, o *operator) error {
	peak, err := o.peak()
	if err != nil {
		return err
	}
	var targets []target
	if most, ok := peakMemory[n]; ok {
		targets = []target{atMost(most)}
	}
	b.add(n, phase+": peak memory", peak, "MB", targets...)
	return nil
}

// drift measures how soon Secrets that were deleted are back.
func (b *bench) drift(ctx context.Context, c *cluster, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var now corev1.SecretList
	if err := c.api.List(ctx, &now, client.InNamespace(namespace), client.Limit(1)); err != nil {
		return err
	}
	watcher, err := c.api.Watch(ctx, &corev1.SecretList{}, client.InNamespace(namespace),
		client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: now.ResourceVersion}})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	missing := map[string]bool{}
	began := time.Now()
	for i := range min(drifting, n) {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("s-%d", i)}}
		if err := c.api.Delete(ctx, secret); err != nil {
			return err
		}
		missing[secret.Name] = true
	}
	deleted := len(missing)
	for event := range watcher.ResultChan() {
		if secret, ok := event.Object.(*corev1.Secret); ok && event.Type == watch.Added {
			delete(missing, secret.Name)
		}
		if len(missing) == 0 {
			b.add(n, fmt.Sprintf("drift: seconds from deleting %d Secrets until all are back", deleted), time.Since(began).Seconds(), "s")
			return nil
		}
	}
	return fmt.Errorf("drift: %d of %d Secrets that were deleted are not back", len(missing), deleted)
}

// restart measures a new start over sessions that are all up to date.
func (b *bench) restart(ctx context.Context, c *cluster, n int) error {
	before, err := c.requests(ctx)
	if err != nil {
		return err
	}
	calls := c.seam.CallCount()
	began := time.Now()
	o, err := c.startOperator(b.operator)
	if err != nil {
		return err
	}
	defer o.stop()
	since, err := o.quiet(ctx)
	if err != nil {
		return err
	}
	b.add(n, "restart: seconds until quiet", since.Sub(began).Seconds(), "s")
	b.add(n, "restart: calls to Seam", float64(c.seam.CallCount()-calls), "", countAtMost(0))
	// A list and its pages, at most.
	if err := b.addRequests(ctx, c, n, "restart", before, countAtMost(4/float64(n))); err != nil {
		return err
	}
	return b.addProcess(n, "restart", o)
}
