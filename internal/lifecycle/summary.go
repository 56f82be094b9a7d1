package lifecycle

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// reason is what the conditions come to. The status of a session that an earlier release wrote has none: it gets one when
// it is written next, rather than that a new release writes all of them at once.
func reason(before *v1alpha1.SeamClientSessionStatus, status v1alpha1.SeamClientSessionStatus) string {
	if before.Reason == "" && before.LastAttemptTime.Equal(status.LastAttemptTime) && equality.Semantic.DeepEqual(before.Conditions, status.Conditions) {
		return ""
	}
	return summary(status.Conditions)
}

// summary is the one reason of all conditions that says most: why there is no usable token, else what goes wrong.
func summary(conditions []metav1.Condition) string {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	synced := meta.FindStatusCondition(conditions, v1alpha1.ConditionSynced)
	expiring := meta.FindStatusCondition(conditions, v1alpha1.ConditionExpiring)
	switch {
	case synced == nil || ready == nil: // nothing was said yet
		return ""
	case ready.Reason == v1alpha1.ReasonSessionExpired && synced.Status != metav1.ConditionTrue: // READY and EXPIRES say that it has ended
		return synced.Reason
	case ready.Status != metav1.ConditionTrue && ready.Reason != v1alpha1.ReasonPending:
		return ready.Reason
	case synced.Status != metav1.ConditionTrue:
		return synced.Reason
	case ready.Status != metav1.ConditionTrue:
		return ready.Reason
	case expiring != nil:
		return expiring.Reason
	}
	return synced.Reason
}

// waitingFor is what has to change before Seam is called again, where no time is set for that.
func waitingFor(session *v1alpha1.SeamClientSession, problem *Problem, status v1alpha1.SeamClientSessionStatus) string {
	switch {
	case status.NextFetchTime != nil:
		return ""
	case session.Spec.Suspend:
		return "spec.suspend to be false"
	case problem == nil:
		return status.WaitingFor
	}
	switch problem.Row().Cure {
	case CuredByReference:
		return "a change of " + strings.Join(referenced(session), " or ")
	case CuredByWorkspace:
		return "a change of SeamWorkspace " + workspaceName(session)
	case CuredBySpec:
		return "a change of this object"
	case CuredBySecret:
		return "a change of Secret " + session.SecretName()
	}
	return "the API server to take Secret " + session.SecretName()
}

// referenced are what a session refers to.
func referenced(session *v1alpha1.SeamClientSession) []string {
	all := []string{"Secret " + session.Spec.CredentialSecretRef.Name}
	if session.Spec.WorkspaceRef != nil {
		all = []string{"SeamWorkspace " + workspaceName(session)}
	}
	if ref := session.Spec.UserIdentifierKeySecretRef; ref != nil {
		all = append(all, "Secret "+ref.Name)
	}
	return all
}

// workspaceName is the SeamWorkspace that a session names, with its namespace if that is another one.
func workspaceName(session *v1alpha1.SeamClientSession) string {
	ref := session.Spec.WorkspaceRef
	if ref == nil {
		return ""
	}
	if namespace := string(ref.Namespace); namespace != "" && namespace != session.Namespace {
		return namespace + "/" + ref.Name
	}
	return ref.Name
}
