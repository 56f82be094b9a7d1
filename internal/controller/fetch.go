package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/lifecycle"
	"github.com/seam-session-operator/seam-session-operator/internal/references"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

const (
	// longestCall is more than a call to Seam can take.
	longestCall = 45 * time.Second
	// slotFallback is when a session that waits for a free call looks again, should it never be woken.
	slotFallback = time.Minute
	// unreadRetry is the pause after the API server did not give a Secret that a session refers to.
	unreadRetry = 10 * time.Second
	// probeInterval is how often a credential that Seam refused is tried again.
	probeInterval = time.Minute
)

// request is what is asked of Seam, and through which connection.
type request struct {
	connection *seam.Connection
	selector   seam.Selector
	// versions are those of the Secrets that were read for it, by name; empty for one that is missing.
	versions map[string]string
	// workspaceID is that of the SeamWorkspace that the session names, which the answer must be about; empty if it names none.
	workspaceID string
}

// fetch fetches a session from Seam, if that was decided.
func (r *Reconciler) fetch(ctx context.Context, seen *observation, decision lifecycle.Decision) lifecycle.Fetch {
	switch decision.Action {
	case lifecycle.Rest, lifecycle.Refuse, lifecycle.Defer:
		return lifecycle.Fetch{}
	}
	if lifecycle.MustTryFirst(seen.Observation, r.now()) {
		if err := r.try(ctx, seen); err != nil {
			return lifecycle.Fetch{
				Progress: lifecycle.Prevented, Problem: writeProblem(seen.Session, err),
				LookAgain: lifecycle.LookAtConflict(&seen.Session.Status, r.now()),
			}
		}
	}
	request, err := r.request(ctx, seen.Session)
	if err != nil {
		return r.prevented(err, request.versions)
	}
	fingerprint := request.connection.Fingerprint(request.selector)
	if decision.Action == lifecycle.FetchingIfChanged && fingerprint == seen.Session.Status.FailedRequestFingerprint {
		return lifecycle.Fetch{Versions: request.versions}
	}
	if decision.Action == lifecycle.Providing {
		return r.provide(ctx, seen, request, fingerprint)
	}
	called := r.now()
	answer, err := r.call(ctx, seen, request)
	ended := lifecycle.Fetch{
		Progress: lifecycle.Answered, Answer: answer, Fingerprint: fingerprint,
		At: lifecycle.RoundUp(r.clock.Now()), Versions: request.versions,
	}
	switch {
	case r.tookTooLong(called):
		return lifecycle.Fetch{Progress: lifecycle.TooLate, At: ended.At}
	case err != nil:
		return r.failed(seen, err, ended)
	case !r.grantsStill(ctx, seen.Session, answer):
		return lifecycle.Fetch{Progress: lifecycle.TooLate, At: ended.At}
	case request.workspaceID != "" && answer.WorkspaceID != request.workspaceID:
		r.checks.want(seen.Session.Workspace()) // whose credential may be of another by now
		ended.Progress, ended.Answer, ended.SeamTime = lifecycle.Failed, nil, answer.Date
		ended.Problem = lifecycle.OtherWorkspaceProblem(request.workspaceID, answer.WorkspaceID)
		return ended
	}
	ended.SeamTime = answer.Date
	return ended
}

// tookTooLong says whether a call took longer than one can. It was made by a process that was frozen in the middle of it: since then
// another replica may have taken over, and had a newer answer. Or the clock was set, and when the answer came is not known.
func (r *Reconciler) tookTooLong(called time.Time) bool {
	return r.now().Sub(called).Abs() > longestCall
}

// call calls Seam.
func (r *Reconciler) call(ctx context.Context, seen *observation, request request) (*seam.ClientSession, error) {
	ctx, giveUp := r.untilTokenEnds(ctx, seen)
	defer giveUp()
	return request.connection.GetClientSession(ctx, request.selector, r.waiter(seen.Session))
}

