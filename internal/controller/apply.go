package controller

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/lifecycle"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// errIncomplete says that the cache does not hold all that others have put on a Secret: it is read before it is written.
var errIncomplete = errors.New("the cache holds a part of this Secret's metadata")

// apply brings the Secret in line with what was fetched, and removes those that the session had before, once it stands.
func (r *Reconciler) apply(ctx context.Context, seen *observation, fetched lifecycle.Fetch) lifecycle.Applied {
	verdict := lifecycle.Judge(seen.Observation, fetched, r.now())
	applied := lifecycle.Applied{Verdict: verdict, Secret: seen.Secret}
	switch verdict {
	case lifecycle.Write:
		applied = r.write(ctx, seen, fetched.Answer)
	case lifecycle.Remove:
		applied = r.remove(ctx, seen)
	case lifecycle.KeepOther:
		if p := lifecycle.ConflictProblem(seen.Secret, seen.Session); p != nil { // said as where it is to be written, rather than fetched again for
			applied.Problem, applied.LookAgain = p, lifecycle.LookAtConflict(&seen.Session.Status, r.now())
		}
	}
	if lifecycle.MayRestore(seen.Observation, applied, r.now()) {
		applied = r.restore(ctx, seen, verdict)
	}
	if !lifecycle.MayRemoveFormer(seen.Observation, fetched, applied) {
		return applied
	}
	if err := r.removeFormer(ctx, seen.Session); err != nil {
		applied.Problem = formerProblem(err)
	}
	return applied
}

// write makes the Secret what the answer and the spec say. It writes over what the cache shows; where that turns out to be
// old, it reads once more from the API server, and then writes over that or not at all.
func (r *Reconciler) write(ctx context.Context, seen *observation, answer *seam.ClientSession) lifecycle.Applied {
	applied := lifecycle.Applied{Verdict: lifecycle.Write, Secret: seen.Secret}
	desired, err := secret.Render(seen.Session, answer)
	if err != nil {
		applied.Problem = lifecycle.TemplateProblem(err)
		return applied
	}
	if applied.Effect = r.unwanted(ctx, seen.Session, answer); applied.Effect != lifecycle.Untouched {
		return applied
	}
	written, err := r.put(ctx, seen.Session, seen.secret, desired)
	if errors.Is(err, errIncomplete) || apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		var live *corev1.Secret
		live, err = r.liveSecret(ctx, client.ObjectKeyFromObject(desired))
		switch {
		case err != nil:
		case live != nil && secret.Matches(live, desired, seen.Session): // it was written before, and the answer to that was lost
			written = digest(live)
		case outdated(seen, live):
			r.secrets.saved(digest(live), r.now())
			applied.Effect = lifecycle.Overtaken
			return applied
		default:
			written, err = r.put(ctx, seen.Session, live, desired)
		}
	}
	var refused *lifecycle.Problem
	switch {
	case errors.As(err, &refused):
		applied.Problem, applied.LookAgain = refused, lifecycle.LookAtConflict(&seen.Session.Status, r.now())
	case err != nil:
		applied.Problem = writeProblem(seen.Session, err)
	case written != nil:
		r.secrets.saved(written, r.now())
		applied.Effect, applied.Secret = lifecycle.Written, secret.Inspect(written, seen.Session)
	}
	return applied
}

// try finds out whether the API server still refuses to take the Secret, without writing it. What it finds wrong with a
// placeholder may be right with a token.
func (r *Reconciler) try(ctx context.Context, seen *observation) error {
	placeholder := secret.Placeholder(seen.Session)
	var err error
	if seen.secret == nil {
		err = r.client.Create(ctx, placeholder, client.DryRunAll)
	} else {
		annotations := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationContentHash+`":""}}}`))
		err = r.client.Patch(ctx, placeholder, annotations, client.DryRunAll)
	}
	if malformed(err) || apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// malformed says whether Kubernetes itself finds a Secret invalid, for which it names the field. It says Invalid, and no field,
// where a policy refuses one that is well formed.
func malformed(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(cause metav1.StatusCause) bool { return cause.Field != "" })
}

