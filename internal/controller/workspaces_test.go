package controller

import (
	"fmt"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	getPath       = "/client_sessions/get"
	workspacePath = "/workspaces/get"
	eventsPath    = "/events/list"

	// otherKey is that of a user of the same workspace whom nobody but the platform may use.
	otherKey = "garage-jim"
)

// platform is a world in which the credential is in a namespace of its own, with a SeamWorkspace that grants the world's
// namespace the seeded user.
type platform struct {
	*world
	key   types.NamespacedName
	timer time.Time // when the workspace is to be looked at; zero for never
	// seenAs is the workspace as its watch last showed it.
	seenAs *v1alpha1.SeamWorkspace
}

func newPlatform(changes ...func(*v1alpha1.SeamWorkspace)) *platform {
	GinkgoHelper()
	p := &platform{world: newWorld(), seenAs: &v1alpha1.SeamWorkspace{}}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "platform-"}}
	Expect(api.Create(p.ctx, namespace)).To(Succeed())
	Expect(api.Delete(p.ctx, p.secret("seam"))).To(Succeed())
	p.key = types.NamespacedName{Namespace: namespace.Name, Name: "production"}
	p.workspaceCredential(seamtest.APIKey1)
	p.seam.Put(seamtest.Session{
		ID: "cst-jim", WorkspaceID: seamtest.Workspace1, Token: "seam_cst1_jim", UserIdentifierKey: otherKey, CreatedAt: dawn, ExpiresAt: dawn.Add(24 * time.Hour),
	})
	p.createWorkspace(changes...)
	return p
}

func (p *platform) createWorkspace(changes ...func(*v1alpha1.SeamWorkspace)) {
	GinkgoHelper()
	workspace := &v1alpha1.SeamWorkspace{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.key.Namespace, Name: p.key.Name},
		Spec: v1alpha1.SeamWorkspaceSpec{
			CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam"},
			Grants: []v1alpha1.Grant{{
				Namespaces:                v1alpha1.GrantedNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(p.namespace)}},
				UserIdentifierKeyPrefixes: []v1alpha1.KeyPrefix{"john_"},
			}},
		},
	}
	for _, change := range changes {
		change(workspace)
	}
	Expect(api.Create(p.ctx, workspace)).To(Succeed())
	p.lookAtWorkspace()
}

func (p *platform) workspaceCredential(value string) {
	GinkgoHelper()
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.key.Namespace, Name: "seam"},
		Data:       map[string][]byte{v1alpha1.DefaultCredentialKey: []byte(value)},
	}
	err := api.Create(p.ctx, s)
	if err != nil {
		err = api.Update(p.ctx, s)
	}
	Expect(err).NotTo(HaveOccurred())
}

// changeWorkspace edits the workspace as those who run it do, and lets the operator see it.
func (p *platform) changeWorkspace(change func(*v1alpha1.SeamWorkspaceSpec)) {
	GinkgoHelper()
	workspace := p.workspace()
	change(&workspace.Spec)
	Expect(api.Update(p.ctx, workspace)).To(Succeed())
	p.lookAtWorkspace()
}

func (p *platform) workspace() *v1alpha1.SeamWorkspace {
	GinkgoHelper()
	workspace := &v1alpha1.SeamWorkspace{}
	Expect(api.Get(p.ctx, p.key, workspace)).To(Succeed())
	return workspace
}

// lookAtWorkspace calls the reconciler of workspaces, and that of sessions as its watch would where the change matters.
func (p *platform) lookAtWorkspace() {
	GinkgoHelper()
	result, err := p.ws.Reconcile(p.ctx, ctrl.Request{NamespacedName: p.key})
	Expect(err).NotTo(HaveOccurred())
	p.timer = time.Time{}
	if result.RequeueAfter > 0 {
		p.timer = p.clock.Now().Add(result.RequeueAfter)
	}
	before, after := p.seenAs, &v1alpha1.SeamWorkspace{}
	if err := api.Get(p.ctx, p.key, after); err != nil {
		after = &v1alpha1.SeamWorkspace{}
	}
	if p.seenAs = after; workspaceNews(before, after) {
		p.r.enqueueByWorkspace(p.ctx, p.key)
	}
	p.lookAtEnqueued()
}

