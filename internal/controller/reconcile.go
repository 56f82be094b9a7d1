package controller

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// Reconciler keeps the Secret of every SeamClientSession up to date. New makes one.
type Reconciler struct {
	// client reads sessions and the operator's own Secrets from the cache, and writes.
	client client.Client
	// live reads from the API server what the cache does not hold because it is not ours.
	live   client.Reader
	events recorder.EventRecorder
	clock  clock.Clock

	queue       queue
	credentials credentials
	watches     watches
	sessions    recent[*v1alpha1.SeamClientSession]
	secrets     recent[*corev1.Secret]
	repairs     repairs
}

// observation is what is known of one session before anything is done.
type observation struct {
	// session is the newest copy that is known. It is read only.
	session *v1alpha1.SeamClientSession
	// saved is the status that the API server has.
	saved *v1alpha1.SeamClientSessionStatus
	// secret is the newest known copy of the Secret that the spec names, without its data; nil if the operator has none
	// of that name.
	secret *corev1.Secret
	state  secret.State
	// changed says that a Secret which the session refers to has changed since it failed.
	changed bool
	// repairs are the times that the Secret was put right lately.
	repairs repairHistory
}

// Reconcile brings one session up to date: it observes, decides whether Seam is due, acts, and reports.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	seen, err := r.observe(ctx, req.NamespacedName)
	if err != nil || seen == nil {
		return ctrl.Result{}, err
	}
	ctx = logf.IntoContext(ctx, logf.FromContext(ctx).WithValues("generation", seen.session.Generation))
	result := r.act(ctx, seen, decide(seen, r.now()))
	return r.report(ctx, seen, result)
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
	session := r.sessions.newest(cached)
	saved := &session.Status
	if session.ResourceVersion == cached.ResourceVersion {
		saved = &cached.Status
	}
	current, err := r.ownSecret(ctx, types.NamespacedName{Namespace: key.Namespace, Name: session.SecretName()})
	if err != nil {
		return nil, err
	}
	return &observation{
		session: session,
		saved:   saved,
		secret:  current,
		state:   secret.Inspect(current, session),
		changed: r.queue.changed(key),
		repairs: r.repairs.of(key, r.now()),
	}, nil
}

// ownSecret returns the operator's Secret of that name, without its data, or nil if there is none.
func (r *Reconciler) ownSecret(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	cached := &corev1.Secret{}
	err := r.client.Get(ctx, key, cached)
	if apierrors.IsNotFound(err) {
		written, _ := r.secrets.missing(key, r.now())
		return written, nil
	}
	if err != nil {
		return nil, err
	}
	return r.secrets.newest(cached), nil
}

// forget drops what is remembered of a session that is gone.
func (r *Reconciler) forget(key types.NamespacedName) {
	r.sessions.forget(key)
	r.queue.forget(key)
	r.repairs.forget(key)
}

// notBefore is a time in whole seconds that is not before t.
func notBefore(t time.Time) time.Time { return t.UTC().Add(time.Second - 1).Truncate(time.Second) }

// now is the time in whole seconds, which is how the status keeps times: so what is stored and what is computed never
// differ.
func (r *Reconciler) now() time.Time { return r.clock.Now().UTC().Truncate(time.Second) }
