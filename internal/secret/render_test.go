package secret

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// newSession is a session as the API server returns it when nothing but the required is given.
func newSession(changes ...func(*v1alpha1.SeamClientSession)) *v1alpha1.SeamClientSession {
	session := &v1alpha1.SeamClientSession{
		ObjectMeta: metav1.ObjectMeta{Name: "jane", Namespace: "shop", UID: "11111111-1111-1111-1111-111111111111"},
		Spec: v1alpha1.SeamClientSessionSpec{
			ClientSessionID:     "cst1",
			CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam", Key: v1alpha1.DefaultCredentialKey},
			Secret: v1alpha1.SecretSpec{
				Type:            "Opaque",
				RetentionPolicy: v1alpha1.RetentionPolicy{WhenDeleted: v1alpha1.RetentionDelete, WhenSessionEnds: v1alpha1.RetentionRetain},
			},
		},
	}
	for _, change := range changes {
		change(session)
	}
	return session
}

func withMetadata(s *v1alpha1.SeamClientSession) {
	s.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "blue", "example.com/tier": ""}
	s.Spec.Secret.Annotations = map[string]v1alpha1.AnnotationValue{"example.com/note": "a note"}
}

func retained(s *v1alpha1.SeamClientSession) {
	s.Spec.Secret.RetentionPolicy.WhenDeleted = v1alpha1.RetentionRetain
}

