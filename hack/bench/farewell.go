package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// farewells are how many objects are deleted whose sessions are to go with them, and tenants how many are of a namespace that
	// is deleted together with its credential.
	farewells, tenants = 1000, 100
	deletePath         = "/client_sessions/delete"
)

// measureFarewell measures how soon objects are gone that made a session, and whose deletion is to delete that at Seam.
func (b *bench) measureFarewell(ctx context.Context) error {
	return b.at(far, func() error {
		err := b.withOperator(ctx, func(c *cluster, _ *operator) error {
			if err := c.provision(ctx, farewells); err != nil {
				return err
			}
			took, err := c.deleteSessions(ctx)
			b.add(farewells, "deletion of objects with their sessions at Seam", took.Seconds(), "s", atMost(60))
			b.add(farewells, "calls to Seam for each", float64(c.seam.CallsTo(deletePath))/farewells, "", countAtMost(1))
			b.add(farewells, "sessions left behind at Seam", float64(c.left()), "", countAtMost(0))
			return err
		})
		if err != nil {
			return err
		}
		for _, down := range []bool{false, true} {
			if err := b.withOperator(ctx, func(c *cluster, _ *operator) error { return b.addNamespace(ctx, c, down) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// addNamespace deletes, as the namespace controller does, all that there is in a namespace, the credential first.
func (b *bench) addNamespace(ctx context.Context, c *cluster, down bool) error {
	if err := c.provision(ctx, tenants); err != nil {
		return err
	}
	name := "objects of a namespace that is deleted with its credential"
	if down {
		name += ", while Seam is down"
		c.seam.Fail(seamtest.Outage)
	}
	if err := c.api.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "seam"}}); err != nil {
		return err
	}
	took, err := c.deleteSessions(ctx)
	b.add(tenants, name, took.Seconds(), "s", atMost(120))
	return err
}

// provision has the operator make sessions for users of their own.
func (c *cluster) provision(ctx context.Context, n int) error {
	err := c.createSessions(ctx, "s", n, func(s *v1alpha1.SeamClientSession) {
		s.Spec.ClientSessionID, s.Spec.UserIdentifierKey = "", "user-"+s.Name
		s.Spec.Provision = &v1alpha1.Provision{WhenDeleted: v1alpha1.ProvisionedDelete}
	})
	if err != nil {
		return err
	}
	return c.awaitReady(ctx, n)
}

// deleteSessions deletes all objects, and returns how long it takes until they are gone.
func (c *cluster) deleteSessions(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := c.api.DeleteAllOf(ctx, &v1alpha1.SeamClientSession{}, client.InNamespace(namespace)); err != nil {
		return 0, err
	}
	left := 0
	_, err := within(ctx, 200*time.Millisecond, patience, func() (bool, error) {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("SeamClientSessionList"))
		err := c.api.List(ctx, list, client.InNamespace(namespace))
		left = len(list.Items)
		return left == 0, err
	})
	if err == nil && left > 0 {
		err = fmt.Errorf("%d objects are still there after %s", left, patience)
	}
	return time.Since(began), err
}

// left is how many of the sessions that the operator made are still at Seam.
func (c *cluster) left() int {
	left := 0
	for i := range farewells {
		left += len(c.seam.Sessions(fmt.Sprintf("user-s-%d", i)))
	}
	return left
}
