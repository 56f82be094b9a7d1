package acceptance

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

var _ = Describe("Twenty sessions that wait for the calls of one credential", func() {
	const count = 20
	var (
		server *seamtest.Server
		s      *stage
		o      *operator
	)
	BeforeEach(func(ctx SpecContext) {
		server = startSeam(count)
		s = newStage(ctx)
		s.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, seamtest.APIKey1)
		for i := range count {
			s.create(ctx, sessionName(i), v1alpha1.SeamClientSessionSpec{ClientSessionID: sessionName(i)})
		}
		o = s.operate(ctx, server.URL(), "--max-concurrent-reconciles=8")
		Eventually(func() []string { return s.notReady(ctx) }).Should(BeEmpty())
	})
	refreshFirst := func(ctx context.Context, n int, request string) {
		GinkgoHelper()
		for i := range n {
			s.refresh(ctx, sessionName(i), request)
		}
	}

	It("are said to have expired in the second in which their tokens end, while Seam hangs", func(ctx SpecContext) {
		const life = 8 * time.Second
		ends := time.Now().Add(life).Truncate(time.Second)
		for i := range count {
			server.Extend(sessionName(i), ends)
		}
		refreshFirst(ctx, count, "they end sooner")
		Eventually(func() bool {
			return !slices.ContainsFunc(s.sessions(ctx), func(session v1alpha1.SeamClientSession) bool {
				return !session.Status.ExpiresAt.Time.Equal(ends)
			})
		}).Should(BeTrue())
		server.ResetCounts()
		server.Fail(seamtest.Hang)
		refreshFirst(ctx, count, "while Seam hangs")

		// waiting are those for which no call was made: what is in the middle of one is another matter.
		waiting := func() []v1alpha1.SeamClientSession {
			return slices.DeleteFunc(s.sessions(ctx), func(session v1alpha1.SeamClientSession) bool {
				return server.CallsFor(session.Name) > 0
			})
		}
		Eventually(func() []string {
			var conditions []string
			for _, session := range waiting() {
				conditions = append(conditions, conditionOf(&session, v1alpha1.ConditionReady))
			}
			return conditions
		}).WithTimeout(within(life)).Should(And(Not(BeEmpty()), HaveEach("False SessionExpired")))
		for _, session := range waiting() {
			ready := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionReady)
			Expect(ready.LastTransitionTime.Time).To(BeTemporally("~", ends, time.Second))
		}
		s.nothingShows(ctx, server.Secrets())
	})

	It("have a deleted Secret back as soon as a call is free, and no conflict, however often they were looked at", func(ctx SpecContext) {
		const underWay = 6 // of the seven calls of eight workers, one is left for other credentials
		server.ResetCounts()
		server.SetLatency(25 * time.Second)
		refreshFirst(ctx, count-1, "while Seam is slow")
		Eventually(server.CallCount).Should(Equal(underWay))
		name := sessionName(count - 1)
		token := s.data(ctx, name)["token"]
		Expect(api.Delete(ctx, s.secret(ctx, name))).To(Succeed())
		s.lookAtOften(ctx, o, name)
		Expect(server.CallsFor(name)).To(BeZero(), "it does not wait")

		server.SetLatency(0)
		Eventually(func() string { return s.data(ctx, name)["token"] }).WithTimeout(within(3 * time.Second)).Should(Equal(token))
		Eventually(func() []string { return s.notReady(ctx) }).Should(BeEmpty())
		Expect(s.events(ctx)).NotTo(ContainElement(HaveField("Reason", v1alpha1.ReasonSecretConflict)))
		s.nothingShows(ctx, server.Secrets())
	})
})

// lookAtOften changes a session in ways that matter to nobody, and has the operator look at it after each.
func (s *stage) lookAtOften(ctx context.Context, o *operator, name string) {
	GinkgoHelper()
	for i := range 10 {
		before, _ := o.reconciles(ctx)
		session := s.session(ctx, name)
		unchanged := session.DeepCopy()
		metav1.SetMetaDataLabel(&session.ObjectMeta, "looked-at", fmt.Sprint(i))
		Expect(api.Patch(ctx, session, client.MergeFrom(unchanged))).To(Succeed())
		Eventually(func() int { now, _ := o.reconciles(ctx); return now }).WithPolling(time.Millisecond).Should(BeNumerically(">", before))
	}
}
