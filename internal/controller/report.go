package controller

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/lifecycle"
)

const (
	// eventAction is what the operator was doing, as events.k8s.io wants it said.
	eventAction = "Sync"
	// maxNote is the longest note of an event, in bytes.
	maxNote = 1024
	// conflictPause is when to look again after a conflict. Its cause, a newer version, comes sooner; a conflict that a webhook speaks of
	// has none.
	conflictPause = 10 * time.Second
)

// report brings what came of an attempt to the object, if it says anything new, and says when to look again.
func (r *Reconciler) report(ctx context.Context, seen *observation, attempt lifecycle.Attempt) (ctrl.Result, error) {
	if attempt.Applied.Effect == lifecycle.Orphaned {
		return ctrl.Result{RequeueAfter: time.Second}, nil // there may be another object of that name
	}
	key := client.ObjectKeyFromObject(seen.Session)
	if attempt.Repaired() {
		r.memory.corrected(key, r.now())
	}
	switch answered := attempt.Fetch.Progress == lifecycle.Answered; {
	case seen.Deletion != lifecycle.NotDeleted && answered: // whatever the event said, there is a session
		r.memory.deletionHeard(key, "")
	case seen.Deletion == lifecycle.DeletionHeard && attempt.Fetch.Called():
		r.memory.deletionTried(key)
	}
	r.wish(seen.Session, attempt)
	status := lifecycle.NextStatus(seen.Observation, attempt, r.now())
	r.awaitReferences(seen.Session, &status, attempt.Fetch.Versions) // before anybody can read that it failed, and put it right
	saved, err := r.save(ctx, seen, &status, attempt)
	if err != nil {
		return ctrl.Result{}, err
	}
	reported := seen.Session.DeepCopy()
	reported.Status = status
	pause := lifecycle.Pause(reported, attempt, r.clock.Now())
	if !saved && (pause == 0 || pause > conflictPause) {
		pause = conflictPause
	}
	logAttempt(ctx, attempt, pause)
	return ctrl.Result{RequeueAfter: pause}, nil
}

// save writes the status, if it says anything new, and tells what changed. It says whether the API server has the status now.
func (r *Reconciler) save(ctx context.Context, seen *observation, status *v1alpha1.SeamClientSessionStatus, attempt lifecycle.Attempt) (bool, error) {
	key := client.ObjectKeyFromObject(seen.Session)
	if equality.Semantic.DeepEqual(*seen.saved, *status) {
		r.memory.unsaved(key, nil)
		return true, nil
	}
	written, err := r.patchStatus(ctx, seen, *status)
	switch {
	case written:
		r.announce(ctx, seen, status, attempt)
	case !attempt.Fetch.CalledAt().IsZero():
		r.memory.called(key, attempt.Fetch.CalledAt())
	}
	return written, err
}

// awaitReferences lets a session wait for a change of the Secrets that it refers to, if that may help.
func (r *Reconciler) awaitReferences(session *v1alpha1.SeamClientSession, status *v1alpha1.SeamClientSessionStatus, versions map[string]string) {
	key := client.ObjectKeyFromObject(session)
	switch {
	case !lifecycle.AwaitsReference(session, status):
		r.waiting.Remove(key)
	case len(versions) > 0:
		r.waiting.Add(key, versions)
	}
}

// patchStatus writes the status with the version that was read, and says whether the API server took it. What it did not
// take is remembered, so that the next try does not have to ask Seam again; the object's newer version brings that about.
func (r *Reconciler) patchStatus(ctx context.Context, seen *observation, status v1alpha1.SeamClientSessionStatus) (bool, error) {
	patched, err := r.patchSeen(ctx, seen.Session, seen.saved, status)
	if apierrors.IsConflict(err) {
		patched, err = r.patchEdited(ctx, seen, status, err)
	}
	key := client.ObjectKeyFromObject(seen.Session)
	if err == nil {
		r.sessions.saved(patched, r.now())
		r.memory.unsaved(key, nil)
		return true, nil
	}
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	r.memory.unsaved(key, &unsavedStatus{uid: seen.Session.UID, instead: *seen.saved.DeepCopy(), status: *status.DeepCopy()})
	if apierrors.IsConflict(err) { // what was seen was out of date, and so is what was wished for then
		r.memory.wish(key, nil)
		return false, nil
	}
	return false, fmt.Errorf("writing the status of generation %d: %w", seen.Session.Generation, err)
}