// unwanted says whether what Seam answered must not be written any more: the object was overtaken, or is not granted it by now.
func (r *Reconciler) unwanted(ctx context.Context, session *v1alpha1.SeamClientSession, answer *seam.ClientSession) lifecycle.Effect {
	effect := r.overtaken(ctx, session)
	if effect == lifecycle.Untouched && !r.grantsStill(ctx, session, answer) {
		return lifecycle.Overtaken
	}
	return effect
}

// overtaken says whether the object is gone, or asks for something else than when Seam was called: a Secret that is written
// for an object that is gone would be left behind, and one that is to be kept by now would be deleted.
func (r *Reconciler) overtaken(ctx context.Context, session *v1alpha1.SeamClientSession) lifecycle.Effect {
	current := &v1alpha1.SeamClientSession{}
	err := r.client.Get(ctx, client.ObjectKeyFromObject(session), current)
	switch {
	case err != nil, current.UID != session.UID, !current.DeletionTimestamp.IsZero():
		return lifecycle.Orphaned
	case current.Generation > session.Generation:
		return lifecycle.Overtaken
	}
	return lifecycle.Untouched
}

// outdated says whether another replica has written the Secret since it was seen: one that was frozen and does not know
// yet that it no longer leads has an answer of Seam that is as old as what it saw, and must not write it over a newer one.
func outdated(seen *observation, live *corev1.Secret) bool {
	state := secret.Inspect(live, seen.Session)
	return state.Ours && state.Intact && (seen.secret == nil ||
		seen.secret.Annotations[v1alpha1.AnnotationContentHash] != live.Annotations[v1alpha1.AnnotationContentHash])
}

// put creates the Secret, or updates the one that is there with the version that was read, and returns it without its data;
// nil if it is as it should be. The error is a *lifecycle.Problem if it must not be written, or the API server's.
func (r *Reconciler) put(ctx context.Context, session *v1alpha1.SeamClientSession, current, desired *corev1.Secret) (*corev1.Secret, error) {
	if current == nil {
		created := desired.DeepCopy()
		err := r.client.Create(ctx, created)
		return digest(created), err
	}
	if secret.Matches(current, desired, session) {
		return nil, nil
	}
	if p := lifecycle.ConflictProblem(secret.Inspect(current, session), session); p != nil {
		return nil, p
	}
	if !secret.Complete(current) {
		return nil, errIncomplete
	}
	merged := secret.Merge(current, desired)
	err := r.client.Update(ctx, merged)
	return digest(merged), err
}

// restore brings back labels, annotations and owner reference, and leaves the data alone.
func (r *Reconciler) restore(ctx context.Context, seen *observation, verdict lifecycle.Verdict) lifecycle.Applied {
	applied := lifecycle.Applied{Verdict: verdict, Secret: seen.Secret}
	current := seen.secret
	if !secret.Complete(current) {
		live, err := r.liveSecret(ctx, client.ObjectKeyFromObject(current))
		if err != nil || live == nil || live.ResourceVersion != current.ResourceVersion { // it is looked at again then
			return applied
		}
		current = live
	}
	before, restored := secret.Restore(current, seen.Session)
	err := r.client.Patch(ctx, restored, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		applied.Problem, applied.LookAgain = writeProblem(seen.Session, err), lifecycle.LookAtConflict(&seen.Session.Status, r.now())
	}
	if err == nil {
		restored = digest(restored)
		r.secrets.saved(restored, r.now())
		applied.Effect, applied.Secret = lifecycle.Restored, secret.Inspect(restored, seen.Session)
	}
	return applied
}

// remove deletes the Secret, if it is still the one that was seen.
func (r *Reconciler) remove(ctx context.Context, seen *observation) lifecycle.Applied {
	applied := lifecycle.Applied{Verdict: lifecycle.Remove, Secret: seen.Secret}
	if applied.Effect = r.overtaken(ctx, seen.Session); applied.Effect != lifecycle.Untouched {
		return applied
	}
	if err := r.deleteSecret(ctx, seen.secret); err != nil {
		applied.Problem = writeProblem(seen.Session, err)
		return applied
	}
	applied.Effect, applied.Secret = lifecycle.Removed, secret.State{}
	return applied
}

