package controller

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// These specs are about what comes in between two steps of one reconcile.

var _ = Describe("A spec that is edited while Seam is called", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	It("to keep the Secret when its session ends keeps it, though that call proves that it has ended", func() {
		w.ready("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		before := w.secret("jane")
		w.seam.Delete(seamtest.JohnSessionID)
		w.request("jane", "now")
		w.settle("jane")
		w.duringNextCall(func() { w.change("jane", whenSessionEnds(v1alpha1.RetentionRetain)) })
		w.clock.Step(confirmation)
		w.settle("jane")
		w.advance(time.Hour)
		Expect(w.secret("jane")).To(Equal(before))
		Expect(w.eventReasons()).NotTo(ContainElement("SecretDeleted"))
	})

	It("to write to a Secret that was to be removed as a former one keeps that", func() {
		w.ready("jane", named("a"))
		before := w.secret("a")
		w.interfere = func(verb string, _ client.Object) error {
			if verb == "delete" {
				return apierrors.NewInternalError(errors.New("etcd is down"))
			}
			return nil
		}
		w.advance(2 * pace)
		w.rename("b")
		w.interfere = nil
		w.duringNextCall(func() { w.change("jane", named("a")) })
		w.clock.Step(time.Minute)
		w.reconcile("jane")
		Expect(w.secret("a")).To(Equal(before))

		w.settle("jane")
		w.advance(time.Minute)
		Expect(w.owned("jane")).To(Equal([]string{"a"}))
		w.expectReady("jane")
	})
})

var _ = Describe("An answer that says there is no such session, and comes after an hour in which the process stood still", func() {
	It("says nothing: another replica may have had a newer one", func() {
		w := newWorld()
		w.ready("jane")
		w.advance(pace)
		w.request("jane", "now")
		w.duringNextCall(func() {
			w.seam.Fail(seamtest.NotFound)
			w.clock.Step(time.Hour)
		})
		w.reconcile("jane")
		Expect(w.seam.CallCount()).To(Equal(2))
		w.expectReady("jane")
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))

		w.seam.Heal()
		w.advance(pace)
		Expect(w.seam.CallCount()).To(Equal(3), "Seam is asked anew at once")
		w.expectReady("jane")
	})
})

var _ = Describe("A reconcile that is given up while Seam is called", func() {
	It("is followed by another, though nothing was written", func() {
		w := newWorld()
		w.create("jane")
		ctx, giveUp := context.WithCancel(w.ctx)
		w.duringNextCall(giveUp)
		result, err := w.r.Reconcile(ctx, ctrl.Request{NamespacedName: w.key("jane")})
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(And(BeNumerically(">", 0), BeNumerically("<=", time.Minute)))
	})
})

var _ = Describe("A token that ends while Seam is called", func() {
	It("is said to have ended in that second, and Seam is called again", func() {
		w := newWorld()
		ends := dawn.Add(10 * time.Minute)
		w.seam.Extend(seamtest.JohnSessionID, ends)
		w.ready("jane")
		w.clock.SetTime(ends.Add(-3 * time.Second))
		var jam jam
		jam.begin()
		w.seamConfig = func(config *seam.Config) { config.Timeout, config.Instrument = time.Minute, jam.wrap }
		w.restart()
		w.request("jane", "now")
		given := make(chan ctrl.Result, 1)
		go func() {
			defer GinkgoRecover()
			given <- w.reconcile("jane")
		}()
		Eventually(jam.waiting).Should(Equal(1))
		w.expectReady("jane")

		w.clock.SetTime(ends)
		Eventually(given).Should(Receive(HaveField("RequeueAfter", BeNumerically("~", time.Second, time.Second/2))))
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
		jam.end()
		w.seam.Extend(seamtest.JohnSessionID, ends.Add(time.Hour))
		w.settle("jane")
		w.expectReady("jane")
	})
})

