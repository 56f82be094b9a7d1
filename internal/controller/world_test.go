package controller

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// dawn is when every world begins.
var dawn = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// world is a namespace of a real API server, a Seam, a clock that is stepped, and a Reconciler that is called when its
// timers say so. Nothing in it runs by itself.
type world struct {
	ctx       context.Context
	namespace string
	clock     *testclock.FakeClock
	seam      *seamtest.Server
	r         *Reconciler
	ws        *WorkspaceReconciler
	enqueued  enqueued
	// workspaces are those that were enqueued.
	workspaces enqueued
	timers     map[string]time.Time
	writes     writes
	logs       lockedBuffer
	events     recordedEvents
	// interfere, if not nil, is called before each write of the operator; its error takes the place of the write.
	interfere func(verb string, object client.Object) error
	// seamConfig, if not nil, changes how the operator speaks to Seam, from its next restart on.
	seamConfig func(*seam.Config)
	// namespaces are those that the operator is installed for, from its next restart on; none if it is for all.
	namespaces []string
}

// newWorld makes a world in which Seam knows what Seed gives it, and the Secret "seam" holds its API key. At the end of
// the spec nothing that is secret may have shown.
func newWorld() *world {
	GinkgoHelper()
	w := &world{clock: testclock.NewFakeClock(dawn), timers: map[string]time.Time{}}
	w.ctx = logf.IntoContext(context.Background(), w.logger())

	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "world-"}}
	Expect(api.Create(w.ctx, namespace)).To(Succeed())
	w.namespace = namespace.Name

	w.seam = seamtest.New(w.clock)
	w.seam.Seed()
	w.seam.Extend(seamtest.JohnSessionID, dawn.Add(24*time.Hour))
	w.seam.Start()
	DeferCleanup(w.seam.Close)
	w.restart()
	w.credential("seam", seamtest.APIKey1)
	DeferCleanup(w.nothingShows)
	return w
}

// restart replaces the operator by a new one, which knows nothing but what the API server has.
func (w *world) restart() {
	GinkgoHelper()
	config := seam.Config{Endpoint: w.seam.URL(), UserAgent: "test", Timeout: time.Second, MaxInFlight: 8, Clock: w.clock}
	if w.seamConfig != nil {
		w.seamConfig(&config)
	}
	seamClient, err := seam.NewClient(config)
	Expect(err).NotTo(HaveOccurred())
	w.r = New(w.cachedClient(), api, api, &w.events, Options{Seam: seamClient, Workers: 16, Clock: w.clock, Namespaces: w.namespaces})
	w.ws = NewWorkspaceReconciler(w.r, api)
	w.r.queue.start(&w.enqueued)
	w.r.checks.queue.start(&w.workspaces)
	clear(w.timers)
}