func (p *platform) lookAtEnqueued() {
	GinkgoHelper()
	for _, key := range p.enqueued.take() {
		p.settle(key.Name)
	}
	if len(p.workspaces.take()) > 0 && (p.timer.IsZero() || p.timer.After(p.clock.Now().Add(time.Second))) {
		p.timer = p.clock.Now().Add(time.Second)
	}
}

// advance lets time pass, with the timers of sessions and of the workspace.
func (p *platform) advance(d time.Duration) {
	GinkgoHelper()
	end := p.clock.Now().Add(d)
	for steps := 0; !p.timer.IsZero() && !p.timer.After(end); steps++ {
		Expect(steps).To(BeNumerically("<", 10_000), "the workspace's timer spins")
		p.world.advance(p.timer.Sub(p.clock.Now()))
		p.lookAtWorkspace()
	}
	p.world.advance(end.Sub(p.clock.Now()))
}

// label gives the world's namespace a label, and lets the operator see it.
func (p *platform) label(value string) {
	GinkgoHelper()
	namespace := &corev1.Namespace{}
	Expect(api.Get(p.ctx, types.NamespacedName{Name: p.namespace}, namespace)).To(Succeed())
	metav1.SetMetaDataLabel(&namespace.ObjectMeta, "seam", value)
	Expect(api.Update(p.ctx, namespace)).To(Succeed())
	p.r.enqueueNamespace(p.ctx, p.namespace)
	p.lookAtEnqueued()
}

// byWorkspace is a session of a user that names the workspace.
func (p *platform) byWorkspace(key string) func(*v1alpha1.SeamClientSession) {
	return func(s *v1alpha1.SeamClientSession) {
		s.Spec.ClientSessionID, s.Spec.UserIdentifierKey, s.Spec.CredentialSecretRef = "", key, v1alpha1.CredentialReference{}
		s.Spec.WorkspaceRef = &v1alpha1.WorkspaceReference{Name: p.key.Name, Namespace: v1alpha1.NamespaceName(p.key.Namespace)}
	}
}

func (p *platform) workspaceCondition(conditionType string) metav1.Condition {
	GinkgoHelper()
	if found := meta.FindStatusCondition(p.workspace().Status.Conditions, conditionType); found != nil {
		return *found
	}
	return metav1.Condition{}
}