// untilTokenEnds has a call given up that is under way when the token ends, to be made anew once the status says so: Seam can take
// half a minute to answer, and Ready must not say yes for so long.
func (r *Reconciler) untilTokenEnds(ctx context.Context, seen *observation) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	now := r.clock.Now()
	end := lifecycle.TokenEnds(seen.Secret, &seen.Session.Status, now)
	if end.IsZero() {
		return ctx, cancel
	}
	timer := r.clock.AfterFunc(end.Sub(now), cancel)
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}

// waiter has a session enqueued when a call is free.
func (r *Reconciler) waiter(session *v1alpha1.SeamClientSession) seam.Waiter {
	key := client.ObjectKeyFromObject(session)
	return seam.Waiter{Key: key.String(), Group: key.Namespace, Wake: func() { r.queue.enqueue(key) }}
}

// prevented is what came of a request for which something was missing.
func (r *Reconciler) prevented(err error, versions map[string]string) lifecycle.Fetch {
	var limited *references.LimitedError
	if errors.As(err, &limited) {
		return lifecycle.Fetch{Progress: lifecycle.Queued, LookAgain: limited.Until}
	}
	var problem *lifecycle.Problem
	if !errors.As(err, &problem) { // this process is ending
		return lifecycle.Fetch{Progress: lifecycle.Queued}
	}
	fetch := lifecycle.Fetch{Progress: lifecycle.Prevented, Problem: problem, Versions: versions}
	if problem.Cause == lifecycle.CredentialUnreadable { // nothing tells when the API server gives it
		fetch.LookAgain = r.now().Add(unreadRetry)
	}
	return fetch
}

// failed is what came of a call that had no good answer, or was not made. ended is what is known of it beside.
func (r *Reconciler) failed(seen *observation, err error, ended lifecycle.Fetch) lifecycle.Fetch {
	var held *seam.HeldError
	var refusal *seam.Error
	switch {
	case errors.As(err, &held) && held.Cause != nil:
		return r.leftToWorkspace(seen.Session, lifecycle.Fetch{
			Progress: lifecycle.Prevented, Problem: lifecycle.HeldProblem(seen.Session, held),
			LookAgain: held.Until, Versions: ended.Versions,
		})
	case errors.As(err, &held):
		return lifecycle.Fetch{Progress: lifecycle.Queued, LookAgain: r.now().Add(slotFallback)}
	case !errors.As(err, &refusal): // it was given up: the token ends, the time for this reconcile is over, or this process ends
		return lifecycle.Fetch{Progress: lifecycle.Queued, LookAgain: r.now()}
	}
	ended.Progress, ended.SeamTime = lifecycle.Failed, refusal.Date
	// What an event says of the session holds whatever credential it is asked for with.
	sameRequest := lifecycle.SameRequest(&seen.Session.Status, ended.Fingerprint) || seen.Deletion != lifecycle.NotDeleted
	ended.Problem = lifecycle.SeamProblem(seen.Session, refusal, sameRequest, r.clock.Now())
	if ended.Problem.Cause == lifecycle.CredentialRefused { // no time is set: what holds a credential back, its connection knows
		ended.LookAgain = r.now().Add(probeInterval)
	}
	return r.leftToWorkspace(seen.Session, ended)
}

// request reads what a session refers to. The error is a *lifecycle.Problem or a *references.LimitedError; the versions of
// what was read are there all the same.
func (r *Reconciler) request(ctx context.Context, session *v1alpha1.SeamClientSession) (request, error) {
	if session.Spec.WorkspaceRef != nil {
		return r.requestByWorkspace(ctx, session)
	}
	credential, versions, err := r.credential(ctx, session)
	if err != nil {
		return request{versions: versions}, err
	}
	selector, more, err := r.selector(ctx, session)
	maps.Copy(versions, more)
	return request{connection: r.seam.Connection(credential), selector: selector, versions: versions}, err
}

// credential reads the credential for Seam.
func (r *Reconciler) credential(ctx context.Context, session *v1alpha1.SeamClientSession) (seam.Credential, map[string]string, error) {
	return r.readCredential(ctx, session.Namespace, session.Spec.CredentialSecretRef, session.Spec.WorkspaceID, lifecycle.ListKeys)
}

