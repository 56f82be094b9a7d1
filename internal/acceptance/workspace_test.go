package acceptance

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// The specs follow each other. One team is granted by the name of its namespace, the other by a label that comes later.
var _ = Describe("A SeamWorkspace with two hundred sessions of two teams", Ordered, func() {
	const (
		count        = 200
		getSession   = "/client_sessions/get"
		getWorkspace = "/workspaces/get"
		listEvents   = "/events/list"
		shortestPoll = 10 * time.Second
		label        = "example.com/seam"
		prefix       = "user_key_of_"
	)
	var (
		server               *seamtest.Server
		platform, shop, yard *stage
		o                    *operator
	)
	team := func(i int) *stage { return []*stage{shop, yard}[i%2] }
	notReady := func(ctx context.Context) func() []string {
		return func() []string { return append(shop.notReady(ctx), yard.notReady(ctx)...) }
	}
	create := func(ctx context.Context, s *stage, name, key, namespace string) {
		ref := &v1alpha1.WorkspaceReference{Name: "production", Namespace: v1alpha1.NamespaceName(namespace)}
		Expect(api.Create(ctx, &v1alpha1.SeamClientSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
			Spec:       v1alpha1.SeamClientSessionSpec{UserIdentifierKey: key, WorkspaceRef: ref},
		})).To(Succeed())
	}
	ready := func(ctx context.Context, i int) func() string {
		return func() string { return team(i).condition(ctx, sessionName(i), v1alpha1.ConditionReady) }
	}
	BeforeAll(func(ctx SpecContext) {
		server = startSeam(count)
		platform, shop, yard = newStage(ctx), newStage(ctx), newStage(ctx)
		letWatchNamespaces(ctx)
		platform.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, seamtest.APIKey1)
		workspace := &v1alpha1.SeamWorkspace{
			ObjectMeta: metav1.ObjectMeta{Namespace: platform.namespace, Name: "production"},
			Spec: v1alpha1.SeamWorkspaceSpec{
				CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam"},
				Grants: []v1alpha1.Grant{{
					Namespaces:                v1alpha1.GrantedNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(shop.namespace)}},
					UserIdentifierKeyPrefixes: []v1alpha1.KeyPrefix{prefix},
				}, {
					Namespaces: v1alpha1.GrantedNamespaces{
						Selector: &v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{label: "allowed"}},
					},
				}},
				Events: v1alpha1.WorkspaceEvents{PollInterval: &metav1.Duration{Duration: shortestPoll}},
			},
		}
		Expect(api.Create(ctx, workspace)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(api.Delete(ctx, workspace)).To(Succeed()) })
		for i := range count {
			create(ctx, team(i), sessionName(i), prefix+sessionName(i), platform.namespace)
		}
		o = platform.operate(ctx, server.URL())
	})

	It("is not there for the team whose namespace lacks the label", func(ctx SpecContext) {
		Eventually(func() []string { return shop.notReady(ctx) }).Should(BeEmpty())
		Eventually(func() string { return yard.condition(ctx, sessionName(1), v1alpha1.ConditionSynced) }).Should(Equal("False " + v1alpha1.ReasonNotGranted))
		Expect(yard.operatorsSecrets(ctx)).To(BeEmpty())
	})

	It("is there within seconds of the label, at one call a session and one for itself", func(ctx SpecContext) {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: yard.namespace}}
		Expect(api.Patch(ctx, namespace, client.RawPatch("application/merge-patch+json",
			[]byte(`{"metadata": {"labels": {"`+label+`": "allowed"}}}`)))).To(Succeed())
		Eventually(notReady(ctx)).WithTimeout(within(10 * time.Second)).Should(BeEmpty())
		Expect(server.CallsTo(getSession)).To(Equal(count))
		Expect(server.CallsTo(getWorkspace)).To(Equal(1))
	})

	It("gives each team the tokens of its own sessions, and no namespace but its own the credential", func(ctx SpecContext) {
		for i := range count {
			Expect(team(i).data(ctx, sessionName(i))).To(HaveKeyWithValue("token", tokenOf(sessionName(i))))
		}
		for _, s := range []*stage{shop, yard} {
			var secrets corev1.SecretList
			Expect(api.List(ctx, &secrets, client.InNamespace(s.namespace))).To(Succeed())
			Expect(secrets.Items).To(HaveLen(count / 2))
			for i := range secrets.Items {
				for _, value := range text(&secrets.Items[i]) {
					Expect(value).NotTo(ContainSubstring(seamtest.APIKey1))
				}
			}
		}
	})

	It("can't be told from none where a session is not granted", func(ctx SpecContext) {
		calls := server.CallsTo(getSession)
		create(ctx, shop, "others", "key_of_another_team", platform.namespace)
		create(ctx, shop, "elsewhere", prefix+sessionName(0), yard.namespace) // where there is none
		message := func(name string) string {
			found := meta.FindStatusCondition(shop.session(ctx, name).Status.Conditions, v1alpha1.ConditionSynced)
			if found == nil || found.Reason != v1alpha1.ReasonNotGranted {
				return ""
			}
			said, _, _ := strings.Cut(found.Message, "; attempts fail since ")
			return said
		}
		for name, namespace := range map[string]string{"others": platform.namespace, "elsewhere": yard.namespace} {
			Eventually(func() string { return message(name) }).Should(Equal(`there is no SeamWorkspace "production" of namespace "` + namespace +
				`" that grants this namespace this session: correct spec.workspaceRef, or ask whoever runs the workspace for a grant, which is noticed within seconds`))
		}
		Expect(server.CallsTo(getSession)).To(Equal(calls))
		Expect(api.Delete(ctx, shop.session(ctx, "others"))).To(Succeed())
		Expect(api.Delete(ctx, shop.session(ctx, "elsewhere"))).To(Succeed())
	})

	It("shows a session that is deleted at Seam within the poll interval and 5 s, by one call", func(ctx SpecContext) {
		server.ResetCounts()
		began := time.Now()
		server.Delete(sessionName(7))
		Eventually(ready(ctx, 7)).WithTimeout(within(shortestPoll)).Should(Equal("False " + v1alpha1.ReasonSessionNotFound))
		GinkgoWriter.Printf("it showed after %s\n", time.Since(began))
		Expect(server.CallsTo(getSession)).To(Equal(1))
		Expect(server.CallsTo(listEvents)).To(BeNumerically("<=", 2))
	})

	It("asks Seam nothing about sessions or itself after kill -9 and a new start, and misses no deletion in between", func(ctx SpecContext) {
		o.kill()
		server.ResetCounts()
		server.Delete(sessionName(8))
		o = platform.operate(ctx, server.URL())
		Eventually(ready(ctx, 8)).WithTimeout(within(shortestPoll)).Should(Equal("False " + v1alpha1.ReasonSessionNotFound))
		Expect(server.CallsTo(getWorkspace)).To(BeZero())
		gone := server.CallsFor(prefix+sessionName(7)) + server.CallsFor(prefix+sessionName(8)) // are fetched ever less often
		Expect(server.CallsTo(getSession)).To(Equal(gone))
	})

	It("has shown no token, credential or user identifier key", func(ctx SpecContext) {
		for _, s := range []*stage{platform, shop, yard} {
			s.nothingShows(ctx, server.Secrets())
		}
	})
})

// letWatchNamespaces lets the operator see the labels of namespaces, as an installation for all of them does.
func letWatchNamespaces(ctx context.Context) {
	GinkgoHelper()
	role := &rbacv1.ClusterRole{}
	readManifest("config/rbac/namespaces_role.yaml", role)
	Expect(api.Create(ctx, role)).To(Succeed())
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: serviceAccount}},
	}
	Expect(api.Create(ctx, binding)).To(Succeed())
}
