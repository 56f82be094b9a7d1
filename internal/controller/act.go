package controller

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/secret"
)

// outcome is what came of acting on a session.
type outcome struct {
	// tried says that bringing the Secret up to date was tried: problem says how that ended.
	tried   bool
	problem *problem
	// asked says that Seam was called.
	asked bool
	// answer is Seam's good answer. Its token goes into the Secret and nowhere else.
	answer *seam.ClientSession
	// superseded says that the answer is about a session that has ended, while the Secret holds the token of another one
	// that has not.
	superseded bool
	// connection is how Seam was asked, if it came to that.
	connection *seam.Connection
	// credential is the version of the credential Secret that Seam was asked with.
	credential string
	// secret is the Secret as it is now, without its data.
	secret *corev1.Secret
	// wrote and removed say what was done to the Secret.
	wrote, removed bool
	// retryAt is when to look again whatever the status says; zero if that alone decides.
	retryAt time.Time
	// queued says that nothing was tried, because no call was free: the status stays as it is.
	queued bool
}

// again drops what Seam answered, so that the session is looked at anew.
func (o *outcome) again(seen *observation, now time.Time) {
	*o = outcome{secret: seen.secret, queued: true, retryAt: now}
}

const (
	// longestCall is more than a call to Seam can take. One that took longer was made by a process that was frozen in the
	// middle of it: since then another replica may have taken over, and had a newer answer.
	longestCall = 45 * time.Second
	// goneConfirmation is how far two answers that say "not found" must be apart before a Secret is deleted for it.
	goneConfirmation = time.Minute
	// slotFallback is when a session that waits for a free call looks again, should it never be woken.
	slotFallback = time.Minute
	// unreadRetry is the pause after a Secret that a session refers to could not be read.
	unreadRetry = 10 * time.Second
	// conflictRetry bounds the pause before a Secret that is somebody else's is looked at again.
	shortestConflictRetry, longestConflictRetry = 5 * time.Second, time.Minute
)

// act does what was decided.
func (r *Reconciler) act(ctx context.Context, seen *observation, decision decision) outcome {
	result := outcome{secret: seen.secret}
	switch decision {
	case idle:
		return result
	case yield:
		result.tried, result.retryAt = true, seen.repairs.next()
		result.problem = contested(seen)
		return result
	case repair:
		r.repairs.set(client.ObjectKeyFromObject(seen.session), seen.repairs.after(r.now()))
	}
	r.sync(ctx, seen, &result)
	if result.queued && seen.changed {
		r.queue.mark(client.ObjectKeyFromObject(seen.session)) // that something changed was not used yet
	}
	return result
}

// sync asks Seam and brings the Secret up to date, as far as it gets.
func (r *Reconciler) sync(ctx context.Context, seen *observation, result *outcome) {
	session := seen.session
	result.tried = true
	if result.problem = r.obstacle(ctx, seen, result); result.problem != nil {
		return
	}
	request, problem := r.credentials.request(ctx, session)
	if problem != nil {
		result.problem = problem
		if len(problem.cures) == 0 { // the API server did not give the Secret: nothing tells when it does
			result.retryAt = r.now().Add(unreadRetry)
		}
		return
	}
	result.connection, result.credential = request.connection, request.version
	asked := r.now()
	answer, err := r.ask(ctx, session, request)
	if held := heldBack(err); held != nil {
		r.hold(session, held, result)
		return
	}
	if r.now().Sub(asked) > longestCall {
		result.again(seen, r.now())
		return
	}
	result.asked = true
	if err != nil {
		r.refused(ctx, seen, err, request, result)
		return
	}
	result.answer = answer
	result.problem = r.apply(ctx, seen, result)
}

// obstacle finds what makes asking Seam pointless: a template that can't be rendered, a Secret that can't be written.
func (r *Reconciler) obstacle(ctx context.Context, seen *observation, result *outcome) *problem {
	if err := secret.CheckTemplates(seen.session.Spec.Secret.Template); err != nil {
		return &problem{kind: blocked, reason: v1alpha1.ReasonTemplateInvalid, message: err.Error()}
	}
	blocking := seen.secret
	if blocking == nil && syncedReason(&seen.session.Status) == v1alpha1.ReasonSecretConflict {
		live, err := r.liveSecret(ctx, client.ObjectKey{Namespace: seen.session.Namespace, Name: seen.session.SecretName()})
		if err != nil {
			return writeProblem(seen.session, err)
		}
		blocking = live
	}
	p := conflict(blocking, seen.session)
	if p == nil || p.kind != waiting { // one of ours that can't be changed may not need to be
		return nil
	}
	result.retryAt = r.conflictRetry(seen)
	return p
}

// conflictRetry is when a Secret that is somebody else's is looked at again: after as long as it has been so, within
// bounds, which doubles the pause without counting.
func (r *Reconciler) conflictRetry(seen *observation) time.Time {
	now, since := r.now(), r.now()
	if synced := meta.FindStatusCondition(seen.session.Status.Conditions, v1alpha1.ConditionSynced); synced != nil &&
		synced.Reason == v1alpha1.ReasonSecretConflict {
		since = synced.LastTransitionTime.Time
	}
	if since.After(now) { // the clock was set back
		return now.Add(longestConflictRetry)
	}
	return now.Add(min(max(now.Sub(since), shortestConflictRetry), longestConflictRetry))
}

