package controller

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// writeSecret makes the Secret what it should be, if it is not. It writes over what the cache shows; where that turns out
// to be old, it reads once more from the API server, and then writes over that or not at all.
func (r *Reconciler) writeSecret(ctx context.Context, seen *observation, desired *corev1.Secret, result *outcome) *problem {
	written, err := r.put(ctx, seen.session, seen.secret, desired)
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		var live *corev1.Secret
		live, err = r.liveSecret(ctx, client.ObjectKeyFromObject(desired))
		switch {
		case err != nil:
		case live != nil && secret.Matches(live, desired): // it was written before, and the answer to that was lost
			result.secret = live
			r.secrets.saved(live, r.now())
			return nil
		case outdated(seen, live):
			r.secrets.saved(live, r.now())
			result.again(seen, r.now())
			return nil
		default:
			written, err = r.put(ctx, seen.session, live, desired)
		}
	}
	var refused *problem
	switch {
	case errors.As(err, &refused):
		result.retryAt = r.conflictRetry(seen)
		return refused
	case err != nil:
		return writeProblem(seen.session, err)
	case written != nil:
		result.secret, result.wrote = written, true
		r.secrets.saved(written, r.now())
	}
	return nil
}

// outdated says whether another replica has written the Secret since it was seen: one that was frozen and does not know
// yet that it no longer leads has an answer of Seam that is as old as what it saw, and must not write it over a newer one.
func outdated(seen *observation, live *corev1.Secret) bool {
	state := secret.Inspect(live, seen.session)
	return state.Ours && state.Intact && (seen.secret == nil ||
		seen.secret.Annotations[v1alpha1.AnnotationContentHash] != live.Annotations[v1alpha1.AnnotationContentHash])
}

// put creates the Secret, or updates the one that is there with the version that was read; nil if it is as it should be.
func (r *Reconciler) put(ctx context.Context, session *v1alpha1.SeamClientSession, current, desired *corev1.Secret) (*corev1.Secret, error) {
	if current == nil {
		created := desired.DeepCopy()
		err := r.client.Create(ctx, created)
		return digest(created), err
	}
	if secret.Matches(current, desired) {
		return nil, nil
	}
	if p := conflict(current, session); p != nil {
		return nil, p
	}
	merged := secret.Merge(current, desired)
	err := r.client.Update(ctx, merged)
	return digest(merged), err
}

// remove deletes the Secret, if it is still the one that was seen.
func (r *Reconciler) remove(ctx context.Context, seen *observation, result *outcome) *problem {
	if seen.secret == nil || !seen.state.Ours {
		return nil
	}
	if err := r.deleteSecret(ctx, seen.secret); err != nil {
		return writeProblem(seen.session, err)
	}
	result.secret, result.removed = nil, true
	return nil
}

// removeFormer deletes the Secret of an earlier secret.name, now that the new one stands.
func (r *Reconciler) removeFormer(ctx context.Context, seen *observation) *problem {
	if seen.session.Spec.Secret.RetentionPolicy.WhenDeleted == v1alpha1.RetentionRetain {
		return nil
	}
	former, err := r.liveSecret(ctx, client.ObjectKey{Namespace: seen.session.Namespace, Name: seen.session.Status.SecretName})
	if err == nil && former != nil && former.Annotations[v1alpha1.AnnotationSession] == seen.session.Name {
		err = r.deleteSecret(ctx, former)
	}
	if err != nil {
		return writeProblem(seen.session, err)
	}
	return nil
}

func (r *Reconciler) deleteSecret(ctx context.Context, current *corev1.Secret) error {
	unchanged := client.Preconditions{UID: &current.UID, ResourceVersion: &current.ResourceVersion}
	if err := r.client.Delete(ctx, current, unchanged); client.IgnoreNotFound(err) != nil {
		return err
	}
	r.secrets.forget(client.ObjectKeyFromObject(current))
	return nil
}

// writeProblem is the problem of a request that the API server refused. Its own text is left out of the message: it may
// repeat a value.
func writeProblem(session *v1alpha1.SeamClientSession, err error) *problem {
	p := &problem{kind: transient, reason: v1alpha1.ReasonSecretWriteFailed}
	reason := apierrors.ReasonForError(err)
	switch {
	case apierrors.IsInvalid(err):
		p.kind = blocked
		p.message = fmt.Sprintf("the API server finds Secret %q invalid: the keys of spec.secret.template must be those "+
			"that spec.secret.type asks for", session.SecretName())
	case apierrors.IsForbidden(err):
		p.message = fmt.Sprintf("the API server forbids to write Secret %q: check the operator's permissions and the "+
			"quota of the namespace", session.SecretName())
	case reason == "":
		p.message = fmt.Sprintf("the API server could not be reached to write Secret %q", session.SecretName())
	default:
		p.message = fmt.Sprintf("the API server did not take Secret %q: %s", session.SecretName(), reason)
	}
	return p
}

// digest drops the data of a Secret that goes into memory.
func digest(s *corev1.Secret) *corev1.Secret {
	kept, err := secret.Digest(s)
	if digested, ok := kept.(*corev1.Secret); err == nil && ok {
		return digested
	}
	return nil
}

// conflict is the problem of a Secret that can't be written, or nil.
func conflict(current *corev1.Secret, session *v1alpha1.SeamClientSession) *problem {
	state := secret.Inspect(current, session)
	name := session.SecretName()
	p := &problem{kind: waiting, reason: v1alpha1.ReasonSecretConflict}
	if state.Ours {
		p.kind = transient
	}
	switch {
	case !state.Exists || state.Ours && !state.Immutable && !state.TypeDiffers || state.Adoptable:
		return nil
	case state.Ours && state.Immutable:
		p.message = fmt.Sprintf("Secret %q was made immutable: delete it, and it is written anew", name)
	case state.Ours:
		p.message = fmt.Sprintf("Secret %q has another type than spec.secret.type: delete it, and it is written anew", name)
	case current.Annotations[v1alpha1.AnnotationSession] != "":
		p.message = fmt.Sprintf("Secret %q belongs to SeamClientSession %q: set spec.secret.name to another name",
			name, current.Annotations[v1alpha1.AnnotationSession])
	default:
		p.message = fmt.Sprintf("Secret %q exists and is not of this operator: set spec.secret.name to another name, or "+
			"let it be taken over, and its data replaced, with the annotation %s: %s on the Secret", name, v1alpha1.AnnotationAdoptBy, session.Name)
	}
	return p
}

// contested is the problem of a Secret that somebody else keeps changing.
func contested(seen *observation) *problem {
	name := seen.session.SecretName()
	return &problem{
		kind: waiting, reason: v1alpha1.ReasonSecretConflict, until: seen.repairs.next(),
		message: fmt.Sprintf("something else keeps changing Secret %q: find it with "+
			"kubectl get secret %s -o yaml --show-managed-fields, and stop it", name, name),
	}
}

// liveSecret reads a Secret from the API server, without keeping its data; nil if there is none.
func (r *Reconciler) liveSecret(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	live := &corev1.Secret{}
	if err := r.live.Get(ctx, key, live); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return digest(live), nil
}
