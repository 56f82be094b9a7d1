package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// In these specs a Secret that somebody changed is looked at once, as the watch has it, and then by timers alone. That
// the watch has it is proved against a running operator in internal/acceptance.

var _ = Describe("A Secret that somebody changed", func() {
	var w *world
	BeforeEach(func() {
		w = newWorld()
		w.ready("jane")
		w.advance(pace)
	})

	DescribeTable("is put right at once", func(change func(*corev1.Secret), calls int) {
		before := w.secret("jane")
		w.changeSecret("jane", change)
		w.settle("jane")
		Expect(content(w.secret("jane"))).To(Equal(content(before)))
		Expect(w.seam.CallCount()).To(Equal(1+calls), "Seam is called where the token is not what it was")
		w.expectReady("jane")
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
	},
		Entry("when its token was edited", func(s *corev1.Secret) { s.Data["token"] = []byte("mine") }, 1),
		Entry("when a key was added", func(s *corev1.Secret) { s.Data["more"] = []byte("data") }, 1),
		Entry("when a key was removed", func(s *corev1.Secret) { delete(s.Data, "token") }, 1),
		Entry("when it was stripped of its labels", func(s *corev1.Secret) { s.Labels = nil }, 0),
		Entry("when it was stripped of its owner", func(s *corev1.Secret) { s.OwnerReferences = nil }, 0),
		Entry("when it was stripped of labels and annotations", func(s *corev1.Secret) { s.Labels, s.Annotations = nil, nil }, 1),
		Entry("when it says another expiry", func(s *corev1.Secret) {
			s.Annotations[v1alpha1.AnnotationExpiresAt] = "2036-01-01T00:00:00Z"
		}, 1),
		Entry("when it says another session of Seam", func(s *corev1.Secret) {
			s.Annotations[v1alpha1.AnnotationClientSessionID] = "another"
		}, 1),
	)

	It("is put right at once when an earlier copy of it, whole, was put back", func() {
		earlier := w.secret("jane")
		w.seam.Change(seamtest.JohnSessionID, func(s *seamtest.Session) { s.Token = rotated })
		w.advance(time.Hour)
		before, calls := w.secret("jane"), w.seam.CallCount()
		Expect(w.token("jane")).To(Equal(rotated))
		w.changeSecret("jane", func(s *corev1.Secret) {
			s.Data, s.Annotations, s.Labels = earlier.Data, earlier.Annotations, earlier.Labels
		})
		w.settle("jane")
		Expect(content(w.secret("jane"))).To(Equal(content(before)))
		Expect(w.seam.CallCount()).To(Equal(calls + 1))
		Expect(w.eventReasons()).To(ContainElement("SecretRepaired"))
		w.expectReady("jane")
	})

	It("is written again at once when it was deleted", func() {
		before := w.secret("jane")
		Expect(api.Delete(w.ctx, before)).To(Succeed())
		w.settle("jane")
		Expect(content(w.secret("jane"))).To(Equal(content(before)))
		w.expectReady("jane")
	})

	It("is left alone where others have put labels and annotations of their own on it", func() {
		w.changeSecret("jane", func(s *corev1.Secret) {
			s.Labels["team"], s.Annotations["reloader"] = "shop", "on"
		})
		before, writes := w.secret("jane"), w.writes.count()
		w.settle("jane")
		Expect(w.secret("jane")).To(Equal(before))
		Expect(w.writes.count()).To(Equal(writes))

		w.seam.Change(seamtest.JohnSessionID, func(s *seamtest.Session) { s.Token = rotated })
		w.advance(time.Hour)
		Expect(w.secret("jane").Labels).To(HaveKeyWithValue("team", "shop"))
		Expect(w.secret("jane").Annotations).To(HaveKeyWithValue("reloader", "on"))
		Expect(w.token("jane")).To(Equal(rotated))
	})

	It("is said to be missing while Seam is down, and is written once that is up", func() {
		w.seam.Fail(seamtest.Outage)
		Expect(api.Delete(w.ctx, w.secret("jane"))).To(Succeed())
		w.settle("jane")
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSeamUnavailable))
		w.seam.Heal()
		w.advance(5 * time.Second)
		w.expectReady("jane")
	})
})

