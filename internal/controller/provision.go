package controller

import (
	"context"
	"errors"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/lifecycle"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// errLate says that this process was frozen between two calls.
var errLate = errors.New("seam took longer than a call can take")

// provide asks Seam to make or extend the session that was just fetched. A good answer is what fetching gives; a failure to make
// a session is one of fetching it, and a failure to extend it leaves everything as it is.
func (r *Reconciler) provide(ctx context.Context, seen *observation, request request, fingerprint string) lifecycle.Fetch {
	session, wish := seen.Session, seen.Wish
	// A Secret that the session refers to has changed since it was fetched; or the API server has not taken yet what is to be made.
	if fingerprint != wish.Fingerprint || !lifecycle.MayMake(session, seen.saved, wish) {
		return lifecycle.Fetch{Progress: lifecycle.Queued, LookAgain: r.now()}
	}
	called := r.now()
	ctx, giveUp := r.untilTokenEnds(ctx, seen)
	defer giveUp()
	answer, err := r.getOrCreate(ctx, session, request, wish)
	ended := lifecycle.Fetch{
		Progress: lifecycle.Answered, Answer: answer, Fingerprint: fingerprint, At: lifecycle.RoundUp(r.clock.Now()), Versions: request.versions,
		Provided: lifecycle.Provided{Tried: true, Creating: wish.Creating},
	}
	if err != nil {
		return r.notProvided(seen, err, ended)
	}
	ended.SeamTime = answer.Date
	ended.Provided.SeamTime, ended.Provided.Until = seamTime(ended), answer.ExpiresAt
	switch {
	case request.workspaceID != "" && answer.WorkspaceID != request.workspaceID:
		return r.notProvided(seen, lifecycle.ElsewhereProblem(session, answer.WorkspaceID, request.workspaceID), ended)
	case r.tookTooLong(called), !r.grantsStill(ctx, session, answer):
		return lifecycle.Fetch{Progress: lifecycle.TooLate, At: ended.At, Provided: ended.Provided}
	}
	return ended
}

// getOrCreate makes the call, and before it, where no session was found with that credential and user before, the one that tells in which
// workspace one would be made. Its error may be a *lifecycle.Problem.
func (r *Reconciler) getOrCreate(
	ctx context.Context, session *v1alpha1.SeamClientSession, request request, wish *lifecycle.Wish,
) (*seam.ClientSession, error) {
	waiter := r.waiter(session)
	if wanted := lifecycle.MakesIn(session, wish, request.workspaceID); wanted != "" {
		began := r.now()
		workspace, err := request.connection.GetWorkspace(ctx, waiter)
		if err != nil {
			return nil, err
		}
		if r.tookTooLong(began) { // by now another replica may have made it, or given it a later end
			return nil, errLate
		}
		if granted, err := r.grantsUser(ctx, session, request.selector); err != nil || !granted {
			return nil, lifecycle.UngrantedProblem(session)
		}
		if workspace.ID != wanted {
			return nil, lifecycle.ElsewhereProblem(session, workspace.ID, wanted)
		}
	}
	return request.connection.GetOrCreateClientSession(ctx, wish.Request(request.selector), waiter)
}

// notProvided is what came of a call that made or extended no session. ended is what is known of it beside.
func (r *Reconciler) notProvided(seen *observation, err error, ended lifecycle.Fetch) lifecycle.Fetch {
	var held *seam.HeldError
	var refusal *seam.Error
	var problem *lifecycle.Problem
	ended.Progress, ended.Answer = lifecycle.Failed, nil
	switch {
	case errors.As(err, &held) && held.Cause == nil:
		return lifecycle.Fetch{Progress: lifecycle.Queued, LookAgain: r.now().Add(slotFallback)}
	case errors.As(err, &held):
		problem = lifecycle.HeldProvisionProblem(seen.Session, held)
		ended.Progress, ended.LookAgain, ended.At = lifecycle.Prevented, held.Until, time.Time{}
	case errors.As(err, &refusal):
		problem = lifecycle.ProvisionProblem(seen.Session, refusal, r.clock.Now())
		ended.SeamTime = refusal.Date
	case !errors.As(err, &problem): // it was given up, and what came of it is not known: the session is fetched again before another call
		r.memory.wish(client.ObjectKeyFromObject(seen.Session), nil)
		return lifecycle.Fetch{Progress: lifecycle.Queued, LookAgain: r.now()}
	}
	ended.Provided = lifecycle.Provided{Tried: true, Creating: ended.Provided.Creating, SeamTime: seamTime(ended), Problem: problem}
	if !ended.Provided.Creating { // what fetching it has shown stands
		return lifecycle.Fetch{At: ended.At, Provided: ended.Provided, Versions: ended.Versions}
	}
	ended.Problem = problem
	return ended
}

// seamTime is when Seam answered, by its own clock where that is known.
func seamTime(fetch lifecycle.Fetch) time.Time {
	if fetch.SeamTime.IsZero() {
		return fetch.At
	}
	return fetch.SeamTime
}

// wish remembers what Seam is to be asked next to make of a session, and has that done at once. What could not be asked because no
// call was free stays to be asked.
func (r *Reconciler) wish(session *v1alpha1.SeamClientSession, attempt lifecycle.Attempt) {
	key := client.ObjectKeyFromObject(session)
	switch {
	case attempt.Wish != nil:
		r.memory.wish(key, attempt.Wish)
		r.queue.enqueue(key)
	case attempt.Decision.Action == lifecycle.Providing && attempt.Fetch.Progress != lifecycle.Queued, attempt.Fetch.Called():
		r.memory.wish(key, nil)
	}
}
