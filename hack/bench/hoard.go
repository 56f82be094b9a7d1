package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// hoarders is how many credential Secrets there are that are as large as they can be.
	hoarders = 60
	// forgotten is how long after its last use nothing of a credential needs to be kept.
	forgotten = 15 * time.Second
)

// measureLargeCredentials measures what credential Secrets cost that hold more than a credential.
func (b *bench) measureLargeCredentials(ctx context.Context) error {
	return b.withOperator(ctx, func(c *cluster, o *operator) error {
		before, err := o.footprint(ctx)
		if err != nil {
			return err
		}
		err = inParallel(ctx, hoarders, func(ctx context.Context, i int) error {
			name := fmt.Sprintf("large%d", i)
			c.seam.AddCredential(keyOf(name), seamtest.Workspace1)
			return c.api.Create(ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
				StringData: map[string]string{v1alpha1.DefaultCredentialKey: keyOf(name), "padding": strings.Repeat("x", large)},
			})
		})
		if err != nil {
			return err
		}
		for i := range hoarders {
			name := fmt.Sprintf("large%d", i)
			if err := c.createSessions(ctx, name+"-session", 1, using(name)); err != nil {
				return err
			}
		}
		if err := errors.Join(c.awaitReady(ctx, hoarders), pause(ctx, forgotten)); err != nil {
			return err
		}
		return b.addKept(ctx, hoarders, "credential Secrets of 900 kB", o, before, 5)
	})
}