// cachedClient is a client that shows of Secrets what the operator's cache holds, and counts writes.
func (w *world) cachedClient() client.Client {
	ours := labels.SelectorFromSet(labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
	return interceptor.NewClient(api, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if err := c.Get(ctx, key, object, opts...); err != nil {
				return err
			}
			s, ok := object.(*corev1.Secret)
			if !ok {
				return nil
			}
			if !ours.Matches(labels.Set(s.Labels)) {
				return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
			}
			*s = *digest(s)
			return nil
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if sessions, ok := list.(*v1alpha1.SeamClientSessionList); ok {
				return w.listSessions(ctx, c, sessions, opts...)
			}
			return listByController(ctx, c, list, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
			dryRun := slices.Contains(opts, client.CreateOption(client.DryRunAll))
			if err := w.beforeWriteOf("create", object, dryRun); err != nil {
				return err
			}
			return c.Create(ctx, object, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.UpdateOption) error {
			if err := w.beforeWrite("update", object); err != nil {
				return err
			}
			return c.Update(ctx, object, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
			dryRun := slices.Contains(opts, client.PatchOption(client.DryRunAll))
			if err := w.beforeWriteOf("patch", object, dryRun); err != nil {
				return err
			}
			return c.Patch(ctx, object, patch, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			if err := w.beforeWrite("delete", object); err != nil {
				return err
			}
			return c.Delete(ctx, object, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			if err := w.beforeWrite("patch", object); err != nil {
				return err
			}
			return c.SubResource(name).Patch(ctx, object, patch, opts...)
		},
	})
}

// listByController lists the operator's Secrets of a namespace that objects control, as the index of the cache would if all were in one
// bucket.
func listByController(ctx context.Context, c client.Reader, list client.ObjectList, opts ...client.ListOption) error {
	options := (&client.ListOptions{}).ApplyOptions(opts)
	_, ok := options.FieldSelector.RequiresExactMatch(indexController)
	secrets, isSecrets := list.(*corev1.SecretList)
	if !ok || !isSecrets {
		return fmt.Errorf("the cache has no such index: %v", options.FieldSelector)
	}
	if err := c.List(ctx, secrets, client.InNamespace(options.Namespace), client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}); err != nil {
		return err
	}
	secrets.Items = slices.DeleteFunc(secrets.Items, func(s corev1.Secret) bool { return bucketOfController(&s) == nil })
	for i := range secrets.Items {
		secrets.Items[i] = *digest(&secrets.Items[i])
	}
	return nil
}

// listSessions lists the sessions of this world, as the index of the cache would if all were in one bucket: those of other specs are in the
// same API server, and their Seams give the same IDs.
func (w *world) listSessions(ctx context.Context, c client.Reader, sessions *v1alpha1.SeamClientSessionList, opts ...client.ListOption) error {
	options := (&client.ListOptions{}).ApplyOptions(opts)
	if err := c.List(ctx, sessions, client.InNamespace(w.namespace)); err != nil {
		return err
	}
	if options.FieldSelector == nil { // of a namespace
		return nil
	}
	if _, ok := options.FieldSelector.RequiresExactMatch(indexSession); ok {
		sessions.Items = slices.DeleteFunc(sessions.Items, func(s v1alpha1.SeamClientSession) bool {
			return s.Namespace != w.namespace || bucketOfSession(&s) == nil
		})
		return nil
	}
	workspace, ok := options.FieldSelector.RequiresExactMatch(indexWorkspace)
	if !ok {
		return fmt.Errorf("the cache has no such index: %v", options.FieldSelector)
	}
	sessions.Items = slices.DeleteFunc(sessions.Items, func(s v1alpha1.SeamClientSession) bool {
		return !slices.Contains(workspaceOfSession(&s), workspace)
	})
	return nil
}

func (w *world) beforeWrite(verb string, object client.Object) error {
	return w.beforeWriteOf(verb, object, false)
}

// beforeWriteOf is beforeWrite for what may be a dry run: that is refused as the write would be, and writes nothing.
func (w *world) beforeWriteOf(verb string, object client.Object, dryRun bool) error {
	if !dryRun {
		w.writes.add(verb, object)
	}
	if w.interfere == nil {
		return nil
	}
	return w.interfere(verb, object)
}

// credential creates or changes a Secret that holds a credential.
func (w *world) credential(name, value string) {
	GinkgoHelper()
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Data:       map[string][]byte{v1alpha1.DefaultCredentialKey: []byte(value)},
	}
	err := api.Create(w.ctx, s)
	if apierrors.IsAlreadyExists(err) {
		err = api.Update(w.ctx, s)
	}
	Expect(err).NotTo(HaveOccurred())
}

// create makes a session, by default of the seeded user by ID, with what change makes of it.
func (w *world) create(name string, changes ...func(*v1alpha1.SeamClientSession)) *v1alpha1.SeamClientSession {
	GinkgoHelper()
	session := &v1alpha1.SeamClientSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.SeamClientSessionSpec{
			ClientSessionID:     seamtest.JohnSessionID,
			CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam"},
		},
	}
	for _, change := range changes {
		change(session)
	}
	Expect(api.Create(w.ctx, session)).To(Succeed())
	return session
}

// change edits a session as a user does.
func (w *world) change(name string, change func(*v1alpha1.SeamClientSession)) {
	GinkgoHelper()
	session := w.session(name)
	change(session)
	Expect(api.Update(w.ctx, session)).To(Succeed())
}

// changeSecret edits a Secret as a colleague does.
func (w *world) changeSecret(name string, change func(*corev1.Secret)) {
	GinkgoHelper()
	s := w.secret(name)
	change(s)
	Expect(api.Update(w.ctx, s)).To(Succeed())
}

// ready makes a session and has it written.
func (w *world) ready(name string, changes ...func(*v1alpha1.SeamClientSession)) {
	GinkgoHelper()
	w.create(name, changes...)
	w.settle(name)
	w.expectReady(name)
}

// reconcile calls the reconciler once.
func (w *world) reconcile(name string) ctrl.Result {
	GinkgoHelper()
	result, err := w.r.Reconcile(w.ctx, ctrl.Request{NamespacedName: w.key(name)})
	Expect(err).NotTo(HaveOccurred())
	delete(w.timers, name)
	if result.RequeueAfter > 0 {
		w.timers[name] = w.clock.Now().Add(result.RequeueAfter)
	}
	return result
}

// settle calls the reconciler as the watches would: until it writes nothing more.
func (w *world) settle(names ...string) {
	GinkgoHelper()
	for _, name := range names {
		for round := 0; ; round++ {
			Expect(round).To(BeNumerically("<", 10), "%s does not settle", name)
			before := w.writes.count()
			w.reconcile(name)
			if w.writes.count() == before && w.r.memory.of(w.key(name), w.clock.Now()).wish == nil {
				break
			}
		}
	}
}

// advance lets time pass, second by second where timers run out, and calls the reconciler at each.
func (w *world) advance(d time.Duration) {
	GinkgoHelper()
	end := w.clock.Now().Add(d)
	for steps := 0; ; steps++ {
		Expect(steps).To(BeNumerically("<", 10_000), "timers spin")
		name, at := w.nextTimer()
		if name == "" || at.After(end) {
			break
		}
		if at.After(w.clock.Now()) {
			w.clock.SetTime(at)
		}
		w.settle(name)
	}
	w.clock.SetTime(end)
}

func (w *world) nextTimer() (name string, at time.Time) {
	for other, timer := range w.timers {
		if name == "" || timer.Before(at) || timer.Equal(at) && other < name {
			name, at = other, timer
		}
	}
	return name, at
}

func (w *world) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: w.namespace, Name: name}
}

