package controller

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/lifecycle"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// ungranted says whether a session names a SeamWorkspace, and none of that name lets its namespace use it. Where the user
// identifier key is in a Secret, that shows for certain when that was read.
func (r *Reconciler) ungranted(ctx context.Context, session *v1alpha1.SeamClientSession) (bool, error) {
	if session.Spec.WorkspaceRef == nil {
		return false, nil
	}
	grants := granting(session, seam.Selector{ClientSessionID: session.Spec.ClientSessionID, UserIdentifierKey: session.Spec.UserIdentifierKey})
	if session.Spec.UserIdentifierKeySecretRef != nil {
		grants = func(workspace *v1alpha1.SeamWorkspace, tenant lifecycle.Tenant) bool {
			return lifecycle.GrantsSomeUser(workspace, tenant, session)
		}
	}
	workspace, err := r.workspaceFor(ctx, session, grants)
	return workspace == nil, err
}

// grantsStill says whether a session that was fetched may still be written.
func (r *Reconciler) grantsStill(ctx context.Context, session *v1alpha1.SeamClientSession, answer *seam.ClientSession) bool {
	selector := seam.Selector{ClientSessionID: session.Spec.ClientSessionID}
	if selector.ClientSessionID == "" {
		selector.UserIdentifierKey = answer.UserIdentifierKey // which is the one that was asked for
	}
	granted, err := r.grantsUser(ctx, session, selector)
	return err == nil && granted
}

// grantsUser says whether a session may be the one that the selector names.
func (r *Reconciler) grantsUser(ctx context.Context, session *v1alpha1.SeamClientSession, selector seam.Selector) (bool, error) {
	if session.Spec.WorkspaceRef == nil {
		return true, nil
	}
	workspace, err := r.workspaceFor(ctx, session, granting(session, selector))
	return workspace != nil, err
}

// granting is what a workspace must pass that grants a session, found by a selector.
func granting(session *v1alpha1.SeamClientSession, selector seam.Selector) func(*v1alpha1.SeamWorkspace, lifecycle.Tenant) bool {
	return func(workspace *v1alpha1.SeamWorkspace, tenant lifecycle.Tenant) bool {
		return lifecycle.GrantsSession(workspace, tenant, session, selector)
	}
}

// workspaceFor returns the SeamWorkspace that a session names, or nil if there is none which grants the session's namespace
// what it should. The namespace's labels are looked at only where they decide. It is the cache's own: nothing may be changed in it.
func (r *Reconciler) workspaceFor(
	ctx context.Context, session *v1alpha1.SeamClientSession, grants func(*v1alpha1.SeamWorkspace, lifecycle.Tenant) bool,
) (*v1alpha1.SeamWorkspace, error) {
	key := session.Workspace()
	if len(r.namespaces) > 0 && !slices.Contains(r.namespaces, key.Namespace) {
		return nil, nil // the cache does not have it, and must not
	}
	workspace := &v1alpha1.SeamWorkspace{}
	if err := r.client.Get(ctx, key, workspace, client.UnsafeDisableDeepCopy); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	tenant := lifecycle.Tenant{Name: session.Namespace}
	switch {
	case !workspace.DeletionTimestamp.IsZero():
		return nil, nil
	case grants(workspace, tenant):
		return workspace, nil
	case !lifecycle.UsesSelectors(workspace), len(r.namespaces) > 0:
		return nil, nil
	}
	if err := r.labels.watch(ctx); err != nil {
		return nil, err
	}
	namespace := namespaceMetadata()
	if err := r.client.Get(ctx, types.NamespacedName{Name: session.Namespace}, namespace, client.UnsafeDisableDeepCopy); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if tenant.Labels = namespace.Labels; grants(workspace, tenant) {
		return workspace, nil
	}
	return nil, nil
}

// requestByWorkspace is the request of a session that names a SeamWorkspace. Nothing of the workspace shows to whom it does
// not grant the session.
func (r *Reconciler) requestByWorkspace(ctx context.Context, session *v1alpha1.SeamClientSession) (request, error) {
	workspace, err := r.workspaceFor(ctx, session, lifecycle.GrantsAnything)
	if err == nil && workspace == nil {
		err = lifecycle.UngrantedProblem(session)
	}
	if err != nil {
		return request{}, err
	}
	selector, versions, err := r.selector(ctx, session)
	if err != nil {
		return request{versions: versions}, err
	}
	workspace, err = r.workspaceFor(ctx, session, granting(session, selector))
	if err == nil && workspace == nil {
		err = lifecycle.UngrantedProblem(session)
	}
	if err != nil {
		return request{versions: versions}, err
	}
	if !lifecycle.WorkspaceReady(workspace) {
		return request{versions: versions}, lifecycle.UnreadyProblem(session)
	}
	credential, _, err := r.credentialIn(ctx, workspace.Namespace, workspace.Spec.CredentialSecretRef, workspace.Spec.WorkspaceID)
	var unusable *lifecycle.Problem
	if errors.As(err, &unusable) {
		r.checks.want(client.ObjectKeyFromObject(workspace))
		err = lifecycle.UnreadyProblem(session)
	}
	if err != nil {
		return request{versions: versions}, err
	}
	return request{
		connection: r.seam.Connection(credential), selector: selector, versions: versions, workspaceID: workspace.Status.WorkspaceID,
	}, nil
}

// leftToWorkspace lets the SeamWorkspace be checked whose credential a fetch found wanting. The session is enqueued when that
// is ready.
func (r *Reconciler) leftToWorkspace(session *v1alpha1.SeamClientSession, fetch lifecycle.Fetch) lifecycle.Fetch {
	if fetch.Problem.Cause == lifecycle.WorkspaceUnready {
		fetch.LookAgain = time.Time{}
		r.checks.want(session.Workspace())
	}
	return fetch
}

// checks are the SeamWorkspaces that sessions found wanting. Their reconciler checks them.
type checks struct {
	queue  queue
	mu     sync.Mutex
	wanted map[types.NamespacedName]struct{}
}

// wants says whether a workspace is wanted to be checked.
func (c *checks) wants(workspace types.NamespacedName) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, wanted := c.wanted[workspace]
	return wanted
}

// done notes that a workspace was checked, and says whether that was wanted.
func (c *checks) done(workspace types.NamespacedName) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, wanted := c.wanted[workspace]
	delete(c.wanted, workspace)
	return wanted
}

// want has a workspace checked soon, whenever it was checked last.
func (c *checks) want(workspace types.NamespacedName) {
	c.mu.Lock()
	if c.wanted == nil {
		c.wanted = map[types.NamespacedName]struct{}{}
	}
	c.wanted[workspace] = struct{}{}
	c.mu.Unlock()
	c.queue.enqueue(workspace)
}
