package acceptance

import (
	"context"
	"fmt"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// soakPause is between two turns of a soak.
const soakPause = 250 * time.Millisecond

// soakDuration is how long to soak: DURATION sets it, and make soak sets that.
func soakDuration() time.Duration {
	duration, err := time.ParseDuration(os.Getenv("DURATION"))
	if err != nil {
		return 0
	}
	return duration
}

var _ = Describe("Soak", func() {
	const count = 100

	It("ends with every good token in its Secret, whatever Seam and the operator went through", func(ctx SpecContext) {
		duration := soakDuration()
		if duration == 0 {
			Skip("make soak runs it")
		}
		server := startSeam(count)
		s := newStage(ctx)
		s.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, seamtest.APIKey1)
		for i := range count {
			s.create(ctx, sessionName(i), v1alpha1.SeamClientSessionSpec{
				ClientSessionID: sessionName(i), RefreshInterval: &metav1.Duration{Duration: 30 * time.Second},
			})
		}
		o := s.operate(ctx, server.URL())
		Eventually(func() []string { return s.notReady(ctx) }).Should(BeEmpty())
		goroutines, memory := o.resources(ctx)

		// Killed in the first half; what the last process has grown by shows in the second.
		began := time.Now()
		for turn := 0; time.Since(began) < duration; turn++ {
			if time.Since(began) < duration/2 && random().IntN(40) == 0 {
				o.kill()
				o = s.operate(ctx, server.URL())
			}
			s.soak(ctx, server, sessionName(random().IntN(count)), turn)
			select {
			case <-ctx.Done():
				return
			case <-time.After(soakPause):
			}
		}
		s.calm(ctx, server, count)
		s.expectWhole(ctx, server, count)
		Eventually(func(g Gomega) {
			nowGoroutines, nowMemory := o.resources(ctx)
			g.Expect(nowGoroutines).To(And(BeNumerically(">", 0), BeNumerically("<=", goroutines+20)))
			g.Expect(nowMemory).To(And(BeNumerically(">", 0), BeNumerically("<=", 2*memory)))
		}).WithTimeout(2 * time.Minute).Should(Succeed())
		s.nothingShows(ctx, server.Secrets()) // ends the operator
	})
})

// soak is one turn: Seam changes its mind, or a colleague does.
func (s *stage) soak(ctx context.Context, server *seamtest.Server, name string, turn int) {
	GinkgoHelper()
	fault := seamtest.Faults[random().IntN(len(seamtest.Faults))]
	switch random().IntN(10) {
	case 0:
		server.Fail(fault)
	case 1:
		server.FailCredential(seamtest.APIKey1, fault)
	case 2:
		server.FailSession(name, fault)
	case 3, 4, 5:
		server.Heal()
	case 6:
		server.Extend(name, time.Now().Add(time.Duration(1+random().IntN(600))*time.Second))
	case 7:
		server.Change(name, func(session *seamtest.Session) { session.Token = fmt.Sprintf("seam_cst1_%s_%d", name, turn) })
	case 8:
		if s.data(ctx, name) != nil {
			s.editSecret(ctx, name, func(object *corev1.Secret) { object.Data["token"] = []byte("edited") })
		}
	case 9:
		s.refresh(ctx, name, fmt.Sprint(turn))
	}
}

// calm ends all that is wrong, and waits until the operator has noticed.
func (s *stage) calm(ctx context.Context, server *seamtest.Server, count int) {
	GinkgoHelper()
	server.Heal()
	for i := range count {
		server.Extend(sessionName(i), time.Now().Add(24*time.Hour))
		s.refresh(ctx, sessionName(i), "calm")
	}
	// No pause that Seam asked for is longer than 20 s, and no back-off than 5 min.
	Eventually(func(g Gomega) {
		g.Expect(s.notReady(ctx)).To(BeEmpty())
		for i := range count {
			at, _ := server.Session(sessionName(i))
			g.Expect(s.data(ctx, sessionName(i))).To(HaveKeyWithValue("token", at.Token), sessionName(i))
		}
	}).WithTimeout(6 * time.Minute).WithPolling(time.Second).Should(Succeed())
}

// resources are the goroutines and the memory, in bytes, that the process holds.
func (o *operator) resources(ctx context.Context) (goroutines, memory float64) {
	metrics := o.scrape(ctx)
	return sum(metrics, "go_goroutines"), sum(metrics, "go_memstats_heap_inuse_bytes")
}