func (w *world) session(name string) *v1alpha1.SeamClientSession {
	GinkgoHelper()
	session := &v1alpha1.SeamClientSession{}
	Expect(api.Get(w.ctx, w.key(name), session)).To(Succeed())
	return session
}

func (w *world) secret(name string) *corev1.Secret {
	GinkgoHelper()
	s := &corev1.Secret{}
	Expect(api.Get(w.ctx, w.key(name), s)).To(Succeed())
	return s
}

func (w *world) expectNoSecret(name string) {
	GinkgoHelper()
	err := api.Get(w.ctx, w.key(name), &corev1.Secret{})
	Expect(apierrors.IsNotFound(err)).To(BeTrue(), "Secret %s is there: %v", name, err)
}

// condition returns a condition of a session; its zero value if it is absent.
func (w *world) condition(name, conditionType string) metav1.Condition {
	GinkgoHelper()
	if found := meta.FindStatusCondition(w.session(name).Status.Conditions, conditionType); found != nil {
		return *found
	}
	return metav1.Condition{}
}

// syncedReason is the reason of the condition Synced, empty before the first attempt.
func syncedReason(status *v1alpha1.SeamClientSessionStatus) string {
	if synced := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionSynced); synced != nil {
		return synced.Reason
	}
	return ""
}

