package lifecycle

import (
	"slices"
	"strings"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// Tenant is a namespace that wants to use a workspace.
type Tenant struct {
	// Name is that of the namespace.
	Name string
	// Labels are those that are known of it; nil where labels can't be watched.
	Labels map[string]string
}

// Grants says whether a workspace lets a namespace use the session that the selector names. Each grant stands alone. The
// workspace's own namespace may do everything.
func Grants(workspace *v1alpha1.SeamWorkspace, tenant Tenant, selector seam.Selector) bool {
	return workspace.Namespace == tenant.Name || slices.ContainsFunc(workspace.Spec.Grants, func(grant v1alpha1.Grant) bool {
		return admits(grant.Namespaces, tenant) && covers(grant.UserIdentifierKeyPrefixes, selector.UserIdentifierKey)
	})
}

// GrantsSession says the same of a session that may be one to make and extend: then the grant must allow that, and list whatever
// spec.provision has the session see.
func GrantsSession(workspace *v1alpha1.SeamWorkspace, tenant Tenant, session *v1alpha1.SeamClientSession, selector seam.Selector) bool {
	return workspace.Namespace == tenant.Name || slices.ContainsFunc(workspace.Spec.Grants, func(grant v1alpha1.Grant) bool {
		return admits(grant.Namespaces, tenant) && provides(grant, session) && covers(grant.UserIdentifierKeyPrefixes, selector.UserIdentifierKey)
	})
}

// GrantsSomeUser says the same where the user identifier key is not known: whether there is any user whose session it may be.
func GrantsSomeUser(workspace *v1alpha1.SeamWorkspace, tenant Tenant, session *v1alpha1.SeamClientSession) bool {
	return workspace.Namespace == tenant.Name || slices.ContainsFunc(workspace.Spec.Grants, func(grant v1alpha1.Grant) bool {
		return admits(grant.Namespaces, tenant) && provides(grant, session)
	})
}

// provides says whether a grant lets a session be made and extended as its spec says, if it is to be.
func provides(grant v1alpha1.Grant, session *v1alpha1.SeamClientSession) bool {
	spec := session.Spec.Provision
	return spec == nil || slices.Contains(grant.Allow, v1alpha1.GrantedProvision) && associates(grant.Associations, spec)
}

// associates says whether all that spec.provision has a session see is listed.
func associates(granted *v1alpha1.Associations, spec *v1alpha1.Provision) bool {
	if granted == nil {
		granted = &v1alpha1.Associations{}
	}
	return listed(granted.ConnectedAccountIDs, spec.ConnectedAccountIDs) && listed(granted.ConnectWebviewIDs, spec.ConnectWebviewIDs) &&
		(spec.UserIdentityID == "" || slices.Contains(granted.UserIdentityIDs, spec.UserIdentityID))
}

func listed(granted, asked []v1alpha1.SeamID) bool {
	return !slices.ContainsFunc(asked, func(id v1alpha1.SeamID) bool { return !slices.Contains(granted, id) })
}

// GrantsAnything says whether a workspace lets a namespace use any session: where the user identifier key of one is not
// known yet.
func GrantsAnything(workspace *v1alpha1.SeamWorkspace, tenant Tenant) bool {
	return workspace.Namespace == tenant.Name || slices.ContainsFunc(workspace.Spec.Grants, func(grant v1alpha1.Grant) bool {
		return admits(grant.Namespaces, tenant)
	})
}

// admits says whether a namespace is among those. What would select all of them, the API server does not take; here it
// selects none.
func admits(namespaces v1alpha1.GrantedNamespaces, tenant Tenant) bool {
	if namespaces.Selector == nil {
		return slices.Contains(namespaces.Names, v1alpha1.NamespaceName(tenant.Name))
	}
	for key, value := range namespaces.Selector.MatchLabels {
		if has, ok := tenant.Labels[key]; !ok || has != string(value) {
			return false
		}
	}
	return len(namespaces.Selector.MatchLabels) > 0
}

// covers says whether a user identifier key begins with one of the prefixes, if there are any. A session that is selected by
// its ID has no key that is known before the call, and is not covered.
func covers(prefixes []v1alpha1.KeyPrefix, key string) bool {
	return len(prefixes) == 0 || key != "" && slices.ContainsFunc(prefixes, func(prefix v1alpha1.KeyPrefix) bool {
		return prefix != "" && strings.HasPrefix(key, string(prefix))
	})
}

// UsesSelectors says whether any grant of a workspace selects namespaces by their labels.
func UsesSelectors(workspace *v1alpha1.SeamWorkspace) bool {
	return slices.ContainsFunc(workspace.Spec.Grants, func(grant v1alpha1.Grant) bool { return grant.Namespaces.Selector != nil })
}
