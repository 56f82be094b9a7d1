package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/lifecycle"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// eventSessionDeleted and eventSessionLeftBehind are what becomes of the sessions of an object that is being deleted.
const eventSessionDeleted, eventSessionLeftBehind = "SessionDeleted", "SessionLeftBehind"

// farewellFallback is when an object that waits for a free call looks again, should it never be woken, or take too long.
const farewellFallback = 15 * time.Second

var (
	// errElsewhere says that the credential is of another workspace than the session.
	errElsewhere = errors.New("the credential is of another workspace than the session")
	// errNoCredential says that nothing is left to delete a session with.
	errNoCredential = errors.New("the credential, or the grant to use it, is gone")
)

// finalizer puts the finalizer on a session whose client session is to be deleted with it, takes it off where not, and deletes what
// is to be deleted once the object is. It says whether that was all that is to be done now.
func (r *Reconciler) finalizer(ctx context.Context, key types.NamespacedName) (bool, ctrl.Result, error) {
	cached := &v1alpha1.SeamClientSession{}
	if err := r.client.Get(ctx, key, cached); err != nil {
		return !apierrors.IsNotFound(err), ctrl.Result{}, client.IgnoreNotFound(err)
	}
	session := r.sessions.newest(cached)
	has := controllerutil.ContainsFinalizer(session, v1alpha1.Finalizer)
	deleted := !cached.DeletionTimestamp.IsZero()
	switch {
	case deleted && has:
		session = session.DeepCopy()
		session.DeletionTimestamp = cached.DeletionTimestamp // which what was just written may not have yet
		result, err := r.sayFarewell(ctx, session)
		return true, result, err
	case deleted, has == lifecycle.Deletes(session):
		return false, ctrl.Result{}, nil
	}
	return true, ctrl.Result{RequeueAfter: time.Second}, r.setFinalizer(ctx, session, !has)
}

// setFinalizer puts the finalizer on or takes it off.
func (r *Reconciler) setFinalizer(ctx context.Context, session *v1alpha1.SeamClientSession, on bool) error {
	patched := session.DeepCopy()
	if on {
		controllerutil.AddFinalizer(patched, v1alpha1.Finalizer)
	} else {
		controllerutil.RemoveFinalizer(patched, v1alpha1.Finalizer)
	}
	err := r.client.Patch(ctx, patched, client.MergeFromWithOptions(session, client.MergeFromWithOptimisticLock{}))
	if err == nil && session.DeletionTimestamp.IsZero() {
		r.sessions.saved(patched, r.now())
	}
	return client.IgnoreNotFound(err)
}

// sayFarewell deletes the client sessions that an object made, and lets the object go: when that is done, when nothing is left to do
// it with, or when it takes too long.
func (r *Reconciler) sayFarewell(ctx context.Context, session *v1alpha1.SeamClientSession) (ctrl.Result, error) {
	key := client.ObjectKeyFromObject(session)
	var left []string
	var err error
	if lifecycle.Deletes(session) {
		left, err = r.deleteMade(ctx, session)
	}
	var held *seam.HeldError
	failures := r.memory.of(key, r.now()).farewells
	over := lifecycle.GivesUp(session.DeletionTimestamp.Time, r.terminating(ctx, session), failures > 0, r.now())
	switch {
	case err == nil:
	case errors.Is(err, errNoCredential), over:
		r.leaveBehind(ctx, session, left, err)
	case errors.As(err, &held) && held.Cause == nil:
		return ctrl.Result{RequeueAfter: farewellFallback}, nil
	default:
		r.memory.farewell(key)
		logf.FromContext(ctx).V(1).Info("the client session was not deleted yet", "cause", err.Error())
		return ctrl.Result{RequeueAfter: lifecycle.FarewellPause(failures + 1)}, nil
	}
	if err := r.setFinalizer(ctx, session, false); err != nil {
		return ctrl.Result{}, err
	}
	r.forget(key)
	return ctrl.Result{}, nil
}