func (w *world) expectReady(name string) {
	GinkgoHelper()
	Expect(w.condition(name, v1alpha1.ConditionReady)).To(haveStatus(metav1.ConditionTrue, v1alpha1.ReasonTokenAvailable))
}

// haveStatus matches a condition by its status and reason.
func haveStatus(status metav1.ConditionStatus, reason string) OmegaMatcher {
	return And(HaveField("Status", status), HaveField("Reason", reason))
}

// nothingShows fails if a token, credential or user identifier key is in any log line, event, status or annotation.
func (w *world) nothingShows() {
	GinkgoHelper()
	var sessions v1alpha1.SeamClientSessionList
	var workspaces v1alpha1.SeamWorkspaceList
	Expect(api.List(w.ctx, &sessions, client.InNamespace(w.namespace))).To(Succeed())
	Expect(api.List(w.ctx, &workspaces)).To(Succeed())
	shown := w.logs.String() + strings.Join(w.events.all(), "\n")
	for i := range workspaces.Items {
		status, err := json.Marshal(workspaces.Items[i].Status)
		Expect(err).NotTo(HaveOccurred())
		shown += string(status)
	}
	for i := range sessions.Items {
		status, err := json.Marshal(sessions.Items[i].Status)
		Expect(err).NotTo(HaveOccurred())
		shown += string(status)
	}
	expectHidden(w.seam.Secrets(), shown)
}

// expectHidden fails if any of the secrets is in what was shown, plain or as Kubernetes encodes the data of a Secret.
func expectHidden(secrets []string, shown string) {
	GinkgoHelper()
	for _, hidden := range secrets {
		for _, form := range []string{hidden, base64.StdEncoding.EncodeToString([]byte(hidden))} {
			Expect(strings.Contains(shown, form)).To(BeFalse(), "%q shows in:\n%s", hidden, shown)
		}
	}
}

// mostVerbose is how far main.go's logger goes, whatever the flags say: from 8 on client-go logs the bodies of requests.
const mostVerbose = 5

// logger writes everything, at the most verbose level, to the world's log.
func (w *world) logger() logr.Logger {
	return funcr.New(func(prefix, args string) { w.logs.WriteLine(prefix + " " + args) }, funcr.Options{Verbosity: mostVerbose})
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) WriteLine(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buffer.WriteString(line + "\n")
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// recordedEvents is an event recorder that keeps "type reason: note".
type recordedEvents struct {
	mu   sync.Mutex
	list []string
}

func (e *recordedEvents) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	e.AnnotatedEventf(regarding, related, nil, kind, reason, action, note, args...)
}

func (e *recordedEvents) AnnotatedEventf(_, _ runtime.Object, _ map[string]string, kind, reason, _, note string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, kind+" "+reason+": "+fmt.Sprintf(note, args...))
}

func (e *recordedEvents) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.list)
}

// take returns the reasons of the events since the last call.
func (w *world) eventReasons() []string {
	w.events.mu.Lock()
	defer w.events.mu.Unlock()
	reasons := make([]string, 0, len(w.events.list))
	for _, event := range w.events.list {
		reasons = append(reasons, strings.TrimSuffix(strings.Fields(event)[1], ":"))
	}
	return reasons
}

// enqueued is a work queue that keeps what was enqueued.
type enqueued struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	mu   sync.Mutex
	list []types.NamespacedName
}

func (e *enqueued) Add(request reconcile.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, request.NamespacedName)
}

// take returns what was enqueued since the last call.
func (e *enqueued) take() []types.NamespacedName {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := e.list
	e.list = nil
	return taken
}

// writes counts what the operator writes.
type writes struct {
	mu   sync.Mutex
	list []string
}

func (w *writes) add(verb string, object client.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, fmt.Sprintf("%s %T %s", verb, object, object.GetName()))
}

func (w *writes) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.list)
}
