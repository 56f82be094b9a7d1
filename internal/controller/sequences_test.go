package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// These specs follow what happens over minutes and hours, one thing after the other, and look only at what others see:
// Secrets, conditions, events, and the calls that reach Seam.

const (
	// mistyped is what nobody at Seam is known by.
	mistyped = "mistyped"
	// confirmation is how far apart two answers must be that take a token away.
	confirmation = time.Minute
	// pace is the least time between two calls for one object, but for the one at the end of its token.
	pace = 5 * time.Second
	// thinkingTime is how long a mistake lasts: the back-off has made the last call more than a minute before its end.
	thinkingTime = 4 * time.Minute
)

var _ = Describe("A user identifier key that is mistyped in its Secret", func() {
	It("leaves a good token Ready and in its Secret, however often Seam finds nobody of that key", func() {
		w := newWorld()
		w.userKey(seamtest.JohnUserIdentifierKey)
		w.ready("jane", byKeySecret, whenSessionEnds(v1alpha1.RetentionDelete))
		before := w.secret("jane")

		w.userKey(mistyped)
		w.throughout(3*time.Hour, func() {
			Expect(w.token("jane")).To(Equal(seamtest.JohnToken))
			w.expectReady("jane")
		})
		Expect(w.secret("jane")).To(Equal(before))
		Expect(w.seam.CallsFor(mistyped)).To(BeNumerically(">", 5))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
	})

	It("leaves it there also where it names a user whose session has ended, and goes, and the Secret was to have another name for a while", func() {
		w := newWorld()
		w.userKey(seamtest.JohnUserIdentifierKey)
		w.ready("jane", byKeySecret, whenSessionEnds(v1alpha1.RetentionDelete))
		w.seam.Put(seamtest.Session{
			ID: "cst2", WorkspaceID: seamtest.Workspace1, UserIdentifierKey: mistyped, Token: "seam_cst2_token", ExpiresAt: w.clock.Now(),
		})
		w.userKey(mistyped)
		for _, name := range []string{"another", ""} {
			w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.Secret.Name = name })
			w.settle("jane")
			w.advance(2 * time.Hour)
		}
		w.seam.Delete("cst2")
		w.throughout(3*time.Hour, func() {
			Expect(w.token("jane")).To(Equal(seamtest.JohnToken))
			w.expectReady("jane")
		})
	})

	It("is noticed within 5 s of its correction, however long Seam has found nobody", func() {
		w := newRestartableWorld()
		w.userKey(seamtest.JohnUserIdentifierKey)
		w.ready("jane", byKeySecret)
		w.advance(2 * pace)
		w.userKey(mistyped)
		w.failForLong(v1alpha1.ReasonSessionNotFound)
		failed := w.session("jane").Status
		w.clock.SetTime(failed.NextFetchTime.Time)
		w.operate()
		Eventually(func() int32 { return w.session("jane").Status.FailedFetches }).
			WithTimeout(20 * time.Second).Should(Equal(failed.FailedFetches + 1))

		w.clock.Step(2 * pace)
		w.userKey(seamtest.JohnUserIdentifierKey)
		w.eventuallySynced(v1alpha1.ReasonFetched)
	})

	It("with a tab in it waits for that Secret: it is not Stalled, and Seam is not called until within 5 s of the correction", func() {
		w := newRestartableWorld()
		w.userKey("jane\tdoe")
		w.create("jane", byKeySecret)
		w.operate()
		Eventually(w.tried).WithTimeout(20 * time.Second).Should(Equal(1))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonCredentialInvalid))
		Expect(w.condition("jane", v1alpha1.ConditionStalled)).To(Equal(metav1.Condition{}))
		Expect(w.seam.CallCount()).To(BeZero())

		w.clock.Step(2 * pace)
		w.userKey(seamtest.JohnUserIdentifierKey)
		w.eventuallySynced(v1alpha1.ReasonFetched)
		Expect(w.seam.CallCount()).To(Equal(1))
	})

	It("with a tab in it leaves a good token Ready and in its Secret, and is not sent to Seam", func() {
		w := newWorld()
		w.userKey(seamtest.JohnUserIdentifierKey)
		w.ready("jane", byKeySecret, whenSessionEnds(v1alpha1.RetentionDelete))
		before := w.secret("jane")
		w.userKey("jane\tdoe")
		w.throughout(3*time.Hour, func() { w.expectReady("jane") })
		Expect(w.secret("jane")).To(Equal(before))
		Expect(w.seam.CallCount()).To(Equal(1))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonCredentialInvalid))
		Expect(w.condition("jane", v1alpha1.ConditionStalled)).To(Equal(metav1.Condition{}))
	})
})

