package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/lifecycle"
	"github.com/seam-session-operator/seam-session-operator/internal/references"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// WorkspaceReconciler keeps the status of every SeamWorkspace up to date, and reads Seam's events for the sessions that name
// it. NewWorkspaceReconciler makes one.
type WorkspaceReconciler struct {
	// Reconciler is that of the sessions, whose clients, credentials and clock this one shares.
	*Reconciler

	awaiting   *references.Waiting
	workspaces mutationCache[*v1alpha1.SeamWorkspace]
	memories   workspaceMemories
}

// workspaceObservation is what is known of a workspace before anything is done.
type workspaceObservation struct {
	lifecycle.WorkspaceObservation
	memory workspaceMemory
}

// access is a workspace's credential as it is now.
type access struct {
	connection *seam.Connection
	// credential tells it from others; empty without a connection.
	credential string
	// versions are those of the Secret that was read for it, by name; nil if none was read, since nothing is due.
	versions map[string]string
	// err is why there is no connection: a *lifecycle.Problem, a *references.LimitedError, or that this process is ending.
	err error
}

// NewWorkspaceReconciler makes a WorkspaceReconciler. watcher watches the Secrets of namespaces.
func NewWorkspaceReconciler(sessions *Reconciler, watcher client.WithWatch) *WorkspaceReconciler {
	return &WorkspaceReconciler{
		Reconciler: sessions,
		awaiting:   references.NewWaiting(watcher, sessions.reader, sessions.clock, sessions.checks.queue.enqueue),
	}
}

// start is called with the controller's work queue before the first workspace is reconciled.
func (r *WorkspaceReconciler) start(ctx context.Context, work workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	r.checks.queue.start(work)
	r.awaiting.Start(ctx)
	return nil
}

// Reconcile brings one workspace up to date: it observes, checks the credential and reads Seam's events if that is due, has
// the sessions fetched that were deleted there, and reports.
func (r *WorkspaceReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	seen, err := r.observe(ctx, req.NamespacedName)
	if err != nil || seen == nil {
		return ctrl.Result{}, err
	}
	access := r.access(ctx, seen)
	check := r.check(ctx, seen, access)
	deleted, poll := r.poll(ctx, seen, access, check)
	known, news, err := r.tell(ctx, seen, deleted)
	if err != nil {
		return ctrl.Result{}, err
	}
	poll.News = news
	memory := workspaceMemory{
		uid: seen.Workspace.UID, known: known, credential: seen.memory.credential,
		WorkspaceMemory: lifecycle.Remember(seen.WorkspaceObservation, check, poll),
	}
	if check.Progress == lifecycle.Answered || check.Progress == lifecycle.Failed {
		memory.credential = access.credential
	}
	return r.report(ctx, seen, check, poll, access.versions, memory)
}

