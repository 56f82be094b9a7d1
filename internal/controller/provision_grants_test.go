package controller

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// newProvisioningPlatform is a platform that lets the world's namespace provision sessions of users whose key begins with shop-, which
// may see account1. Seam's events are not read: days pass here.
func newProvisioningPlatform(changes ...func(*v1alpha1.Grant)) *platform {
	GinkgoHelper()
	return newPlatform(func(w *v1alpha1.SeamWorkspace) {
		w.Spec.Events.PollInterval = &metav1.Duration{}
		grant := &w.Spec.Grants[0]
		grant.UserIdentifierKeyPrefixes = []v1alpha1.KeyPrefix{"shop-"}
		grant.Allow = []v1alpha1.GrantedUse{v1alpha1.GrantedProvision}
		grant.Associations = &v1alpha1.Associations{ConnectedAccountIDs: []v1alpha1.SeamID{"account1"}}
		for _, change := range changes {
			change(grant)
		}
	})
}

// changeGrant edits the one grant of the workspace.
func (p *platform) changeGrant(change func(*v1alpha1.Grant)) {
	GinkgoHelper()
	p.changeWorkspace(func(s *v1alpha1.SeamWorkspaceSpec) { change(&s.Grants[0]) })
}

// deleteWorkspace deletes the workspace as those who run it do, and lets the operator see it.
func (p *platform) deleteWorkspace() {
	GinkgoHelper()
	Expect(api.Delete(p.ctx, p.workspace())).To(Succeed())
	p.lookAtWorkspace()
}

// deletedNow moves the clock to when the API server, whose clock is another, took the deletion of a session, and lets the operator see it.
func (p *platform) deletedNow(name string) {
	GinkgoHelper()
	p.clock.SetTime(p.session(name).DeletionTimestamp.Time)
	p.lookAtWorkspace()
	p.settle(name)
}

// countLeftBehind counts what the operator that runs now leaves behind.
func (p *platform) countLeftBehind() *int {
	count := 0
	p.r.leftBehind = func() { count++ }
	return &count
}

// when has something happen once Seam has answered on a route, before the operator has the answer; from the next restart on.
func (p *platform) when(path string, happens func()) {
	p.seamConfig = func(config *seam.Config) {
		config.Instrument = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(request *http.Request) (*http.Response, error) {
				response, err := next.RoundTrip(request)
				if request.URL.Path == path {
					happens()
				}
				return response, err
			})
		}
	}
}

func readOnly(grant *v1alpha1.Grant) { grant.Allow = []v1alpha1.GrantedUse{v1alpha1.GrantedRead} }
func unnamed(grant *v1alpha1.Grant)  { grant.Allow = nil }
func unlisted(grant *v1alpha1.Grant) { grant.Associations = nil }
func elsewhere(grant *v1alpha1.Grant) {
	grant.UserIdentifierKeyPrefixes = []v1alpha1.KeyPrefix{"garage-"}
}

func seeing(account v1alpha1.SeamID) func(*v1alpha1.SeamClientSession) {
	return func(s *v1alpha1.SeamClientSession) {
		s.Spec.Provision.ConnectedAccountIDs = []v1alpha1.SeamID{account}
	}
}

