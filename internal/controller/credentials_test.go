package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	controllerconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/references"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// aHundred is how many sessions share a credential here.
	aHundred = 100
	// soon is how soon a change of a credential Secret is noticed. How long it takes until all sessions are fetched depends on the machine.
	soon = 5 * time.Second
)

var _ = Describe("A credential that a hundred sessions share", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	It("is tried once a minute for all of them together while Seam refuses it", func() {
		w.credential("seam", "seam_revoked")
		names := w.createMany(aHundred)
		w.settle(names...)
		Expect(w.seam.CallCount()).To(Equal(1))
		w.expectAll(metav1.ConditionFalse, v1alpha1.ReasonUnauthorized)

		writes := w.writes.count()
		w.advance(2 * time.Minute)
		var at []time.Time
		for _, call := range w.seam.Calls() {
			at = append(at, call.At)
		}
		Expect(at).To(Equal([]time.Time{dawn, dawn.Add(time.Minute), dawn.Add(2 * time.Minute)}))
		Expect(w.writes.count()).To(Equal(writes+2), "only who called has something new to say")
		w.expectAll(metav1.ConditionFalse, v1alpha1.ReasonUnauthorized)

		w.credential("seam", seamtest.APIKey1)
		w.advance(time.Minute)
		w.expectAll(metav1.ConditionTrue, v1alpha1.ReasonFetched)
		Expect(w.seam.CallsWith(seamtest.APIKey1)).To(Equal(aHundred))
	})

	It("leaves Seam alone for as long as a 429 asks for, and holds back nobody who uses another", func() {
		w.credential("other", seamtest.AccessToken)
		w.seam.FailCredential(seamtest.APIKey1, seamtest.RateLimited(20*time.Second))
		names := w.createMany(aHundred)
		w.settle(names...)
		w.expectAll(metav1.ConditionFalse, v1alpha1.ReasonRateLimited)
		for _, name := range names {
			Expect(w.session(name).Status.NextFetchTime.Time).To(BeTemporally("==", dawn.Add(20*time.Second)))
		}
		w.ready("colleague", func(s *v1alpha1.SeamClientSession) {
			s.Spec.CredentialSecretRef.Name, s.Spec.WorkspaceID = "other", seamtest.Workspace1
		})

		w.advance(19 * time.Second)
		Expect(w.seam.CallsWith(seamtest.APIKey1)).To(Equal(1))
		w.seam.Heal()
		w.advance(time.Second)
		w.expectAll(metav1.ConditionTrue, v1alpha1.ReasonFetched)
		Expect(w.seam.CallsWith(seamtest.APIKey1)).To(Equal(1 + aHundred))
	})

	It("leaves Seam alone over a restart of the operator as well", func() {
		w.seam.Fail(seamtest.RateLimited(20 * time.Second))
		w.create("jane")
		w.settle("jane")
		w.seam.Heal()
		w.restart()
		w.settle("jane")
		w.advance(19 * time.Second)
		Expect(w.seam.CallCount()).To(Equal(1))
		w.advance(time.Second)
		w.expectAll(metav1.ConditionTrue, v1alpha1.ReasonFetched)
	})

	It("is waited for before anybody can read that it failed", func() {
		w.credential("seam", seamtest.PublishableKey)
		w.create("jane")
		var waited []bool
		w.interfere = func(_ string, object client.Object) error {
			waited = append(waited, !w.r.waiting.Changed(client.ObjectKeyFromObject(object)))
			return nil
		}
		w.settle("jane")
		Expect(waited).To(Equal([]bool{true}), "a change made the moment that the status shows would go unnoticed")
	})
})