// deleteMade deletes at Seam what an object made, but for what another object uses. With an error it returns what is left of that.
func (r *Reconciler) deleteMade(ctx context.Context, session *v1alpha1.SeamClientSession) (left []string, err error) {
	ids := lifecycle.Made(session)
	if len(ids) == 0 && !lifecycle.MayHaveMade(session) {
		return nil, nil
	}
	connection, workspaceID, err := r.farewellConnection(ctx, session)
	if err != nil {
		return ids, err
	}
	if lifecycle.MayHaveMade(session) {
		found, err := r.findMade(ctx, session, connection)
		if err != nil {
			return ids, err
		}
		ids = append(ids, found...)
	}
	for i, id := range ids {
		if err := r.deleteUnlessUsed(ctx, session, connection, id, workspaceID); err != nil {
			return ids[i:], err
		}
	}
	return nil, nil
}

// deleteUnlessUsed deletes a client session that an object made, if it still may, and nobody else uses it.
func (r *Reconciler) deleteUnlessUsed(ctx context.Context, session *v1alpha1.SeamClientSession, connection *seam.Connection, id, workspaceID string) error {
	if used, err := r.usedByAnother(ctx, session, id); used || err != nil {
		return err
	}
	if err := r.mayDelete(ctx, session); err != nil {
		return err
	}
	return r.deleteOne(ctx, session, connection, id, workspaceID)
}

// farewellConnection is a connection with the credential of a session, and the workspace that what it made is in.
func (r *Reconciler) farewellConnection(ctx context.Context, session *v1alpha1.SeamClientSession) (*seam.Connection, string, error) {
	workspaceID := session.Status.Provisioned.WorkspaceID
	if err := r.mayDelete(ctx, session); err != nil {
		return nil, "", err
	}
	namespace, ref, asked := session.Namespace, session.Spec.CredentialSecretRef, session.Spec.WorkspaceID
	if session.Spec.WorkspaceRef != nil {
		workspace, err := r.workspaceFor(ctx, session, lifecycle.GrantsAnything)
		if err != nil { // which says nothing of the credential
			return nil, "", err
		}
		if workspace == nil {
			return nil, "", errNoCredential
		}
		namespace, ref, asked = workspace.Namespace, workspace.Spec.CredentialSecretRef, workspace.Spec.WorkspaceID
	}
	credential, _, err := r.credentialIn(ctx, namespace, ref, asked)
	var problem *lifecycle.Problem
	if errors.As(err, &problem) && problem.Cause == lifecycle.CredentialMissing {
		return nil, "", errNoCredential
	}
	if err != nil {
		return nil, "", err
	}
	return r.seam.Connection(credential), workspaceID, nil
}

// mayDelete returns errNoCredential where what a session made may not be deleted any more.
func (r *Reconciler) mayDelete(ctx context.Context, session *v1alpha1.SeamClientSession) error {
	granted, err := r.grantsFarewell(ctx, session)
	if err == nil && !granted {
		return errNoCredential
	}
	return err
}