var _ = Describe("A Secret that goes when its session ends", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	// notFoundOnce has Seam answer once, by mistake, that there is no such session.
	notFoundOnce := func() {
		GinkgoHelper()
		calls := w.seam.CallCount()
		w.seam.Fail(seamtest.NotFound)
		w.reconcile("jane")
		w.seam.Heal()
		Expect(w.seam.CallCount()).To(Equal(calls + 1))
	}

	DescribeTable("outlives one mistaken not found after a mistake was put right", func(by func(*v1alpha1.SeamClientSession), mistake, correct func(), meanwhile seamtest.Fault) {
		w.userKey(seamtest.JohnUserIdentifierKey)
		w.ready("jane", by, whenSessionEnds(v1alpha1.RetentionDelete))
		before := w.secret("jane")
		w.advance(2 * pace)
		w.seam.Fail(meanwhile)
		mistake()
		w.request("jane", "with the mistake")
		w.settle("jane")
		w.advance(thinkingTime)
		w.seam.Heal()

		correct()
		w.request("jane", "without it")
		notFoundOnce()
		Expect(w.secret("jane")).To(Equal(before))
		w.advance(10 * time.Minute)
		w.expectReady("jane")
		Expect(w.secret("jane")).To(Equal(before))
		Expect(w.eventReasons()).NotTo(ContainElement("SecretDeleted"))
	},
		Entry("in the selector, which Seam did not find", byID,
			func() { w.change("jane", selecting(mistyped)) },
			func() { w.change("jane", selecting(seamtest.JohnSessionID)) }, seamtest.Fault{}),
		Entry("in the selector, while Seam was down", byID,
			func() { w.change("jane", selecting(mistyped)) },
			func() { w.change("jane", selecting(seamtest.JohnSessionID)) }, seamtest.Outage),
		Entry("in the Secret with the user identifier key", byKeySecret,
			func() { w.userKey(mistyped) },
			func() { w.userKey(seamtest.JohnUserIdentifierKey) }, seamtest.Fault{}),
		Entry("in the credential, which was of another workspace", byID,
			func() { w.credential("seam", seamtest.APIKey2) },
			func() { w.credential("seam", seamtest.APIKey1) }, seamtest.Fault{}),
	)

	DescribeTable("outlives two mistaken not founds with another question between them", func(meanwhile seamtest.Fault, refuse func(string, client.Object) error) {
		w.ready("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		before := w.secret("jane")
		w.advance(2 * pace)
		w.request("jane", "the first")
		notFoundOnce()
		w.seam.Fail(meanwhile)
		w.change("jane", selecting(mistyped))
		w.clock.Step(pace)
		w.interfere = refuse
		calls := w.seam.CallCount()
		_, _ = w.r.Reconcile(w.ctx, ctrl.Request{NamespacedName: w.key("jane")}) // whose error is that of the API server
		Expect(w.seam.CallCount()).To(Equal(calls + 1))
		w.seam.Heal()
		w.interfere = nil
		w.clock.Step(thinkingTime)
		w.change("jane", selecting(seamtest.JohnSessionID))
		notFoundOnce()
		Expect(w.secret("jane")).To(Equal(before))
		w.advance(10 * time.Minute)
		w.expectReady("jane")
		Expect(w.secret("jane")).To(Equal(before))
	},
		Entry("which Seam did not find", seamtest.Fault{}, nil),
		Entry("which met a Seam that was down", seamtest.Outage, nil),
		Entry("of which the API server took no status", seamtest.Fault{},
			func(string, client.Object) error { return apierrors.NewInternalError(errors.New("etcd is down")) }),
	)

	It("goes by two not founds for the same question a minute apart, also after a mistake was put right", func() {
		w.ready("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		w.seam.Delete(seamtest.JohnSessionID)
		w.change("jane", selecting(mistyped))
		w.settle("jane")
		w.advance(thinkingTime)
		w.change("jane", selecting(seamtest.JohnSessionID))
		w.settle("jane")
		w.expectRemovedAMinuteAfter(w.clock.Now())
	})

	It("stays Ready where Seam errs in a call during which the clock was set right", func() {
		w.ready("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		right := w.clock.Now().Add(time.Hour)
		w.seam.Fail(seamtest.NotFound)
		w.duringNextCallTo(getPath, func() { w.clock.SetTime(right) })
		w.clock.SetTime(right.Add(14 * time.Hour))
		w.lookOnce("jane")
		Expect(w.seam.CallCount()).To(Equal(2))
		w.expectReady("jane")
	})

	It("goes by the first not found that is at least a minute after the first, whatever the pauses in between", func() {
		w.ready("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		w.seam.Delete(seamtest.JohnSessionID)
		w.expectRemovedAMinuteAfter(w.untilCalled())
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
	})

	DescribeTable("goes with a session that was deleted at Seam, though its credential is kept otherwise by then", func(move func()) {
		w.ready("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		w.advance(2 * pace)
		move()
		w.seam.Delete(seamtest.JohnSessionID)
		w.request("jane", "now")
		w.settle("jane")
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
		Expect(w.token("jane")).To(Equal(seamtest.JohnToken))
		w.expectRemovedAMinuteAfter(w.clock.Now())
	},
		Entry("with a label on its Secret", func() {
			w.changeSecret("seam", func(s *corev1.Secret) { s.Labels = map[string]string{"team": "shop"} })
		}),
		Entry("in a Secret that was deleted and made again", func() {
			Expect(api.Delete(w.ctx, w.secret("seam"))).To(Succeed())
			w.credential("seam", seamtest.APIKey1)
		}),
		Entry("as a copy in another Secret", func() {
			w.credential("copy", seamtest.APIKey1)
			w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.CredentialSecretRef.Name = "copy" })
		}),
	)

	It("outlives one answer that the session ended in 1970, and is Ready after the next good one", func() {
		w.ready("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		before := w.secret("jane")
		w.seam.Extend(seamtest.JohnSessionID, time.Unix(0, 0).UTC())
		w.untilCalled()
		Expect(w.secret("jane")).To(Equal(before))
		w.seam.Extend(seamtest.JohnSessionID, dawn.Add(24*time.Hour))
		w.untilCalled()
		w.expectReady("jane")
		Expect(w.secret("jane")).To(Equal(before))
	})

	It("goes by two answers that the session has ended, at least a minute apart", func() {
		w.ready("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		w.seam.Extend(seamtest.JohnSessionID, time.Unix(0, 0).UTC())
		w.expectRemovedAMinuteAfter(w.untilCalled())
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
	})

	// aDayAhead sets the node's clock a day ahead of Seam's, and corrected sets it back.
	const aDay = 24 * time.Hour
	aDayAhead := func() {
		w.setClock(aDay)
		w.seam.SetSkew(-aDay)
	}
	corrected := func() {
		w.setClock(-aDay)
		w.seam.SetSkew(0)
	}

	It("outlives a node's clock that is a day ahead, and is Ready again once the clocks agree", func() {
		w.ready("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		before := w.secret("jane")
		aDayAhead()
		w.throughout(time.Hour, func() { Expect(w.secret("jane")).To(Equal(before)) })
		Expect(w.seam.CallCount()).To(BeNumerically(">", 1))
		corrected()
		w.advance(10 * time.Minute)
		w.expectReady("jane")
		Expect(w.secret("jane")).To(Equal(before))
	})

	It("that has ended while the node's clock was a day ahead goes once the clocks agree, and not before", func() {
		w.ready("jane", whenSessionEnds(v1alpha1.RetentionDelete))
		before := w.secret("jane")
		w.seam.Extend(seamtest.JohnSessionID, dawn.Add(time.Second))
		aDayAhead()
		w.throughout(time.Hour, func() { Expect(w.secret("jane")).To(Equal(before)) })
		corrected()
		w.advance(2 * time.Hour)
		w.expectNoSecret("jane")
	})
})

var _ = Describe("A session that waits for a free call", func() {
	var c *crowd
	BeforeEach(func() { c = newCrowd() })

	It("is said to have expired in the second in which its token ends", func() {
		c.fillAt(c.ends.Add(-time.Minute))
		c.request("jane", "now")
		c.settle("jane")
		Expect(c.jam.waiting()).To(BeNumerically("<", sharers), "it waits for no call")
		c.advance(c.ends.Add(-time.Second).Sub(c.clock.Now()))
		c.expectReady("jane")
		c.advance(time.Second)
		Expect(c.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
		Expect(c.eventReasons()).To(ContainElement("SessionExpired"))
	})

	It("is not Ready once its Secret is deleted", func() {
		c.fillAt(c.ends.Add(-time.Minute))
		c.request("jane", "now")
		c.settle("jane")
		c.expectReady("jane")
		Expect(api.Delete(c.ctx, c.secret("jane"))).To(Succeed())
		c.settle("jane")
		Expect(c.condition("jane", v1alpha1.ConditionReady).Status).To(Equal(metav1.ConditionFalse))
	})

	It("has its deleted Secret back as soon as a call is free, and no conflict, however often it was looked at", func() {
		c.fillAt(dawn.Add(time.Minute)) // nothing is due
		Expect(api.Delete(c.ctx, c.secret("jane"))).To(Succeed())
		for range 10 {
			c.reconcile("jane")
			c.clock.Step(time.Second)
			Expect(c.condition("jane", v1alpha1.ConditionSynced).Reason).NotTo(Equal(v1alpha1.ReasonSecretConflict))
		}
		c.clear()
		c.settle("jane")
		Expect(c.token("jane")).To(Equal(seamtest.JohnToken))
		c.expectReady("jane")
		Expect(c.eventReasons()).NotTo(ContainElement(v1alpha1.ReasonSecretConflict))
	})
})

var _ = Describe("A Secret whose session annotation was edited", func() {
	It("is put right while its owner reference still names the object", func() {
		w := newWorld()
		w.ready("jane")
		before := w.secret("jane")
		w.advance(2 * pace)
		w.changeSecret("jane", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationSession] = "john" })
		w.settle("jane")
		w.advance(2 * pace)
		Expect(content(w.secret("jane"))).To(Equal(content(before)))
		w.expectReady("jane")
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
		Expect(w.eventReasons()).NotTo(ContainElement(v1alpha1.ReasonSecretConflict))
	})
})

// misdirection is something that a session refers to and that does not lead to the session of the seed.
type misdirection struct {
	what, reason string
	by           func(*v1alpha1.SeamClientSession)
	// mislead brings it about, and correct ends it.
	mislead, correct func(*world)
}

// badCredential is a misdirection by a credential that meets a fault, or none if that of its own is enough.
func badCredential(what, value, reason string, fault seamtest.Fault) misdirection {
	return misdirection{
		what: what, reason: reason, by: byID,
		mislead: func(w *world) {
			if fault.Name != "" {
				w.seam.AddCredential(value, seamtest.Workspace1)
				w.seam.FailCredential(value, fault)
			}
			w.credential("seam", value)
		},
		correct: func(w *world) { w.credential("seam", seamtest.APIKey1) },
	}
}

var misdirections = []misdirection{
	badCredential("not found with a credential of another workspace", seamtest.APIKey2, v1alpha1.ReasonSessionNotFound, seamtest.Fault{}),
	badCredential("refused with a 403", "seam_limited", v1alpha1.ReasonUnauthorized, seamtest.Forbidden),
	badCredential("mismatched", "seam_other", v1alpha1.ReasonSessionMismatch, seamtest.AnotherSession),
	{
		what: "not found by a mistyped user identifier key", reason: v1alpha1.ReasonSessionNotFound, by: byKeySecret,
		mislead: func(w *world) { w.userKey(mistyped) },
		correct: func(w *world) { w.userKey(seamtest.JohnUserIdentifierKey) },
	},
}

var _ = Describe("After a restart of the operator, a session that is", func() {
	for _, m := range misdirections {
		Context(m.what, func() {
			It("costs no call, write or status until the next is due", func() {
				w := newWorld()
				m.mislead(w)
				w.create("jane", m.by)
				w.settle("jane")
				w.advance(time.Minute)
				calls, writes := w.seam.CallCount(), w.writes.count()
				due := w.session("jane").Status.NextFetchTime.Sub(w.clock.Now())
				w.restart()
				w.settle("jane")
				w.advance(due - time.Second)
				Expect(w.seam.CallCount()).To(Equal(calls))
				Expect(w.writes.count()).To(Equal(writes))
			})

			It("is fetched within 5 s of the correction", func() {
				w := newRestartableWorld()
				m.mislead(w.world)
				w.create("jane", m.by)
				w.failForLong(m.reason)
				calls := w.seam.CallCount()

				w.operate()
				w.readyColleague() // so that jane has been looked at
				Expect(w.seam.CallCount()).To(Equal(calls+1), "the colleague's alone")
				m.correct(w.world)
				w.eventuallySynced(v1alpha1.ReasonFetched)
			})

			It("is fetched within 5 s of the start where the correction came before", func() {
				w := newRestartableWorld()
				m.mislead(w.world)
				w.create("jane", m.by)
				w.failForLong(m.reason)
				calls := w.seam.CallCount()
				m.correct(w.world)

				w.operate()
				w.eventuallySynced(v1alpha1.ReasonFetched)
				Expect(w.seam.CallCount()).To(Equal(calls + 1))
			})
		})
	}
})

var _ = Describe("Changes of secret.name", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	// renameFailing renames jane's Secret while none can be deleted.
	renameFailing := func(name string, changes ...func(*v1alpha1.SeamClientSession)) {
		GinkgoHelper()
		w.interfere = func(verb string, _ client.Object) error {
			if verb == "delete" {
				return apierrors.NewInternalError(errors.New("etcd is down"))
			}
			return nil
		}
		w.advance(2 * pace)
		w.rename(name, changes...)
		Expect(w.token(name)).To(Equal(seamtest.JohnToken))
		w.interfere = nil
	}

	DescribeTable("leave no Secret of the object's but the one that it wants", func(rename func()) {
		rename()
		w.advance(time.Hour)
		Expect(w.owned("jane")).To(Equal([]string{"a"}))
		Expect(w.token("a")).To(Equal(seamtest.JohnToken))
		w.expectReady("jane")
	},
		Entry("from a to b and back, where deleting a failed", func() {
			w.ready("jane", named("a"))
			renameFailing("b")
			w.rename("a")
		}),
		Entry("from b to c to a, where deleting b failed", func() {
			w.ready("jane", named("b"))
			renameFailing("c")
			w.rename("a")
		}),
		Entry("after the operator was killed between creating a Secret and saying so", func() {
			w.create("jane", named("b"))
			w.crash("jane", "patch")
			Expect(w.owned("jane")).To(Equal([]string{"b"}))
			w.advance(2 * pace)
			w.rename("a")
		}),
		Entry("after the operator was killed between writing the second Secret and deleting the first", func() {
			w.ready("jane", named("b"))
			w.advance(2 * pace)
			w.change("jane", named("c"))
			w.crash("jane", "delete")
			Expect(w.owned("jane")).To(Equal([]string{"b", "c"}))
			w.advance(2 * pace)
			w.rename("a")
		}),
	)

	It("leave every Secret that is to be retained", func() {
		w.ready("jane", named("a"), retained(v1alpha1.RetentionRetain))
		for _, name := range []string{"b", "c", "a"} {
			w.advance(2 * pace)
			w.rename(name)
		}
		w.advance(time.Hour)
		for _, name := range []string{"a", "b", "c"} {
			Expect(w.token(name)).To(Equal(seamtest.JohnToken))
		}
	})

	It("leave a Secret of which deleting failed where it is to be retained by then", func() {
		w.ready("jane", named("b"))
		renameFailing("c")
		w.rename("a", retained(v1alpha1.RetentionRetain))
		w.advance(time.Hour)
		for _, name := range []string{"a", "b", "c"} {
			Expect(w.token(name)).To(Equal(seamtest.JohnToken))
		}
	})

	It("leave a Secret that another controller has taken by then", func() {
		w.ready("jane", named("b"))
		renameFailing("c")
		w.changeSecret("b", func(s *corev1.Secret) { s.OwnerReferences = []metav1.OwnerReference{anotherController()} })
		taken := w.secret("b")
		w.rename("a")
		w.advance(time.Hour)
		Expect(w.secret("b")).To(Equal(taken))
		Expect(w.owned("jane")).To(Equal([]string{"a"}))
	})
})

var _ = Describe("Never are there two calls for one object within 5 s", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	It("where another status was written while Seam was asked, which says nothing of that call", func() {
		w.ready("jane")
		w.clock.Step(time.Minute)
		w.request("jane", "now")
		w.interfere = w.once("patch", func() {
			other := w.session("jane")
			other.Status.DeviceCount = new(int32(42))
			Expect(api.Status().Update(w.ctx, other)).To(Succeed())
		})
		calls := w.seam.CallCount() + 1
		for range 5 {
			w.lookOnce("jane")
			Expect(w.seam.CallCount()).To(Equal(calls))
			w.clock.Step(time.Second)
		}
		w.settle("jane")
		w.advance(2 * time.Second)
		Expect(w.seam.CallCount()).To(Equal(calls + 1))
		Expect(w.session("jane").Status.LastHandledRefreshRequest).To(Equal("now"))
	})

	DescribeTable("while a label is stripped and Seam returns an ended sibling, and the label is back after that", func(strip func(*corev1.Secret)) {
		w.ready("jane", byKey, func(s *v1alpha1.SeamClientSession) {
			s.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"}
		})
		before := w.secret("jane")
		john, _ := w.seam.Session(seamtest.JohnSessionID)
		w.seam.Replace(seamtest.JohnSessionID, seamtest.Session{
			ID: "cst2", WorkspaceID: seamtest.Workspace1, UserIdentifierKey: seamtest.JohnUserIdentifierKey,
			Token: "seam_cst2_token", ExpiresAt: dawn.Add(-time.Hour),
		})
		w.advance(time.Minute)
		w.changeSecret("jane", strip)
		w.settle("jane")
		w.advance(10 * time.Minute)
		w.expectPaced()
		Expect(w.token("jane")).To(Equal(seamtest.JohnToken))
		w.expectReady("jane")

		w.seam.Replace("cst2", john)
		w.advance(time.Hour)
		w.expectPaced()
		Expect(content(w.secret("jane"))).To(Equal(content(before)))
		w.expectReady("jane")
	},
		Entry("that the spec asks for", func(s *corev1.Secret) { delete(s.Labels, "team") }),
		Entry("that is the operator's", func(s *corev1.Secret) { delete(s.Labels, v1alpha1.LabelManagedBy) }),
	)

	DescribeTable("while Seam says that the session ended in year 1", func(written bool, token string) {
		if written {
			w.ready("jane")
			w.advance(2 * pace)
		}
		w.seam.Extend(seamtest.JohnSessionID, time.Date(1, time.January, 1, 0, 0, 0, int(time.Second/2), time.UTC))
		if !written {
			w.create("jane")
		}
		w.request("jane", "now")
		w.settle("jane")
		w.advance(10 * time.Minute)
		w.expectPaced()
		Expect(w.token("jane")).To(Equal(token))
	},
		Entry("from the first answer on", false, ""),
		Entry("after a token was written", true, seamtest.JohnToken),
	)

	DescribeTable("while somebody changes ten times in a second", func(change func(i int), handled func()) {
		w.ready("jane")
		w.advance(time.Minute)
		for i := range 10 {
			change(i)
			w.settle("jane")
			w.clock.Step(100 * time.Millisecond)
		}
		w.advance(2 * pace)
		w.expectPaced()
		Expect(w.seam.CallCount()).To(BeNumerically("<=", 3), "the first, one at once, and one for the rest")
		handled()
		w.expectReady("jane")
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
	},
		Entry("the requested refresh, the last of which is handled",
			func(i int) { w.request("jane", fmt.Sprint(i)) },
			func() { Expect(w.session("jane").Status.LastHandledRefreshRequest).To(Equal("9")) }),
		Entry("what the spec asks for, the last of which is written",
			func(i int) {
				w.change("jane", func(s *v1alpha1.SeamClientSession) {
					s.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"n": v1alpha1.LabelValue(fmt.Sprint(i))}
				})
			},
			func() { Expect(w.secret("jane").Labels).To(HaveKeyWithValue("n", "9")) }),
		Entry("the token in the Secret, which is put right",
			func(i int) {
				w.changeSecret("jane", func(s *corev1.Secret) { s.Data["token"] = []byte(fmt.Sprint(i)) })
			},
			func() { Expect(w.token("jane")).To(Equal(seamtest.JohnToken)) }),
	)

	It("but for the one at the end of its token", func() {
		ends := dawn.Add(10 * time.Minute)
		w.seam.Extend(seamtest.JohnSessionID, ends)
		w.ready("jane")
		w.advance(ends.Add(-2 * time.Second).Sub(w.clock.Now()))
		w.request("jane", "now")
		w.settle("jane")
		w.advance(2 * time.Second)
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
		w.advance(time.Minute)
		w.expectPaced(ends)
	})
})

var _ = Describe("A Secret that loses the operator's label during an outage of Seam", func() {
	DescribeTable("stays Ready, for its token is intact, and has the label back once Seam is", func(spoil func(*corev1.Secret)) {
		w := newWorld()
		w.ready("jane")
		before := w.secret("jane")
		w.advance(2 * pace)
		w.seam.Fail(seamtest.Outage)
		w.changeSecret("jane", spoil)
		w.settle("jane")
		w.expectReady("jane")
		w.throughout(10*time.Minute, func() { w.expectReady("jane") })

		w.seam.Heal()
		w.throughout(5*time.Minute, func() { w.expectReady("jane") })
		Expect(content(w.secret("jane"))).To(Equal(content(before)))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
	},
		Entry("to another value", func(s *corev1.Secret) { s.Labels[v1alpha1.LabelManagedBy] = "somebody" }),
		Entry("with all others", func(s *corev1.Secret) { s.Labels = nil }),
	)
})

func byID(*v1alpha1.SeamClientSession) {}

// byKeySecret selects by the user identifier key that userKey writes.
func byKeySecret(s *v1alpha1.SeamClientSession) {
	s.Spec.ClientSessionID = ""
	s.Spec.UserIdentifierKeySecretRef = &v1alpha1.SecretKeyReference{Name: "user", Key: v1alpha1.DefaultCredentialKey}
}

func selecting(id string) func(*v1alpha1.SeamClientSession) {
	return func(s *v1alpha1.SeamClientSession) { s.Spec.ClientSessionID = id }
}

// userKey creates or changes the Secret that byKeySecret refers to.
func (w *world) userKey(value string) {
	GinkgoHelper()
	w.credential("user", value)
}

// request requests a refresh, as a user does.
func (w *world) request(name, value string) {
	GinkgoHelper()
	w.change(name, func(s *v1alpha1.SeamClientSession) {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationRefreshRequestedAt, value)
	})
}

