package controller

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/lifecycle"
	"github.com/seam-session-operator/seam-session-operator/internal/references"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// Reconciler keeps the Secret of every SeamClientSession up to date. New makes one.
type Reconciler struct {
	// client reads sessions and the operator's own Secrets from the cache, and writes.
	client client.Client
	// live reads from the API server what the cache does not hold because it is not ours.
	live   client.Reader
	seam   *seam.Client
	events recorder.EventRecorder
	clock  clock.WithDelayedExecution

	// namespaces are those that the operator is installed for; none if it is for all.
	namespaces []string

	// leftBehind counts client sessions that could not be deleted.
	leftBehind func()

	clockWatch clockWatch

	queue    queue
	checks   checks
	labels   namespaceLabels
	reader   *references.Reader
	waiting  *references.Waiting
	sessions mutationCache[*v1alpha1.SeamClientSession]
	secrets  mutationCache[*corev1.Secret]
	memory   memory
}

// observation is what is known of one session before anything is done: what is decided from, and what it was read from.
type observation struct {
	lifecycle.Observation
	// saved is the status that the API server has.
	saved *v1alpha1.SeamClientSessionStatus
	// secret is the newest known copy of the Secret that the spec names, without its data; nil if there is none, or one of
	// somebody else's that has not been in the way yet.
	secret *corev1.Secret
}

// Reconcile brings one session up to date: it observes, decides what is due, fetches that from Seam, applies it to the
// Secret, and reports what came of it.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	r.clockWatch.shown(r.clock.Now())
	if done, result, err := r.finalizer(ctx, req.NamespacedName); done {
		return result, err
	}
	seen, err := r.observe(ctx, req.NamespacedName)
	if errors.Is(err, errLabelsUnknown) {
		return ctrl.Result{RequeueAfter: labelsRetry}, nil
	}
	if err != nil || seen == nil {
		return ctrl.Result{}, err
	}
	ctx = logf.IntoContext(ctx, logf.FromContext(ctx).WithValues("generation", seen.Session.Generation))
	decision := lifecycle.Decide(seen.Observation, r.now())
	fetched := r.fetch(ctx, seen, decision)
	wish := lifecycle.Wanted(seen.Observation, fetched, r.now())
	applied := r.apply(ctx, seen, fetched)
	return r.report(ctx, seen, lifecycle.Attempt{Decision: decision, Fetch: fetched, Applied: applied, Wish: wish})
}

// observe returns what is known of a session, or nil if it is gone or going.
func (r *Reconciler) observe(ctx context.Context, key types.NamespacedName) (*observation, error) {
	cached := &v1alpha1.SeamClientSession{}
	if err := r.client.Get(ctx, key, cached); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(key)
		}
		return nil, client.IgnoreNotFound(err)
	}
	if !cached.DeletionTimestamp.IsZero() {
		r.forget(key)
		return nil, nil
	}
	known, newest := r.memory.of(key, r.now()), r.sessions.newest(cached)
	session := known.unsaved.of(newest)
	current, err := r.currentSecret(ctx, session)
	if err != nil {
		return nil, err
	}
	ungranted, err := r.ungranted(ctx, session)
	if err != nil {
		return nil, err
	}
	return &observation{
		Observation: lifecycle.Observation{
			Session:          session,
			Secret:           secret.Inspect(current, session),
			ReferenceChanged: lifecycle.AwaitsReference(session, &session.Status) && r.waiting.Changed(key),
			Ungranted:        ungranted,
			Deletion:         known.deletion(session.Status.ClientSessionID),
			Wish:             known.wish.IfCurrent(session, r.now()),
			Drift:            known.drift,
			UnsavedCall:      known.unsavedCall,
		},
		saved:  &newest.Status,
		secret: current,
	}, nil
}

// currentSecret returns the Secret that a session names, without its data, or nil if there is none.
func (r *Reconciler) currentSecret(ctx context.Context, session *v1alpha1.SeamClientSession) (*corev1.Secret, error) {
	key := types.NamespacedName{Namespace: session.Namespace, Name: session.SecretName()}
	cached := &corev1.Secret{}
	err := r.client.Get(ctx, key, cached)
	if err == nil {
		return r.secrets.newest(cached), nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, err
	}
	if written, ok := r.secrets.missing(key, r.now()); ok {
		return written, nil
	}
	// The cache has what bears the operator's label. What was written, or stood in the way, may be there without it.
	synced := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionSynced)
	if session.Status.SecretName == key.Name || synced != nil && synced.Reason == v1alpha1.ReasonSecretConflict {
		return r.liveSecret(ctx, key)
	}
	return nil, nil
}

// liveSecret reads a Secret from the API server, with all its metadata and without its data; nil if there is none.
func (r *Reconciler) liveSecret(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	live := &corev1.Secret{}
	if err := r.live.Get(ctx, key, live); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return secret.WithoutData(live), nil
}

// digest is what goes into memory of a Secret.
func digest(s *corev1.Secret) *corev1.Secret {
	kept, err := secret.Digest(s)
	if digested, ok := kept.(*corev1.Secret); err == nil && ok {
		return digested
	}
	return nil
}

// forget drops what is remembered of a session that is gone.
func (r *Reconciler) forget(key types.NamespacedName) {
	r.sessions.forget(key)
	r.waiting.Remove(key)
	r.memory.forget(key)
}

// now is the time in whole seconds, which is how the status keeps times: so what is stored and what is computed never
// differ.
func (r *Reconciler) now() time.Time { return r.clock.Now().UTC().Truncate(time.Second) }