var _ = Describe("A Secret that can't be written", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	DescribeTable("is refused, and taken once that ends",
		func(spoil func(*corev1.Secret), message string) {
			w.create("jane")
			w.secretOf("jane", spoil)
			before := w.secret("jane")
			w.settle("jane")
			w.advance(30 * time.Minute)
			Expect(w.secret("jane")).To(Equal(before))
			synced := w.condition("jane", v1alpha1.ConditionSynced)
			Expect(synced).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretConflict))
			Expect(synced.Message).To(ContainSubstring(message))
			Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretConflict))
			Expect(w.seam.CallCount()).To(BeNumerically("<=", 1), "Seam is not asked for what can't be written")

			Expect(api.Delete(w.ctx, before)).To(Succeed())
			w.advance(time.Minute)
			w.expectReady("jane")
		},
		Entry("when it is somebody's", func(*corev1.Secret) {}, "set spec.secret.name to another name"),
		Entry("when a chart has made it", func(s *corev1.Secret) {
			s.Labels, s.Annotations = map[string]string{"app.kubernetes.io/managed-by": "Helm"}, map[string]string{"meta.helm.sh/release-name": "web"}
		}, `(it has annotation meta.helm.sh/release-name=web, label app.kubernetes.io/managed-by=Helm, field manager "`),
		Entry("when it carries the operator's label and nothing else", func(s *corev1.Secret) {
			s.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
		}, "set spec.secret.name to another name"),
		Entry("when it is another session's", func(s *corev1.Secret) {
			s.Annotations = map[string]string{v1alpha1.AnnotationSession: "john"}
		}, `belongs to SeamClientSession "john"`),
		Entry("when consent is to another session", func(s *corev1.Secret) {
			s.Annotations = map[string]string{v1alpha1.AnnotationAdoptBy: "john"}
		}, "let it be taken over"),
		Entry("when consent is there and the type is another", func(s *corev1.Secret) {
			s.Annotations = map[string]string{v1alpha1.AnnotationAdoptBy: "jane"}
			s.Type = "example.com/other"
		}, "set spec.secret.name to another name"),
		Entry("when consent is there and a controller owns it", func(s *corev1.Secret) {
			s.Annotations = map[string]string{v1alpha1.AnnotationAdoptBy: "jane"}
			s.OwnerReferences = []metav1.OwnerReference{anotherController()}
		}, "set spec.secret.name to another name"),
		Entry("when it says it is ours and a controller owns it", func(s *corev1.Secret) {
			s.Annotations = map[string]string{v1alpha1.AnnotationSession: "jane"}
			s.OwnerReferences = []metav1.OwnerReference{anotherController()}
		}, "set spec.secret.name to another name"),
	)

	It("is taken over on request", func() {
		w.create("jane")
		w.secretOf("jane", func(s *corev1.Secret) { s.Labels = map[string]string{"team": "shop"} })
		w.settle("jane")
		w.changeSecret("jane", func(s *corev1.Secret) {
			s.Annotations = map[string]string{v1alpha1.AnnotationAdoptBy: "jane"}
		})
		w.advance(time.Minute)
		w.expectReady("jane")
		s := w.secret("jane")
		Expect(text(s)).To(HaveLen(4))
		Expect(s.Labels).To(Equal(map[string]string{"team": "shop", v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}))
		Expect(metav1.IsControlledBy(s, w.session("jane"))).To(BeTrue())
	})

	It("is refused when another one took its place, and never written over", func() {
		w.ready("jane")
		Expect(api.Delete(w.ctx, w.secret("jane"))).To(Succeed())
		w.secretOf("jane", func(*corev1.Secret) {})
		before := w.secret("jane")
		w.settle("jane")
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretConflict))
		calls := w.seam.CallCount()
		w.advance(3 * time.Hour)
		Expect(w.secret("jane")).To(Equal(before))
		Expect(w.seam.CallCount()).To(Equal(calls))
	})

	DescribeTable("stays Ready while its token lasts, and is written anew as soon as it is deleted",
		func(spoil func(*world, *corev1.Secret), message string) {
			w.ready("jane")
			w.advance(pace)
			s := w.secret("jane")
			whole := content(s)
			spoil(w, s)
			before := w.secret("jane")
			w.settle("jane")
			w.advance(time.Hour)
			Expect(w.secret("jane")).To(Equal(before))
			synced := w.condition("jane", v1alpha1.ConditionSynced)
			Expect(synced).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretConflict))
			Expect(synced.Message).To(And(ContainSubstring(message), ContainSubstring("delete it, and it is written anew")))
			w.expectReady("jane")
			Expect(w.seam.CallCount()).To(BeNumerically("<", 25), "back-off of at most 5 min")

			Expect(api.Delete(w.ctx, before)).To(Succeed())
			w.settle("jane")
			w.advance(pace)
			Expect(content(w.secret("jane"))).To(Equal(whole))
			w.expectReady("jane")
		},
		Entry("when it was made immutable", func(w *world, s *corev1.Secret) {
			s.Immutable = ptr.To(true)
			Expect(api.Update(w.ctx, s)).To(Succeed())
		}, "was made immutable"),
		Entry("when it was deleted and made again with another type", func(w *world, s *corev1.Secret) {
			Expect(api.Delete(w.ctx, s)).To(Succeed())
			s.UID, s.ResourceVersion, s.Type = "", "", "example.com/other"
			Expect(api.Create(w.ctx, s)).To(Succeed())
		}, "has another type"),
	)
})

