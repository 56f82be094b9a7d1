package acceptance

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	readyTrue  = "True TokenAvailable"
	syncedTrue = "True Fetched"
)

// What the client takes Seam to be is what Seam's own fake server is.
var _ = Describe("The client of Seam, against Seam's own fake server", Ordered, func() {
	var (
		fake   *officialFake
		john   = seam.Selector{ClientSessionID: seamtest.JohnSessionID}
		caller *seam.Client
	)
	BeforeAll(func() {
		fake = startOfficialFake()
		var err error
		caller, err = seam.NewClient(seam.Config{Endpoint: fake.url, UserAgent: "test", MaxInFlight: 8})
		Expect(err).NotTo(HaveOccurred())
	})
	ask := func(ctx context.Context, credential, workspace string, selector seam.Selector) (*seam.ClientSession, error) {
		GinkgoHelper()
		parsed, err := seam.ParseCredential(credential, workspace)
		Expect(err).NotTo(HaveOccurred())
		return caller.Connection(parsed).GetClientSession(ctx, selector, seam.Waiter{})
	}
	beOf := func(kind seam.Kind) OmegaMatcher { return HaveField("Kind", kind) }

	DescribeTable("finds a session", func(ctx SpecContext, credential, workspace string, selector seam.Selector) {
		session, err := ask(ctx, credential, workspace, selector)
		Expect(err).NotTo(HaveOccurred())
		want := fake.session(ctx, seamtest.JohnSessionID)
		Expect(session.ID).To(Equal(want.ID))
		Expect(session.Token).To(Equal(want.Token))
		Expect(session.WorkspaceID).To(Equal(want.WorkspaceID))
		Expect(session.UserIdentifierKey).To(Equal(want.UserIdentifierKey))
		Expect(*session.ExpiresAt).To(BeTemporally("==", want.ExpiresAt.Truncate(time.Second)))
	},
		Entry("by ID, with an API key", seamtest.APIKey1, "", john),
		Entry("by user identifier key, with an API key", seamtest.APIKey1, "",
			seam.Selector{UserIdentifierKey: seamtest.JohnUserIdentifierKey}),
		Entry("by ID, with a personal access token and its workspace", seamtest.AccessToken, seamtest.Workspace1, john),
		Entry("by user identifier key, with a personal access token", seamtest.AccessToken, seamtest.Workspace1,
			seam.Selector{UserIdentifierKey: seamtest.JohnUserIdentifierKey}),
	)

	DescribeTable("tells refusals apart", func(ctx SpecContext, credential, workspace string, selector seam.Selector, kind seam.Kind) {
		_, err := ask(ctx, credential, workspace, selector)
		Expect(err).To(beOf(kind))
		for _, secret := range fake.secrets(ctx) {
			Expect(err.Error()).NotTo(ContainSubstring(secret))
		}
	},
		Entry("an unknown session", seamtest.APIKey1, "", seam.Selector{ClientSessionID: "nobody"}, seam.NotFound),
		Entry("an unknown user", seamtest.APIKey1, "", seam.Selector{UserIdentifierKey: "nobody"}, seam.NotFound),
		Entry("an unknown API key", "seam_unknown_key", "", john, seam.Unauthorized),
		Entry("a personal access token with a workspace that is not its own", seamtest.AccessToken, "nowhere", john, seam.Unauthorized),
	)

	It("gets a session that has ended, and says when", func(ctx SpecContext) {
		fake.put(ctx, map[string]any{"client_session_id": "ended", "expires_in_seconds": -60})
		session, err := ask(ctx, seamtest.APIKey1, "", seam.Selector{ClientSessionID: "ended"})
		Expect(err).NotTo(HaveOccurred())
		Expect(*session.ExpiresAt).To(BeTemporally("<", time.Now()))
	})

	It("knows an outage, and its end", func(ctx SpecContext) {
		fake.outage(ctx, true)
		_, err := ask(ctx, seamtest.APIKey1, "", john)
		Expect(err).To(beOf(seam.Unavailable))
		fake.outage(ctx, false)
		_, err = ask(ctx, seamtest.APIKey1, "", john)
		Expect(err).NotTo(HaveOccurred())
	})
})