var _ = Describe("A session by workspaceRef", func() {
	It("becomes a Secret in its namespace, which never holds the credential, at one call for the workspace and one for itself", func() {
		p := newPlatform()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		Expect(text(p.secret("jane"))).To(HaveKeyWithValue("token", seamtest.JohnToken))
		Expect(p.seam.CallsTo(workspacePath)).To(Equal(1))
		Expect(p.seam.CallsTo(getPath)).To(Equal(1))
		Expect(p.workspaceCondition(v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonCredentialAccepted))
		Expect(p.workspace().Status.WorkspaceID).To(Equal(seamtest.Workspace1))

		var secrets corev1.SecretList
		Expect(api.List(p.ctx, &secrets, client.InNamespace(p.namespace))).To(Succeed())
		Expect(secrets.Items).To(HaveLen(1))
	})

	It("can't tell what it is not granted from what does not exist", func() {
		p := newPlatform()
		calls := p.seam.CallCount()
		p.create("ungranted", p.byWorkspace(otherKey))
		p.create("by-id", p.byWorkspace(""), func(s *v1alpha1.SeamClientSession) { s.Spec.ClientSessionID = seamtest.JohnSessionID })
		p.create("unknown-user", p.byWorkspace("nobody"))
		p.settle("ungranted", "by-id", "unknown-user")
		messages := map[string]bool{}
		for _, name := range []string{"ungranted", "by-id", "unknown-user"} {
			synced := p.condition(name, v1alpha1.ConditionSynced)
			Expect(synced).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
			messages[synced.Message] = true
			p.expectNoSecret(name)
		}
		Expect(api.Delete(p.ctx, p.workspace())).To(Succeed())
		p.create("no-workspace", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.settle("no-workspace")
		messages[p.condition("no-workspace", v1alpha1.ConditionSynced).Message] = true
		Expect(messages).To(HaveLen(1))
		Expect(p.seam.CallCount()).To(Equal(calls), "nothing is called without a grant")
		events := map[string]bool{}
		for _, event := range p.events.all()[1:] { // the first is the workspace's
			events[event] = true
		}
		Expect(events).To(HaveLen(1))
	})

	It("is taken up when the workspace, or the grant, comes", func() {
		p := newPlatform(func(w *v1alpha1.SeamWorkspace) { w.Spec.Grants = nil })
		p.create("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.settle("jane")
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
		p.changeWorkspace(func(s *v1alpha1.SeamWorkspaceSpec) {
			s.Grants = []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(p.namespace)}}}}
		})
		p.expectReady("jane")
	})

	DescribeTable("keeps its token, and is fetched no more, when its grant goes", func(withdraw func(*platform)) {
		p := newPlatform()
		p.seam.Extend(seamtest.JohnSessionID, dawn.Add(30*time.Minute))
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.advance(pace)
		withdraw(p)
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
		p.expectReady("jane")
		p.request("jane", "now")
		p.settle("jane")
		p.advance(30*time.Minute - pace - time.Second)
		p.expectReady("jane")
		Expect(text(p.secret("jane"))).To(HaveKeyWithValue("token", seamtest.JohnToken))
		p.advance(time.Second)
		Expect(p.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionExpired))
		Expect(p.seam.CallsTo(getPath)).To(Equal(1))

		p.seam.Extend(seamtest.JohnSessionID, dawn.Add(24*time.Hour))
		if err := api.Get(p.ctx, p.key, &v1alpha1.SeamWorkspace{}); err != nil {
			p.createWorkspace()
		} else {
			p.changeWorkspace(func(s *v1alpha1.SeamWorkspaceSpec) {
				s.Grants = []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(p.namespace)}}}}
			})
		}
		p.lookAtWorkspace()
		p.expectReady("jane")
	},
		Entry("altogether", func(p *platform) { p.changeWorkspace(func(s *v1alpha1.SeamWorkspaceSpec) { s.Grants = nil }) }),
		Entry("by a prefix that is tightened", func(p *platform) {
			p.changeWorkspace(func(s *v1alpha1.SeamWorkspaceSpec) {
				s.Grants[0].UserIdentifierKeyPrefixes = []v1alpha1.KeyPrefix{"john_x"}
			})
		}),
		Entry("with the workspace", func(p *platform) {
			Expect(api.Delete(p.ctx, p.workspace())).To(Succeed())
			p.lookAtWorkspace()
		}),
	)

	It("is not written when its grant goes while Seam answers", func() {
		p := newPlatform()
		p.seamConfig = func(config *seam.Config) {
			config.Instrument = func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(request *http.Request) (*http.Response, error) {
					response, err := next.RoundTrip(request)
					if request.URL.Path == getPath {
						workspace := p.workspace()
						workspace.Spec.Grants = nil
						Expect(api.Update(p.ctx, workspace)).To(Succeed())
					}
					return response, err
				})
			}
		}
		p.restart()
		p.create("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.settle("jane")
		Expect(p.seam.CallsTo(getPath)).To(Equal(1))
		p.expectNoSecret("jane")
		p.advance(time.Hour)
		p.expectNoSecret("jane")
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
		Expect(p.seam.CallsTo(getPath)).To(Equal(1))
	})

	It("keeps its token where Seam gave it in between two mistakes, be it too late for a grant that went", func() {
		p := newPlatform()
		var grants []v1alpha1.Grant
		goes := false
		p.seamConfig = func(config *seam.Config) {
			config.Instrument = func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(request *http.Request) (*http.Response, error) {
					response, err := next.RoundTrip(request)
					if goes && request.URL.Path == getPath {
						workspace := p.workspace()
						grants, workspace.Spec.Grants = workspace.Spec.Grants, nil
						Expect(api.Update(p.ctx, workspace)).To(Succeed())
					}
					return response, err
				})
			}
		}
		p.restart()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey), whenSessionEnds(v1alpha1.RetentionDelete))
		before := text(p.secret("jane"))
		p.advance(pace)
		p.seam.Fail(seamtest.NotFound)
		p.change("jane", func(s *v1alpha1.SeamClientSession) {
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationRefreshRequestedAt, "now")
		})
		p.settle("jane")
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))

		p.seam.Heal()
		goes = true
		p.advance(pace)
		goes = false
		p.advance(2 * time.Minute)
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
		Expect(p.seam.CallsTo(getPath)).To(Equal(3))

		p.seam.FailSession(seamtest.JohnSessionID, seamtest.NotFound)
		p.changeWorkspace(func(spec *v1alpha1.SeamWorkspaceSpec) { spec.Grants = grants })
		p.advance(pace)
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
		Expect(text(p.secret("jane"))).To(Equal(before))
	})

	It("is granted by the labels of its namespace, as long as it has them", func() {
		p := newPlatform(func(w *v1alpha1.SeamWorkspace) {
			w.Spec.Grants = []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{
				Selector: &v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{"seam": "allowed"}},
			}}}
		})
		p.create("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.settle("jane")
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
		p.label("allowed")
		p.expectReady("jane")
		p.label("forbidden")
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
		p.expectReady("jane")
		Expect(p.workspaceCondition(v1alpha1.ConditionGrantsApplied)).To(Equal(metav1.Condition{}))
	})

	It("is granted by names alone where the operator is installed for some namespaces alone", func() {
		p := newPlatform()
		p.namespaces = []string{p.namespace, p.key.Namespace}
		p.restart()
		p.label("allowed")
		p.changeWorkspace(func(s *v1alpha1.SeamWorkspaceSpec) {
			s.Grants = []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{
				Selector: &v1alpha1.NamespaceSelector{MatchLabels: map[string]v1alpha1.LabelValue{"seam": "allowed"}},
			}}}
		})
		p.create("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.settle("jane")
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
		p.advance(pace)
		Expect(p.workspaceCondition(v1alpha1.ConditionGrantsApplied)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSelectorsUnavailable))

		p.namespaces = []string{p.namespace}
		p.restart()
		p.create("joe", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.settle("joe")
		Expect(p.condition("joe", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
	})

	It("is held to its prefix also where the key comes from a Secret", func() {
		p := newPlatform()
		p.create("jane", p.byWorkspace(""), byKeySecret)
		p.userKey(otherKey)
		p.settle("jane")
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonNotGranted))
		Expect(p.seam.CallsTo(getPath)).To(BeZero())
		Expect(p.r.waiting.Changed(p.world.key("jane"))).To(BeFalse(), "a correction of that Secret is waited for")
		p.userKey(seamtest.JohnUserIdentifierKey)
		p.advance(pace)
		p.settle("jane")
		p.expectReady("jane")
	})

	DescribeTable("says only that the workspace is not ready, whatever is wrong with its credential, which the workspace says", func(value, reason string) {
		p := newPlatform()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		if value == "" {
			Expect(api.Delete(p.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.key.Namespace, Name: "seam"}})).To(Succeed())
		} else {
			p.workspaceCredential(value)
		}
		p.advance(time.Minute)
		Expect(p.workspaceCondition(v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, reason))
		Expect(p.workspaceCondition(v1alpha1.ConditionReady).Message).To(ContainSubstring(`Secret "seam"`))
		p.expectReady("jane")

		p.create("joe", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.settle("joe")
		p.advance(2 * time.Hour)
		for _, name := range []string{"jane", "joe"} {
			synced := p.condition(name, v1alpha1.ConditionSynced)
			Expect(synced).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonWorkspaceNotReady))
			Expect(synced.Message).To(HavePrefix(fmt.Sprintf("SeamWorkspace %q of namespace %q is not ready: whoever runs it sees there why; "+
				"the session is fetched as soon as it is", p.key.Name, p.key.Namespace)))
		}
		p.expectReady("jane")

		p.workspaceCredential(seamtest.APIKey1)
		p.advance(5 * time.Minute)
		p.expectReady("joe")
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonFetched))
	},
		Entry("refused", "seam_revoked", v1alpha1.ReasonUnauthorized),
		Entry("missing", "", v1alpha1.ReasonCredentialNotFound),
		Entry("publishable", seamtest.PublishableKey, v1alpha1.ReasonCredentialInvalid),
		Entry("a client session token", seamtest.JohnToken, v1alpha1.ReasonCredentialInvalid),
		Entry("a personal access token without a workspace", seamtest.AccessToken, v1alpha1.ReasonCredentialInvalid),
	)

	It("costs one call a minute together with all others while Seam refuses the credential", func() {
		p := newPlatform()
		for i := range 10 {
			p.ready(fmt.Sprintf("jane-%d", i), p.byWorkspace(seamtest.JohnUserIdentifierKey))
		}
		p.seam.Revoke(seamtest.APIKey1)
		p.seam.ResetCounts()
		p.advance(2 * time.Hour)
		Expect(p.seam.CallCount()).To(BeNumerically("~", 120, 3))
		p.expectAllReady()
		p.seam.AddCredential(seamtest.APIKey1, seamtest.Workspace1)
		p.advance(2 * time.Minute)
		for _, session := range p.sessions() {
			Expect(syncedReason(&session.Status)).To(Equal(v1alpha1.ReasonFetched))
		}
	})

	It("is not fetched with the credential of another workspace than spec.workspaceID says", func() {
		p := newPlatform(func(w *v1alpha1.SeamWorkspace) { w.Spec.WorkspaceID = seamtest.Workspace2 })
		p.create("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.settle("jane")
		Expect(p.workspaceCondition(v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonWorkspaceMismatch))
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonWorkspaceNotReady))
		Expect(p.seam.CallsTo(getPath)).To(BeZero())
		p.advance(pace)
		p.changeWorkspace(func(s *v1alpha1.SeamWorkspaceSpec) { s.WorkspaceID = seamtest.Workspace1 })
		p.advance(pace)
		p.expectReady("jane")
	})

	It("keeps its token when the credential is replaced by one of another workspace", func() {
		p := newPlatform()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.seam.Put(seamtest.Session{
			ID: "cst-other", WorkspaceID: seamtest.Workspace2, Token: "seam_cst2_other", UserIdentifierKey: seamtest.JohnUserIdentifierKey,
			CreatedAt: dawn, ExpiresAt: dawn.Add(24 * time.Hour),
		})
		p.changeWorkspace(func(s *v1alpha1.SeamWorkspaceSpec) { s.Events.PollInterval = &metav1.Duration{} })
		p.workspaceCredential(seamtest.APIKey2)
		p.request("jane", "now")
		p.clock.Step(pace)
		p.settle("jane")
		p.lookAtWorkspace()
		p.workspaces.take()
		Expect(text(p.secret("jane"))).To(HaveKeyWithValue("token", seamtest.JohnToken), "the answer is about another workspace than the one that was checked")
		Expect(p.condition("jane", v1alpha1.ConditionSynced)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionMismatch))
		p.advance(20 * time.Minute)
		Expect(p.seam.CallsTo(getPath)).To(BeNumerically("<", 12), "it is fetched ever less often")
	})
})