func mustRender(t testing.TB, session *v1alpha1.SeamClientSession) *corev1.Secret {
	t.Helper()
	secret, err := Render(session, fullAnswer())
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestDefaultSecretHasFourKeys(t *testing.T) {
	secret := mustRender(t, newSession())
	want := map[string]string{
		"token": "seam_cst1_token", "client_session_id": "cst1", "workspace_id": "ws1", "expires_at": "2026-08-31T12:00:00.25Z",
	}
	if got := asText(secret.Data); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func asText(data map[string][]byte) map[string]string {
	values := map[string]string{}
	for key, value := range data {
		values[key] = string(value)
	}
	return values
}

func TestWithoutAnEndTheKeyIsAbsent(t *testing.T) {
	secret, err := Render(newSession(), sparseAnswer())
	if err != nil {
		t.Fatal(err)
	}
	if keys := slices.Sorted(maps.Keys(secret.Data)); !slices.Equal(keys, []string{"client_session_id", "token", "workspace_id"}) {
		t.Errorf("keys %v", keys)
	}
	if end, ok := secret.Annotations[v1alpha1.AnnotationExpiresAt]; ok {
		t.Errorf("annotated to end at %q", end)
	}
}

func TestTemplatesGiveExactlyTheirKeys(t *testing.T) {
	session := newSession(func(s *v1alpha1.SeamClientSession) {
		s.Spec.Secret.Template = map[string]v1alpha1.Template{"SEAM_TOKEN": "{{ .token }}", "empty": "{{ .customer_key }}"}
	})
	secret, err := Render(session, sparseAnswer())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := asText(secret.Data), map[string]string{"SEAM_TOKEN": "seam_cst1_token", "empty": ""}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRenderedMetadata(t *testing.T) {
	secret := mustRender(t, newSession(withMetadata))
	if secret.Name != "jane" || secret.Namespace != "shop" || secret.Type != corev1.SecretTypeOpaque {
		t.Errorf("%s/%s of type %s", secret.Namespace, secret.Name, secret.Type)
	}
	wantLabels := map[string]string{"team": "blue", "example.com/tier": "", "app.kubernetes.io/managed-by": "seam-session-operator"}
	if !maps.Equal(secret.Labels, wantLabels) {
		t.Errorf("labels %v, want %v", secret.Labels, wantLabels)
	}
	wantAnnotations := map[string]string{
		"example.com/note":                  "a note",
		"connect.seam.co/session":           "jane",
		"connect.seam.co/client-session-id": "cst1",
		"connect.seam.co/expires-at":        "2026-08-31T12:00:00Z",
		"connect.seam.co/content-hash":      ContentHash(secret),
		"connect.seam.co/spec-hash":         SpecHash(newSession(withMetadata), secret),
		"connect.seam.co/spec-keys":         "annotation:example.com/note label:example.com/tier label:team",
	}
	if !maps.Equal(secret.Annotations, wantAnnotations) {
		t.Errorf("annotations %v, want %v", secret.Annotations, wantAnnotations)
	}
	if refs := secret.OwnerReferences; len(refs) != 1 || refs[0].APIVersion != "connect.seam.co/v1alpha1" || refs[0].Kind != "SeamClientSession" ||
		refs[0].Name != "jane" || refs[0].UID != newSession().UID || !*refs[0].Controller || *refs[0].BlockOwnerDeletion {
		t.Errorf("owner references %v", refs)
	}
}

func TestSpecDecidesNameAndType(t *testing.T) {
	secret := mustRender(t, newSession(func(s *v1alpha1.SeamClientSession) {
		s.Spec.Secret.Name, s.Spec.Secret.Type = "jane-seam", "example.com/seam"
	}))
	if secret.Name != "jane-seam" || secret.Type != "example.com/seam" || secret.Annotations[v1alpha1.AnnotationSession] != "jane" {
		t.Errorf("%s of type %s for %s", secret.Name, secret.Type, secret.Annotations[v1alpha1.AnnotationSession])
	}
}

func TestRetainedSecretHasNoOwner(t *testing.T) {
	if refs := mustRender(t, newSession(retained)).OwnerReferences; len(refs) != 0 {
		t.Errorf("owner references %v", refs)
	}
}

// TestSpecCannotForgeTheOperatorsMetadata: the CRD refuses such keys, and this does not depend on it.
func TestSpecCannotForgeTheOperatorsMetadata(t *testing.T) {
	secret := mustRender(t, newSession(func(s *v1alpha1.SeamClientSession) {
		s.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{v1alpha1.LabelManagedBy: "me"}
		s.Spec.Secret.Annotations = map[string]v1alpha1.AnnotationValue{v1alpha1.AnnotationSession: "john", v1alpha1.AnnotationClientSessionID: "cst2"}
	}))
	if secret.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy || secret.Annotations[v1alpha1.AnnotationSession] != "jane" ||
		secret.Annotations[v1alpha1.AnnotationClientSessionID] != "cst1" {
		t.Errorf("labels %v, annotations %v", secret.Labels, secret.Annotations)
	}
}

func TestRenderingIsRepeatable(t *testing.T) {
	first := mustRender(t, newSession(withMetadata))
	for range 20 {
		if again := mustRender(t, newSession(withMetadata)); !Matches(again, first, newSession(withMetadata)) || !maps.Equal(again.Annotations, first.Annotations) {
			t.Fatal("the same input renders to another Secret")
		}
	}
}

func TestTokenIsInNoMetadata(t *testing.T) {
	secret := mustRender(t, newSession(withMetadata, func(s *v1alpha1.SeamClientSession) {
		s.Spec.ClientSessionID, s.Spec.UserIdentifierKey = "", "jane-the-user-key"
	}))
	for _, values := range []map[string]string{secret.Labels, secret.Annotations} {
		for key, value := range values {
			if strings.Contains(value, "seam_cst1_token") || strings.Contains(value, "jane-the-user-key") {
				t.Errorf("%s: %s", key, value)
			}
		}
	}
}

func BenchmarkRender(b *testing.B) {
	templated := newSession(func(s *v1alpha1.SeamClientSession) {
		s.Spec.Secret.Template = map[string]v1alpha1.Template{
			"config.json": `{"token": {{ toJson .token }}{{ if .expires_at }}, "ends": {{ toJson .expires_at }}{{ end }}}`,
			".env":        "SEAM_TOKEN={{ .token }}\nSEAM_WORKSPACE_ID={{ .workspace_id }}\n",
		}
	})
	for name, session := range map[string]*v1alpha1.SeamClientSession{"default": newSession(), "template": templated} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustRender(b, session)
			}
		})
	}
}
