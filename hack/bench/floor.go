package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// measureFloor is how long a bare client takes to create a Secret, patch a status and create an event for each of n
// objects that exist.
func (b *bench) measureFloor(ctx context.Context, n int) (time.Duration, error) {
	c, err := b.newCluster(ctx)
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
