package acceptance

import (
	"context"
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// treasure is in a Secret of the neighbour, and in one of the tenant's namespace that is no credential of Seam's.
	treasure = "treasure-of-the-neighbour"
	tenant   = "mallory"
)

// A tenant may write sessions in one namespace, and read no Secret. The operator may read every Secret.
var _ = Describe("A tenant who may create sessions in their namespace", Ordered, func() {
	var (
		mine, neighbours *stage
		server           *seamtest.Server
		as               client.Client
	)
	BeforeAll(func(ctx SpecContext) {
		server = startSeam(1)
		mine, neighbours = newStage(ctx), newStage(ctx)
		neighbours.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, treasure)
		mine.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, seamtest.APIKey1)
		mine.secretOf(ctx, "database", v1alpha1.DefaultCredentialKey, treasure)
		as = actingAs(ctx, tenant, mine.namespace)
		mine.operate(ctx, server.URL())
	})

	// create creates a session from its spec, as YAML, with what every session has.
	create := func(ctx context.Context, name, spec string) error {
		session := &unstructured.Unstructured{}
		session.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("SeamClientSession"))
		session.SetNamespace(mine.namespace)
		session.SetName(name)
		fields := map[string]any{}
		Expect(yaml.Unmarshal([]byte(spec), &fields)).To(Succeed())
		for field, value := range map[string]any{
			"clientSessionID": sessionName(0), "credentialSecretRef": map[string]any{"name": "seam"},
		} {
			if _, ok := fields[field]; !ok && (field != "clientSessionID" || fields["userIdentifierKeySecretRef"] == nil) {
				fields[field] = value
			}
		}
		session.Object["spec"] = fields
		return as.Create(ctx, session, client.FieldValidation("Strict"))
	}

	It("may read no Secret, and write no status", func(ctx SpecContext) {
		for _, s := range []*stage{mine, neighbours} {
			Expect(as.Get(ctx, s.key("seam"), &corev1.Secret{})).To(Satisfy(apierrors.IsForbidden))
		}
		Expect(create(ctx, "plain", `{}`)).To(Succeed())
		session := mine.session(ctx, "plain")
		session.Status.SecretName = "seam"
		Expect(as.Status().Update(ctx, session)).To(Satisfy(apierrors.IsForbidden))
		foreign := &v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: neighbours.namespace, Name: "foreign"}}
		foreign.Spec = session.Spec
		Expect(as.Create(ctx, foreign)).To(Satisfy(apierrors.IsForbidden))
	})

	DescribeTable("is refused by the API server", func(ctx SpecContext, spec, why string) {
		Expect(create(ctx, "refused", spec)).To(MatchError(ContainSubstring(why)))
	},
		Entry("a credential of another namespace, by path", `credentialSecretRef: {name: ../neighbour/seam}`, "must be the name of a Secret"),
		Entry("a credential of another namespace, by field", `credentialSecretRef: {name: seam, namespace: neighbour}`, "unknown field"),
		Entry("a user key of another namespace", `userIdentifierKeySecretRef: {name: neighbour/seam, key: SEAM_API_KEY}`, "must be the name of a Secret"),
		Entry("a Secret in another namespace", `secret: {name: neighbour/mine}`, "must be the name of a Secret"),
		Entry("another namespace as such", `secret: {namespace: neighbour}`, "unknown field"),
		Entry("an endpoint", `endpoint: "https://mallory.example.com"`, "unknown field"),
		Entry("the credential's own Secret as the one to write", `secret: {name: seam}`, "would overwrite the credential"),
		Entry("a service account's token", `secret: {type: kubernetes.io/service-account-token}`, "Kubernetes acts on Secrets of this type"),
		Entry("a bootstrap token", `secret: {type: bootstrap.kubernetes.io/token}`, "Kubernetes acts on Secrets of this type"),
		Entry("an annotation that Kubernetes acts on", `secret: {annotations: {kubernetes.io/service-account.name: default}}`, "Kubernetes could act on them"),
		Entry("a label of another controller's, in Kubernetes' name", `secret: {labels: {app.kubernetes.io/managed-by: someone}}`, "belong to the operator"),
		Entry("the operator's own annotation", `secret: {annotations: {connect.seam.co/adopt-by: me}}`, "belong to the operator"),
	)

	DescribeTable("gets nothing by", func(ctx SpecContext, name, spec, reason string) {
		Expect(create(ctx, name, spec)).To(Succeed())
		Eventually(func() string { return mine.condition(ctx, name, v1alpha1.ConditionSynced) }).Should(Equal("False " + reason))
		Expect(mine.data(ctx, name)).To(BeNil())
	},
		Entry("a Secret that is no credential of Seam's", "borrows", `credentialSecretRef: {name: database}`, "CredentialInvalid"),
		Entry("the name of a Secret that is not there", "guesses", `credentialSecretRef: {name: neighbour}`, "CredentialNotFound"),
		Entry("taking a Secret that is somebody's", "takes", `secret: {name: database}`, "SecretConflict"),
		Entry("a template that asks for the credential", "asks", `secret: {template: {a: "{{ .credential }}"}}`, "TemplateInvalid"),
		Entry("a template that prints", "prints", `secret: {template: {a: "{{ printf \"%v\" . }}"}}`, "TemplateInvalid"),
		Entry("a template that fails over the token", "fails", `secret: {template: {a: "{{ .token.a }}"}}`, "TemplateInvalid"),
		Entry("a user key that is somebody's", "tells", `userIdentifierKeySecretRef: {name: database, key: SEAM_API_KEY}`, "SessionNotFound"),
	)

	It("has not made the operator touch or show what is not theirs", func(ctx SpecContext) {
		for _, s := range []*stage{mine, neighbours} {
			for name, value := range map[string]string{"seam": treasure, "database": treasure} {
				if s == mine && name == "seam" || s == neighbours && name == "database" {
					continue
				}
				Expect(s.data(ctx, name)).To(Equal(map[string]string{v1alpha1.DefaultCredentialKey: value}))
			}
		}
		Expect(neighbours.operatorsSecrets(ctx)).To(BeEmpty())
		for _, call := range server.Calls() {
			Expect(call.Credential).To(Equal(seamtest.APIKey1))
		}
		mine.nothingShows(ctx, append(server.Secrets(), treasure))
		sessions, err := json.Marshal(neighbours.sessions(ctx))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(sessions)).To(Equal("[]"))
	})
})

// actingAs returns a client of a user who may do in a namespace what the role that aggregates to edit grants, and no more.
func actingAs(ctx context.Context, name, namespace string) client.Client {
	GinkgoHelper()
	role := &rbacv1.ClusterRole{}
	readManifest("config/rbac/seamclientsession_editor_role.yaml", role)
	Expect(client.IgnoreAlreadyExists(api.Create(ctx, role))).To(Succeed())
	Expect(api.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: name}},
	})).To(Succeed())
	user, err := environment.AddUser(envtest.User{Name: name}, nil)
	Expect(err).NotTo(HaveOccurred())
	result, err := client.New(user.Config(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	return result
}