var _ = Describe("A Secret that a quota refuses", func() {
	It("costs no call to Seam until the quota would take it, and is written then", func() {
		w := newWorld()
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "full"}}
		quota.Spec.Hard = corev1.ResourceList{"count/secrets": resource.MustParse("1")}
		Expect(api.Create(w.ctx, quota)).To(Succeed())
		quota.Status.Hard, quota.Status.Used = quota.Spec.Hard, quota.Spec.Hard // nobody counts in these specs
		Expect(api.Status().Update(w.ctx, quota)).To(Succeed())
		wouldTake := func() error {
			return api.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "one-more"}}, client.DryRunAll)
		}
		Eventually(wouldTake).Should(MatchError(apierrors.IsForbidden, "IsForbidden"))

		w.create("jane")
		w.settle("jane")
		synced := w.condition("jane", v1alpha1.ConditionSynced)
		Expect(synced).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed))
		Expect(synced.Message).To(HavePrefix(`quota "full" of this namespace leaves no room for Secret "jane" (count/secrets): raise it, `))
		w.advance(30 * time.Minute)
		Expect(w.seam.CallCount()).To(Equal(1))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(Equal(synced), "nothing new is said")

		Expect(api.Delete(w.ctx, quota)).To(Succeed())
		Eventually(wouldTake).Should(Succeed())
		w.advance(time.Minute)
		w.expectReady("jane")
		Expect(w.seam.CallCount()).To(Equal(2))
	})
})

var _ = Describe("A Secret that a policy refuses", func() {
	It("costs no call to Seam until the policy would take it, and nothing says that the spec is wrong", func() {
		w := newWorld()
		policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
		policy.Spec.MatchConstraints = &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
			RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
			},
		}}}
		// Of a policy that says no reason, the API server says Invalid.
		policy.Spec.Validations = []admissionv1.Validation{{Expression: fmt.Sprintf("object.metadata.namespace != %q", w.namespace)}}
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
		binding.Spec.PolicyName, binding.Spec.ValidationActions = policy.Name, []admissionv1.ValidationAction{admissionv1.Deny}
		Expect(api.Create(w.ctx, policy)).To(Succeed())
		Expect(api.Create(w.ctx, binding)).To(Succeed())
		DeferCleanup(func() { _ = api.Delete(context.Background(), policy) })
		wouldTake := func() error {
			return api.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "one-more"}}, client.DryRunAll)
		}
		Eventually(wouldTake).Should(MatchError(apierrors.IsInvalid, "IsInvalid"))

		w.create("jane")
		w.settle("jane")
		synced := w.condition("jane", v1alpha1.ConditionSynced)
		Expect(synced).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed))
		Expect(synced.Message).To(ContainSubstring("policy"))
		Expect(w.condition("jane", v1alpha1.ConditionStalled)).To(Equal(metav1.Condition{}))
		w.advance(30 * time.Minute)
		Expect(w.seam.CallCount()).To(Equal(1))

		Expect(api.Delete(w.ctx, binding)).To(Succeed())
		Eventually(wouldTake).Should(Succeed())
		w.advance(time.Minute)
		w.expectReady("jane")
		Expect(w.seam.CallCount()).To(Equal(2))
	})
})