var _ = Describe("A provisioned session by workspaceRef", func() {
	It("is made and extended where the grant allows that and lists what it may see", func() {
		p := newProvisioningPlatform()
		p.ready("jane", provisioned(janeKey, seeing("account1"), looking(6*time.Hour)), p.byWorkspace(janeKey))
		made := p.theSession(janeKey)
		p.expectToken("jane", made)
		Expect(made.ConnectedAccountIDs).To(Equal([]string{"account1"}))
		p.advance(3 * day)
		p.expectToken("jane", p.theSession(janeKey))
		Expect(p.theSession(janeKey).ID).To(Equal(made.ID))
	})

	DescribeTable("is neither made nor asked for where the grant does not, and is once it does",
		func(change func(*v1alpha1.Grant)) {
			p := newProvisioningPlatform(change)
			p.userKey(janeKey)
			calls := p.seam.CallCount()
			p.create("jane", provisioned(janeKey, seeing("account1")), p.byWorkspace(janeKey))
			p.create("by-secret", provisioned("", seeing("account1")), p.byWorkspace(""), byKeySecret)
			p.settle("jane", "by-secret")
			p.world.advance(2 * time.Hour) // in which nobody looks at the workspace
			for _, name := range []string{"jane", "by-secret"} {
				Expect(p.condition(name, v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
				p.expectNoSecret(name)
			}
			Expect(p.seam.CallCount()).To(Equal(calls))
			Expect(p.seam.Sessions(janeKey)).To(BeEmpty())

			p.changeGrant(func(grant *v1alpha1.Grant) {
				grant.UserIdentifierKeyPrefixes, grant.Allow = nil, []v1alpha1.GrantedUse{v1alpha1.GrantedProvision}
				grant.Associations = &v1alpha1.Associations{ConnectedAccountIDs: []v1alpha1.SeamID{"account1"}}
			})
			p.advance(time.Minute)
			p.expectToken("jane", p.theSession(janeKey))
			p.expectToken("by-secret", p.theSession(janeKey))
		},
		Entry("it allows to read", readOnly),
		Entry("it does not say what it allows", unnamed),
		Entry("it lists nothing that a session may see", unlisted),
		Entry("it lists something else", func(grant *v1alpha1.Grant) {
			grant.Associations = &v1alpha1.Associations{ConnectedAccountIDs: []v1alpha1.SeamID{"account2"}}
		}),
		Entry("it is for other users", elsewhere),
	)

	It("that names an account which is not listed is not given it", func() {
		p := newProvisioningPlatform()
		p.ready("jane", provisioned(janeKey, seeing("account1")), p.byWorkspace(janeKey))
		p.advance(time.Minute)
		p.seam.ResetCounts()
		p.change("jane", seeing("account2"))
		p.settle("jane")
		p.world.advance(time.Hour)
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
		Expect(p.seam.CallCount()).To(BeZero())
		Expect(p.theSession(janeKey).ConnectedAccountIDs).To(Equal([]string{"account1"}))
		p.expectReady("jane")
	})

	DescribeTable("stays until it ends, and is not extended, when the grant does not allow it any more",
		func(change func(*v1alpha1.Grant)) {
			p := newProvisioningPlatform()
			p.ready("jane", provisioned(janeKey, seeing("account1")), p.byWorkspace(janeKey))
			before := p.theSession(janeKey)
			p.advance(time.Minute)
			reads, asks := p.seam.CallsTo(getPath), p.seam.CallsTo(getOrCreatePath)
			p.changeGrant(change)
			Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
			p.advance(before.ExpiresAt.Sub(p.clock.Now()) - time.Second)
			p.expectToken("jane", before)
			p.advance(time.Second)
			Expect(p.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
			p.advance(2 * day)
			Expect(p.theSession(janeKey)).To(Equal(before))
			Expect([]int{p.seam.CallsTo(getPath), p.seam.CallsTo(getOrCreatePath)}).To(Equal([]int{reads, asks}))

			p.changeGrant(func(grant *v1alpha1.Grant) { *grant = newGrant(p) })
			p.advance(time.Minute)
			p.expectToken("jane", p.theSession(janeKey))
		},
		Entry("but to read", readOnly),
		Entry("for what it may see", unlisted),
		Entry("for this user", elsewhere),
	)

	It("is not made where the grant goes between the look and the making", func() {
		p := newProvisioningPlatform()
		p.create("jane", provisioned(janeKey), p.byWorkspace(janeKey))
		for i := 0; i < 10 && p.seam.CallsTo(getPath) == 0; i++ {
			p.reconcile("jane")
		}
		Expect(p.r.memory.of(p.world.key("jane"), p.clock.Now()).wish).NotTo(BeNil())
		workspace := p.workspace()
		readOnly(&workspace.Spec.Grants[0])
		Expect(api.Update(p.ctx, workspace)).To(Succeed())
		p.reconcile("jane")
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
		Expect(p.seam.CallsTo(getOrCreatePath)).To(BeZero())
		p.clock.Step(2 * time.Minute) // after which what was found out is not enough any more, though it is remembered
		p.r.memory.wish(p.world.key("jane"), nil)
		p.lookAtWorkspace()
		p.advance(time.Hour)
		Expect(p.seam.CallsTo(getOrCreatePath)).To(BeZero())
		Expect(p.seam.CallsTo(getPath)).To(Equal(1))
	})

	It("is not written where the grant goes while Seam makes it, and is written when the grant is back", func() {
		p := newProvisioningPlatform()
		goes := true
		p.when(getOrCreatePath, func() {
			if !goes {
				return
			}
			workspace := p.workspace()
			readOnly(&workspace.Spec.Grants[0])
			Expect(api.Update(p.ctx, workspace)).To(Succeed())
		})
		p.restart()
		p.create("jane", provisioned(janeKey), p.byWorkspace(janeKey))
		p.settle("jane")
		made := p.theSession(janeKey)
		p.expectNoSecret("jane")
		p.advance(time.Hour)
		p.expectNoSecret("jane")
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
		Expect(p.seam.CallsTo(getOrCreatePath)).To(Equal(1))

		goes = false
		p.changeGrant(func(grant *v1alpha1.Grant) { *grant = newGrant(p) })
		p.advance(time.Minute)
		Expect(p.theSession(janeKey).ID).To(Equal(made.ID))
		p.expectToken("jane", p.theSession(janeKey))
	})
})

// newGrant is the one that a provisioning platform begins with.
func newGrant(p *platform) v1alpha1.Grant {
	return v1alpha1.Grant{
		Namespaces:                v1alpha1.GrantedNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(p.namespace)}},
		UserIdentifierKeyPrefixes: []v1alpha1.KeyPrefix{"shop-"},
		Allow:                     []v1alpha1.GrantedUse{v1alpha1.GrantedProvision},
		Associations:              &v1alpha1.Associations{ConnectedAccountIDs: []v1alpha1.SeamID{"account1"}},
	}
}

var _ = Describe("A provisioned session by workspaceRef whose object is deleted", func() {
	It("is deleted at Seam with the workspace's credential, also where what it is found by is gone", func() {
		p := newProvisioningPlatform()
		p.userKey("shop-joe")
		p.ready("jane", provisioned(janeKey, deleting), p.byWorkspace(janeKey))
		p.ready("joe", provisioned("", deleting), p.byWorkspace(""), byKeySecret)
		Expect(api.Delete(p.ctx, p.secret("user"))).To(Succeed())
		left := p.countLeftBehind()
		p.clock.Step(time.Minute)
		for _, name := range []string{"jane", "joe"} {
			p.delete(name)
			Expect(p.isGone(name)).To(BeTrue())
		}
		Expect(p.seam.Sessions(janeKey)).To(BeEmpty())
		Expect(p.seam.Sessions("shop-joe")).To(BeEmpty())
		Expect(*left).To(BeZero())
	})

	DescribeTable("stays, and the object goes at once, where nothing is granted any more that deletes it",
		func(withdraw func(*platform)) {
			p := newProvisioningPlatform()
			p.userKey("shop-joe")
			p.ready("jane", provisioned(janeKey, deleting, seeing("account1")), p.byWorkspace(janeKey))
			p.ready("joe", provisioned("", deleting, seeing("account1")), p.byWorkspace(""), byKeySecret)
			left := p.countLeftBehind()
			p.clock.Step(time.Minute)
			withdraw(p)
			p.settle("jane", "joe")
			p.seam.ResetCounts()
			for i, name := range []string{"jane", "joe"} {
				p.delete(name)
				Expect(p.isGone(name)).To(BeTrue())
				Expect(*left).To(Equal(i + 1))
			}
			p.theSession(janeKey)
			p.theSession("shop-joe")
			Expect(p.seam.CallCount()).To(BeZero())
			Expect(p.eventReasons()).To(ContainElement("SessionLeftBehind"))
		},
		Entry("no grant", func(p *platform) { p.changeWorkspace(func(s *v1alpha1.SeamWorkspaceSpec) { s.Grants = nil }) }),
		Entry("a grant to read", func(p *platform) { p.changeGrant(readOnly) }),
		Entry("a grant that lists less", func(p *platform) { p.changeGrant(unlisted) }),
		Entry("a grant for other users", func(p *platform) { p.changeGrant(elsewhere) }),
		Entry("no workspace", func(p *platform) { p.deleteWorkspace() }),
		Entry("no credential", func(p *platform) {
			Expect(api.Delete(p.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.key.Namespace, Name: "seam"}})).To(Succeed())
		}),
	)

	It("stays where the grant goes while another one that the object made is deleted", func() {
		p := newProvisioningPlatform()
		p.ready("jane", provisioned(janeKey, deleting), p.byWorkspace(janeKey))
		p.clock.Step(time.Minute)
		p.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.UserIdentifierKey = "shop-joe" })
		p.settle("jane")
		p.theSession("shop-joe")
		p.clock.Step(time.Minute)
		p.duringNextCallTo(deletePath, func() {
			workspace := p.workspace()
			readOnly(&workspace.Spec.Grants[0])
			Expect(api.Update(p.ctx, workspace)).To(Succeed())
		})
		left := p.countLeftBehind()
		p.delete("jane")
		Expect(p.isGone("jane")).To(BeTrue())
		Expect(p.seam.Sessions(janeKey)).To(BeEmpty())
		p.theSession("shop-joe")
		Expect(*left).To(Equal(1))
	})

	It("leaves a user alone whom the namespace is not granted, whatever it says that it was looking for", func() {
		p := newProvisioningPlatform()
		p.userKey("shop-joe")
		p.seam.FailRoute(getOrCreatePath, seamtest.Outage)
		p.create("joe", provisioned("", deleting), p.byWorkspace(""), byKeySecret)
		p.settle("joe")
		Expect(p.session("joe").Status.Provisioned.RequestedTime).NotTo(BeNil())
		p.seam.Heal()
		p.seam.Put(seamtest.Session{
			ID: "cst-jack", WorkspaceID: seamtest.Workspace1, Token: "seam_cst1_jack", UserIdentifierKey: "garage-jack",
			CreatedAt: dawn.Add(time.Second), ExpiresAt: dawn.Add(day),
		})
		p.userKey("garage-jack")
		p.clock.Step(time.Minute)
		p.seam.ResetCounts()
		p.delete("joe")
		Expect(p.isGone("joe")).To(BeTrue())
		p.theSession("garage-jack")
		Expect(p.seam.CallCount()).To(BeZero())
	})

	It("is deleted once Seam takes the workspace's credential again, and left behind after five minutes", func() {
		p := newProvisioningPlatform()
		p.ready("jane", provisioned(janeKey, deleting), p.byWorkspace(janeKey))
		p.ready("joe", provisioned("shop-joe", deleting), p.byWorkspace("shop-joe"))
		left := p.countLeftBehind()
		p.seam.Revoke(seamtest.APIKey1)
		Expect(api.Delete(p.ctx, p.session("jane"))).To(Succeed())
		p.deletedNow("jane")
		p.advance(4 * time.Minute)
		Expect(p.isGone("jane")).To(BeFalse())
		p.advance(2 * time.Minute)
		Expect(p.isGone("jane")).To(BeTrue())
		p.theSession(janeKey)
		Expect(*left).To(Equal(1))

		Expect(api.Delete(p.ctx, p.session("joe"))).To(Succeed())
		p.deletedNow("joe")
		p.seam.AddCredential(seamtest.APIKey1, seamtest.Workspace1)
		p.advance(2 * time.Minute)
		Expect(p.isGone("joe")).To(BeTrue())
		Expect(p.seam.Sessions("shop-joe")).To(BeEmpty())
		Expect(*left).To(Equal(1))
	})
})