// The specs follow one operator through its day.
var _ = Describe("The operator, against Seam's own fake server", Ordered, func() {
	var (
		fake *officialFake
		s    *stage
		john = v1alpha1.SeamClientSessionSpec{ClientSessionID: seamtest.JohnSessionID}
	)
	const unknownKey = "seam_unknown_key"
	ready := func(ctx context.Context, name string) func() string {
		return func() string { return s.condition(ctx, name, v1alpha1.ConditionReady) }
	}
	synced := func(ctx context.Context, name string) func() string {
		return func() string { return s.condition(ctx, name, v1alpha1.ConditionSynced) }
	}
	BeforeAll(func(ctx SpecContext) {
		fake = startOfficialFake()
		fake.hidden = append(fake.hidden, unknownKey)
		s = newStage(ctx)
		s.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, seamtest.APIKey1)
		s.secretOf(ctx, "personal", "token", seamtest.AccessToken)
		s.secretOf(ctx, "user", "key", seamtest.JohnUserIdentifierKey)
		s.operate(ctx, fake.url)
	})

	DescribeTable("finds a session", func(ctx SpecContext, name string, spec v1alpha1.SeamClientSessionSpec) {
		s.create(ctx, name, spec)
		Eventually(ready(ctx, name)).Should(Equal(readyTrue))
		want := fake.session(ctx, seamtest.JohnSessionID)
		Expect(s.data(ctx, name)).To(Equal(map[string]string{
			"token":             want.Token,
			"client_session_id": want.ID,
			"workspace_id":      want.WorkspaceID,
			"expires_at":        instant(want.ExpiresAt),
		}))
	},
		Entry("by ID, with an API key", "by-id", john),
		Entry("by user identifier key, with an API key", "by-key", v1alpha1.SeamClientSessionSpec{
			UserIdentifierKey: seamtest.JohnUserIdentifierKey,
		}),
		Entry("by a user identifier key out of a Secret", "by-secret-key", v1alpha1.SeamClientSessionSpec{
			UserIdentifierKeySecretRef: &v1alpha1.SecretKeyReference{Name: "user", Key: "key"},
		}),
		Entry("with a personal access token and its workspace", "personal-access", v1alpha1.SeamClientSessionSpec{
			ClientSessionID:     seamtest.JohnSessionID,
			CredentialSecretRef: v1alpha1.CredentialReference{Name: "personal", Key: "token"},
			WorkspaceID:         seamtest.Workspace1,
		}),
	)

	It("says that a session is unknown, and takes it once it is there", func(ctx SpecContext) {
		s.create(ctx, "unknown", v1alpha1.SeamClientSessionSpec{ClientSessionID: "later"})
		Eventually(synced(ctx, "unknown")).Should(Equal("False SessionNotFound"))
		Expect(ready(ctx, "unknown")()).To(Equal("False SessionNotFound"))
		Expect(s.data(ctx, "unknown")).To(BeNil())

		added := fake.put(ctx, map[string]any{"client_session_id": "later"})
		s.refresh(ctx, "unknown", "it is there")
		Eventually(ready(ctx, "unknown")).Should(Equal(readyTrue))
		Expect(s.data(ctx, "unknown")).To(HaveKeyWithValue("token", added.Token))
	})

	It("says that a key is bad, and notices within 5 s that it was corrected", func(ctx SpecContext) {
		s.secretOf(ctx, "mistyped", v1alpha1.DefaultCredentialKey, unknownKey)
		s.create(ctx, "bad-key", v1alpha1.SeamClientSessionSpec{
			ClientSessionID: seamtest.JohnSessionID, CredentialSecretRef: v1alpha1.CredentialReference{Name: "mistyped"},
		})
		Eventually(synced(ctx, "bad-key")).Should(Equal("False Unauthorized"))
		Expect(s.data(ctx, "bad-key")).To(BeNil())

		s.secretOf(ctx, "mistyped", v1alpha1.DefaultCredentialKey, seamtest.APIKey2)
		Eventually(ready(ctx, "bad-key")).WithTimeout(within(5 * time.Second)).Should(Equal(readyTrue))
	})

	It("keeps the token through an outage, and says when it is over", func(ctx SpecContext) {
		before := s.secret(ctx, "by-id")
		fake.outage(ctx, true)
		s.refresh(ctx, "by-id", "during the outage")
		Eventually(synced(ctx, "by-id")).Should(Equal("False SeamUnavailable"))
		Expect(ready(ctx, "by-id")()).To(Equal(readyTrue))
		Expect(s.secret(ctx, "by-id")).To(Equal(before))

		fake.outage(ctx, false)
		s.refresh(ctx, "by-id", "after the outage")
		Eventually(synced(ctx, "by-id")).Should(Equal(syncedTrue))
		Expect(s.secret(ctx, "by-id")).To(Equal(before))
	})

	It("picks up that a session was extended in its last seconds, Ready throughout", func(ctx SpecContext) {
		short := fake.put(ctx, map[string]any{"client_session_id": "short", "expires_in_seconds": 12})
		watcher, err := api.Watch(ctx, &v1alpha1.SeamClientSessionList{}, client.InNamespace(s.namespace),
			client.MatchingFields{"metadata.name": "short"})
		Expect(err).NotTo(HaveOccurred())
		defer watcher.Stop()
		s.create(ctx, "short", v1alpha1.SeamClientSessionSpec{
			ClientSessionID: "short", RenewBefore: &metav1.Duration{Duration: 9 * time.Second},
		})
		Eventually(ready(ctx, "short")).Should(Equal(readyTrue))

		longer := fake.put(ctx, map[string]any{"client_session_id": "short", "expires_in_seconds": 3600})
		Eventually(func() string { return s.data(ctx, "short")["expires_at"] }).
			Should(Equal(instant(longer.ExpiresAt)))
		Eventually(func() time.Time { return s.session(ctx, "short").Status.ExpiresAt.UTC() }).
			Should(Equal(longer.ExpiresAt.UTC().Truncate(time.Second)))
		Expect(time.Now()).To(BeTemporally("<", short.ExpiresAt), "it came too late")
		Expect(readyHistory(watcher, s.session(ctx, "short").ResourceVersion)).To(Equal([]string{"", readyTrue}))
	})

	It("says so when a session has ended, not before, and takes it up again once it is extended", func(ctx SpecContext) {
		brief := fake.put(ctx, map[string]any{"client_session_id": "brief", "expires_in_seconds": 4})
		s.create(ctx, "brief", v1alpha1.SeamClientSessionSpec{ClientSessionID: "brief"})
		Eventually(ready(ctx, "brief")).Should(Equal("False SessionExpired"))
		Expect(time.Now()).To(BeTemporally(">=", brief.ExpiresAt.Truncate(time.Second)))

		fake.put(ctx, map[string]any{"client_session_id": "brief", "expires_in_seconds": 3600})
		s.refresh(ctx, "brief", "it was extended")
		Eventually(ready(ctx, "brief")).Should(Equal(readyTrue))
	})

	It("has shown no token, credential or user identifier key", func(ctx SpecContext) {
		Expect(s.operators[0].scrape(ctx)).NotTo(BeEmpty())
		Expect(s.events(ctx)).NotTo(BeEmpty())
		s.nothingShows(ctx, fake.secrets(ctx))
	})
})

// instant is how a Secret has a time: in whole seconds.
func instant(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// readyHistory is what Ready was, one after the other, in all that a watch has seen until a version of the session.
func readyHistory(watcher watch.Interface, until string) []string {
	GinkgoHelper()
	var history []string
	for seen := ""; seen != until; {
		var event watch.Event
		Eventually(watcher.ResultChan()).Should(Receive(&event))
		session, ok := event.Object.(*v1alpha1.SeamClientSession)
		Expect(ok).To(BeTrue(), "the watch ended: %v", event.Object)
		seen = session.ResourceVersion
		if now := conditionOf(session, v1alpha1.ConditionReady); len(history) == 0 || history[len(history)-1] != now {
			history = append(history, now)
		}
	}
	return history
}