var _ = Describe("A token that was extended", func() {
	It("is Ready until its new end, and no longer, where the operator died before it said so and Seam has been down since", func() {
		w := newWorld()
		ends := dawn.Add(10 * time.Minute)
		w.seam.Extend(seamtest.JohnSessionID, ends)
		w.ready("jane")
		extended := ends.Add(time.Hour)
		w.seam.Extend(seamtest.JohnSessionID, extended)
		w.clock.SetTime(ends.Add(-time.Minute))
		w.crash("jane", "patch")
		w.seam.Fail(seamtest.Outage)
		w.settle("jane")
		w.throughout(extended.Add(-time.Second).Sub(w.clock.Now()), func() { w.expectReady("jane") })
		w.advance(time.Second)
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
	})
})

var _ = Describe("A Secret that was retained", func() {
	It("keeps its good token where Seam returns an ended sibling to the object that is made again, which says whose token stays", func() {
		w := newWorld()
		w.ready("jane", byKey, retained(v1alpha1.RetentionRetain))
		Expect(api.Delete(w.ctx, w.session("jane"))).To(Succeed())
		w.reconcile("jane")
		w.seam.Replace(seamtest.JohnSessionID, seamtest.Session{
			ID: "cst2", WorkspaceID: seamtest.Workspace1, UserIdentifierKey: seamtest.JohnUserIdentifierKey,
			Token: "seam_cst2_token", ExpiresAt: dawn.Add(-time.Hour),
		})
		w.create("jane", byKey, retained(v1alpha1.RetentionRetain))
		w.settle("jane")
		w.expectReady("jane")
		Expect(w.token("jane")).To(Equal(seamtest.JohnToken))
		Expect(w.session("jane").Status.ClientSessionID).To(Equal(seamtest.JohnSessionID))
		Expect(w.condition("jane", v1alpha1.ConditionSynced).Message).To(ContainSubstring("the token of client session cst1 stays"))

		w.advance(24*time.Hour - time.Second)
		w.expectReady("jane")
		w.advance(time.Second)
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
	})
})

var _ = Describe("Labels and annotations that the API server refuses to restore", func() {
	DescribeTable("are tried again with a pause, and are back once it takes them", func(sinceCall time.Duration, refused func(*corev1.Secret) bool) {
		w := newWorld()
		w.ready("jane")
		before := w.secret("jane")
		w.advance(sinceCall)
		w.interfere = func(_ string, object client.Object) error {
			if s, ok := object.(*corev1.Secret); ok && refused(s) {
				return apierrors.NewForbidden(corev1.Resource("secrets"), "jane", errors.New("a policy says so"))
			}
			return nil
		}
		w.changeSecret("jane", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationSession] = "john" })
		w.settle("jane")
		w.throughout(time.Hour, func() { w.expectReady("jane") })
		w.expectPaced()
		Expect(w.writesOf("*v1.Secret jane")).To(BeNumerically("<=", 20))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed))

		w.interfere = nil
		w.advance(5 * time.Minute)
		Expect(content(w.secret("jane"))).To(Equal(content(before)))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
	},
		Entry("whatever is written, right after a call", time.Second, func(*corev1.Secret) bool { return true }),
		Entry("whatever is written, long after a call", time.Minute, func(*corev1.Secret) bool { return true }),
		Entry("but not what is tried, right after a call", time.Second, namesSession),
		Entry("but not what is tried, long after a call", time.Minute, namesSession),
	)
})

func namesSession(s *corev1.Secret) bool {
	return s.Annotations[v1alpha1.AnnotationClientSessionID] != ""
}

// duringNextCall restarts the operator, and has something happen while its next call to Seam is under way.
func (w *world) duringNextCall(do func()) {
	GinkgoHelper()
	once := sync.OnceFunc(do)
	w.seamConfig = func(config *seam.Config) {
		config.Instrument = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(request *http.Request) (*http.Response, error) {
				once()
				return next.RoundTrip(request)
			})
		}
	}
	w.restart()
}

var _ = Describe("A conflict without a newer version, as a webhook may speak of", func() {
	It("keeps a status from being written no longer than it lasts", func() {
		w := newWorld()
		w.ready("jane")
		w.interfere = func(_ string, object client.Object) error {
			return apierrors.NewConflict(schema.GroupResource{}, object.GetName(), errors.New("a webhook says so"))
		}
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.Suspend = true })
		w.reconcile("jane")
		w.interfere = nil
		w.advance(conflictPause)
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionUnknown, v1alpha1.ReasonSuspended))
	})
})