var _ = Describe("Two writers of one Secret", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	It("don't fight: who keeps changing it back sees a bounded number of writes, and the session says so", func() {
		w.ready("jane")
		before := w.writesOf("*v1.Secret jane")
		w.oppose("jane", time.Hour, func(s *corev1.Secret) { s.Data["token"] = []byte("mine") })
		Expect(w.writesOf("*v1.Secret jane") - before).To(And(BeNumerically(">=", 6), BeNumerically("<=", 20)))
		Expect(w.seam.CallCount()).To(BeNumerically("<=", 20))
		synced := w.condition("jane", v1alpha1.ConditionSynced)
		Expect(synced).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretConflict))
		Expect(synced.Message).To(HavePrefix(`field manager "vault-agent" keeps changing Secret "jane"`))
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretConflict))

		w.advance(10 * time.Minute)
		w.expectReady("jane")
		Expect(w.token("jane")).To(Equal(seamtest.JohnToken))
		Expect(w.session("jane").Status.SecretRepairs).To(HaveValue(And(
			HaveField("Count", BeEquivalentTo(w.writesOf("*v1.Secret jane")-before)), HaveField("LastManager", "vault-agent"))))
		Expect(w.events.all()).To(ContainElement(`Normal SecretRepaired: field manager "vault-agent" had changed Secret "jane", and it was corrected`))
		Expect(w.eventReasons()).To(HaveEach(BeElementOf("TokenWritten", "SecretRepaired", "SecretConflict")))
	})

	It("make one event with a count, however often the Secret is corrected", func(ctx SpecContext) {
		clientset, err := kubernetes.NewForConfig(config)
		Expect(err).NotTo(HaveOccurred())
		broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: clientset.EventsV1()})
		Expect(broadcaster.StartRecordingToSinkWithContext(ctx)).To(Succeed())
		w.r.events = broadcaster.NewRecorder(scheme, Name).(recorder.EventRecorder)
		w.ready("jane")
		w.oppose("jane", time.Hour, func(s *corev1.Secret) { s.Data["token"] = []byte("mine") })
		Eventually(func() ([]eventsv1.Event, error) {
			all, err := clientset.EventsV1().Events(w.namespace).List(ctx, metav1.ListOptions{})
			return slices.DeleteFunc(all.Items, func(e eventsv1.Event) bool { return e.Reason != "SecretRepaired" }), err
		}).Should(ConsistOf(And(
			HaveField("Note", `field manager "vault-agent" had changed Secret "jane", and it was corrected`),
			HaveField("Series", HaveValue(HaveField("Count", BeNumerically(">", 1)))))))
	})

	It("that fight over a label leave the session Ready, for its token is good", func() {
		w.ready("jane")
		before := w.writesOf("*v1.Secret jane")
		w.oppose("jane", time.Hour, func(s *corev1.Secret) { s.Labels = nil })
		Expect(w.writesOf("*v1.Secret jane") - before).To(BeNumerically("<=", 2*20)) // a create that fails, and an update
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretConflict))
	})

	It("that are both sessions leave it to the one that has it, until that goes", func() {
		w.ready("first", named("shared"))
		w.create("second", named("shared"), byKey)
		before := w.secret("shared")
		w.settle("second")
		w.advance(30 * time.Minute)
		Expect(w.secret("shared")).To(Equal(before))
		w.expectReady("first")
		Expect(w.condition("second", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretConflict))
		Expect(w.condition("second", v1alpha1.ConditionSynced).Message).To(ContainSubstring(`belongs to SeamClientSession "first"`))

		w.change("first", named("own"))
		w.settle("first")
		w.advance(time.Minute)
		w.expectReady("first")
		w.expectReady("second")
		Expect(w.secret("shared").Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationSession, "second"))
	})

	It("that are both sessions, and create it at the same moment, leave it to the faster", func() {
		w.create("first", named("shared"))
		w.create("second", named("shared"))
		w.interfere = w.once("create", func() { w.settle("second") })
		w.settle("first")
		w.expectReady("second")
		Expect(w.condition("first", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretConflict))
	})
})

