package controller

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

func TestMessagesNameTheFieldToCorrect(t *testing.T) {
	for field, spec := range map[string]v1alpha1.SeamClientSessionSpec{
		"spec.clientSessionID":            {ClientSessionID: "c1"},
		"spec.userIdentifierKey":          {UserIdentifierKey: "jane-the-user-key"},
		"spec.userIdentifierKeySecretRef": {UserIdentifierKeySecretRef: &v1alpha1.SecretKeyReference{Name: "jane-key", Key: "key"}},
	} {
		session := &v1alpha1.SeamClientSession{Spec: spec}
		message := seamProblem(session, &seam.Error{Kind: seam.NotFound}, false).message
		if !strings.HasPrefix(message, "Seam has no client session of this "+field+" in the workspace of ") || strings.Contains(message, "jane") {
			t.Errorf("%s: %s", field, message)
		}
		session.Status.ExpiresAt = &metav1.Time{Time: time.Unix(0, 0)}
		message = expiredMessage(session)
		if !strings.HasPrefix(message, "the session ended at 1970-01-01T00:00:00Z: ") ||
			strings.HasSuffix(message, "which spec.clientSessionID then has to name") != (spec.ClientSessionID != "") {
			t.Errorf("%s: %s", field, message)
		}
	}
}