// grantsFarewell says whether what a session made may still be deleted. Where its user identifier key is in a Secret that is gone, as
// in a namespace that is being deleted, it may be that of any user whom the namespace is granted.
func (r *Reconciler) grantsFarewell(ctx context.Context, session *v1alpha1.SeamClientSession) (bool, error) {
	ungranted, err := r.ungranted(ctx, session)
	if err != nil || ungranted || session.Spec.WorkspaceRef == nil || session.Spec.UserIdentifierKeySecretRef == nil {
		return !ungranted, err
	}
	selector, _, err := r.selector(ctx, session)
	var problem *lifecycle.Problem
	if errors.As(err, &problem) && problem.Cause == lifecycle.CredentialMissing {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return r.grantsUser(ctx, session, selector)
}

// findMade looks for a session that an object asked for, and of which it does not know whether it was made.
func (r *Reconciler) findMade(ctx context.Context, session *v1alpha1.SeamClientSession, connection *seam.Connection) ([]string, error) {
	selector, _, err := r.selector(ctx, session)
	if err != nil {
		return nil, err
	}
	if granted, err := r.grantsUser(ctx, session, selector); err != nil || !granted { // the user may be another by now
		return nil, err
	}
	found, err := connection.GetClientSession(ctx, selector, r.waiter(session))
	var refusal *seam.Error
	switch {
	case errors.As(err, &refusal) && refusal.Kind == seam.NotFound:
		return nil, nil
	case err != nil:
		return nil, err
	case lifecycle.IsOurs(session, found):
		return []string{found.ID}, nil
	}
	return nil, nil
}

// usedByAnother says whether another object, which is not being deleted, has the token of a client session. With its namespace all of its
// objects are, be it a moment later.
func (r *Reconciler) usedByAnother(ctx context.Context, session *v1alpha1.SeamClientSession, id string) (bool, error) {
	var all v1alpha1.SeamClientSessionList
	if err := r.client.List(ctx, &all, client.MatchingFields{indexSession: bucket(id)}, client.UnsafeDisableDeepCopy); err != nil {
		return false, err
	}
	stays := func(other v1alpha1.SeamClientSession) bool {
		return other.Status.ClientSessionID == id && other.UID != session.UID && other.DeletionTimestamp.IsZero()
	}
	elsewhere := func(other v1alpha1.SeamClientSession) bool {
		return stays(other) && other.Namespace != session.Namespace
	}
	return slices.ContainsFunc(all.Items, elsewhere) || slices.ContainsFunc(all.Items, stays) && !r.terminating(ctx, session), nil
}

// deleteOne deletes a client session, once the credential is known to be of its workspace: with another one, a session that is not found
// may be elsewhere.
func (r *Reconciler) deleteOne(ctx context.Context, session *v1alpha1.SeamClientSession, connection *seam.Connection, id, workspaceID string) error {
	waiter := r.waiter(session)
	if selector, _, err := r.selector(ctx, session); err != nil || !lifecycle.SameRequest(&session.Status, connection.Fingerprint(selector)) {
		opened, err := opens(ctx, connection, id, waiter)
		if err != nil {
			return err
		}
		if workspaceID != "" && opened != workspaceID {
			return errElsewhere
		}
	}
	if err := connection.DeleteClientSession(ctx, id, waiter); err != nil {
		return err
	}
	r.tellOf(ctx, session, corev1.EventTypeNormal, eventSessionDeleted, fmt.Sprintf("client session %s was deleted at Seam", id))
	return nil
}

// opens is the workspace that a credential opens, as a client session tells, or, where that is not found, Seam itself.
func opens(ctx context.Context, connection *seam.Connection, id string, waiter seam.Waiter) (string, error) {
	found, err := connection.GetClientSession(ctx, seam.Selector{ClientSessionID: id}, waiter)
	var refusal *seam.Error
	if errors.As(err, &refusal) && refusal.Kind == seam.NotFound {
		workspace, err := connection.GetWorkspace(ctx, waiter)
		if err != nil {
			return "", err
		}
		return workspace.ID, nil
	}
	if err != nil {
		return "", err
	}
	return found.WorkspaceID, nil
}

// leaveBehind says which sessions stay at Seam.
func (r *Reconciler) leaveBehind(ctx context.Context, session *v1alpha1.SeamClientSession, left []string, cause error) {
	for _, id := range left {
		r.leftBehind()
		r.tellOf(ctx, session, corev1.EventTypeWarning, eventSessionLeftBehind,
			fmt.Sprintf("client session %s stays at Seam until it ends: %s", id, cause))
	}
	if lifecycle.MayHaveMade(session) {
		r.leftBehind()
		r.tellOf(ctx, session, corev1.EventTypeWarning, eventSessionLeftBehind, fmt.Sprintf(
			"a client session that was asked for at %s, and of which no answer told, stays at Seam until it ends if it was made: %s",
			session.Status.Provisioned.RequestedTime.UTC().Format(time.RFC3339), cause))
	}
}

// tellOf says what became of a client session, as an event and in the log.
func (r *Reconciler) tellOf(ctx context.Context, session *v1alpha1.SeamClientSession, kind, reason, note string) {
	r.events.Eventf(session, nil, kind, reason, eventAction, "%s", note)
	logf.FromContext(ctx).WithValues("reason", reason).Info(note)
}

// terminating says whether the namespace of a session is being deleted, as far as the operator may know.
func (r *Reconciler) terminating(ctx context.Context, session *v1alpha1.SeamClientSession) bool {
	namespace := namespaceMetadata()
	err := r.live.Get(ctx, types.NamespacedName{Name: session.Namespace}, namespace)
	return err == nil && !namespace.DeletionTimestamp.IsZero()
}