// rename gives jane's Secret another name, and has that acted on.
func (w *world) rename(name string, changes ...func(*v1alpha1.SeamClientSession)) {
	GinkgoHelper()
	w.change("jane", func(s *v1alpha1.SeamClientSession) {
		for _, change := range append(changes, named(name)) {
			change(s)
		}
	})
	w.settle("jane")
}

// owned are the names of the Secrets that this very session controls.
func (w *world) owned(name string) []string {
	GinkgoHelper()
	var list corev1.SecretList
	Expect(api.List(w.ctx, &list, client.InNamespace(w.namespace))).To(Succeed())
	var names []string
	for i := range list.Items {
		if metav1.IsControlledBy(&list.Items[i], w.session(name)) {
			names = append(names, list.Items[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

// throughout lets time pass as advance does, and checks something whenever a timer has run out and at the end.
func (w *world) throughout(d time.Duration, check func()) {
	GinkgoHelper()
	for end := w.clock.Now().Add(d); ; check() {
		_, at := w.nextTimer()
		if at.IsZero() || at.After(end) {
			w.advance(end.Sub(w.clock.Now()))
			check()
			return
		}
		w.advance(max(0, at.Sub(w.clock.Now())))
	}
}

// setClock sets the node's clock ahead or back. Timers that are under way take as long as before; that the operator looks at
// every session when it notices is proved by TestClockIsWatched.
func (w *world) setClock(by time.Duration) {
	GinkgoHelper()
	w.clock.SetTime(w.clock.Now().Add(by))
	for name := range w.timers {
		w.timers[name] = w.timers[name].Add(by)
		w.settle(name)
	}
}

// untilCalled lets time pass until Seam has been called again, and returns when that was.
func (w *world) untilCalled() time.Time {
	GinkgoHelper()
	for calls := w.seam.CallCount(); w.seam.CallCount() == calls; {
		_, at := w.nextTimer()
		Expect(at).NotTo(BeZero(), "nothing will ever call Seam again")
		w.advance(max(0, at.Sub(w.clock.Now())))
	}
	return w.clock.Now()
}

// expectRemovedAMinuteAfter expects that jane's Secret stays for a minute after an answer, and goes by the first one after
// that.
func (w *world) expectRemovedAMinuteAfter(first time.Time) {
	GinkgoHelper()
	for before := w.secret("jane"); w.untilCalled().Sub(first) < confirmation; {
		Expect(w.secret("jane")).To(Equal(before))
	}
	w.expectNoSecret("jane")
	Expect(w.eventReasons()).To(ContainElement("SecretDeleted"))
}

// expectPaced fails if Seam was called twice within 5 s, but for a call at the end of a token.
func (w *world) expectPaced(ends ...time.Time) {
	GinkgoHelper()
	var last time.Time
	for _, call := range w.seam.Calls() {
		if !last.IsZero() && !slices.ContainsFunc(ends, call.At.Equal) {
			Expect(call.At.Sub(last)).To(BeNumerically(">=", pace), "calls at %s and %s", last, call.At)
		}
		last = call.At
	}
}

// newRestartableWorld is newRunningWorld with a manager that runs from operate on. Until then its sessions are reconciled as
// in every world, by another Reconciler.
func newRestartableWorld() *runningWorld {
	GinkgoHelper()
	setRootLogger()
	w := &runningWorld{world: newWorld()}
	w.namespaces = []string{w.namespace} // the worlds of other specs are in the same API server
	DeferCleanup(w.nothingShowsOutside)
	return w
}

// operate has a manager run a new operator until the spec ends.
func (w *runningWorld) operate() {
	GinkgoHelper()
	ctx, stop := context.WithCancel(w.ctx)
	stopped := make(chan error, 1)
	manager := w.newManager(ctx)
	DeferCleanup(func() {
		stop()
		Eventually(stopped).WithTimeout(20 * time.Second).Should(Receive(BeNil()))
	})
	go func() { stopped <- manager.Start(ctx) }()
}

// eventuallySynced expects that within 5 s Synced has this reason in all sessions.
func (w *runningWorld) eventuallySynced(reason string) {
	GinkgoHelper()
	Eventually(w.reasons).WithTimeout(soon).Should(Equal(map[string]int{reason: len(w.sessions())}))
}

// failForLong has jane fail until the next attempt is far off.
func (w *runningWorld) failForLong(reason string) {
	GinkgoHelper()
	w.request("jane", "now")
	w.settle("jane")
	w.advance(thinkingTime)
	Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, reason))
	Expect(w.session("jane").Status.NextFetchTime.Time).To(BeTemporally(">", w.clock.Now().Add(4*pace)))
}

// readyColleague makes a session with a credential of its own, and waits until it is Ready.
func (w *runningWorld) readyColleague() {
	GinkgoHelper()
	w.credential("other", seamtest.AccessToken)
	w.create("colleague", func(s *v1alpha1.SeamClientSession) {
		s.Spec.CredentialSecretRef.Name, s.Spec.WorkspaceID = "other", seamtest.Workspace1
	})
	Eventually(func() metav1.ConditionStatus { return w.condition("colleague", v1alpha1.ConditionReady).Status }).
		WithTimeout(20 * time.Second).Should(Equal(metav1.ConditionTrue))
}

// sharers is how many sessions share a credential in a crowd.
const sharers = 20

// crowd is a world in which jane and others share a credential whose calls can be made to get stuck.
type crowd struct {
	*world
	jam   jam
	stuck sync.WaitGroup
	// ends is when jane's token does.
	ends time.Time
}

func newCrowd() *crowd {
	GinkgoHelper()
	c := &crowd{world: newWorld(), ends: dawn.Add(10 * time.Minute)}
	c.seam.Extend(seamtest.JohnSessionID, c.ends)
	c.seamConfig = func(config *seam.Config) { config.Timeout, config.Instrument = time.Minute, c.jam.wrap }
	c.restart()
	c.seam.Put(seamtest.Session{ID: "others", WorkspaceID: seamtest.Workspace1, Token: "seam_cst_others", ExpiresAt: dawn.Add(24 * time.Hour)})
	for i := range sharers - 1 { // of a session that lives on: a call is given up at the end of its token
		c.create(fmt.Sprintf("jane-%d", i), selecting("others"))
	}
	c.create("jane")
	c.settle(c.all()...)
	for _, name := range c.all() {
		c.expectReady(name)
	}
	return c
}

func (c *crowd) all() []string {
	GinkgoHelper()
	var names []string
	for _, session := range c.sessions() {
		names = append(names, session.Name)
	}
	return names
}

// fillAt has all but jane ask Seam, at a time before their tokens end, and none of their calls come back until clear.
func (c *crowd) fillAt(at time.Time) {
	GinkgoHelper()
	c.clock.SetTime(at)
	c.jam.begin()
	DeferCleanup(c.clear)
	var held atomic.Int32
	for _, name := range c.all() {
		if name == "jane" {
			continue
		}
		c.request(name, "now")
		c.stuck.Go(func() {
			_, _ = c.r.Reconcile(c.ctx, ctrl.Request{NamespacedName: c.key(name)}) // what it leads to is jane's concern alone
			held.Add(1)
		})
	}
	Eventually(func() int { return int(held.Load()) + c.jam.waiting() }).Should(Equal(sharers - 1))
	clear(c.timers) // of the others
	c.reconcile("jane")
}

// clear lets the calls come back.
func (c *crowd) clear() {
	c.jam.end()
	c.stuck.Wait()
}

// jam is a network in which calls get stuck while it lasts.
type jam struct {
	mu      sync.Mutex
	cleared chan struct{} // nil while calls pass
	count   int
}

func (j *jam) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cleared = make(chan struct{})
}

func (j *jam) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cleared != nil {
		close(j.cleared)
	}
	j.cleared, j.count = nil, 0
}

// waiting is how many calls are stuck.
func (j *jam) waiting() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.count
}

