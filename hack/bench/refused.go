package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// refusedWrites is how many sessions a quota refuses a Secret, and as many a policy.
	refusedWrites = 25
	// refusedFor is for how long.
	refusedFor = 20 * time.Second
)

// measureRefused measures sessions whose Secrets the API server refuses, because of a quota or of a policy.
func (b *bench) measureRefused(ctx context.Context) error {
	return b.withOperator(ctx, func(c *cluster, _ *operator) error {
		refusals := []client.Object{quota(), policy(), policyBinding()}
		if err := c.refuse(ctx, refusals); err != nil {
			return err
		}
		err := errors.Join(c.createSessions(ctx, "quota", refusedWrites, nil), c.createSessions(ctx, "policy", refusedWrites, nil),
			pause(ctx, refusedFor))
		if err != nil {
			return err
		}
		for _, by := range []string{"quota", "policy"} {
			calls := 0
			for i := range refusedWrites {
				calls += c.seam.CallsFor(fmt.Sprintf("%s-%d", by, i))
			}
			b.add(refusedWrites, fmt.Sprintf("a %s refuses the Secret for %s: calls to Seam per session", by, refusedFor),
				float64(calls)/refusedWrites, "", countAtMost(1))
		}
		for _, refusal := range refusals {
			if err := c.api.Delete(ctx, refusal); err != nil {
				return err
			}
		}
		calls := c.seam.CallCount()
		took, err := within(ctx, look, time.Minute, func() (bool, error) {
			failing, err := c.failing(ctx)
			return failing == 0, err
		})
		b.add(2*refusedWrites, "the same, once nothing refuses it: seconds until all are Ready, 60 at most", took.Seconds(), "s")
		b.add(2*refusedWrites, "the same: calls to Seam per session", float64(c.seam.CallCount()-calls)/(2*refusedWrites), "", countAtMost(1))
		return err
	})
}

// refuse creates what refuses Secrets, and waits until it does.
func (c *cluster) refuse(ctx context.Context, refusals []client.Object) error {
	for _, refusal := range refusals {
		if err := c.api.Create(ctx, refusal); err != nil {
			return err
		}
		if quota, ok := refusal.(*corev1.ResourceQuota); ok { // no controller is there to count
			quota.Status = corev1.ResourceQuotaStatus{Hard: quota.Spec.Hard, Used: corev1.ResourceList{corev1.ResourceSecrets: resource.MustParse("0")}}
			if err := c.api.Status().Update(ctx, quota); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{"quota-0", "policy-0"} {
		var err error
		took, failed := within(ctx, look, time.Minute, func() (bool, error) {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
			err = c.api.Create(ctx, secret, client.DryRunAll)
			return apierrors.IsForbidden(err) || apierrors.IsInvalid(err), nil
		})
		if failed != nil || took == time.Minute {
			return fmt.Errorf("nothing refuses the Secret %s: %w", name, errors.Join(failed, err))
		}
	}
	return nil
}

// quota allows no Secret but those that are there.
func quota() *corev1.ResourceQuota {
	return &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "no-secrets"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceSecrets: resource.MustParse("0")}},
	}
}

// policy refuses Secrets by their names, before any quota does.
func policy() *admissionv1.ValidatingAdmissionPolicy {
	return &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "no-secrets"},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule: admissionv1.Rule{
						APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"},
					},
				},
			}}},
			Validations: []admissionv1.Validation{{Expression: `!object.metadata.name.startsWith("policy-")`}},
		},
	}
}

func policyBinding() *admissionv1.ValidatingAdmissionPolicyBinding {
	return &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "no-secrets"},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: "no-secrets", ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
}
