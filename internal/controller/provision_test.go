package controller

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	getOrCreatePath = "/client_sessions/get_or_create"
	janeKey         = "shop-jane"
	day             = 24 * time.Hour
)

// provisioned is a session of a user that the operator makes and extends.
func provisioned(key string, changes ...func(*v1alpha1.SeamClientSession)) func(*v1alpha1.SeamClientSession) {
	return func(s *v1alpha1.SeamClientSession) {
		s.Spec.ClientSessionID, s.Spec.UserIdentifierKey = "", key
		s.Spec.Provision = &v1alpha1.Provision{Lifetime: &metav1.Duration{Duration: day}}
		for _, change := range changes {
			change(s)
		}
	}
}

func lasting(lifetime time.Duration) func(*v1alpha1.SeamClientSession) {
	return func(s *v1alpha1.SeamClientSession) { s.Spec.Provision.Lifetime.Duration = lifetime }
}

func looking(every time.Duration) func(*v1alpha1.SeamClientSession) {
	return func(s *v1alpha1.SeamClientSession) { s.Spec.RefreshInterval = &metav1.Duration{Duration: every} }
}

// theSession is the one session of a user at Seam.
func (w *world) theSession(key string) seamtest.Session {
	GinkgoHelper()
	all := w.seam.Sessions(key)
	Expect(all).To(HaveLen(1))
	return all[0]
}

// expectToken expects that the Secret of a session holds the token of one at Seam that has not ended.
func (w *world) expectToken(name string, session seamtest.Session) {
	GinkgoHelper()
	w.expectReady(name)
	Expect(text(w.secret(name))).To(HaveKeyWithValue("token", session.Token))
	Expect(session.ExpiresAt).To(BeTemporally(">", w.clock.Now()))
}

// duringNextCallTo has something happen during the next call to a route.
func (w *world) duringNextCallTo(path string, do func()) {
	GinkgoHelper()
	once := sync.OnceFunc(do)
	w.seamConfig = func(config *seam.Config) {
		config.Instrument = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(request *http.Request) (*http.Response, error) {
				if request.URL.Path == path {
					once()
				}
				return next.RoundTrip(request)
			})
		}
	}
	w.restart()
}

// lookOnce reconciles a session once.
func (w *world) lookOnce(name string) {
	GinkgoHelper()
	_, err := w.r.Reconcile(w.ctx, ctrl.Request{NamespacedName: w.key(name)})
	Expect(err).NotTo(HaveOccurred())
}