var _ = Describe("A SeamWorkspace", func() {
	It("is checked at most every five seconds however often it is edited, also where its events are due", func() {
		p := newPlatform()
		p.seam.ResetCounts()
		for range 3 {
			p.changeWorkspace(func(spec *v1alpha1.SeamWorkspaceSpec) { spec.WorkspaceID = seamtest.Workspace1 })
			p.changeWorkspace(func(spec *v1alpha1.SeamWorkspaceSpec) { spec.WorkspaceID = "" })
		}
		Expect(p.seam.CallsTo(workspacePath)).To(BeZero())
		p.advance(2 * pace)
		Expect(p.seam.CallsTo(workspacePath)).To(Equal(1))
	})

	It("is checked again when its credential is another, and not when its Secret is labelled", func() {
		p := newPlatform()
		p.seam.ResetCounts()
		secret := &corev1.Secret{}
		Expect(api.Get(p.ctx, types.NamespacedName{Namespace: p.key.Namespace, Name: "seam"}, secret)).To(Succeed())
		secret.Labels = map[string]string{"team": "platform"}
		Expect(api.Update(p.ctx, secret)).To(Succeed())
		p.advance(2 * time.Minute)
		Expect(p.seam.CallsTo(workspacePath)).To(BeZero())

		p.workspaceCredential(seamtest.APIKey2)
		p.advance(time.Minute)
		Expect(p.seam.CallsTo(workspacePath)).To(Equal(1))
		Expect(p.workspace().Status.WorkspaceID).To(Equal(seamtest.Workspace2))
	})

	It("is checked at most every five seconds while the API server does not take its status", func() {
		p := newPlatform()
		p.seam.ResetCounts()
		p.interfere = func(_ string, object client.Object) error {
			return apierrors.NewConflict(schema.GroupResource{}, object.GetName(), nil)
		}
		p.advance(time.Hour + 30*time.Second)
		Expect(p.seam.CallsTo(workspacePath)).To(BeNumerically("~", 5, 2))
	})
})