// removeFormer deletes every Secret that this very object owns, but the one that it names now: those of an earlier
// secret.name. One that another controller has taken is not owned by it.
func (r *Reconciler) removeFormer(ctx context.Context, session *v1alpha1.SeamClientSession) error {
	var owned corev1.SecretList
	err := r.client.List(ctx, &owned, client.InNamespace(session.Namespace), client.MatchingFields{indexController: bucket(string(session.UID))},
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return err
	}
	for i := range owned.Items {
		former := &owned.Items[i]
		if former.Name == session.SecretName() || !metav1.IsControlledBy(former, session) {
			continue
		}
		if r.overtaken(ctx, session) != lifecycle.Untouched { // by now it may be the one that is wanted
			return nil
		}
		if err := r.deleteSecret(ctx, former); err != nil {
			return fmt.Errorf("deleting the former Secret %q: %w", former.Name, err)
		}
	}
	return nil
}

// deleteSecret deletes a Secret if it is still as it was seen.
func (r *Reconciler) deleteSecret(ctx context.Context, current *corev1.Secret) error {
	unchanged := client.Preconditions{UID: &current.UID, ResourceVersion: &current.ResourceVersion}
	target := &corev1.Secret{ObjectMeta: *current.ObjectMeta.DeepCopy()}
	if err := r.client.Delete(ctx, target, unchanged); client.IgnoreNotFound(err) != nil {
		return err
	}
	r.secrets.forget(client.ObjectKeyFromObject(current))
	return nil
}

// writeProblem is the problem of a request that the API server refused. Its own text is left out of the message: it may
// repeat a value.
func writeProblem(session *v1alpha1.SeamClientSession, err error) *lifecycle.Problem {
	p := &lifecycle.Problem{Cause: lifecycle.SecretRefused}
	reason := apierrors.ReasonForError(err)
	switch {
	case malformed(err):
		p.Cause = lifecycle.SecretInvalid
		p.Message = fmt.Sprintf("the API server finds Secret %q invalid: the keys of spec.secret.template must be those "+
			"that spec.secret.type asks for", session.SecretName())
	case apierrors.IsForbidden(err):
		p.Message = forbiddenMessage(session.SecretName(), err.Error())
	case apierrors.IsInvalid(err):
		p.Message = fmt.Sprintf("an admission policy refuses Secret %q: ask whoever set it what it wants", session.SecretName())
	case reason == "":
		p.Message = fmt.Sprintf("the API server could not be reached to write Secret %q", session.SecretName())
	default:
		p.Message = fmt.Sprintf("the API server did not take Secret %q: %s", session.SecretName(), reason)
	}
	return p
}

// Which quota, or which webhook, has refused a request, and for want of what: no more of the API server's text is shown.
var (
	exceededQuota = regexp.MustCompile(`exceeded quota: ([a-z0-9][a-z0-9.-]{0,252}), requested: ([a-z0-9./-]{1,128})=`)
	denyingHook   = regexp.MustCompile(`admission webhook "([a-z0-9][a-z0-9.-]{0,252})" denied the request`)
)

// forbiddenMessage says who forbids to write a Secret.
func forbiddenMessage(name, said string) string {
	if quota := exceededQuota.FindStringSubmatch(said); quota != nil {
		return fmt.Sprintf("quota %q of this namespace leaves no room for Secret %q (%s): raise it, or delete what nobody needs",
			quota[1], name, quota[2])
	}
	if hook := denyingHook.FindStringSubmatch(said); hook != nil {
		return fmt.Sprintf("admission webhook %q refuses Secret %q: ask whoever runs it what it wants", hook[1], name)
	}
	return fmt.Sprintf("the API server forbids to write Secret %q: check the operator's permissions, with helm test or --check", name)
}

// formerProblem is that of a former Secret which can't be deleted.
func formerProblem(err error) *lifecycle.Problem {
	return &lifecycle.Problem{
		Cause: lifecycle.FormerSecretRefused, Detail: err,
		Message: fmt.Sprintf("the Secret of an earlier spec.secret.name could not be deleted: %s; check the operator's permissions, "+
			"and delete it", apierrors.ReasonForError(err)),
	}
}
