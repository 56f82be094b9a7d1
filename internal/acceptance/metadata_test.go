package acceptance

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

var _ = Describe("Large annotations", func() {
	const large = 250 << 10
	var s *stage
	var o *operator
	BeforeEach(func(ctx SpecContext) {
		server := startSeam(1)
		s = newStage(ctx)
		s.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, seamtest.APIKey1)
		s.create(ctx, sessionName(0), v1alpha1.SeamClientSessionSpec{
			ClientSessionID: sessionName(0),
			Secret:          v1alpha1.SecretSpec{Labels: map[string]v1alpha1.LabelValue{"team": "blue"}},
		})
		o = s.operate(ctx, server.URL())
		Eventually(func() []string { return s.notReady(ctx) }).Should(BeEmpty())
	})

	It("are not kept in memory, whoever labels Secrets as the operator's", func(ctx SpecContext) {
		before := memory(o, "VmRSS")
		for i := range 300 {
			Expect(api.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
				Namespace: s.namespace, Name: fmt.Sprint("labelled-", i),
				Labels:      map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
				Annotations: map[string]string{"example.org/large": strings.Repeat("x", large)},
			}})).To(Succeed())
		}
		s.repaired(ctx, func(*corev1.Secret) {}) // by then the operator has seen them all
		Expect(memory(o, "VmRSS") - before).To(BeNumerically("<", spared))
	})

	It("of others stay when the Secret is written", func(ctx SpecContext) {
		s.repaired(ctx, func(object *corev1.Secret) {
			object.Annotations["example.org/large"] = strings.Repeat("x", large)
			object.Labels["example.org/theirs"] = "kept"
			delete(object.Labels, "team")
		})
		object := s.secret(ctx, sessionName(0))
		Expect(object.Annotations["example.org/large"]).To(HaveLen(large))
		Expect(object.Labels).To(And(HaveKeyWithValue("example.org/theirs", "kept"), HaveKeyWithValue("team", "blue")))
		Eventually(func() []string { return s.notReady(ctx) }).Should(BeEmpty())
	})
})

// repaired edits the token in the Secret of the first session, and what else is given, and waits until the token is back.
func (s *stage) repaired(ctx context.Context, change func(*corev1.Secret)) {
	GinkgoHelper()
	s.editSecret(ctx, sessionName(0), func(object *corev1.Secret) {
		object.Data["token"] = []byte("edited")
		change(object)
	})
	Eventually(func() string { return s.data(ctx, sessionName(0))["token"] }).Should(Equal(tokenOf(sessionName(0))))
}
