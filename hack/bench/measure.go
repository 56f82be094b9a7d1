package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

const (
	// drifting is how many Secrets are deleted to see how soon they are back.
	drifting = 100
	// oneByOne is how many sessions are created one after the other.
	oneByOne = 200
	// steadySessions is how many sessions are refreshed every 30s.
	steadySessions = 1000
)

// measureSize measures the floor, and the operator from its first start with n sessions on.
func measureSize(ctx context.Context, results *report, n int, binary string) error {
	floor, err := measureFloor(ctx, n)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	results.add(n, "floor: a bare client's sessions per second", float64(n)/floor.Seconds(), "1/s")
	c, err := newCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	if err := c.createSessions(ctx, "s", n, nil); err != nil {
		return err
	}
	if err := c.firstSync(ctx, results, n, floor, binary); err != nil {
		return fmt.Errorf("first sync: %w", err)
	}
	return c.restart(ctx, results, n, binary)
}

// measureFloor is how long a bare client takes to create a Secret, patch a status and create an event for each of n
// objects that exist.
func measureFloor(ctx context.Context, n int) (time.Duration, error) {
	c, err := newCluster(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.close() }()
	if err := c.createSessions(ctx, "s", n, nil); err != nil {
		return 0, err
	}
	ready := make(chan error, 1)
	go func() { ready <- c.awaitReady(ctx, n) }()
	began := time.Now()
	err = inParallel(ctx, n, func(ctx context.Context, i int) error { return c.bareWrites(ctx, fmt.Sprintf("s-%d", i)) })
	took := time.Since(began)
	return took, errors.Join(err, <-ready)
}

// bareWrites does the three writes of a session, of the size that the operator's have.
func (c *cluster) bareWrites(ctx context.Context, name string) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{
			v1alpha1.AnnotationSession: name, v1alpha1.AnnotationClientSessionID: name,
			v1alpha1.AnnotationContentHash: strings.Repeat("0", 65), v1alpha1.AnnotationSpecHash: strings.Repeat("0", 32),
		}},
		StringData: map[string]string{"token": "seam_cst1_" + name, "client_session_id": name, "expires_at": "2026-01-01T00:00:00Z"},
	}
	now := metav1.Now()
	session := &v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	before := client.MergeFrom(session.DeepCopy())
	session.Status = v1alpha1.SeamClientSessionStatus{
		ObservedGeneration: 1, SecretName: name, ClientSessionID: name, WorkspaceID: name, TokenFingerprint: "000000000000",
		CreatedAt: &now, ExpiresAt: &now, ExpiryObservedTime: &now, LastFetchTime: &now, LastAttemptTime: &now, NextFetchTime: &now,
		Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionSynced, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonFetched, LastTransitionTime: now},
			{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonTokenAvailable, LastTransitionTime: now},
		},
	}
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, EventTime: metav1.NowMicro(), Action: "Sync",
		ReportingController: "bench", ReportingInstance: "bench", Type: corev1.EventTypeNormal, Reason: "TokenWritten",
		Regarding: corev1.ObjectReference{Kind: "SeamClientSession", Namespace: namespace, Name: name},
	}
	if err := c.api.Create(ctx, secret); err != nil {
		return err
	}
	if err := c.api.Status().Patch(ctx, session, before); err != nil {
		return err
	}
	return c.api.Create(ctx, event)
}

// firstSync measures from the operator's first call to Seam until all sessions are Ready.
func (c *cluster) firstSync(ctx context.Context, results *report, n int, floor time.Duration, binary string) error {
	before, err := c.requests(ctx)
	if err != nil {
		return err
	}
	o, err := c.startOperator(binary)
	if err != nil {
		return err
	}
	defer o.stop()
	for tick := time.Tick(time.Millisecond); c.seam.CallCount() == 0; <-tick {
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := c.awaitReady(ctx, n); err != nil {
		return err
	}
	took := time.Since(began)
	if _, err := o.quiet(ctx); err != nil { // the last events
		return err
	}
	results.add(n, "first sync: seconds", took.Seconds(), "s")
	results.add(n, "first sync: sessions per second", float64(n)/took.Seconds(), "1/s")
	results.add(n, "first sync: ratio to the floor", floor.Seconds()/took.Seconds(), "")
	results.add(n, "first sync: calls to Seam per session", float64(c.seam.CallCount())/float64(n), "")
	if err := c.addRequests(ctx, results, n, "first sync", before); err != nil {
		return err
	}
	if err := addProcess(results, n, "first sync", o); err != nil {
		return err
	}
	return c.drift(ctx, results, n)
}

// addRequests adds what the API server has served since before, per session.
func (c *cluster) addRequests(ctx context.Context, results *report, n int, phase string, before map[string]float64) error {
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
		results.add(n, phase+": "+request+" per session", count/float64(n), "")
	}
	results.add(n, phase+": API requests per session", total/float64(n), "")
	return nil
}

