package acceptance

import (
	"context"
	"fmt"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const leaseDuration = 3 * time.Second

var _ = Describe("Two replicas", func() {
	const (
		stale   = "seam_cst1_that_the_frozen_one_has_read"
		current = "seam_cst1_that_is_current"
	)
	It("take over from a leader that is frozen, and are not disturbed by it when it thaws", func(ctx SpecContext) {
		server := startSeam(1)
		s := newStage(ctx)
		s.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, seamtest.APIKey1)
		name := sessionName(0)
		s.create(ctx, name, v1alpha1.SeamClientSessionSpec{ClientSessionID: name})
		first := s.replicate(ctx, server.URL())
		Eventually(first.leads).WithContext(ctx).Should(BeTrue())
		Eventually(func() []string { return s.notReady(ctx) }).Should(BeEmpty())
		second := s.replicate(ctx, server.URL())
		Expect(second.leads(ctx)).To(BeFalse())
		watcher, err := api.Watch(ctx, &corev1.SecretList{}, client.InNamespace(s.namespace),
			client.MatchingFields{"metadata.name": name})
		Expect(err).NotTo(HaveOccurred())
		defer watcher.Stop()

		By("freezing the leader between a call to Seam and the write of its answer")
		server.Change(name, func(session *seamtest.Session) { session.Token = stale })
		server.SetLatency(500 * time.Millisecond)
		calls := server.CallCount()
		s.refresh(ctx, name, "now")
		Eventually(server.CallCount).WithPolling(time.Millisecond).Should(BeNumerically(">", calls))
		first.signal(syscall.SIGSTOP)
		frozen := time.Now()
		server.Change(name, func(session *seamtest.Session) { session.Token = current })
		server.SetLatency(0)

		Eventually(func() string { return s.data(ctx, name)["token"] }).Should(Equal(current))
		Eventually(func() string { return s.session(ctx, name).Status.LastHandledRefreshRequest }).Should(Equal("now"))
		Expect(time.Since(frozen)).To(BeNumerically("<", within(leaseDuration)))

		By("thawing it")
		first.signal(syscall.SIGCONT)
		Eventually(first.exited).Should(BeClosed())
		Expect(first.state.ExitCode()).To(Equal(1))
		Expect(first.log.String()).To(ContainSubstring("leader election lost"))

		// Another write marks the end of what the frozen one can have written.
		s.refresh(ctx, name, "to the end")
		Eventually(func() string { return s.session(ctx, name).Status.LastHandledRefreshRequest }).Should(Equal("to the end"))
		Expect(tokenHistory(watcher, s.secret(ctx, name).ResourceVersion)).To(HaveExactElements(tokenOf(name), current))
		Expect(s.condition(ctx, name, v1alpha1.ConditionReady)).To(Equal(readyTrue))
		s.nothingShows(ctx, server.Secrets())
	})
})

// replicate starts one of several operators, with a short lease, of the name that its role lets it hold.
func (s *stage) replicate(ctx context.Context, seamURL string) *operator {
	GinkgoHelper()
	return s.operate(ctx, seamURL, "--leader-elect", "--leader-election-namespace="+leaseNamespace,
		fmt.Sprintf("--leader-elect-lease-duration=%s", leaseDuration),
		"--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=500ms")
}

// tokenHistory is what tokens were in a Secret, one after the other, until a version of it.
func tokenHistory(watcher watch.Interface, until string) []string {
	GinkgoHelper()
	var history []string
	for seen := ""; seen != until; {
		var event watch.Event
		Eventually(watcher.ResultChan()).Should(Receive(&event))
		object, ok := event.Object.(*corev1.Secret)
		Expect(ok).To(BeTrue(), "the watch ended: %v", event.Object)
		seen = object.ResourceVersion
		if now := string(object.Data["token"]); len(history) == 0 || history[len(history)-1] != now {
			history = append(history, now)
		}
	}
	return history
}
