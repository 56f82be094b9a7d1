package controller

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/schedule"
)

const (
	// longestSleep is how long a timer runs at most. It is computed anew from the wall clock, so that a process that was
	// suspended, or whose clock was set, catches up.
	longestSleep = 10 * time.Minute
	// shortestSleep and shortestPause keep an object that seems to be due, without and with a problem, from spinning.
	shortestSleep, shortestPause = time.Second, 5 * time.Second
	// eventAction is what the operator was doing, as events.k8s.io wants it said.
	eventAction = "Sync"
	// maxNote is the longest note of an event, in bytes.
	maxNote = 1024
)

// report brings an outcome to the object, if it says anything new, and says when to look again.
func (r *Reconciler) report(ctx context.Context, seen *observation, result outcome) (ctrl.Result, error) {
	now := r.now()
	status := nextStatus(seen, result, now)
	if !equality.Semantic.DeepEqual(*seen.saved, status) {
		written, err := r.patchStatus(ctx, seen, status)
		if err != nil {
			return ctrl.Result{}, err
		}
		if written {
			r.announce(ctx, seen, &status, result)
		}
	}
	if result.problem != nil {
		r.watchCures(seen.session, result)
	}
	reported := seen.session.DeepCopy()
	reported.Status = status
	pause := sleep(reported, result, r.clock.Now())
	logAttempt(ctx, result, pause)
	return ctrl.Result{RequeueAfter: pause}, nil
}

// logAttempt tells of each attempt to bring a session up to date, for who looks closely; and closer still, of each look that
// found nothing to do.
func logAttempt(ctx context.Context, result outcome, pause time.Duration) {
	log := logf.FromContext(ctx)
	switch problem := result.problem; {
	case result.queued:
		log.V(2).Info("waiting for a free call")
	case problem != nil && problem.cause != nil:
		log.V(1).Info("not brought up to date", "reason", problem.reason, "cause", problem.cause.Error(), "lookAgainIn", pause)
	case problem != nil:
		log.V(1).Info("not brought up to date", "reason", problem.reason, "asked", result.asked,
			"seamRequestID", problem.requestID, "lookAgainIn", pause)
	case result.asked:
		log.V(1).Info("brought up to date", "wrote", result.wrote, "removed", result.removed, "lookAgainIn", pause)
	default:
		log.V(2).Info("nothing is due", "lookAgainIn", pause)
	}
}

// patchStatus writes the status with the version that was read, and says whether the API server took it. What it did not
// take is remembered, so that the next try does not have to ask Seam again; the object's newer version brings that about.
func (r *Reconciler) patchStatus(ctx context.Context, seen *observation, status v1alpha1.SeamClientSessionStatus) (bool, error) {
	before, after := seen.session.DeepCopy(), seen.session.DeepCopy()
	before.Status, after.Status = *seen.saved, status
	patched := after.DeepCopy()
	err := r.client.Status().Patch(ctx, patched, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) {
		patched, err = r.patchEdited(ctx, seen, status, err)
	}
	if err == nil {
		r.sessions.saved(patched, r.now())
		return true, nil
	}
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	r.sessions.unsaved(after, r.now())
	if apierrors.IsConflict(err) {
		return false, nil
	}
	return false, fmt.Errorf("writing the status of generation %d: %w", seen.session.Generation, err)
}

// patchEdited writes the status of a session whose spec or metadata somebody has edited since it was seen, so that what
// was done and learned is not lost. Where the status has changed as well, another replica has taken over, and the conflict
// stands.
func (r *Reconciler) patchEdited(ctx context.Context, seen *observation, status v1alpha1.SeamClientSessionStatus, conflict error) (*v1alpha1.SeamClientSession, error) {
	live := &v1alpha1.SeamClientSession{}
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(seen.session), live); err != nil {
		return nil, err
	}
	if live.UID != seen.session.UID || !equality.Semantic.DeepEqual(live.Status, *seen.saved) {
		return nil, conflict
	}
	patched := live.DeepCopy()
	patched.Status = status
	return patched, r.client.Status().Patch(ctx, patched, client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{}))
}

// watchCures notices when a Secret changes of which a change may help. It comes after the status was written: a watch ends
// when no status says that a session failed.
func (r *Reconciler) watchCures(session *v1alpha1.SeamClientSession, result outcome) {
	for _, name := range result.problem.cures {
		key := client.ObjectKey{Namespace: session.Namespace, Name: name}
		switch {
		case name != session.Spec.CredentialSecretRef.Name: // what Seam said of the credential still stands
			r.watches.add(key, r.credentials.lastSeen(key), nil)
		case result.connection != nil:
			r.watches.add(key, result.credential, result.connection)
		default:
			r.watches.add(key, r.credentials.lastSeen(key), nil)
		}
	}
}

// announce tells what changed, once, as events and in the log.
func (r *Reconciler) announce(ctx context.Context, seen *observation, status *v1alpha1.SeamClientSessionStatus, result outcome) {
	generation := map[string]string{v1alpha1.AnnotationGeneration: strconv.FormatInt(seen.session.Generation, 10)}
	for _, t := range transitions(seen.session, seen.saved, status, result) {
		note := t.note
		if len(note) > maxNote {
			note = strings.ToValidUTF8(note[:maxNote], "")
		}
		r.events.AnnotatedEventf(seen.session, nil, generation, t.kind, t.reason, eventAction, "%s", note)
		log := logf.FromContext(ctx).WithValues("reason", t.reason)
		if t.requestID != "" {
			log = log.WithValues("seamRequestID", t.requestID)
		}
		log.Info(note)
	}
}

// sleep is how long nothing is due.
func sleep(session *v1alpha1.SeamClientSession, result outcome, now time.Time) time.Duration {
	until := longestSleep
	sooner := func(at time.Time) {
		if !at.IsZero() {
			until = min(until, at.Sub(now))
		}
	}
	sooner(result.retryAt)
	sooner(timeOf(session.Status.NextFetchTime))
	if result.problem != nil {
		until = max(until, shortestPause)
	}
	until = max(until, shortestSleep)
	// No pause outlasts the token: Ready ends with it, and Expiring begins on time.
	for _, at := range []time.Time{schedule.ExpiringFrom(scheduleInput(session)), timeOf(session.Status.ExpiresAt)} {
		if at.After(now) {
			sooner(at)
		}
	}
	return until
}