var _ = Describe("A provisioned session", func() {
	It("is made where nobody made it, with one call of each route", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, func(s *v1alpha1.SeamClientSession) {
			s.Spec.Provision.ConnectedAccountIDs = []v1alpha1.SeamID{"account1"}
		}))
		made := w.theSession(janeKey)
		w.expectToken("jane", made)
		Expect(made.ExpiresAt).To(BeTemporally("==", dawn.Add(day)))
		Expect(made.ConnectedAccountIDs).To(Equal([]string{"account1"}))
		Expect(w.seam.CallsTo(getPath)).To(Equal(1))
		Expect(w.seam.CallsTo(getOrCreatePath)).To(Equal(1))
		Expect(w.eventReasons()).To(ConsistOf("SessionCreated", "TokenWritten"))
		Expect(w.session("jane").Status.Provisioning.GrantedUntil.Time).To(BeTemporally("==", dawn.Add(day)))
	})

	It("is extended before it ends, with one call more per two thirds of its lifetime", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, looking(6*time.Hour)))
		id := w.theSession(janeKey).ID
		for range 30 {
			w.advance(day)
			w.expectToken("jane", w.theSession(janeKey))
			Expect(w.condition("jane", v1alpha1.ConditionExpiring).Type).To(BeEmpty())
		}
		Expect(w.theSession(janeKey).ID).To(Equal(id))
		Expect(w.seam.CallsTo(getOrCreatePath)).To(BeNumerically("~", 1+30*3/2, 4))
		Expect(w.seam.CallsTo(getPath)).To(BeNumerically("<=", 2*(30*4+30*3/2)))
		Expect(w.eventReasons()).NotTo(ContainElement("Expiring"))
	})

	It("costs one call a refreshInterval while it does not end soon", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, lasting(365*day), looking(6*time.Hour)))
		w.advance(30 * day)
		Expect(w.seam.CallsTo(getOrCreatePath)).To(Equal(1))
		Expect(w.seam.CallsTo(getPath)).To(BeNumerically("<=", 1+30*4*10/9))
	})

	It("is left its longer end, its lists, and its token, where somebody else made it", func() {
		w := newWorld()
		w.seam.Change(seamtest.JohnSessionID, func(s *seamtest.Session) {
			s.ExpiresAt, s.ConnectedAccountIDs, s.ConnectWebviewIDs = dawn.Add(100*day), []string{"a"}, []string{"b"}
			s.UserIdentityID = "c"
		})
		for _, behaviour := range []seamtest.Behaviour{{}, {OmittedClears: true}, {EmptyKeeps: true}} {
			w.seam.Behave(behaviour)
			name := fmt.Sprintf("john-%t-%t", behaviour.OmittedClears, behaviour.EmptyKeeps)
			w.ready(name, provisioned(seamtest.JohnUserIdentifierKey))
			john := w.theSession(seamtest.JohnUserIdentifierKey)
			Expect(john.ExpiresAt).To(BeTemporally("==", dawn.Add(100*day)))
			Expect(john.Token).To(Equal(seamtest.JohnToken))
			Expect([]any{john.ConnectedAccountIDs, john.ConnectWebviewIDs, john.UserIdentityID}).To(Equal([]any{[]string{"a"}, []string{"b"}, "c"}))
		}
	})

	It("that has no end is left alone", func() {
		w := newWorld()
		w.seam.Extend(seamtest.JohnSessionID, time.Time{})
		w.ready("john", provisioned(seamtest.JohnUserIdentifierKey))
		w.advance(3 * day)
		Expect(w.seam.CallsTo(getOrCreatePath)).To(BeZero())
		Expect(w.seam.CallsTo(getPath)).To(BeNumerically("<=", 1+3*24*10/9))
	})

	It("is given what its spec says when that changes, and nothing for a shorter lifetime", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey))
		w.clock.Step(time.Minute)
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.Provision.ConnectWebviewIDs = []v1alpha1.SeamID{"b"} })
		w.settle("jane")
		Expect(w.theSession(janeKey).ConnectWebviewIDs).To(Equal([]string{"b"}))
		w.clock.Step(time.Minute)
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.Provision.Lifetime.Duration = time.Hour })
		w.settle("jane")
		Expect(w.theSession(janeKey).ExpiresAt).To(BeTemporally("==", dawn.Add(day+time.Minute)))
		w.clock.Step(time.Minute)
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.Provision = nil })
		w.settle("jane")
		calls := w.seam.CallsTo(getOrCreatePath)
		w.advance(3 * day)
		Expect(w.seam.CallsTo(getOrCreatePath)).To(Equal(calls), "it is read only from then on")
		Expect(w.session("jane").Status.Provisioning).To(BeNil())
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
	})

	It("that ends while it is suspended is revived after that", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey))
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.Suspend = true })
		w.settle("jane")
		w.advance(3 * day)
		Expect(w.seam.CallsTo(getOrCreatePath)).To(Equal(1))
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.Suspend = false })
		w.settle("jane")
		w.expectToken("jane", w.theSession(janeKey))
	})

	It("that somebody deletes is made again at once, and then ever more slowly", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey))
		w.advance(time.Hour)
		w.seam.ResetCounts()
		for i := range 2 * 60 { // a colleague deletes it whenever a minute has passed, and has it fetched
			for _, session := range w.seam.Sessions(janeKey) {
				w.seam.Delete(session.ID)
			}
			w.change("jane", func(s *v1alpha1.SeamClientSession) {
				s.Annotations = map[string]string{v1alpha1.AnnotationRefreshRequestedAt: strconv.Itoa(i)}
			})
			w.settle("jane")
			w.advance(time.Minute)
		}
		Expect(w.seam.CallsTo(getOrCreatePath)).To(BeNumerically("~", 2*60/5, 8), "every five minutes")
		w.advance(10 * time.Minute)
		w.expectToken("jane", w.theSession(janeKey))
	})

	It("whose credential may read and not create says so, and is read on", func() {
		w := newWorld()
		w.seam.FailCredentialOn(seamtest.APIKey1, getOrCreatePath, seamtest.Forbidden)
		w.create("jane", provisioned(janeKey))
		w.settle("jane")
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonUnauthorized))
		Expect(w.condition("jane", v1alpha1.ConditionSynced).Message).To(ContainSubstring("make or extend"))
		w.advance(2 * day)
		Expect(w.seam.CallsTo(getOrCreatePath)).To(BeNumerically("<=", 12+48*10/9), "ever less often, down to once in refreshInterval")
		w.seam.Heal()
		w.advance(2 * time.Hour)
		w.expectToken("jane", w.theSession(janeKey))
	})

	It("that can't be extended keeps its token, and says that it ends and why", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey))
		w.seam.FailRoute(getOrCreatePath, seamtest.Forbidden)
		w.advance(20 * time.Hour)
		w.expectReady("jane")
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
		Expect(w.condition("jane", v1alpha1.ConditionExpiring).Message).To(ContainSubstring("extending it fails: Seam does not let"))
		w.seam.Heal()
		w.advance(2 * time.Hour)
		Expect(w.condition("jane", v1alpha1.ConditionExpiring).Type).To(BeEmpty())
		w.expectToken("jane", w.theSession(janeKey))
	})

	It("is made once where the answer to that was lost", func() {
		for _, fault := range []seamtest.Fault{seamtest.Outage.AfterActing(), seamtest.ResetInBody, seamtest.TruncatedJSON.AfterActing(), seamtest.Hang} {
			w := newWorld()
			w.seam.FailRoute(getOrCreatePath, fault)
			w.create("jane", provisioned(janeKey))
			w.settle("jane")
			w.seam.Heal()
			w.advance(10 * time.Minute)
			w.expectToken("jane", w.theSession(janeKey))
			Expect(w.theSession(janeKey).CreatedAt).To(BeTemporally("==", dawn), fault.Name)
		}
	})

	It("is not made, or made to end earlier, by a process that was frozen before", func() {
		for _, path := range []string{getPath, workspacePath} {
			w := newWorld()
			w.create("jane", provisioned(janeKey, func(s *v1alpha1.SeamClientSession) { s.Spec.WorkspaceID = seamtest.Workspace1 }))
			w.duringNextCallTo(path, func() { w.clock.Step(time.Hour) })
			w.lookOnce("jane")
			w.lookOnce("jane")
			Expect(w.seam.CallsTo(getOrCreatePath)).To(BeZero(), path)
			w.settle("jane")
			w.advance(time.Minute)
			w.expectToken("jane", w.theSession(janeKey))
			Expect(w.theSession(janeKey).ExpiresAt).To(BeTemporally(">=", dawn.Add(day+time.Hour)))
		}
	})

	It("is fetched again before another call where its token ends during the one that is to extend it", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey))
		w.clock.Step(10 * time.Minute)
		end := w.clock.Now().Add(20 * time.Second)
		w.seam.Change(w.theSession(janeKey).ID, func(s *seamtest.Session) { s.ExpiresAt = end })
		w.duringNextCallTo(getOrCreatePath, func() { w.clock.SetTime(end) })
		w.request("jane", "now")
		w.lookOnce("jane")
		w.lookOnce("jane")
		Expect(w.clock.Now()).To(Equal(end))
		fetched, provided := w.seam.CallsTo(getPath), w.seam.CallsTo(getOrCreatePath)
		w.lookOnce("jane")
		Expect(w.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
		Expect(w.seam.CallsTo(getPath)).To(Equal(fetched + 1))
		Expect(w.seam.CallsTo(getOrCreatePath)).To(Equal(provided))
		w.settle("jane")
		w.advance(10 * time.Second)
		w.expectToken("jane", w.theSession(janeKey))
	})

	It("is not extended by what a replica saw before another took over", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey))
		w.clock.Step(10 * time.Minute)
		w.seam.Change(w.theSession(janeKey).ID, func(s *seamtest.Session) { s.ExpiresAt = w.clock.Now().Add(time.Hour) })
		w.request("jane", "now")
		w.interfere = w.once("patch", func() { w.takeOver("jane") })
		w.lookOnce("jane")
		provided := w.seam.CallsTo(getOrCreatePath)
		w.lookOnce("jane")
		Expect(w.seam.CallsTo(getOrCreatePath)).To(Equal(provided))
	})

	It("is not made when its grant goes while Seam says which workspace it is", func() {
		p := newPlatform(func(w *v1alpha1.SeamWorkspace) {
			w.Spec.Grants[0].UserIdentifierKeyPrefixes, w.Spec.Grants[0].Allow = nil, []v1alpha1.GrantedUse{v1alpha1.GrantedProvision}
		})
		p.create("jane", provisioned(janeKey), p.byWorkspace(janeKey))
		p.duringNextCallTo(workspacePath, func() {
			workspace := p.workspace()
			workspace.Spec.Grants[0].Allow = []v1alpha1.GrantedUse{v1alpha1.GrantedRead}
			Expect(api.Update(p.ctx, workspace)).To(Succeed())
		})
		p.settle("jane")
		Expect(p.seam.CallsTo(workspacePath)).To(BeNumerically(">", 1))
		Expect(p.seam.CallsTo(getOrCreatePath)).To(BeZero())
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
	})

	It("is not written, nor told of, when its grant goes while it is made", func() {
		p := newPlatform(func(w *v1alpha1.SeamWorkspace) {
			w.Spec.Grants[0].UserIdentifierKeyPrefixes, w.Spec.Grants[0].Allow = nil, []v1alpha1.GrantedUse{v1alpha1.GrantedProvision}
		})
		p.create("jane", provisioned(janeKey), p.byWorkspace(janeKey))
		p.duringNextCallTo(getOrCreatePath, func() {
			workspace := p.workspace()
			workspace.Spec.Grants[0].Namespaces.Names = []v1alpha1.NamespaceName{"another"}
			workspace.Spec.Grants[0].Namespaces.Selector = nil
			Expect(api.Update(p.ctx, workspace)).To(Succeed())
		})
		p.settle("jane")
		Expect(p.seam.Sessions(janeKey)).To(HaveLen(1))
		Expect(p.owned("jane")).To(BeEmpty())
		Expect(p.session("jane").Status.Provisioned.ClientSessionID).To(BeEmpty())
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
	})

	It("is not fetched again and again for a Secret that was made immutable, while Seam returns another one that has ended", func() {
		w := newWorld()
		w.seam.Behave(seamtest.Behaviour{Ended: seamtest.Doubled})
		w.seam.Extend(seamtest.JohnSessionID, dawn.Add(-time.Hour))
		w.ready("john", provisioned(seamtest.JohnUserIdentifierKey))
		held := w.secret("john")
		held.Immutable = ptr.To(true)
		Expect(api.Update(w.ctx, held)).To(Succeed())
		w.seam.ResetCounts()
		w.settle("john")
		w.advance(10 * time.Minute)
		Expect(w.seam.CallsTo(getPath)).To(BeNumerically("<", 12))
		Expect(w.condition("john", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSecretConflict))
	})

	It("is made once by two objects of one user, and kept by both", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey, looking(6*time.Hour)))
		w.ready("jane2", provisioned(janeKey, looking(6*time.Hour), lasting(48*time.Hour)))
		for range 10 {
			before := w.theSession(janeKey).ExpiresAt
			w.advance(day)
			Expect(w.theSession(janeKey).ExpiresAt).To(BeTemporally(">=", before))
			w.expectToken("jane", w.theSession(janeKey))
			w.expectToken("jane2", w.theSession(janeKey))
		}
		Expect(w.seam.CallsTo(getOrCreatePath)).To(BeNumerically("<", 2+10*2))
	})

	It("is not made in another workspace than it was in", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey))
		w.credential("seam", seamtest.APIKey2) // of another workspace
		w.advance(2 * time.Hour)
		Expect(w.theSession(janeKey).WorkspaceID).To(Equal(seamtest.Workspace1))
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionMismatch))
		w.expectToken("jane", w.theSession(janeKey))
		w.credential("seam", seamtest.APIKey1)
		w.advance(2 * time.Hour)
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
	})

	It("is not made in another workspace than workspaceID says", func() {
		w := newWorld()
		w.create("jane", provisioned(janeKey, func(s *v1alpha1.SeamClientSession) { s.Spec.WorkspaceID = seamtest.Workspace2 }))
		w.settle("jane")
		w.advance(2 * time.Hour)
		Expect(w.seam.Sessions(janeKey)).To(BeEmpty(), "the API key is of the other workspace")
		Expect(w.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionMismatch))
		w.credential("seam", seamtest.APIKey2)
		w.advance(2 * time.Hour)
		w.expectToken("jane", w.theSession(janeKey))
		Expect(w.theSession(janeKey).WorkspaceID).To(Equal(seamtest.Workspace2))
	})

	It("whose user changes is another", func() {
		w := newWorld()
		w.ready("jane", provisioned(janeKey))
		w.clock.Step(time.Minute)
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.UserIdentifierKey = "shop-joe" })
		w.settle("jane")
		w.expectToken("jane", w.theSession("shop-joe"))
		w.theSession(janeKey)
	})

	It("is neither shortened nor asked for without end by a clock that is off by hours", func() {
		for _, ahead := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
			w := newWorld()
			w.ready("jane", provisioned(janeKey))
			w.seam.SetSkew(ahead)
			before := w.theSession(janeKey).ExpiresAt
			for range 5 {
				w.advance(12 * time.Hour)
				Expect(w.theSession(janeKey).ExpiresAt).To(BeTemporally(">=", before))
				before = w.theSession(janeKey).ExpiresAt
			}
			Expect(w.seam.CallsTo(getOrCreatePath)).To(BeNumerically("<=", 8))
		}
	})

	It("is extended as often as a Seam that grants little makes necessary, and no more", func() {
		w := newWorld()
		w.seam.Behave(seamtest.Behaviour{MaxLifetime: time.Hour})
		w.ready("jane", provisioned(janeKey))
		for range 24 {
			w.advance(time.Hour)
			w.expectToken("jane", w.theSession(janeKey))
		}
		Expect(w.seam.CallsTo(getOrCreatePath)).To(BeNumerically("~", 24*3/2, 6))
	})

	It("that Seam does not extend ends, with few calls", func() {
		w := newWorld()
		w.seam.Extend(seamtest.JohnSessionID, dawn.Add(12*time.Hour))
		w.seam.Behave(seamtest.Behaviour{KeepsEnd: true})
		w.ready("john", provisioned(seamtest.JohnUserIdentifierKey))
		w.advance(11 * time.Hour)
		w.expectReady("john")
		Expect(w.seam.CallsTo(getOrCreatePath)).To(BeNumerically("<=", 8))
	})

	DescribeTable("has a good token for a month, whatever Seam does",
		func(behaviour seamtest.Behaviour) {
			w := newWorld()
			w.seam.Behave(behaviour)
			w.ready("jane", provisioned(janeKey, looking(8*time.Hour)))
			for i := range 20 {
				w.advance(36 * time.Hour)
				w.expectReady("jane")
				token := string(w.secret("jane").Data["token"])
				Expect(w.seam.Sessions(janeKey)).To(ContainElement(SatisfyAll(
					HaveField("Token", token), HaveField("ExpiresAt", BeTemporally(">", w.clock.Now())))), "on day %d", i)
			}
			Expect(w.seam.CallsTo(getOrCreatePath)).To(BeNumerically("<=", 60))
		},
		Entry("extend and keep the token", seamtest.Behaviour{}),
		Entry("extend and change the token", seamtest.Behaviour{ExtendingChangesToken: true}),
		Entry("replace the session", seamtest.Behaviour{Existing: seamtest.Replaced, Ended: seamtest.Replaced}),
		Entry("cap the lifetime", seamtest.Behaviour{MaxLifetime: 20 * time.Hour, ExtendingChangesToken: true}),
		Entry("clear what is left out", seamtest.Behaviour{OmittedClears: true, EmptyKeeps: true, RefusesPast: true}),
	)

	DescribeTable("that has ended or was revoked comes back, whatever Seam does",
		func(behaviour seamtest.Behaviour, end func(*seamtest.Session)) {
			w := newWorld()
			w.ready("jane", provisioned(janeKey))
			w.seam.Behave(behaviour)
			w.seam.Change(w.theSession(janeKey).ID, end)
			w.advance(2 * time.Hour)
			w.expectReady("jane")
			token := string(w.secret("jane").Data["token"])
			Expect(w.seam.Sessions(janeKey)).To(ContainElement(SatisfyAll(
				HaveField("Token", token), HaveField("ExpiresAt", BeTemporally(">", w.clock.Now())), HaveField("RevokedAt", BeTemporally("==", time.Time{})))))
			Expect(len(w.seam.Sessions(janeKey))).To(BeNumerically("<=", 2), "made no more than once")
		},
		Entry("ended, revived", seamtest.Behaviour{}, ended),
		Entry("ended, revived with another token", seamtest.Behaviour{ExtendingChangesToken: true}, ended),
		Entry("ended, replaced", seamtest.Behaviour{Ended: seamtest.Replaced}, ended),
		Entry("ended, doubled", seamtest.Behaviour{Ended: seamtest.Doubled}, ended),
		Entry("revoked and not found, revived", seamtest.Behaviour{RevokedNotFound: true}, revoked),
		Entry("revoked and not found, replaced", seamtest.Behaviour{RevokedNotFound: true, Ended: seamtest.Replaced}, revoked),
	)
})

func ended(s *seamtest.Session)   { s.ExpiresAt = dawn.Add(time.Second) }
func revoked(s *seamtest.Session) { s.RevokedAt = dawn.Add(time.Second) }