func (j *jam) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		j.mu.Lock()
		cleared := j.cleared
		if cleared != nil {
			j.count++
		}
		j.mu.Unlock()
		if cleared != nil {
			select {
			case <-cleared:
			case <-request.Context().Done():
				return nil, request.Context().Err()
			}
		}
		return next.RoundTrip(request)
	})
}

var _ = Describe("A key that a Secret does not have", func() {
	It("is told with those that are there", func() {
		w := newWorld()
		w.create("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.CredentialSecretRef.Key = "api-key" })
		w.settle("jane")
		Expect(w.condition("jane", v1alpha1.ConditionSynced).Message).To(
			HavePrefix(`Secret "seam" has no key "api-key", it has "SEAM_API_KEY": put the credential for Seam there`))
	})
})

var _ = Describe("A key that the Secret of a SeamWorkspace does not have", func() {
	It("is told without those that are there", func() {
		w := newWorld()
		_, _, err := w.r.credentialIn(w.ctx, w.namespace, v1alpha1.CredentialReference{Name: "seam", Key: "api-key"}, "")
		Expect(err).To(MatchError(`Secret "seam" has no key "api-key": put the credential for Seam there`))
	})
})

var _ = Describe("An outage of Seam", func() {
	It("doesn't hide what Seam said before, be it of the session or of its workspace", func() {
		w := newWorld()
		w.create("unknown", func(s *v1alpha1.SeamClientSession) { s.Spec.ClientSessionID = "nosuch" })
		w.create("elsewhere", func(s *v1alpha1.SeamClientSession) { s.Spec.WorkspaceID = seamtest.Workspace2 })
		w.settle("unknown", "elsewhere")
		said := map[string]metav1.Condition{}
		for _, name := range []string{"unknown", "elsewhere"} {
			said[name] = w.condition(name, v1alpha1.ConditionSynced)
		}
		w.seam.Fail(seamtest.Outage)
		w.advance(3 * time.Hour)
		for name, before := range said {
			session := w.session(name)
			Expect(w.condition(name, v1alpha1.ConditionSynced)).To(And(
				haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSeamUnavailable),
				HaveField("Message", HaveSuffix("; attempts fail since 2026-03-01T12:00:00Z; Seam's last word was "+before.Reason+": see status.lastRefusal"))))
			Expect(w.condition(name, v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, before.Reason))
			Expect(session.Status.LastRefusal).To(HaveValue(And(HaveField("Reason", before.Reason), HaveField("Message", Not(BeEmpty())))))
			Expect(before.Message).To(HavePrefix(session.Status.LastRefusal.Message))
		}

		w.seam.Heal()
		w.advance(10 * time.Minute)
		for name, before := range said {
			Expect(w.session(name).Status.LastRefusal).To(BeNil())
			Expect(w.condition(name, v1alpha1.ConditionSynced)).To(HaveField("Reason", before.Reason))
		}
	})
})