var _ = Describe("A change of secret.name", func() {
	var w *world
	BeforeEach(func() {
		w = newWorld()
		w.ready("jane")
		w.advance(pace)
		w.change("jane", named("other"))
	})
	errRefused := apierrors.NewInternalError(errors.New("etcd is down"))

	It("leaves the old Secret until the new one is written", func() {
		w.interfere = func(verb string, _ client.Object) error {
			if verb == "create" {
				return errRefused
			}
			return nil
		}
		w.settle("jane")
		w.advance(time.Minute)
		Expect(w.token("jane")).To(Equal(seamtest.JohnToken))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed))
		Expect(w.session("jane").Status.SecretName).To(Equal("jane"))

		w.interfere = nil
		w.advance(5 * time.Minute)
		w.expectMoved()
	})

	It("leaves the old Secret where the new one is somebody else's", func() {
		w.secretOf("other", func(*corev1.Secret) {})
		w.settle("jane")
		w.advance(time.Hour)
		Expect(w.token("jane")).To(Equal(seamtest.JohnToken))
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretConflict))
	})

	It("removes the old Secret even if the operator dies before", func() {
		w.crash("jane", "delete")
		Expect(w.token("jane")).To(Equal(seamtest.JohnToken))
		Expect(w.token("other")).To(Equal(seamtest.JohnToken))
		w.settle("jane")
		w.expectMoved()
	})

	It("is known to be done even if the operator dies before it has said so", func() {
		w.crash("jane", "patch")
		w.expectNoSecret("jane")
		w.settle("jane")
		w.expectMoved()
	})

	It("is tried again where the old Secret could not be removed", func() {
		w.interfere = func(verb string, _ client.Object) error {
			if verb == "delete" {
				return errRefused
			}
			return nil
		}
		w.settle("jane")
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed))
		w.expectReady("jane")
		w.interfere = nil
		w.advance(5 * time.Second)
		w.expectMoved()
	})

	It("does not remove an old Secret that is another's by now", func() {
		w.changeSecret("jane", func(s *corev1.Secret) { s.OwnerReferences = []metav1.OwnerReference{anotherController()} })
		w.settle("jane")
		Expect(w.secret("jane").OwnerReferences).To(Equal([]metav1.OwnerReference{anotherController()}))
		Expect(w.session("jane").Status.SecretName).To(Equal("other"))
	})

	It("does not remove an old Secret that becomes another's in that moment", func() {
		w.interfere = w.once("delete", func() {
			w.changeSecret("jane", func(s *corev1.Secret) { s.OwnerReferences = []metav1.OwnerReference{anotherController()} })
		})
		w.settle("jane")
		w.advance(5 * time.Second)
		Expect(w.secret("jane").OwnerReferences).To(Equal([]metav1.OwnerReference{anotherController()}))
		Expect(w.session("jane").Status.SecretName).To(Equal("other"))
	})

	It("leaves no Secret behind when it comes while the status is written", func() {
		w.interfere = w.once("patch", func() { w.change("jane", named("third")) })
		w.settle("jane")
		w.advance(pace)
		w.expectNoSecret("jane")
		w.expectNoSecret("other")
		Expect(w.token("third")).To(Equal(seamtest.JohnToken))
		w.expectReady("jane")
	})

	It("leaves the old Secret where it is to be retained", func() {
		w.change("jane", retained(v1alpha1.RetentionRetain))
		w.settle("jane")
		Expect(w.token("jane")).To(Equal(seamtest.JohnToken))
		Expect(w.token("other")).To(Equal(seamtest.JohnToken))
		Expect(w.session("jane").Status.SecretName).To(Equal("other"))
	})
})

