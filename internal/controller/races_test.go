package controller

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
