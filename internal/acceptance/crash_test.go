package acceptance

import (
	"context"
	"os"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// crashes is how often the operator is killed: SOAK sets it.
func crashes() int {
	if n, err := strconv.Atoi(os.Getenv("SOAK")); err == nil && n > 0 {
		return n
	}
	return 10
}

var _ = Describe("An operator that is killed during the first sync of fifty sessions", func() {
	It("leaves nothing that the next one does not bring to its end", func(ctx SpecContext) {
		const count = 50
		for range crashes() {
			server := startSeam(count)
			server.SetLatency(5 * time.Millisecond)
			s := newStage(ctx)
			s.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, seamtest.APIKey1)
			for i := range count {
				s.create(ctx, sessionName(i), v1alpha1.SeamClientSessionSpec{ClientSessionID: sessionName(i)})
			}
			moment := random().IntN(count)
			By("killing it at about call " + strconv.Itoa(moment+1))
			first := s.operate(ctx, server.URL())
			Eventually(server.CallCount).WithPolling(time.Millisecond).Should(BeNumerically(">", moment))
			first.kill()

			s.operate(ctx, server.URL())
			Eventually(func() []string { return s.notReady(ctx) }).Should(BeEmpty())
			s.expectWhole(ctx, server, count)
			for i := range count {
				Expect(server.CallsFor(sessionName(i))).To(BeNumerically("<=", 2), "%s: once by each operator", sessionName(i))
			}
			s.nothingShows(ctx, server.Secrets())
			s.clear(ctx)
		}
	})
})

// expectWhole fails unless every session has its token in its Secret, and there is no other Secret of the operator's.
func (s *stage) expectWhole(ctx context.Context, server *seamtest.Server, count int) {
	GinkgoHelper()
	Expect(s.operatorsSecrets(ctx)).To(HaveLen(count))
	for i := range count {
		at, ok := server.Session(sessionName(i))
		Expect(ok).To(BeTrue())
		object, session := s.secret(ctx, sessionName(i)), s.session(ctx, sessionName(i))
		Expect(string(object.Data["token"])).To(Equal(at.Token))
		Expect(metav1.IsControlledBy(object, session)).To(BeTrue())
		Expect(session.Status.SecretName).To(Equal(object.Name))
	}
}
