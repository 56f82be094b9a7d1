package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// measureOthers measures what Secrets cost that are not the operator's.
func (b *bench) measureOthers(ctx context.Context) error {
	c, err := b.newCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	memory := func() (float64, error) {
		o, err := c.startOperator(b.operator)
		if err != nil {
			return 0, err
		}
		defer o.stop()
		if _, err := o.quiet(ctx); err != nil {
			return 0, err
		}
		return o.peak()
	}
	none, err := memory()
	if err != nil {
		return err
	}
	err = inParallel(ctx, b.others, func(ctx context.Context, i int) error {
		return c.api.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("other-%d", i)},
			Data:       map[string][]byte{"value": make([]byte, 1024)},
		})
	})
	if err != nil {
		return err
	}
	many, err := memory()
	if err != nil {
		return err
	}
	b.add(0, "others' Secrets: peak memory with none", none, "MB")
	b.add(0, fmt.Sprintf("others' Secrets: peak memory with %d", b.others), many, "MB", atMost(none+5))
	return nil
}
