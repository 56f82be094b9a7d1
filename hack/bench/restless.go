package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

const (
	// changes is how often each restless session is changed, one change each changePeriod.
	changes      = 200
	changePeriod = 100 * time.Millisecond
	// attemptPeriod is how often an object may be attempted at most.
	attemptPeriod = 5 * time.Second
)

// measureRestless measures two sessions that never rest: one is asked to refresh ten times a second, of the other the spec
// changes as often.
func (b *bench) measureRestless(ctx context.Context) error {
	const requested, changed, annotation = "requested-0", "changed-0", "example.com/change"
	return b.withOperator(ctx, func(c *cluster, _ *operator) error {
		err := errors.Join(c.createSessions(ctx, "requested", 1, nil), c.createSessions(ctx, "changed", 1, nil), c.awaitReady(ctx, 2))
		if err != nil {
			return err
		}
		c.seam.ResetCounts()
		ticker := time.NewTicker(changePeriod)
		defer ticker.Stop()
		began := time.Now()
		for i := range changes {
			<-ticker.C
			err := errors.Join(
				c.patchSession(ctx, requested, `{"metadata":{"annotations":{%q:"%d"}}}`, v1alpha1.AnnotationRefreshRequestedAt, i),
				c.patchSession(ctx, changed, `{"spec":{"secret":{"annotations":{%q:"%d"}}}}`, annotation, i))
			if err != nil {
				return err
			}
		}
		// One at once, one in each period, and one for what came last.
		most := countAtMost(2 + float64(time.Since(began)/attemptPeriod))
		last := strconv.Itoa(changes - 1)
		session, secret := &v1alpha1.SeamClientSession{}, &corev1.Secret{}
		honoured, err := within(ctx, look, 4*attemptPeriod, func() (bool, error) {
			err := errors.Join(
				c.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: requested}, session),
				c.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: changed}, secret))
			return session.Status.LastHandledRefreshRequest == last && secret.Annotations[annotation] == last, err
		})
		b.add(1, "refresh-requested-at changes 200 times in 20 s: calls to Seam", float64(c.seam.CallsFor(requested)), "", most)
		b.add(1, "the spec changes 200 times in 20 s: calls to Seam", float64(c.seam.CallsFor(changed)), "", most)
		b.add(2, "the same: seconds until the last change is honoured", honoured.Seconds(), "s", atMost(2*attemptPeriod.Seconds()))
		return err
	})
}

// patchSession changes a session by a merge patch.
func (c *cluster) patchSession(ctx context.Context, name, format string, args ...any) error {
	session := &v1alpha1.SeamClientSession{}
	session.Namespace, session.Name = namespace, name
	return c.api.Patch(ctx, session, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, format, args...)))
}
