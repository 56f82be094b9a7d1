package controller

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

var _ = Describe("A session", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	It("becomes a Secret with exactly the default keys, and what Seam returned in them", func() {
		w.ready("jane")

		s := w.secret("jane")
		Expect(s.Type).To(Equal(corev1.SecretTypeOpaque))
		Expect(text(s)).To(Equal(map[string]string{
			"token":             seamtest.JohnToken,
			"client_session_id": seamtest.JohnSessionID,
			"workspace_id":      seamtest.Workspace1,
			"expires_at":        "2026-03-02T12:00:00Z",
		}))
		session := w.session("jane")
		Expect(metav1.IsControlledBy(s, session)).To(BeTrue())
		Expect(session.Status.SecretName).To(Equal("jane"))
		Expect(session.Status.TokenFingerprint).To(HaveLen(12))
		Expect(session.Status.ObservedGeneration).To(Equal(session.Generation))
		Expect(w.eventReasons()).To(Equal([]string{"TokenWritten"}))
	})

	It("costs one call to Seam and two writes, and nothing more while nothing changes", func() {
		w.ready("jane")
		Expect(w.writes.list).To(Equal([]string{"create *v1.Secret jane", "patch *v1.PartialObjectMetadata jane"}))

		for range 3 {
			w.reconcile("jane")
		}
		Expect(w.seam.CallCount()).To(Equal(1))
		Expect(w.writes.count()).To(Equal(2))
	})

	It("is asked for again within refreshInterval, with one write of the status if nothing changed", func() {
		w.ready("jane")
		w.advance(time.Hour)
		Expect(w.seam.CallCount()).To(Equal(2))
		Expect(w.writes.list[2:]).To(Equal([]string{"patch *v1.PartialObjectMetadata jane"}))
	})

	It("holds exactly the keys of the template", func() {
		w.ready("jane", func(s *v1alpha1.SeamClientSession) {
			s.Spec.Secret.Template = map[string]v1alpha1.Template{"config.json": `{"token": {{ .token | toJson }}}`}
		})
		Expect(text(w.secret("jane"))).To(Equal(map[string]string{"config.json": `{"token": "` + seamtest.JohnToken + `"}`}))
	})

	It("comes back before expiry, and takes the new expiry once its owner has extended it", func() {
		w.seam.Extend(seamtest.JohnSessionID, dawn.Add(30*time.Minute))
		w.ready("jane")
		w.advance(25 * time.Minute)
		Expect(w.condition("jane", v1alpha1.ConditionExpiring)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonNotRenewed))

		w.seam.Extend(seamtest.JohnSessionID, dawn.Add(2*time.Hour))
		w.advance(5*time.Minute - time.Second)
		Expect(text(w.secret("jane"))).To(HaveKeyWithValue("expires_at", "2026-03-01T14:00:00Z"))
		Expect(w.condition("jane", v1alpha1.ConditionExpiring)).To(Equal(metav1.Condition{}))
		w.expectReady("jane")
		Expect(w.eventReasons()).To(Equal([]string{"TokenWritten", "Expiring", "ExpiryExtended"}))
	})

	It("stops being Ready at the second in which its token ends", func() {
		w.seam.Extend(seamtest.JohnSessionID, dawn.Add(30*time.Minute))
		w.ready("jane")
		w.advance(30*time.Minute - time.Second)
		w.expectReady("jane")
		w.advance(time.Second)
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
		Expect(w.seam.Calls()[w.seam.CallCount()-1].At).To(Equal(dawn.Add(30 * time.Minute)))
	})

	It("follows a token that was rotated at Seam", func() {
		w.ready("jane")
		w.seam.Change(seamtest.JohnSessionID, func(s *seamtest.Session) { s.Token = "seam_cst1_rotated" })
		w.advance(time.Hour)
		Expect(text(w.secret("jane"))).To(HaveKeyWithValue("token", "seam_cst1_rotated"))
		Expect(w.eventReasons()).To(Equal([]string{"TokenWritten", "TokenRotated"}))
	})

	It("is asked for at once when a refresh is requested, once per request", func() {
		w.ready("jane")
		w.change("jane", func(s *v1alpha1.SeamClientSession) {
			s.Annotations = map[string]string{v1alpha1.AnnotationRefreshRequestedAt: "now"}
		})
		w.advance(pace)
		w.settle("jane")
		w.settle("jane")
		Expect(w.seam.CallCount()).To(Equal(2))
		Expect(w.session("jane").Status.LastHandledRefreshRequest).To(Equal("now"))
	})

	It("is left alone while suspended, and asked for at once afterwards", func() {
		w.ready("jane")
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.Suspend = true })
		w.settle("jane")
		w.advance(12 * time.Hour)
		Expect(w.seam.CallCount()).To(Equal(1))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionUnknown, v1alpha1.ReasonSuspended))
		w.expectReady("jane")

		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.Suspend = false })
		w.settle("jane")
		Expect(w.seam.CallCount()).To(Equal(2))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
	})

	It("moves to another Secret when secret.name changes, and removes the old one", func() {
		w.ready("jane")
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.Secret.Name = "other" })
		w.advance(pace)
		w.settle("jane")
		Expect(text(w.secret("other"))).To(HaveKeyWithValue("token", seamtest.JohnToken))
		w.expectNoSecret("jane")
		Expect(w.session("jane").Status.SecretName).To(Equal("other"))
	})

	It("says what is wrong with a template, and leaves the Secret as it was", func() {
		w.ready("jane")
		before := w.secret("jane")
		w.change("jane", func(s *v1alpha1.SeamClientSession) {
			s.Spec.Secret.Template = map[string]v1alpha1.Template{"token": "{{ .tokn }}"}
		})
		w.settle("jane")
		synced := w.condition("jane", v1alpha1.ConditionSynced)
		Expect(synced).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonTemplateInvalid))
		Expect(synced.Message).To(ContainSubstring("tokn"))
		Expect(w.condition("jane", v1alpha1.ConditionStalled)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonTemplateInvalid))
		Expect(w.secret("jane")).To(Equal(before))
		Expect(w.seam.CallCount()).To(Equal(1))
	})
})

// text is the data of a Secret.
func text(s *corev1.Secret) map[string]string {
	data := map[string]string{}
	for key, value := range s.Data {
		data[key] = string(value)
	}
	return data
}
