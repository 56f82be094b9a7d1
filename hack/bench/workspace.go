package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

const (
	// sharing is how many sessions share a SeamWorkspace, and backlog how many refreshes one namespace asks for at once.
	sharing, backlog = 5000, 10_000
	platform         = "platform"
	neighbour        = "neighbour"
)

// measureWorkspace compares a first sync by workspaceRef with one by credentialSecretRef, and then lets one namespace ask for
// many refreshes of the workspace while another wants one session.
func (b *bench) measureWorkspace(ctx context.Context) error {
	var direct, shared time.Duration
	var reads float64
	directly := func(c *cluster) error {
		took, err := c.firstSync(ctx, nil)
		direct += took
		return err
	}
	byReference := func(c *cluster) error {
		took, more, err := c.syncByWorkspace(ctx)
		shared, reads = shared+took, reads+more
		return err
	}
	for _, sync := range []func(*cluster) error{directly, byReference, byReference, directly} { // the machine's speed drifts
		if err := b.withOperator(ctx, func(c *cluster, _ *operator) error { return sync(c) }); err != nil {
			return err
		}
	}
	b.add(sharing, "twice by workspaceRef: reads of Secrets, beyond one in 5 s", reads-shared.Seconds()/5, "", countAtMost(4))
	b.add(sharing, "first sync by workspaceRef, of the time by credentialSecretRef", shared.Seconds()/direct.Seconds(), "", atMost(1.05))
	return b.at(far, func() error { return b.measureBacklog(ctx) })
}

// syncByWorkspace returns how long a first sync by workspaceRef takes, and how often a Secret was read for it.
func (c *cluster) syncByWorkspace(ctx context.Context) (took time.Duration, reads float64, err error) {
	if err := c.createWorkspace(ctx); err != nil {
		return 0, 0, err
	}
	before, err := c.requests(ctx)
	if err != nil {
		return 0, 0, err
	}
	if took, err = c.firstSync(ctx, byWorkspace); err != nil {
		return 0, 0, err
	}
	after, err := c.requests(ctx)
	return took, after["GET secrets"] - before["GET secrets"], err
}

// firstSync creates sessions and returns how long it takes until all are Ready.
func (c *cluster) firstSync(ctx context.Context, change func(*v1alpha1.SeamClientSession)) (time.Duration, error) {
	if err := c.createSessions(ctx, "warm", 1, change); err != nil {
		return 0, err
	}
	if err := c.awaitReady(ctx, 1); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := c.createSessions(ctx, "s", sharing, change); err != nil {
		return 0, err
	}
	err := c.awaitReady(ctx, sharing+1)
	return time.Since(began), err
}

// measureBacklog has one namespace ask for many refreshes, and measures how long a session of another takes.
func (b *bench) measureBacklog(ctx context.Context) error {
	return b.withOperator(ctx, func(c *cluster, _ *operator) error {
		if err := errors.Join(c.createWorkspace(ctx), c.createSessions(ctx, "s", backlog, byWorkspace), c.awaitReady(ctx, backlog)); err != nil {
			return err
		}
		if err := c.refreshAll(ctx); err != nil {
			return err
		}
		took, err := b.besideBacklog(ctx, c)
		if err != nil {
			return err
		}
		b.addLatency(fmt.Sprintf("one session beside %d refreshes of another namespace, create to Ready", backlog), took, atMost(5000), atMost(5000))
		return nil
	})
}

// besideBacklog creates sessions in another namespace, one after the other, and returns how long each took until it was Ready,
// beyond Seam's own latency.
func (b *bench) besideBacklog(ctx context.Context, c *cluster) (took []time.Duration, err error) {
	watcher, err := c.api.Watch(ctx, &v1alpha1.SeamClientSessionList{}, client.InNamespace(neighbour))
	if err != nil {
		return nil, err
	}
	defer watcher.Stop()
	over := time.After(oneByOneFor)
	for i := range 10 {
		prefix, began := fmt.Sprintf("one%d", i), time.Now()
		if err := c.createSessions(ctx, prefix, 1, func(s *v1alpha1.SeamClientSession) { byWorkspace(s); s.Namespace = neighbour }); err != nil {
			return nil, err
		}
		if _, err := await(ctx, watcher, prefix+"-0", isReady, over); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began)-b.away)
	}
	return took, nil
}

// refreshAll asks for a refresh of every session of the first namespace.
func (c *cluster) refreshAll(ctx context.Context) error {
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationRefreshRequestedAt+`":"now"}}}`))
	return inParallel(ctx, backlog, func(ctx context.Context, i int) error {
		session := &v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("s-%d", i)}}
		return c.api.Patch(ctx, session, patch)
	})
}

// createWorkspace makes a SeamWorkspace in a namespace of its own that grants both namespaces every session.
func (c *cluster) createWorkspace(ctx context.Context) error {
	for _, name := range []string{platform, neighbour} {
		if err := c.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return err
		}
	}
	credential := &corev1.Secret{}
	if err := c.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "seam"}, credential); err != nil {
		return err
	}
	credential.ObjectMeta = metav1.ObjectMeta{Namespace: platform, Name: "seam"}
	return errors.Join(c.api.Create(ctx, credential), c.api.Create(ctx, &v1alpha1.SeamWorkspace{
		ObjectMeta: metav1.ObjectMeta{Namespace: platform, Name: "production"},
		Spec: v1alpha1.SeamWorkspaceSpec{
			CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam"},
			Grants:              []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Names: []v1alpha1.NamespaceName{namespace, neighbour}}}},
		},
	}))
}

func byWorkspace(s *v1alpha1.SeamClientSession) {
	s.Spec.CredentialSecretRef = v1alpha1.CredentialReference{}
	s.Spec.WorkspaceRef = &v1alpha1.WorkspaceReference{Namespace: platform, Name: "production"}
}
