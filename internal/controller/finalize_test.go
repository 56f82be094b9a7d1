package controller

import (
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const deletePath = "/client_sessions/delete"

func deleting(s *v1alpha1.SeamClientSession) {
	s.Spec.Provision.WhenDeleted = v1alpha1.ProvisionedDelete
}

// delete deletes a session as a user does, and lets the operator see it.
func (w *world) delete(name string) {
	GinkgoHelper()
	Expect(api.Delete(w.ctx, w.session(name))).To(Succeed())
	w.settle(name)
}

func (w *world) isGone(name string) bool {
	GinkgoHelper()
	err := api.Get(w.ctx, w.key(name), &v1alpha1.SeamClientSession{})
	Expect(client.IgnoreNotFound(err)).To(Succeed())
	return apierrors.IsNotFound(err)
}

var _ = Describe("A provisioned session whose object is deleted", func() {
	It("is deleted at Seam, where that is wanted", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, deleting))
		Expect(w.session("jane").Finalizers).To(ConsistOf(v1alpha1.Finalizer))
		Expect(w.session("jane").Status.Provisioned.ClientSessionID).To(Equal(w.theSession(janeKey).ID))
		w.delete("jane")
		Expect(w.isGone("jane")).To(BeTrue())
		Expect(w.seam.Sessions(janeKey)).To(BeEmpty())
		Expect(w.seam.CallsTo(deletePath)).To(Equal(1))
		Expect(w.eventReasons()).To(ContainElement("SessionDeleted"))
	})

	It("ends by itself, where not", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey))
		Expect(w.session("jane").Finalizers).To(BeEmpty())
		w.delete("jane")
		Expect(w.isGone("jane")).To(BeTrue())
		w.theSession(janeKey)
		Expect(w.seam.CallsTo(deletePath)).To(BeZero())
	})

	It("ends by itself, where that was changed, or it is not provisioned any more", func() {
		for _, change := range []func(*v1alpha1.SeamClientSession){
			func(s *v1alpha1.SeamClientSession) { s.Spec.Provision.WhenDeleted = v1alpha1.ProvisionedExpire },
			func(s *v1alpha1.SeamClientSession) { s.Spec.Provision = nil },
		} {
			w := newWorld()
			w.ready("jane", provisioned(janeKey, deleting))
			w.change("jane", change)
			w.settle("jane")
			Expect(w.session("jane").Finalizers).To(BeEmpty())
			w.delete("jane")
			Expect(w.isGone("jane")).To(BeTrue())
			w.theSession(janeKey)
		}
	})

	It("is deleted at Seam also where Seam replaced or doubled it rather than extend it", func() {
		for _, match := range []seamtest.Match{seamtest.Replaced, seamtest.Doubled} {
			w := newWorld()
			w.ready("jane", provisioned(janeKey, deleting, looking(8*time.Hour)))
			w.seam.Behave(seamtest.Behaviour{Existing: match})
			w.advance(20 * time.Hour)
			Expect(w.seam.CallsTo(getOrCreatePath)).To(BeNumerically(">", 1))
			w.delete("jane")
			w.advance(time.Second)
			Expect(w.isGone("jane")).To(BeTrue())
			Expect(w.seam.Sessions(janeKey)).To(BeEmpty())
		}
	})

	It("stays where somebody else made it", func() {
		w := newWorld()
		w.ready("john", provisioned(seamtest.JohnUserIdentifierKey, deleting))
		w.delete("john")
		Expect(w.isGone("john")).To(BeTrue())
		w.theSession(seamtest.JohnUserIdentifierKey)
	})

	It("stays while another object uses it, and goes with the last that made it", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, deleting))
		w.ready("reader", func(s *v1alpha1.SeamClientSession) { s.Spec.ClientSessionID, s.Spec.UserIdentifierKey = "", janeKey })
		w.delete("jane")
		Expect(w.isGone("jane")).To(BeTrue())
		w.expectToken("reader", w.theSession(janeKey))
	})

	It("goes while another object of its namespace uses it, where the namespace goes", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, deleting))
		w.ready("reader", func(s *v1alpha1.SeamClientSession) { s.Spec.ClientSessionID, s.Spec.UserIdentifierKey = "", janeKey })
		Expect(api.Delete(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})).To(Succeed())
		w.delete("jane")
		Expect(w.isGone("jane")).To(BeTrue())
		Expect(w.seam.Sessions(janeKey)).To(BeEmpty())
	})

	It("stays, and the object goes at once, where the credential is gone", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, deleting))
		Expect(api.Delete(w.ctx, w.secret("seam"))).To(Succeed())
		w.clock.Step(time.Minute)
		w.delete("jane")
		Expect(w.isGone("jane")).To(BeTrue())
		w.theSession(janeKey)
		Expect(w.eventReasons()).To(ContainElement("SessionLeftBehind"))
	})

	DescribeTable("holds the object for a bounded time while Seam does not delete it",
		func(fault seamtest.Fault, terminating bool, limit time.Duration) {
			w := newWorld()
			w.ready("jane", provisioned(janeKey, deleting))
			w.seam.Fail(fault)
			if terminating {
				Expect(api.Delete(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})).To(Succeed())
			}
			Expect(api.Delete(w.ctx, w.session("jane"))).To(Succeed())
			w.clock.SetTime(w.session("jane").DeletionTimestamp.Time)
			w.settle("jane")
			w.advance(limit - 20*time.Second)
			Expect(w.isGone("jane")).To(BeFalse())
			w.advance(50 * time.Second)
			Expect(w.isGone("jane")).To(BeTrue())
			w.theSession(janeKey)
		},
		Entry("outage", seamtest.Outage, false, 5*time.Minute),
		Entry("403", seamtest.Forbidden, false, 5*time.Minute),
		Entry("401", seamtest.Unauthorized, false, 5*time.Minute),
		Entry("429", seamtest.RateLimited(time.Hour), false, 5*time.Minute),
		Entry("outage, and the namespace is being deleted", seamtest.Outage, true, time.Minute),
	)

	It("is deleted once Seam is back", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, deleting))
		w.seam.Fail(seamtest.Outage)
		Expect(api.Delete(w.ctx, w.session("jane"))).To(Succeed())
		w.clock.SetTime(w.session("jane").DeletionTimestamp.Time)
		w.settle("jane")
		w.advance(2 * time.Minute)
		w.seam.Heal()
		w.advance(time.Minute)
		Expect(w.isGone("jane")).To(BeTrue())
		Expect(w.seam.Sessions(janeKey)).To(BeEmpty())
	})

	It("is deleted where the answer that it was made was lost", func() {
		w := newWorld()
		w.seam.FailRoute(getOrCreatePath, seamtest.Outage.AfterActing())
		w.create("jane", provisioned(janeKey, deleting))
		w.settle("jane")
		Expect(w.session("jane").Status.Provisioned.ClientSessionID).To(BeEmpty())
		w.theSession(janeKey)
		w.delete("jane")
		Expect(w.isGone("jane")).To(BeTrue())
		Expect(w.seam.Sessions(janeKey)).To(BeEmpty())
	})

	It("is said to be left behind, perhaps, where the answer that it was made was lost and the credential is gone", func() {
		w := newWorld()
		left := 0
		w.r.leftBehind = func() { left++ }
		w.seam.FailRoute(getOrCreatePath, seamtest.Outage.AfterActing())
		w.create("jane", provisioned(janeKey, deleting))
		w.settle("jane")
		Expect(api.Delete(w.ctx, w.secret("seam"))).To(Succeed())
		w.clock.Step(time.Minute)
		w.delete("jane")
		Expect(w.isGone("jane")).To(BeTrue())
		w.theSession(janeKey)
		Expect(w.eventReasons()).To(ContainElement("SessionLeftBehind"))
		Expect(left).To(Equal(1))
	})

	It("is not made before the API server has taken that it is about to be", func() {
		w := newWorld()
		w.interfere = func(_ string, object client.Object) error {
			if _, ok := object.(*corev1.Secret); ok {
				return nil
			}
			return errors.New("the API server does not take the status")
		}
		w.create("jane", provisioned(janeKey))
		for range 5 {
			_, _ = w.r.Reconcile(w.ctx, ctrl.Request{NamespacedName: w.key("jane")})
			w.clock.Step(10 * time.Second)
		}
		Expect(w.seam.CallsTo(getOrCreatePath)).To(BeZero())
		w.interfere = nil
		w.settle("jane")
		w.advance(time.Minute)
		w.expectToken("jane", w.theSession(janeKey))
	})

	It("goes with what the object made for another user before", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, deleting))
		w.clock.Step(time.Minute)
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.UserIdentifierKey = "shop-joe" })
		w.settle("jane")
		w.expectToken("jane", w.theSession("shop-joe"))
		w.theSession(janeKey)
		w.delete("jane")
		Expect(w.isGone("jane")).To(BeTrue())
		Expect(w.seam.Sessions(janeKey)).To(BeEmpty())
		Expect(w.seam.Sessions("shop-joe")).To(BeEmpty())
	})

	It("is deleted by another credential of its workspace, also where Seam says by mistake that there is none", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, deleting))
		w.credential("seam", seamtest.AccessToken)
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.WorkspaceID = seamtest.Workspace1 })
		w.seam.FailRoute(getPath, seamtest.NotFound)
		w.clock.Step(time.Minute)
		w.delete("jane")
		Expect(w.isGone("jane")).To(BeTrue())
		Expect(w.seam.Sessions(janeKey)).To(BeEmpty())
	})

	It("is not deleted by a credential of another workspace", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, deleting))
		w.credential("seam", seamtest.APIKey2)
		w.clock.Step(time.Minute)
		Expect(api.Delete(w.ctx, w.session("jane"))).To(Succeed())
		w.settle("jane")
		Expect(w.isGone("jane")).To(BeFalse())
		w.credential("seam", seamtest.APIKey1)
		w.clock.Step(10 * time.Second)
		w.settle("jane")
		Expect(w.isGone("jane")).To(BeTrue())
		Expect(w.seam.Sessions(janeKey)).To(BeEmpty())
	})
})