// There is no garbage collector in these specs: an owner reference is what tells it to delete.
var _ = Describe("retentionPolicy.whenDeleted", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	It("Delete gives the Secret an owner, which can go without waiting for it", func() {
		w.ready("jane")
		Expect(w.secret("jane").OwnerReferences).To(ConsistOf(metav1.OwnerReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "SeamClientSession", Name: "jane", UID: w.session("jane").UID,
			Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(false),
		}))
	})

	It("Retain gives it none, and the next session of the name takes it up again", func() {
		w.ready("jane", retained(v1alpha1.RetentionRetain))
		before := w.secret("jane")
		Expect(before.OwnerReferences).To(BeEmpty())
		Expect(api.Delete(w.ctx, w.session("jane"))).To(Succeed())
		w.settle("jane")
		Expect(w.secret("jane")).To(Equal(before))

		w.ready("jane", retained(v1alpha1.RetentionRetain))
		Expect(w.secret("jane")).To(Equal(before))
	})

	It("is followed when it changes", func() {
		w.ready("jane")
		before := text(w.secret("jane"))
		w.change("jane", retained(v1alpha1.RetentionRetain))
		w.advance(pace)
		w.settle("jane")
		Expect(w.secret("jane").OwnerReferences).To(BeEmpty())
		w.change("jane", retained(v1alpha1.RetentionDelete))
		w.advance(pace)
		w.settle("jane")
		Expect(metav1.IsControlledBy(w.secret("jane"), w.session("jane"))).To(BeTrue())
		Expect(text(w.secret("jane"))).To(Equal(before))
		w.expectReady("jane")
	})
})

var _ = Describe("A session that changes while Seam is asked", func() {
	var w *world
	// meanwhile happens once, when Seam has answered and the operator has not read it yet.
	meanwhile := func(do func()) {
		w = newWorld()
		var once sync.Once
		w.seamConfig = func(config *seam.Config) {
			config.Instrument = func(transport http.RoundTripper) http.RoundTripper {
				return roundTripper(func(request *http.Request) (*http.Response, error) {
					response, err := transport.RoundTrip(request)
					once.Do(do)
					return response, err
				})
			}
		}
		w.restart()
	}

	It("leaves no Secret behind when it is deleted", func() {
		meanwhile(func() { Expect(api.Delete(w.ctx, w.session("jane"))).To(Succeed()) })
		w.create("jane")
		w.settle("jane")
		w.expectNoSecret("jane")
		Expect(w.writes.count()).To(BeZero())
	})

	It("leaves the Secret to the next one of its name when it is deleted and made again", func() {
		meanwhile(func() {
			Expect(api.Delete(w.ctx, w.session("jane"))).To(Succeed())
			w.create("jane", named("other"))
		})
		w.create("jane")
		w.settle("jane")
		w.advance(5 * time.Second)
		w.expectNoSecret("jane")
		Expect(metav1.IsControlledBy(w.secret("other"), w.session("jane"))).To(BeTrue())
	})

	It("is written for what it asks by then", func() {
		meanwhile(func() { w.change("jane", named("other")) })
		w.create("jane")
		w.settle("jane")
		w.advance(5 * time.Second)
		Expect(w.writesOf("create *v1.Secret")).To(Equal(1), "what it asked before is not written first")
		Expect(w.token("other")).To(Equal(seamtest.JohnToken))
		w.expectReady("jane")
	})
})