var _ = Describe("A running operator", func() {
	var w *runningWorld
	BeforeEach(func() { w = newRunningWorld() })

	DescribeTable("has all sessions Ready within seconds of their credential being put right", func(credential, reason string, count int, fault seamtest.Fault) {
		if credential != "" {
			w.credential("seam", credential)
			if fault.Name != "" {
				w.seam.FailCredential(credential, fault)
			}
		} else {
			Expect(api.Delete(w.ctx, w.secret("seam"))).To(Succeed())
		}
		w.createMany(count)
		Eventually(w.reasons).WithTimeout(20 * time.Second).Should(Equal(map[string]int{reason: count}))
		if credential == "seam_revoked" {
			Expect(w.seam.CallCount()).To(Equal(1), "the clock stands still: there was no minute for a second call")
		}

		w.clock.Step(pace)
		if w.seam.CallCount() == count { // the second pause is longer than the pace: no call but for the change comes in between
			Eventually(w.failedTwice).WithTimeout(20 * time.Second).Should(Equal(count))
			w.clock.Step(pace)
		}
		w.credential("seam", seamtest.APIKey1)
		w.noticedSoon(v1alpha1.ReasonFetched, count)
		w.expectAll(metav1.ConditionTrue, v1alpha1.ReasonFetched)
		Expect(w.seam.CallsWith(seamtest.APIKey1)).To(Equal(count))
		Expect(text(w.secret("jane-0"))).To(HaveKeyWithValue("token", seamtest.JohnToken))
	},
		Entry("that Seam refused", "seam_revoked", v1alpha1.ReasonUnauthorized, aHundred, seamtest.Fault{}),
		Entry("that may not read sessions", "seam_limited", v1alpha1.ReasonUnauthorized, aHundred, seamtest.Forbidden),
		Entry("that is of another workspace", seamtest.APIKey2, v1alpha1.ReasonSessionNotFound, 10, seamtest.Fault{}),
		Entry("that can't be one", seamtest.PublishableKey, v1alpha1.ReasonCredentialInvalid, 10, seamtest.Fault{}),
		Entry("that was missing", "", v1alpha1.ReasonCredentialNotFound, 10, seamtest.Fault{}),
	)

	It("does not call Seam for a credential that is what it was, whatever else of its Secret changes", func() {
		w.seam.FailCredential(seamtest.APIKey1, seamtest.Forbidden)
		w.createMany(10)
		Eventually(w.reasons).WithTimeout(20 * time.Second).Should(Equal(map[string]int{v1alpha1.ReasonUnauthorized: 10}))
		w.clock.Step(pace)
		Eventually(w.seam.CallCount).WithTimeout(2 * soon).Should(Equal(20))
		w.clock.Step(pace) // the next call is due after twice that
		for _, team := range []string{"blue", "red"} {
			reads := w.requests.reads("seam")
			w.changeSecret("seam", func(s *corev1.Secret) { s.Labels = map[string]string{"team": team} })
			Eventually(w.requests.reads).WithArguments("seam").WithTimeout(soon).Should(BeNumerically(">", reads))
		}
		Expect(w.seam.CallCount()).To(Equal(20))
	})

	It("heals by itself when a credential Secret is deleted and made again", func() {
		w.createMany(10)
		Eventually(w.reasons).WithTimeout(20 * time.Second).Should(Equal(map[string]int{v1alpha1.ReasonFetched: 10}))
		Expect(api.Delete(w.ctx, w.secret("seam"))).To(Succeed())
		w.clock.Step(references.TTL)
		w.refresh("jane-0", "jane-1", "jane-2")
		Eventually(w.reasons).WithTimeout(soon).Should(Equal(map[string]int{v1alpha1.ReasonFetched: 7, v1alpha1.ReasonCredentialNotFound: 3}))
		w.expectReady("jane-0")

		w.credential("seam", seamtest.APIKey1)
		Eventually(w.reasons).WithTimeout(soon).Should(Equal(map[string]int{v1alpha1.ReasonFetched: 10}))
		Expect(w.seam.CallCount()).To(Equal(13), "who was well was not asked for again")
	})

	It("sees of Secrets that are not its own or in use the metadata alone, and that only while a credential is broken", func() {
		for _, name := range []string{"stranger", "taken"} {
			Expect(api.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}})).To(Succeed())
		}
		w.credential("broken", "seam_revoked")
		w.credential("key", "unused")
		w.changeSecret("key", func(s *corev1.Secret) { s.StringData = map[string]string{"key": seamtest.JohnUserIdentifierKey} })
		w.create("jane")
		w.create("john", func(s *v1alpha1.SeamClientSession) {
			s.Spec.ClientSessionID = ""
			s.Spec.UserIdentifierKeySecretRef = &v1alpha1.SecretKeyReference{Name: "key", Key: "key"}
		})
		w.create("jim", func(s *v1alpha1.SeamClientSession) { s.Spec.CredentialSecretRef.Name = "broken" })
		w.create("joe", func(s *v1alpha1.SeamClientSession) { s.Spec.Secret.Name = "taken" })
		Eventually(w.reasons).WithTimeout(20 * time.Second).Should(Equal(map[string]int{
			v1alpha1.ReasonFetched: 2, v1alpha1.ReasonUnauthorized: 1, v1alpha1.ReasonSecretConflict: 1,
		}))
		Eventually(w.requests.watchesOfAll).WithTimeout(soon).Should(Equal(1), "while a credential is broken, the Secrets of its namespace are watched")
		for _, request := range w.requests.all() {
			selector := request.query.Get("labelSelector")
			switch {
			case request.name != "":
				Expect(request.name).To(BeElementOf("jane", "john", "taken", "seam", "broken", "key"), request.String())
			case request.metadataOnly:
				Expect(request.query.Get("watch")).To(Equal("true"), request.String())
			case request.method == http.MethodGet:
				Expect(selector).To(Equal(v1alpha1.LabelManagedBy+"="+v1alpha1.ManagedBy), request.String())
			}
		}
	})

	It("shows nothing of what is secret, whatever goes wrong", func() {
		for i, fault := range seamtest.Faults {
			id := fmt.Sprintf("session-%d", i)
			key, userKey, token := "seam_key_of_"+id, "user_key_of_"+id, "seam_cst_token_of_"+id
			w.seam.AddCredential(key, seamtest.Workspace1)
			w.seam.Put(seamtest.Session{ID: id, WorkspaceID: seamtest.Workspace1, UserIdentifierKey: userKey, Token: token, ExpiresAt: dawn.Add(time.Hour)})
			w.seam.FailCredential(key, fault)
			w.credential("credential-of-"+id, key)
			w.create(id, func(s *v1alpha1.SeamClientSession) {
				s.Spec.CredentialSecretRef.Name = "credential-of-" + id
				s.Spec.ClientSessionID, s.Spec.UserIdentifierKey = "", userKey
			})
		}
		w.create("well")
		Eventually(w.tried).WithTimeout(20 * time.Second).Should(Equal(len(seamtest.Faults) + 1))
		Eventually(w.eventNotes).WithTimeout(20 * time.Second).Should(ContainElements(
			ContainSubstring(`"reason":"TokenWritten"`), ContainSubstring(`"reason":"Unauthorized"`), ContainSubstring(`"reason":"SeamUnavailable"`)))
		Expect(w.logs.String()).To(ContainSubstring("Unauthorized"), "nothing was logged that could show anything")
		// That nothing shows is proved at the end of every spec.
	})
})

