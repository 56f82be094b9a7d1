package acceptance

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// The specs follow each other: what one operator leaves, the next one finds.
var _ = Describe("Two hundred sessions", Ordered, func() {
	const count = 200
	var (
		server *seamtest.Server
		s      *stage
		o      *operator
		writes int
	)
	written := func(ctx context.Context) int { return requests(ctx, "POST", "PUT", "PATCH", "DELETE") }
	// settled is when the operator has looked at every session and has nothing more to do.
	settled := func(ctx context.Context) func() bool {
		last := -1
		return func() bool {
			reconciles, idle := o.reconciles(ctx)
			steady := reconciles == last
			last = reconciles
			return idle && steady && reconciles >= count
		}
	}
	BeforeAll(func(ctx SpecContext) {
		server = startSeam(count)
		s = newStage(ctx)
		s.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, seamtest.APIKey1)
		for i := range count {
			s.create(ctx, sessionName(i), v1alpha1.SeamClientSessionSpec{ClientSessionID: sessionName(i)})
		}
		writes = written(ctx)
		o = s.operate(ctx, server.URL())
	})

	It("become Ready, each by one call to Seam and two writes and an event", func(ctx SpecContext) {
		Eventually(func() []string { return s.notReady(ctx) }).Should(BeEmpty())
		Eventually(settled(ctx)).Should(BeTrue())
		Eventually(func() int { return len(s.events(ctx)) }).Should(Equal(count))
		Expect(server.CallCount()).To(Equal(count))
		Expect(written(ctx) - writes).To(Equal(3 * count))
	})

	It("cost no call and no write after kill -9 and a new start, and keep their schedules", func(ctx SpecContext) {
		o.stop(ctx)
		before, writes, reads := s.versions(ctx), written(ctx), requests(ctx, "GET")
		server.ResetCounts()

		o = s.operate(ctx, server.URL())
		Eventually(settled(ctx)).Should(BeTrue())
		Expect(server.CallCount()).To(BeZero())
		Expect(written(ctx)).To(Equal(writes))
		Expect(requests(ctx, "GET")).To(Equal(reads), "objects were read one by one")
		Expect(s.versions(ctx)).To(Equal(before)) // the status with nextFetchTime in it among them
	})

	It("are put right within 5 s when their Secrets are edited, stripped or deleted", func(ctx SpecContext) {
		server.ResetCounts()
		whole := s.damageThree(ctx)
		Eventually(func() []corev1.Secret { return s.three(ctx) }).WithTimeout(within(5 * time.Second)).Should(Equal(whole))
		Expect(server.CallCount()).To(Equal(3))
	})

	It("are put right too when that happened while no operator ran", func(ctx SpecContext) {
		Eventually(settled(ctx)).Should(BeTrue())
		o.stop(ctx)
		server.ResetCounts()
		whole := s.damageThree(ctx)
		o = s.operate(ctx, server.URL())
		Eventually(func() []corev1.Secret { return s.three(ctx) }).Should(Equal(whole))
		Eventually(settled(ctx)).Should(BeTrue())
		Expect(server.CallCount()).To(Equal(3))
	})

	It("have shown no token, credential or user identifier key", func(ctx SpecContext) {
		s.nothingShows(ctx, server.Secrets())
	})
})

// startSeam starts a Seam with the API key and that many sessions of it.
func startSeam(count int) *seamtest.Server {
	server := seamtest.New(nil)
	server.AddCredential(seamtest.APIKey1, seamtest.Workspace1)
	for i := range count {
		server.Put(seamtest.Session{
			ID: sessionName(i), WorkspaceID: seamtest.Workspace1, Token: tokenOf(sessionName(i)),
			UserIdentifierKey: "user_key_of_" + sessionName(i), ExpiresAt: time.Now().Add(24 * time.Hour),
		})
	}
	server.Start()
	DeferCleanup(server.Close)
	return server
}

func sessionName(i int) string { return fmt.Sprintf("session-%d", i) }

func tokenOf(name string) string { return "seam_cst1_of_" + name }

// damageThree edits one Secret, strips another of label, owner and hash, deletes a third, and returns what they were.
func (s *stage) damageThree(ctx context.Context) []corev1.Secret {
	GinkgoHelper()
	whole := s.three(ctx)
	Expect(whole).To(HaveLen(3))
	s.editSecret(ctx, sessionName(0), func(object *corev1.Secret) { object.Data["token"] = []byte("edited") })
	s.editSecret(ctx, sessionName(1), func(object *corev1.Secret) {
		object.Labels, object.OwnerReferences = nil, nil
		delete(object.Annotations, v1alpha1.AnnotationContentHash)
	})
	Expect(api.Delete(ctx, s.secret(ctx, sessionName(2)))).To(Succeed())
	return whole
}

// three are the operator's Secrets of the first three sessions, without what the API server says of them.
func (s *stage) three(ctx context.Context) []corev1.Secret {
	all := slices.DeleteFunc(s.operatorsSecrets(ctx), func(object corev1.Secret) bool {
		return !slices.Contains([]string{sessionName(0), sessionName(1), sessionName(2)}, object.Name)
	})
	for i := range all {
		all[i].UID, all[i].ResourceVersion, all[i].ManagedFields = "", "", nil
		all[i].CreationTimestamp = metav1.Time{}
	}
	return all
}