var _ = Describe("Seam's events", func() {
	It("show a deleted session within the poll interval, at one call however many sessions there are", func() {
		p := newPlatform()
		for i := range 10 {
			p.ready(fmt.Sprintf("jane-%d", i), p.byWorkspace(seamtest.JohnUserIdentifierKey))
		}
		p.advance(5 * time.Minute)
		p.seam.ResetCounts()
		p.advance(5 * time.Minute)
		Expect(p.seam.CallsTo(eventsPath)).To(Equal(10))
		Expect(p.seam.CallCount()).To(Equal(10))

		p.seam.Delete(seamtest.JohnSessionID)
		p.advance(30 * time.Second)
		p.advance(pace)
		for _, session := range p.sessions() {
			ready := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionReady)
			Expect(ready).To(HaveValue(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound)))
		}
	})

	It("and one answer suffice for whenSessionEnds: Delete", func() {
		p := newPlatform()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey), func(s *v1alpha1.SeamClientSession) {
			s.Spec.Secret.RetentionPolicy.WhenSessionEnds = v1alpha1.RetentionDelete
		})
		p.advance(time.Minute)
		p.seam.Delete(seamtest.JohnSessionID)
		p.advance(31 * time.Second)
		p.expectNoSecret("jane")
	})

	It("are worth nothing any more once Seam has returned the session again", func() {
		p := newPlatform()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey), func(s *v1alpha1.SeamClientSession) {
			s.Spec.Secret.RetentionPolicy.WhenSessionEnds = v1alpha1.RetentionDelete
		})
		p.advance(time.Minute)
		session, _ := p.seam.Session(seamtest.JohnSessionID)
		p.seam.Delete(seamtest.JohnSessionID)
		p.seam.Put(session)
		p.advance(time.Minute)
		Expect(p.seam.CallsTo(getPath)).To(Equal(2))

		p.seam.FailRoute(getPath, seamtest.NotFound) // once, by mistake
		p.request("jane", "now")
		p.settle("jane")
		p.seam.HealRoute(getPath)
		Expect(p.seam.CallsTo(getPath)).To(Equal(3))
		Expect(text(p.secret("jane"))).To(HaveKeyWithValue("token", seamtest.JohnToken))
	})

	It("hold of a session whatever credential it is asked for with", func() {
		p := newPlatform()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey), func(s *v1alpha1.SeamClientSession) {
			s.Spec.Secret.RetentionPolicy.WhenSessionEnds = v1alpha1.RetentionDelete
		})
		p.advance(time.Minute)
		p.seam.AddCredential("seam_rotated", seamtest.Workspace1)
		p.workspaceCredential("seam_rotated")
		p.seam.Delete(seamtest.JohnSessionID)
		p.advance(31*time.Second + pace)
		p.expectNoSecret("jane")
		Expect(p.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
	})

	It("alone do not take a token away", func() {
		p := newPlatform()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey), func(s *v1alpha1.SeamClientSession) {
			s.Spec.Secret.RetentionPolicy.WhenSessionEnds = v1alpha1.RetentionDelete
		})
		p.advance(time.Minute)
		session, _ := p.seam.Session(seamtest.JohnSessionID)
		p.seam.Delete(seamtest.JohnSessionID)
		p.seam.Put(session)
		p.advance(time.Minute)
		p.expectReady("jane")
		Expect(p.seam.CallsTo(getPath)).To(Equal(2), "it is fetched once, and not with every poll in which the event is")
	})

	It("are not missed over a restart", func() {
		p := newPlatform()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.advance(20 * time.Minute)
		p.seam.Delete(seamtest.JohnSessionID)
		p.clock.Step(20 * time.Minute) // in which no operator runs
		p.restart()
		p.settle("jane")
		p.lookAtWorkspace()
		p.advance(pace)
		Expect(p.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
		Expect(p.seam.CallsTo(workspacePath)).To(Equal(1), "what was checked is known after a restart")
	})

	DescribeTable("are known whichever way they come", func(behaviour seamtest.Behaviour) {
		p := newPlatform()
		p.seam.Behave(behaviour)
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.advance(time.Minute)
		p.seam.Delete("cst-jim") // whom nobody has
		p.seam.Delete(seamtest.JohnSessionID)
		p.advance(behaviour.EventDelay + 30*time.Second + pace)
		Expect(p.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
		Expect(p.seam.CallsTo(getPath)).To(BeNumerically("<=", 4), "as for any session that is not found")
	},
		Entry("as they should", seamtest.Behaviour{}),
		Entry("four minutes late", seamtest.Behaviour{EventDelay: 4 * time.Minute}),
		Entry("twice", seamtest.Behaviour{EventsTwice: true}),
		Entry("the newest first", seamtest.Behaviour{NewestFirst: true}),
		Entry("with a clock that is ahead", seamtest.Behaviour{EventAhead: 4 * time.Minute}),
		Entry("with a clock that is behind", seamtest.Behaviour{EventAhead: -4 * time.Minute}),
	)

	It("are not missed where the operator's clock is half a day ahead when it first sees the workspace", func() {
		p := newPlatform()
		Expect(api.Delete(p.ctx, p.workspace())).To(Succeed())
		p.lookAtWorkspace()
		p.seam.SetSkew(-12 * time.Hour)
		p.seam.Behave(seamtest.Behaviour{EventAhead: -12 * time.Hour})
		p.createWorkspace()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.advance(5 * time.Minute)
		Expect(p.workspace().Status.LastEventTime.Time).NotTo(BeTemporally(">", p.clock.Now().Add(-12*time.Hour)), "it is on Seam's clock")
		p.seam.Delete(seamtest.JohnSessionID)
		p.advance(30*time.Second + pace)
		Expect(p.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
	})

	It("that came before the session that they name was known are not missed", func() {
		p := newPlatform()
		p.create("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.seamConfig = func(config *seam.Config) {
			config.Instrument = func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(request *http.Request) (*http.Response, error) {
					response, err := next.RoundTrip(request)
					if request.URL.Path == getPath && p.seam.Delete(seamtest.JohnSessionID) { // while the answer is on its way
						p.clock.Step(time.Second)
						_, err := p.ws.Reconcile(p.ctx, ctrl.Request{NamespacedName: p.key})
						Expect(err).NotTo(HaveOccurred())
					}
					return response, err
				})
			}
		}
		p.restart()
		p.settle("jane")
		p.expectReady("jane")
		p.advance(30*time.Second + pace)
		Expect(p.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
	})

	It("that can't be read harm no session, are said once, and are read again later", func() {
		p := newPlatform()
		p.seam.FailRoute(eventsPath, seamtest.Forbidden)
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.advance(2 * time.Hour)
		p.expectReady("jane")
		Expect(p.workspaceCondition(v1alpha1.ConditionEventsPolled)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonUnauthorized))
		Expect(p.workspaceCondition(v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonCredentialAccepted))
		Expect(p.seam.CallsTo(eventsPath)).To(BeNumerically("<=", 3))
		Expect(p.eventReasons()).To(ContainElement(v1alpha1.ReasonUnauthorized))
		p.seam.HealRoute(eventsPath)
		p.advance(time.Hour)
		Expect(p.workspaceCondition(v1alpha1.ConditionEventsPolled)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonPolled))
	})

	It("are read ever less often while Seam is down, and nothing that is known is forgotten", func() {
		p := newPlatform()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.advance(time.Minute)
		p.seam.ResetCounts()
		p.seam.Fail(seamtest.Outage)
		p.advance(time.Hour)
		Expect(p.seam.CallsTo(eventsPath)).To(BeNumerically("<", 15))
		Expect(p.workspaceCondition(v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonCredentialAccepted))
		Expect(p.workspaceCondition(v1alpha1.ConditionEventsPolled)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSeamUnavailable))
		p.seam.Heal()
		p.seam.Delete(seamtest.JohnSessionID)
		p.advance(10*time.Minute + pace)
		Expect(p.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
	})

	It("do not have a session fetched again after a restart that is known to be gone", func() {
		p := newPlatform()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.advance(time.Minute)
		p.seam.Delete(seamtest.JohnSessionID)
		p.advance(time.Minute)
		Expect(p.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
		calls := p.seam.CallsTo(getPath)
		p.restart()
		p.lookAtWorkspace()
		Expect(p.seam.CallsTo(getPath)).To(Equal(calls))
	})

	It("are not read with pollInterval 0s", func() {
		p := newPlatform(func(w *v1alpha1.SeamWorkspace) { w.Spec.Events.PollInterval = &metav1.Duration{} })
		p.advance(6 * time.Hour)
		Expect(p.seam.CallsTo(eventsPath)).To(BeZero())
		Expect(p.seam.CallsTo(workspacePath)).To(BeNumerically("~", 6, 1))
		Expect(p.workspaceCondition(v1alpha1.ConditionEventsPolled)).To(Equal(metav1.Condition{}))
	})

	It("cost few writes while there are none", func() {
		p := newPlatform()
		p.advance(time.Minute)
		before := p.writes.count()
		p.advance(time.Hour)
		Expect(p.writes.count() - before).To(BeNumerically("<=", 7))
	})

	It("by the thousand are all read, though Seam gives five hundred at a time", func() {
		p := newPlatform()
		p.ready("jane", p.byWorkspace(seamtest.JohnUserIdentifierKey))
		p.advance(time.Minute)
		for i := range 1200 {
			id := fmt.Sprintf("cst-%d", i)
			p.seam.Put(seamtest.Session{ID: id, WorkspaceID: seamtest.Workspace1, Token: "seam_cst1_" + id, ExpiresAt: dawn.Add(time.Hour)})
			if i%100 == 0 {
				p.clock.Step(time.Second)
			}
			p.seam.Delete(id)
		}
		p.seam.Delete(seamtest.JohnSessionID)
		p.advance(time.Minute)
		Expect(p.condition("jane", v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound))
	})
})