// credentialIn reads the credential of a SeamWorkspace. Which other keys its Secret has, it does not tell.
func (r *Reconciler) credentialIn(ctx context.Context, namespace string, ref v1alpha1.CredentialReference, workspaceID string) (seam.Credential, map[string]string, error) {
	return r.readCredential(ctx, namespace, ref, workspaceID, func([]string, int) string { return "" })
}

// readCredential reads a credential from a Secret of a namespace. keys lists in a message those that are there instead.
func (r *Reconciler) readCredential(
	ctx context.Context, namespace string, ref v1alpha1.CredentialReference, workspaceID string, keys func([]string, int) string,
) (seam.Credential, map[string]string, error) {
	key := ref.Key
	if key == "" {
		key = v1alpha1.DefaultCredentialKey
	}
	value, versions, err := r.value(ctx, references.Reference{Namespace: namespace, Name: ref.Name, Key: key}, "the credential for Seam", keys)
	if err != nil {
		return seam.Credential{}, versions, err
	}
	credential, err := seam.ParseCredential(value, workspaceID)
	if err != nil {
		r.reader.Useless(namespace)
		return seam.Credential{}, versions, lifecycle.UnusableProblem(ref.Name, key, err.Error())
	}
	return credential, versions, nil
}

// selector is what a session is found by.
func (r *Reconciler) selector(ctx context.Context, session *v1alpha1.SeamClientSession) (seam.Selector, map[string]string, error) {
	ref := session.Spec.UserIdentifierKeySecretRef
	if ref == nil {
		selector := seam.Selector{ClientSessionID: session.Spec.ClientSessionID, UserIdentifierKey: session.Spec.UserIdentifierKey}
		if err := selector.Validate(); err != nil {
			return selector, nil, &lifecycle.Problem{Cause: lifecycle.RequestInvalid, Message: err.Error()}
		}
		return selector, nil, nil
	}
	value, versions, err := r.value(ctx, references.Reference{Namespace: session.Namespace, Name: ref.Name, Key: ref.Key}, "the user identifier key", lifecycle.ListKeys)
	if err != nil {
		return seam.Selector{}, versions, err
	}
	selector := seam.Selector{UserIdentifierKey: strings.TrimRight(value, "\r\n")} // files end in one
	if selector.UserIdentifierKey == "" {
		err = errors.New("it is empty")
	} else {
		err = selector.Validate()
	}
	if err != nil {
		r.reader.Useless(session.Namespace)
		return seam.Selector{}, versions, lifecycle.UnusableProblem(ref.Name, ref.Key, err.Error())
	}
	return selector, versions, nil
}

// value reads what a reference leads to, which is called what in messages, and the version of its Secret by name. keys lists in
// a message those that are there instead.
func (r *Reconciler) value(
	ctx context.Context, ref references.Reference, what string, keys func([]string, int) string,
) (string, map[string]string, error) {
	value, err := r.reader.Read(ctx, ref)
	var limited *references.LimitedError
	switch {
	case errors.As(err, &limited):
		return "", nil, err
	case err != nil:
		return "", nil, lifecycle.UnreadableProblem(ref.Name, err)
	case value.Missing:
		err = lifecycle.MissingProblem(fmt.Sprintf("Secret %q does not exist: create it with %s under the key %q", ref.Name, what, ref.Key))
	case value.MissingKey:
		err = lifecycle.MissingProblem(fmt.Sprintf("Secret %q has no key %q%s: put %s there", ref.Name, ref.Key, keys(value.Keys, value.MoreKeys), what))
	case value.KubernetesType != "":
		err = lifecycle.UnusableProblem(ref.Name, ref.Key,
			fmt.Sprintf("a Secret of type %s is not sent to Seam: put %s into one of type Opaque", value.KubernetesType, what))
	case value.TooLong:
		err = lifecycle.UnusableProblem(ref.Name, ref.Key, fmt.Sprintf("%s is never that long", what))
	}
	return value.Data, map[string]string{ref.Name: value.Version}, err
}