// patchEdited writes the status of a session whose spec or metadata somebody has edited since it was seen, so that what
// was done and learned is not lost. Where the status has changed as well, another replica has taken over, and the conflict
// stands.
func (r *Reconciler) patchEdited(ctx context.Context, seen *observation, status v1alpha1.SeamClientSessionStatus, conflict error) (*v1alpha1.SeamClientSession, error) {
	live := &v1alpha1.SeamClientSession{}
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(seen.Session), live); err != nil {
		return nil, err
	}
	if live.UID != seen.Session.UID || !equality.Semantic.DeepEqual(live.Status, *seen.saved) {
		return nil, conflict
	}
	return r.patchSeen(ctx, live, &live.Status, status)
}

// patchSeen writes the status of the version of a session that was seen, and returns the session as it is then. The API
// server is asked to answer with metadata alone: nothing but the new version is not known already.
func (r *Reconciler) patchSeen(ctx context.Context, session *v1alpha1.SeamClientSession, saved *v1alpha1.SeamClientSessionStatus, status v1alpha1.SeamClientSessionStatus) (*v1alpha1.SeamClientSession, error) {
	before := &v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{ResourceVersion: session.ResourceVersion}, Status: *saved}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	data, err := patch.Data(&v1alpha1.SeamClientSession{Status: status})
	if err != nil {
		return nil, err
	}
	answer := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: session.Namespace, Name: session.Name}}
	answer.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("SeamClientSession"))
	if err := r.client.Status().Patch(ctx, answer, client.RawPatch(patch.Type(), data)); err != nil {
		return nil, err
	}
	patched := session.DeepCopy()
	patched.ResourceVersion, patched.Status = answer.ResourceVersion, status
	return patched, nil
}

// announce tells what changed, once, as events and in the log.
func (r *Reconciler) announce(ctx context.Context, seen *observation, status *v1alpha1.SeamClientSessionStatus, attempt lifecycle.Attempt) {
	generation := map[string]string{v1alpha1.AnnotationGeneration: strconv.FormatInt(seen.Session.Generation, 10)}
	for _, t := range lifecycle.Transitions(seen.Session, seen.saved, status, attempt) {
		note := t.Note
		if len(note) > maxNote {
			note = strings.ToValidUTF8(note[:maxNote], "")
		}
		r.events.AnnotatedEventf(regarding(seen.Session, t.Repeats), nil, generation, t.Type, t.Reason, eventAction, "%s", note)
		log := logf.FromContext(ctx).WithValues("reason", t.Reason)
		if t.RequestID != "" {
			log = log.WithValues("seamRequestID", t.RequestID)
		}
		log.Info(note)
	}
}

// regarding is what an event is about. The recorder takes events for one, and counts, where they are about the same version
// of an object; what repeats is about none.
func regarding(session *v1alpha1.SeamClientSession, repeats bool) *v1alpha1.SeamClientSession {
	if !repeats {
		return session
	}
	unversioned := session.DeepCopy()
	unversioned.ResourceVersion = ""
	return unversioned
}

// logAttempt tells of each attempt to bring a session up to date, for who looks closely; and closer still, of each look that
// found nothing to do.
func logAttempt(ctx context.Context, attempt lifecycle.Attempt, pause time.Duration) {
	log := logf.FromContext(ctx).WithValues("lookAgainIn", pause)
	switch problem := attempt.Problem(); {
	case attempt.Inconclusive():
		log.V(2).Info("waiting for a call that may be made")
	case problem != nil && problem.Detail != nil:
		log.V(1).Info("not brought up to date", "reason", problem.Row().Reason, "cause", problem.Detail.Error())
	case problem != nil:
		log.V(1).Info("not brought up to date", "reason", problem.Row().Reason, "called", attempt.Fetch.Called(), "seamRequestID", problem.RequestID)
	case attempt.Fetch.Called():
		log.V(1).Info("brought up to date", "wrote", attempt.Applied.Effect == lifecycle.Written, "removed", attempt.Applied.Effect == lifecycle.Removed)
	default:
		log.V(2).Info("nothing is due")
	}
}