// ask asks Seam for the session.
func (r *Reconciler) ask(ctx context.Context, session *v1alpha1.SeamClientSession, request *request) (*seam.ClientSession, error) {
	key := client.ObjectKeyFromObject(session)
	return request.connection.GetClientSession(ctx, request.selector, seam.Waiter{
		Key:  key.String(),
		Wake: func() { r.queue.wake(key) },
	})
}

// hold records that no call was made, because the credential is on hold or has all the calls it may have.
func (r *Reconciler) hold(session *v1alpha1.SeamClientSession, held *seam.HeldError, result *outcome) {
	if held.Cause == nil {
		result.tried, result.queued, result.retryAt = false, true, r.now().Add(slotFallback)
		return
	}
	result.problem, result.retryAt = heldProblem(session, held), held.Until
}

// refused records that Seam gave no good answer, and deletes the Secret of a session that is gone, if that is wanted.
func (r *Reconciler) refused(ctx context.Context, seen *observation, err error, request *request, result *outcome) {
	var refusal *seam.Error
	if !errors.As(err, &refusal) { // this process is ending
		result.tried, result.asked, result.queued = false, false, true
		return
	}
	status := &seen.session.Status
	proven := request.version == status.CredentialVersion
	result.problem = seamProblem(seen.session, refusal, proven)
	if result.problem.kind == waiting { // what holds a credential back is known to its connection alone
		result.retryAt = r.now().Add(credentialProbe)
	}
	if refusal.RetryAfter > 0 {
		result.problem.until = notBefore(r.clock.Now().Add(refusal.RetryAfter))
	}
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	confirmed := ready != nil && ready.Reason == v1alpha1.ReasonSessionNotFound &&
		r.now().Sub(timeOf(status.LastAttemptTime)) >= goneConfirmation
	if result.problem.gone && confirmed && endsDeleted(seen.session) && !holdsAnother(seen.state, r.now()) {
		if p := r.remove(ctx, seen, result); p != nil {
			result.problem = p
		}
	}
}

// holdsAnother says whether the Secret holds a token that was asked for otherwise, and is good: that what the spec asks for
// now does not exist says nothing about it.
func holdsAnother(state secret.State, now time.Time) bool {
	return !state.ForSpec && state.DataIntact && (state.ExpiresAt == nil || state.ExpiresAt.After(now))
}

// verdict is what an answer means for the Secret.
type verdict int

const (
	write verdict = iota
	keep
	remove
)

// judge says what a good answer means for the Secret that is there. An answer about a session that has ended is never
// written, and never touches a good token of another session: Seam returns any of the sessions of a user.
func judge(seen *observation, answer *seam.ClientSession, now time.Time) (v verdict, superseded bool) {
	if answer.ExpiresAt == nil || answer.ExpiresAt.After(now) {
		return write, false
	}
	standing := seen.state
	good := standing.ExpiresAt == nil || standing.ExpiresAt.After(now)
	if standing.Ours && standing.DataIntact && good && standing.ClientSessionID != answer.ID {
		return keep, standing.ForSpec
	}
	if standing.Ours && endsDeleted(seen.session) {
		return remove, false
	}
	return keep, false
}

func endsDeleted(session *v1alpha1.SeamClientSession) bool {
	return session.Spec.Secret.RetentionPolicy.WhenSessionEnds == v1alpha1.RetentionDelete
}

// apply brings the Secret in line with a good answer.
func (r *Reconciler) apply(ctx context.Context, seen *observation, result *outcome) *problem {
	verdict, superseded := judge(seen, result.answer, r.now())
	result.superseded = superseded
	switch verdict {
	case keep:
		return nil
	case remove:
		return r.remove(ctx, seen, result)
	}
	desired, err := secret.Render(seen.session, result.answer)
	if err != nil {
		return &problem{kind: blocked, reason: v1alpha1.ReasonTemplateInvalid, message: err.Error()}
	}
	if !r.stillWanted(ctx, seen.session) {
		result.again(seen, r.now())
		return nil
	}
	if p := r.writeSecret(ctx, seen, desired, result); p != nil || result.queued {
		return p
	}
	if renamed(seen.session) {
		return r.removeFormer(ctx, seen)
	}
	return nil
}

// stillWanted says whether the object is still there and asks for the same as when Seam was called: a Secret that is
// written for an object that is gone would be left behind.
func (r *Reconciler) stillWanted(ctx context.Context, session *v1alpha1.SeamClientSession) bool {
	current := &v1alpha1.SeamClientSession{}
	err := r.client.Get(ctx, client.ObjectKeyFromObject(session), current)
	return err == nil && current.UID == session.UID && current.DeletionTimestamp.IsZero() &&
		current.Generation <= session.Generation
}
