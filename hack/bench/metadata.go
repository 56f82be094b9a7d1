package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

const (
	// labelled is how many Secrets have large annotations, and edited how many of the operator's own get other large metadata.
	labelled, edited = 400, 50
	// digestSize is what may be kept of a Secret, in MB.
	digestSize = 4.0 / 1024
	// noise is by how many MB what is in use varies by itself.
	noise = 2
)

// measureMetadata measures what Secrets with the operator's label cost whose metadata are as large as they can be.
func (b *bench) measureMetadata(ctx context.Context) error {
	return b.withOperator(ctx, func(c *cluster, o *operator) error {
		err := b.addMetadata(ctx, o, labelled, "Secrets labelled as ours with 250 KiB of annotations", func(ctx context.Context, i int) error {
			return c.api.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: fmt.Sprintf("labelled-%d", i),
				Labels:      map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
				Annotations: map[string]string{"example.com/a": strings.Repeat("x", 250<<10)},
			}})
		})
		if err != nil {
			return err
		}
		const edits = 3
		if err := errors.Join(c.createSessions(ctx, "s", edits*edited, nil), c.awaitReady(ctx, edits*edited)); err != nil {
			return err
		}
		err = errors.Join(
			b.addEdited(ctx, c, o, 0, "1,000 labels", addLabels),
			b.addEdited(ctx, c, o, edited, "1,000 finalizers", addFinalizers),
			b.addEdited(ctx, c, o, 2*edited, "1,000 owner references", addOwners))
		if err != nil {
			return err
		}
		o.stop()
		return b.addRestarted(ctx, c)
	})
}

// addMetadata adds what is kept after something was done to n Secrets.
func (b *bench) addMetadata(ctx context.Context, o *operator, n int, name string, do func(context.Context, int) error) error {
	before, err := o.footprint(ctx)
	if err != nil {
		return err
	}
	if err := inParallel(ctx, n, do); err != nil {
		return err
	}
	if _, err := o.quiet(ctx); err != nil {
		return err
	}
	return b.addKept(ctx, n, name, o, before, noise+digestSize*float64(n))
}

// addEdited edits Secrets that the operator has written, from one of them on: their metadata, and a key, so that it must write
// them again.
func (b *bench) addEdited(ctx context.Context, c *cluster, o *operator, from int, what string, edit func(*corev1.Secret)) error {
	return b.addMetadata(ctx, o, edited, "Secrets of ours with "+what, func(ctx context.Context, i int) error {
		secret := &corev1.Secret{}
		if err := c.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: fmt.Sprintf("s-%d", from+i)}, secret); err != nil {
			return err
		}
		before := client.MergeFrom(secret.DeepCopy())
		edit(secret)
		secret.Data["token"] = []byte("edited")
		return c.api.Patch(ctx, secret, before)
	})
}

func addLabels(secret *corev1.Secret) {
	for i := range 1000 {
		secret.Labels[fmt.Sprintf("%s.example.com/%d", strings.Repeat("x", 60), i)] = strings.Repeat("x", 63)
	}
}

func addFinalizers(secret *corev1.Secret) {
	for i := range 1000 {
		secret.Finalizers = append(secret.Finalizers, fmt.Sprintf("%s.example.com/%d", strings.Repeat("x", 60), i))
	}
}

func addOwners(secret *corev1.Secret) {
	for i := range 1000 {
		secret.OwnerReferences = append(secret.OwnerReferences, metav1.OwnerReference{
			APIVersion: "example.com/v1", Kind: strings.Repeat("K", 60), Name: strings.Repeat("x", 60), UID: types.UID(fmt.Sprintf("uid-%d", i)),
		})
	}
}

// addRestarted adds the peak of an operator that finds all of these Secrets when it starts.
func (b *bench) addRestarted(ctx context.Context, c *cluster) error {
	o, err := c.startOperator(b.operator)
	if err != nil {
		return err
	}
	defer o.stop()
	if _, err := o.quiet(ctx); err != nil {
		return err
	}
	peak, err := o.peak()
	b.add(labelled+3*edited, "the same, all of them, after a restart: peak memory", peak, "MB", atMost(memoryLimit))
	return err
}