// createMany makes sessions that are alike, and returns their names.
func (w *world) createMany(count int) []string {
	GinkgoHelper()
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("jane-%d", i)
		w.create(names[i])
	}
	return names
}

// sessions returns all sessions but those that go by a name of their own.
func (w *world) sessions() []v1alpha1.SeamClientSession {
	GinkgoHelper()
	var list v1alpha1.SeamClientSessionList
	Expect(api.List(w.ctx, &list, client.InNamespace(w.namespace))).To(Succeed())
	return slices.DeleteFunc(list.Items, func(s v1alpha1.SeamClientSession) bool { return s.Name == "colleague" })
}

// expectAll expects that Synced says this of every session, in the same words, and that Ready has the same status.
func (w *world) expectAll(status metav1.ConditionStatus, reason string) {
	GinkgoHelper()
	var message string
	for _, session := range w.sessions() {
		synced := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionSynced)
		Expect(synced).To(HaveValue(haveStatus(status, reason)), session.Name)
		if message == "" {
			message = synced.Message
		}
		Expect(synced.Message).To(Equal(message))
		Expect(meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady)).To(Equal(status == metav1.ConditionTrue))
	}
}

// runningWorld is a world in which a manager runs the operator: the watches, the cache and the workers are real. The clock
// still stands, but for what a spec steps it.
type runningWorld struct {
	*world
	requests secretRequests
}

// rootLog is what is logged without a context: by informers.
var (
	rootLog       lockedBuffer
	setRootLogger = sync.OnceFunc(func() {
		logger := funcr.New(func(prefix, args string) { rootLog.WriteLine(prefix + " " + args) }, funcr.Options{Verbosity: mostVerbose})
		ctrl.SetLogger(logger)
		klog.SetLogger(logger)
	})
)

func newRunningWorld() *runningWorld { return running(newWorld()) }

// running lets an operator run in a world, and in other namespaces.
func running(still *world, others ...string) *runningWorld {
	GinkgoHelper()
	setRootLogger()
	w := &runningWorld{world: still}
	w.namespaces = append(others, w.namespace) // the worlds of other specs are in the same API server
	ctx, stop := context.WithCancel(w.ctx)
	stopped := make(chan error, 1)
	manager := w.newManager(ctx)
	DeferCleanup(w.nothingShowsOutside)
	DeferCleanup(func() {
		stop()
		Eventually(stopped).WithTimeout(20 * time.Second).Should(Receive(BeNil()))
	})
	go func() { stopped <- manager.Start(ctx) }()
	return w
}

