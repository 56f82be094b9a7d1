package acceptance

import (
	"context"
	"fmt"
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

var _ = Describe("An operator that is killed again and again during the first sync of fifty sessions", func() {
	const (
		count = 50
		kills = 5 // in one such sync
	)
	It("leaves nothing that the next one does not bring to its end", func(ctx SpecContext) {
		for left := crashes(); left > 0; {
			server := startSeam(count)
			server.SetLatency(5 * time.Millisecond)
			s := newStage(ctx)
			s.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, seamtest.APIKey1)
			for i := range count {
				s.create(ctx, sessionName(i), v1alpha1.SeamClientSessionSpec{ClientSessionID: sessionName(i)})
			}
			for range kills {
				if unfinished := len(s.notReady(ctx)); unfinished > 0 { // and each of them still costs a call
					s.killAfter(ctx, server, 1+random().IntN(1+unfinished/3))
					left--
				}
			}
			s.operate(ctx, server.URL())
			Eventually(func() []string { return s.notReady(ctx) }).Should(BeEmpty())
			s.expectWhole(ctx, server, count)
			for i := range count {
				Expect(server.CallsFor(sessionName(i))).To(BeNumerically("<=", kills+1), "once by each operator at most")
			}
			s.nothingShows(ctx, server.Secrets())
			s.clear(ctx)
		}
	})
})

// killAfter starts an operator, and kills it at about its so many'th call to Seam.
func (s *stage) killAfter(ctx context.Context, server *seamtest.Server, calls int) {
	GinkgoHelper()
	By(fmt.Sprintf("killing it at about call %d", calls))
	calls += server.CallCount()
	o := startOperator(ctx, server.URL())
	s.operators = append(s.operators, o)
	Eventually(server.CallCount).WithPolling(time.Millisecond).Should(BeNumerically(">=", calls))
	o.kill()
}

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