func addProcess(results *report, n int, phase string, o *operator) error {
	cpu, errCPU := o.cpu()
	peak, errMemory := o.memory("VmHWM")
	results.add(n, phase+": the operator's CPU seconds", cpu.Seconds(), "s")
	results.add(n, phase+": the operator's peak memory", peak, "MB")
	return errors.Join(errCPU, errMemory)
}

// drift measures how soon Secrets that were deleted are back.
func (c *cluster) drift(ctx context.Context, results *report, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	deleted := map[string]bool{}
	for i := range min(drifting, n) {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("s-%d", i)}}
		if err := c.api.Get(ctx, client.ObjectKeyFromObject(secret), secret); err != nil {
			return err
		}
		if err := c.api.Delete(ctx, secret); err != nil {
			return err
		}
		deleted[string(secret.UID)] = true
	}
	for back := 0; back < len(deleted); {
		back = 0
		var secrets corev1.SecretList
		if err := c.api.List(ctx, &secrets, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}); err != nil {
			return err
		}
		if len(secrets.Items) == n {
			back = len(deleted)
		}
	}
	results.add(n, fmt.Sprintf("drift: seconds until %d deleted Secrets are back", len(deleted)), time.Since(began).Seconds(), "s")
	return nil
}

// restart measures a new start over sessions that are all up to date.
func (c *cluster) restart(ctx context.Context, results *report, n int, binary string) error {
	before, err := c.requests(ctx)
	if err != nil {
		return err
	}
	calls := c.seam.CallCount()
	began := time.Now()
	o, err := c.startOperator(binary)
	if err != nil {
		return err
	}
	defer o.stop()
	since, err := o.quiet(ctx)
	if err != nil {
		return err
	}
	results.add(n, "restart: seconds until quiet", since.Sub(began).Seconds(), "s")
	results.add(n, "restart: calls to Seam", float64(c.seam.CallCount()-calls), "")
	if err := c.addRequests(ctx, results, n, "restart", before); err != nil {
		return err
	}
	return addProcess(results, n, "restart", o)
}

// measureSteady watches sessions that are refreshed every 30s while nothing changes.
func measureSteady(ctx context.Context, results *report, period time.Duration, binary string) error {
	c, err := newCluster(ctx)
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
	o, err := c.startOperator(binary)
	if err != nil {
		return err
	}
	defer o.stop()
	if err := c.awaitReady(ctx, steadySessions); err != nil {
		return err
	}
	before, err := c.requests(ctx)
	if err != nil {
		return err
	}
	cpuBefore, err := o.cpu()
	if err != nil {
		return err
	}
	calls := c.seam.CallCount()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(period):
	}
	refreshes := c.seam.CallCount() - calls
	cpu, err := o.cpu()
	if err != nil {
		return err
	}
	results.add(steadySessions, "steady: refreshes", float64(refreshes), "")
	results.add(steadySessions, "steady: CPU per thousand refreshes", (cpu-cpuBefore).Seconds()/float64(refreshes)*1000, "s")
	return c.addRequests(ctx, results, refreshes, "steady, per refresh", before)
}

// measureOne creates sessions one after the other, and measures from create to Secret.
func measureOne(ctx context.Context, results *report, binary string) error {
	c, err := newCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	o, err := c.startOperator(binary)
	if err != nil {
		return err
	}
	defer o.stop()
	watcher, err := c.api.Watch(ctx, &corev1.SecretList{}, client.InNamespace(namespace),
		client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	var took []time.Duration
	for i := range oneByOne + 1 {
		began := time.Now()
		if err := c.createSessions(ctx, fmt.Sprintf("one%d", i), 1, nil); err != nil {
			return err
		}
		for event := range watcher.ResultChan() {
			if event.Type == watch.Added {
				break
			}
		}
		if i > 0 { // the first waits for the operator's start
			took = append(took, time.Since(began)-latency)
		}
	}
	slices.Sort(took)
	results.add(1, "one session: create to Secret, beyond Seam's latency, p50", took[len(took)/2].Seconds()*1000, "ms")
	results.add(1, "one session: the same, p99", took[len(took)*99/100].Seconds()*1000, "ms")
	return nil
}

// measureOthers measures what Secrets cost that are not the operator's.
func measureOthers(ctx context.Context, results *report, others int, binary string) error {
	c, err := newCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	memory := func() (float64, error) {
		o, err := c.startOperator(binary)
		if err != nil {
			return 0, err
		}
		defer o.stop()
		if _, err := o.quiet(ctx); err != nil {
			return 0, err
		}
		return o.memory("VmHWM")
	}
	none, err := memory()
	if err != nil {
		return err
	}
	err = inParallel(ctx, others, func(ctx context.Context, i int) error {
		return c.api.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("other-%d", i)},
			Data:       map[string][]byte{"value": make([]byte, 1024)},
		})
	})
	if err != nil {
		return err
	}
	many, err := memory()
	results.add(others, "others' Secrets: peak memory with none", none, "MB")
	results.add(others, "others' Secrets: peak memory with that many", many, "MB")
	return err
}