var _ = Describe("An API server that fails", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })
	unavailable := apierrors.NewServiceUnavailable("etcdserver: request timed out")

	It("costs no second call to Seam when it does not take the status", func() {
		w.create("jane")
		w.interfere = func(verb string, _ client.Object) error {
			if verb == "patch" {
				return unavailable
			}
			return nil
		}
		for range 3 {
			_, err := w.r.Reconcile(w.ctx, ctrl.Request{NamespacedName: w.key("jane")})
			Expect(err).To(MatchError(unavailable))
		}
		w.interfere = nil
		w.settle("jane")
		w.expectReady("jane")
		Expect(w.seam.CallCount()).To(Equal(1))
		Expect(w.writesOf("create *v1.Secret jane")).To(Equal(1))
	})

	It("costs no second call to Seam when the session was labelled in that moment", func() {
		w.create("jane")
		w.interfere = w.once("patch", func() {
			w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Labels = map[string]string{"team": "shop"} })
		})
		w.settle("jane")
		w.expectReady("jane")
		Expect(w.session("jane").Labels).To(HaveKey("team"))
		Expect(w.seam.CallCount()).To(Equal(1))
	})

	It("loses nothing when it does not take the Secret", func() {
		w.ready("jane")
		before := w.secret("jane")
		w.seam.Change(seamtest.JohnSessionID, func(s *seamtest.Session) { s.Token = rotated })
		w.interfere = func(verb string, _ client.Object) error {
			if verb == "update" {
				return unavailable
			}
			return nil
		}
		w.advance(time.Hour)
		Expect(w.secret("jane")).To(Equal(before))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed))
		w.expectReady("jane")

		w.interfere = nil
		w.advance(5 * time.Minute)
		Expect(w.token("jane")).To(Equal(rotated))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
	})

	It("is asked anew where the cache was behind, without another call to Seam", func() {
		w.ready("jane")
		w.seam.Change(seamtest.JohnSessionID, func(s *seamtest.Session) { s.Token = rotated })
		w.interfere = w.once("update", func() {
			w.changeSecret("jane", func(s *corev1.Secret) { s.Labels["team"] = "shop" })
		})
		w.advance(time.Hour)
		Expect(w.token("jane")).To(Equal(rotated))
		Expect(w.secret("jane").Labels).To(HaveKeyWithValue("team", "shop"))
		Expect(w.seam.CallCount()).To(Equal(2))
	})

	It("has the last word where another replica took over in the meantime", func() {
		w.ready("jane")
		var tokens []string
		w.seam.Change(seamtest.JohnSessionID, func(s *seamtest.Session) { s.Token = "seam_cst1_read_by_the_frozen_one" })
		w.interfere = w.once("update", func() {
			w.seam.Change(seamtest.JohnSessionID, func(s *seamtest.Session) { s.Token = rotated })
			w.takeOver("jane")
			w.interfere = func(verb string, _ client.Object) error {
				tokens = append(tokens, w.token("jane"))
				return nil
			}
		})
		w.advance(time.Hour)
		w.settle("jane")
		Expect(append(tokens, w.token("jane"))).To(HaveEach(rotated))
	})

	It("keeps the status of the replica that took over, where the other has one to write still", func() {
		w.ready("jane")
		w.interfere = w.once("patch", func() {
			w.seam.Fail(seamtest.Outage)
			w.takeOver("jane")
		})
		w.advance(w.session("jane").Status.NextFetchTime.Sub(w.clock.Now()))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSeamUnavailable))
		Expect(w.session("jane").Status.FailedFetches).To(BeEquivalentTo(1))
	})

	It("keeps every schedule over a restart", func() {
		w.ready("jane")
		next := w.session("jane").Status.NextFetchTime.UTC()
		w.restart()
		w.settle("jane")
		w.advance(next.Sub(w.clock.Now()) - time.Second)
		Expect(w.seam.CallCount()).To(Equal(1))
		w.advance(time.Second)
		Expect(w.seam.CallCount()).To(Equal(2))
	})
})

// rotated is a token that is not that of the seed.
const rotated = "seam_cst1_rotated"