func (w *runningWorld) newManager(ctx context.Context) ctrl.Manager {
	GinkgoHelper()
	watched := rest.CopyConfig(config)
	watched.Wrap(w.requests.wrap)
	manager, err := ctrl.NewManager(watched, ctrl.Options{
		Scheme:     scheme,
		Cache:      CacheOptions(w.namespaces),
		Logger:     w.logger(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: controllerconfig.Controller{SkipNameValidation: ptr.To(true)},
	})
	Expect(err).NotTo(HaveOccurred())
	seamClient, err := seam.NewClient(seam.Config{
		Endpoint: w.seam.URL(), UserAgent: "test", Timeout: time.Second, MaxInFlight: 8, Clock: w.clock,
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(SetupWithManager(ctx, manager, Options{
		Seam: seamClient, Workers: 16, Clock: w.clock, Namespaces: w.namespaces,
	})).To(Succeed())
	return manager
}

// noticedSoon expects that a change leads sessions to this reason soon, and in the end all of them.
func (w *runningWorld) noticedSoon(reason string, count int) {
	GinkgoHelper()
	Eventually(w.reasons).WithTimeout(soon).Should(HaveKey(reason))
	Eventually(w.reasons).WithTimeout(4 * soon).Should(Equal(map[string]int{reason: count}))
}

// reasons counts the sessions by the reason of Synced.
func (w *runningWorld) reasons() map[string]int {
	count := map[string]int{}
	for _, session := range w.sessions() {
		count[syncedReason(&session.Status)]++
	}
	return count
}

// failedTwice counts the sessions of which two calls in a row have failed.
func (w *runningWorld) failedTwice() int {
	return len(slices.DeleteFunc(w.sessions(), func(s v1alpha1.SeamClientSession) bool { return s.Status.FailedFetches != 2 }))
}

// tried counts the sessions for which something was tried.
func (w *runningWorld) tried() int {
	reasons := w.reasons()
	return len(w.sessions()) - reasons[""]
}

// refresh requests that Seam is asked.
func (w *runningWorld) refresh(names ...string) {
	GinkgoHelper()
	for _, name := range names {
		Eventually(func() error { // the operator writes as well
			session := w.session(name)
			metav1.SetMetaDataAnnotation(&session.ObjectMeta, v1alpha1.AnnotationRefreshRequestedAt, "now")
			return api.Update(w.ctx, session)
		}).Should(Succeed())
	}
}

// eventNotes returns the events in the API server.
func (w *runningWorld) eventNotes() []string {
	GinkgoHelper()
	var list eventsv1.EventList
	Expect(api.List(w.ctx, &list, client.InNamespace(w.namespace))).To(Succeed())
	notes := make([]string, 0, len(list.Items))
	for i := range list.Items {
		note, err := json.Marshal(list.Items[i])
		Expect(err).NotTo(HaveOccurred())
		notes = append(notes, string(note))
	}
	return notes
}

// nothingShowsOutside is nothingShows for what only a manager has: events in the API server, and metrics.
func (w *runningWorld) nothingShowsOutside() {
	GinkgoHelper()
	families, err := metrics.Registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	Expect(families).NotTo(BeEmpty())
	shown := rootLog.String() + strings.Join(w.eventNotes(), "\n")
	for _, family := range families {
		shown += family.String()
	}
	expectHidden(w.seam.Secrets(), shown)
}

// secretRequests records what is requested of Secrets.
type secretRequests struct {
	mu   sync.Mutex
	list []secretRequest
}

type secretRequest struct {
	method, name string
	query        url.Values
	metadataOnly bool
}

func (r secretRequest) String() string { return r.method + " " + r.name + "?" + r.query.Encode() }

func (r *secretRequests) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if _, rest, found := strings.Cut(request.URL.Path, "/secrets"); found {
			r.mu.Lock()
			metadataOnly := strings.Contains(request.Header.Get("Accept"), "as=PartialObjectMetadata")
			r.list = append(r.list, secretRequest{request.Method, strings.TrimPrefix(rest, "/"), request.URL.Query(), metadataOnly})
			r.mu.Unlock()
		}
		return next.RoundTrip(request)
	})
}

func (r *secretRequests) all() []secretRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

// watchesOfAll is how many watches were begun that are not of the operator's own Secrets.
func (r *secretRequests) watchesOfAll() int {
	watches := 0
	for _, request := range r.all() {
		if request.metadataOnly && request.query.Get("watch") == "true" {
			watches++
		}
	}
	return watches
}

// reads is how often a Secret was read by its name.
func (r *secretRequests) reads(name string) int {
	reads := 0
	for _, request := range r.all() {
		if request.method == http.MethodGet && request.name == name {
			reads++
		}
	}
	return reads
}