// observe returns what is known of a workspace, or nil if it is gone or going.
func (r *WorkspaceReconciler) observe(ctx context.Context, key types.NamespacedName) (*workspaceObservation, error) {
	cached := &v1alpha1.SeamWorkspace{}
	err := r.client.Get(ctx, key, cached)
	if apierrors.IsNotFound(err) || err == nil && !cached.DeletionTimestamp.IsZero() {
		r.workspaces.forget(key)
		r.awaiting.Remove(key)
		r.memories.forget(key)
		r.checks.done(key)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	workspace := r.workspaces.newest(cached)
	memory := r.memories.of(key, workspace.UID)
	return &workspaceObservation{
		WorkspaceObservation: lifecycle.WorkspaceObservation{
			Workspace:        workspace,
			SelectorsWatched: len(r.namespaces) == 0,
			CheckWanted:      r.checkWanted(key, &workspace.Status),
			Memory:           memory.WorkspaceMemory,
		},
		memory: memory,
	}, nil
}

// checkWanted says whether a workspace is to be checked before that is due.
func (r *WorkspaceReconciler) checkWanted(key types.NamespacedName, status *v1alpha1.SeamWorkspaceStatus) bool {
	return r.checks.wants(key) || lifecycle.AwaitsCredential(status) && r.awaiting.Changed(key)
}

// access reads the credential, if anything is due that needs it.
func (r *WorkspaceReconciler) access(ctx context.Context, seen *workspaceObservation) access {
	now := r.now()
	poll := lifecycle.NextPoll(seen.WorkspaceObservation, now)
	if lifecycle.NextCheck(seen.WorkspaceObservation, now).After(now) && (poll.IsZero() || poll.After(now)) {
		return access{}
	}
	spec := &seen.Workspace.Spec
	credential, versions, err := r.credentialIn(ctx, seen.Workspace.Namespace, spec.CredentialSecretRef, spec.WorkspaceID)
	switch {
	case err != nil:
		return access{versions: versions, err: err}
	case !credential.OpensWorkspace():
		return access{versions: versions, err: lifecycle.UnusableProblem(spec.CredentialSecretRef.Name, spec.CredentialSecretRef.Key,
			"it is a client session token, which opens one session alone: use an API key, a personal access token or a console session")}
	}
	connection := r.seam.Connection(credential)
	return access{connection: connection, credential: connection.Fingerprint(seam.Selector{}), versions: versions}
}

// check asks Seam which workspace the credential is of, if that is due, or the credential is not the one that was checked.
func (r *WorkspaceReconciler) check(ctx context.Context, seen *workspaceObservation, access access) lifecycle.Check {
	now := r.now()
	sameSpec := seen.memory.Generation == seen.Workspace.Generation // which, edited, has its own time
	changed := access.err != nil || sameSpec && seen.memory.credential != "" && access.credential != seen.memory.credential
	if access.connection == nil && access.err == nil || !changed && lifecycle.NextCheck(seen.WorkspaceObservation, now).After(now) {
		return lifecycle.Check{}
	}
	if access.err != nil {
		fetch := r.prevented(access.err, nil)
		return lifecycle.Check{Progress: fetch.Progress, Problem: fetch.Problem, At: now, LookAgain: fetch.LookAgain}
	}
	answer, err := access.connection.GetWorkspace(ctx, r.waiter(seen.Workspace))
	at := lifecycle.RoundUp(r.clock.Now())
	if err == nil {
		return lifecycle.Check{Progress: lifecycle.Answered, Answer: answer, At: at}
	}
	progress, problem, lookAgain := r.refused(seen.Workspace, err)
	return lifecycle.Check{Progress: progress, Problem: problem, At: at, LookAgain: lookAgain}
}

// poll reads Seam's events, if that is due, and returns those of client sessions of the workspace that were deleted.
func (r *WorkspaceReconciler) poll(ctx context.Context, seen *workspaceObservation, access access, check lifecycle.Check) ([]seam.Deletion, lifecycle.Poll) {
	now := r.now()
	next := lifecycle.NextPoll(seen.WorkspaceObservation, now)
	if access.connection == nil || next.IsZero() || next.After(now) || check.Progress != lifecycle.NotTried {
		return nil, lifecycle.Poll{}
	}
	since := lifecycle.EventsSince(seen.WorkspaceObservation, now)
	events, until, err := readEvents(since, func(window seam.Window) (*seam.Deletions, error) {
		return access.connection.ListDeletions(ctx, window, seam.MaxEvents, r.waiter(seen.Workspace))
	})
	poll := lifecycle.Poll{Progress: lifecycle.Answered, ReadUntil: until, At: lifecycle.RoundUp(r.clock.Now())}
	if err != nil {
		poll.Progress, poll.Problem, poll.LookAgain = r.refused(seen.Workspace, err)
	}
	if poll.Problem != nil && poll.Problem.Cause == lifecycle.CredentialRefused {
		r.checks.want(client.ObjectKeyFromObject(seen.Workspace))
	}
	return events, poll
}

// waiter is a workspace that waits for a free call. It has a turn of its own, beside the namespaces with sessions.
func (r *WorkspaceReconciler) waiter(workspace *v1alpha1.SeamWorkspace) seam.Waiter {
	key := client.ObjectKeyFromObject(workspace)
	return seam.Waiter{Key: "workspace " + key.String(), Group: "workspace " + key.String(), Wake: func() { r.checks.queue.enqueue(key) }}
}

// refused says what came of a call that had no good answer, or was not made.
func (r *WorkspaceReconciler) refused(workspace *v1alpha1.SeamWorkspace, err error) (lifecycle.Progress, *lifecycle.Problem, time.Time) {
	var held *seam.HeldError
	var refusal *seam.Error
	switch {
	case errors.As(err, &held) && held.Cause == nil:
		return lifecycle.Queued, nil, r.now().Add(slotFallback)
	case errors.As(err, &held):
		problem := lifecycle.WorkspaceProblem(workspace, held.Cause)
		problem.RequestID = ""
		return lifecycle.Failed, problem, held.Until
	case errors.As(err, &refusal):
		return lifecycle.Failed, lifecycle.WorkspaceProblem(workspace, refusal), time.Time{}
	}
	return lifecycle.Queued, nil, time.Time{} // this process is ending
}

// tell has the sessions fetched that were deleted at Seam, each once for an event, and returns what is known by now, and whether
// any event was new. One whose session is not known is looked at as long as it is read: the session may be about to be.
func (r *WorkspaceReconciler) tell(ctx context.Context, seen *workspaceObservation, deleted []seam.Deletion) (known map[string]time.Time, news bool, err error) {
	known = seen.memory.since(lifecycle.EventsSince(seen.WorkspaceObservation, r.now()))
	if len(deleted) == 0 {
		return known, false, nil
	}
	workspace := client.ObjectKeyFromObject(seen.Workspace)
	var sessions v1alpha1.SeamClientSessionList
	if err := r.client.List(ctx, &sessions, client.MatchingFields{indexWorkspace: workspace.String()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, false, err
	}
	bySession := map[string][]*v1alpha1.SeamClientSession{}
	for i := range sessions.Items {
		id := sessions.Items[i].Status.ClientSessionID
		bySession[id] = append(bySession[id], &sessions.Items[i])
	}
	for _, event := range deleted {
		if event.WorkspaceID != "" && event.WorkspaceID != seen.Workspace.Status.WorkspaceID {
			continue
		}
		// It may be listed by another time than that at which it occurred.
		until := latest(event.OccurredAt, r.now())
		if _, ok := known[event.EventID]; !ok {
			known[event.EventID], news = until, true
		}
		for _, session := range bySession[event.ClientSessionID] {
			key := client.ObjectKeyFromObject(session)
			told := event.EventID + " " + key.String()
			if _, ok := known[told]; ok || lifecycle.ProvenGone(session) {
				continue
			}
			if ungranted, err := r.ungranted(ctx, session); err != nil || ungranted {
				continue
			}
			known[told] = until
			r.memory.deletionHeard(key, event.ClientSessionID)
			r.queue.enqueue(key)
		}
	}
	return known, news, nil
}

// report brings what is known to the workspace, if it says anything new, and says when to look again.
func (r *WorkspaceReconciler) report(
	ctx context.Context, seen *workspaceObservation, check lifecycle.Check, poll lifecycle.Poll, versions map[string]string, memory workspaceMemory,
) (ctrl.Result, error) {
	key, now := client.ObjectKeyFromObject(seen.Workspace), r.now()
	r.memories.set(key, memory)
	after := seen.Workspace.DeepCopy()
	after.Status = lifecycle.NextWorkspaceStatus(seen.WorkspaceObservation, check, poll, now)
	switch {
	case !lifecycle.AwaitsCredential(&after.Status):
		r.awaiting.Remove(key)
	case len(versions) > 0:
		r.awaiting.Add(key, versions) // before anybody can read that it failed, and put it right
	}
	if !equality.Semantic.DeepEqual(seen.Workspace.Status, after.Status) {
		patched := after.DeepCopy()
		err := r.client.Status().Patch(ctx, patched, client.MergeFromWithOptions(seen.Workspace, client.MergeFromWithOptimisticLock{}))
		switch {
		case apierrors.IsConflict(err), apierrors.IsNotFound(err): // what is newer is looked at next
			return ctrl.Result{RequeueAfter: time.Second}, nil
		case err != nil:
			return ctrl.Result{}, fmt.Errorf("writing the status of SeamWorkspace %s: %w", key, err)
		}
		r.workspaces.saved(patched, now)
		r.announce(ctx, seen.Workspace, &after.Status, check, poll)
	}
	concluded := check.Progress == lifecycle.Answered || check.Problem != nil
	if concluded && r.checks.done(key) && check.Progress == lifecycle.Answered { // it was no fault of the credential
		r.enqueueByWorkspace(ctx, key)
	}
	next := lifecycle.WorkspaceObservation{Workspace: after, CheckWanted: r.checkWanted(key, &after.Status), Memory: memory.WorkspaceMemory}
	return ctrl.Result{RequeueAfter: lifecycle.WorkspacePause(next, check, poll, now)}, nil
}

// announce tells what changed, once, as events and in the log.
func (r *WorkspaceReconciler) announce(ctx context.Context, workspace *v1alpha1.SeamWorkspace, after *v1alpha1.SeamWorkspaceStatus, check lifecycle.Check, poll lifecycle.Poll) {
	for _, t := range lifecycle.WorkspaceTransitions(&workspace.Status, after, check, poll) {
		r.events.Eventf(workspace, nil, t.Type, t.Reason, eventAction, "%s", t.Note)
		logf.FromContext(ctx).Info(t.Note, "reason", t.Reason, "seamRequestID", t.RequestID)
	}
}

// enqueueByWorkspace has a worker look at every session that names a workspace.
func (r *Reconciler) enqueueByWorkspace(ctx context.Context, workspace types.NamespacedName) {
	var sessions v1alpha1.SeamClientSessionList
	if err := r.client.List(ctx, &sessions, client.MatchingFields{indexWorkspace: workspace.String()}, client.UnsafeDisableDeepCopy); err != nil {
		logf.FromContext(ctx).Error(err, "listing the sessions of a SeamWorkspace")
		return
	}
	for i := range sessions.Items {
		r.queue.enqueue(client.ObjectKeyFromObject(&sessions.Items[i]))
	}
}

// workspaceNews says whether a change of a workspace may matter to its sessions.
func workspaceNews(before, after *v1alpha1.SeamWorkspace) bool {
	return before.Generation != after.Generation || before.UID != after.UID || before.Status.WorkspaceID != after.Status.WorkspaceID ||
		before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
		lifecycle.WorkspaceReady(before) != lifecycle.WorkspaceReady(after)
}