// expectAllReady expects that every session is Ready.
func (w *world) expectAllReady() {
	GinkgoHelper()
	for _, session := range w.sessions() {
		Expect(meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue(), session.Name)
	}
}

var _ = Describe("A running operator with a SeamWorkspace", func() {
	var p *platform
	var w *runningWorld
	BeforeEach(func() {
		p = newPlatform(func(w *v1alpha1.SeamWorkspace) { w.Spec.Grants = nil })
		w = running(p.world, p.key.Namespace)
		for i := range aHundred {
			p.create(fmt.Sprintf("jane-%d", i), p.byWorkspace(seamtest.JohnUserIdentifierKey))
		}
		Eventually(w.reasons).WithTimeout(4 * soon).Should(Equal(map[string]int{v1alpha1.ReasonNotGranted: aHundred}))
	})
	grant := func(s *v1alpha1.SeamWorkspaceSpec) {
		s.Grants = []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(p.namespace)}}}}
	}
	// edit edits the workspace, which the operator writes as well.
	edit := func(change func(*v1alpha1.SeamWorkspaceSpec)) {
		GinkgoHelper()
		Eventually(func() error {
			workspace := p.workspace()
			change(&workspace.Spec)
			return api.Update(p.ctx, workspace)
		}).Should(Succeed())
	}

	It("notices within seconds that a grant comes, and reads the credential once for all", func() {
		p.clock.Step(pace)
		reads := w.requests.reads("seam")
		edit(grant)
		w.noticedSoon(v1alpha1.ReasonFetched, aHundred)
		Expect(w.requests.reads("seam") - reads).To(BeNumerically("<=", 2))
		Expect(p.seam.CallsTo(getPath)).To(Equal(aHundred))

		edit(func(s *v1alpha1.SeamWorkspaceSpec) { s.Grants = nil })
		w.noticedSoon(v1alpha1.ReasonNotGranted, aHundred)
		p.expectAllReady()
	})

	It("notices within seconds that the credential is corrected", func() {
		p.workspaceCredential("seam_revoked")
		p.clock.Step(pace)
		edit(grant)
		w.noticedSoon(v1alpha1.ReasonWorkspaceNotReady, aHundred)
		Eventually(func() metav1.Condition { return p.workspaceCondition(v1alpha1.ConditionReady) }).WithTimeout(soon).
			Should(haveStatus(metav1.ConditionFalse, v1alpha1.ReasonUnauthorized))
		p.clock.Step(pace)
		p.workspaceCredential(seamtest.APIKey1)
		w.noticedSoon(v1alpha1.ReasonFetched, aHundred)
	})
})