func named(name string) func(*v1alpha1.SeamClientSession) {
	return func(s *v1alpha1.SeamClientSession) { s.Spec.Secret.Name = name }
}

func retained(action v1alpha1.RetentionAction) func(*v1alpha1.SeamClientSession) {
	return func(s *v1alpha1.SeamClientSession) { s.Spec.Secret.RetentionPolicy.WhenDeleted = action }
}

func byKey(s *v1alpha1.SeamClientSession) {
	s.Spec.ClientSessionID, s.Spec.UserIdentifierKey = "", seamtest.JohnUserIdentifierKey
}

func anotherController() metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: "example.com/v1", Kind: "Vault", Name: "jane", UID: "another", Controller: ptr.To(true),
	}
}

// content is all of a Secret that its writers decide about.
func content(s *corev1.Secret) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Labels: s.Labels, Annotations: s.Annotations, OwnerReferences: s.OwnerReferences},
		Data:       s.Data, Type: s.Type, Immutable: s.Immutable,
	}
}

// token is the token in a Secret; empty if there is none.
func (w *world) token(name string) string {
	s := &corev1.Secret{}
	if err := api.Get(w.ctx, w.key(name), s); err != nil {
		return ""
	}
	return string(s.Data["token"])
}

// secretOf makes a Secret of somebody's.
func (w *world) secretOf(name string, change func(*corev1.Secret)) {
	GinkgoHelper()
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Data:       map[string][]byte{"password": []byte("of somebody")},
	}
	change(s)
	Expect(api.Create(w.ctx, s)).To(Succeed())
}

// writesOf is how often the operator has tried to write what this is a part of the description of.
func (w *world) writesOf(what string) int {
	w.writes.mu.Lock()
	defer w.writes.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(w.writes.list), func(write string) bool { return !strings.Contains(write, what) }))
}

// once has something happen before the next write of that verb, and none after.
func (w *world) once(verb string, do func()) func(string, client.Object) error {
	return func(other string, _ client.Object) error {
		if verb == other {
			w.interfere = nil
			do()
		}
		return nil
	}
}

// takeOver has another replica reconcile a session, while this one is in the middle of it.
func (w *world) takeOver(name string) {
	GinkgoHelper()
	frozen := w.r
	w.restart()
	w.reconcile(name)
	w.r = frozen
}

// crash reconciles, lets nothing be written from the first write of a verb on, and starts a new operator.
func (w *world) crash(name, verb string) {
	GinkgoHelper()
	dead := false
	w.interfere = func(other string, _ client.Object) error {
		if dead = dead || verb == other; dead {
			return errors.New("killed")
		}
		return nil
	}
	_, _ = w.r.Reconcile(w.ctx, ctrl.Request{NamespacedName: w.key(name)}) // nobody is there to see how it ends
	Expect(dead).To(BeTrue(), "it has not come to a %s", verb)
	w.interfere = nil
	w.restart()
}

// oppose has somebody change a Secret back whenever the operator has put it right.
func (w *world) oppose(name string, d time.Duration, spoil func(*corev1.Secret)) {
	GinkgoHelper()
	end := w.clock.Now().Add(d)
	for written := -1; ; {
		if count := w.writesOf("*v1.Secret " + name); count != written {
			Expect(count).To(BeNumerically("<", 100), "they fight")
			written = count
			s := w.secret(name)
			spoil(s)
			Expect(api.Update(w.ctx, s, client.FieldOwner("vault-agent"))).To(Succeed())
			w.settle(name)
			continue
		}
		_, at := w.nextTimer()
		if at.IsZero() || at.After(end) {
			break
		}
		w.clock.SetTime(at)
		w.settle(name)
	}
	w.clock.SetTime(end)
}

// expectMoved fails unless jane's token is in the Secret "other" alone.
func (w *world) expectMoved() {
	GinkgoHelper()
	w.expectNoSecret("jane")
	Expect(w.token("other")).To(Equal(seamtest.JohnToken))
	Expect(w.session("jane").Status.SecretName).To(Equal("other"))
	w.expectReady("jane")
}
