package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/workqueue"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// What this file uses of the controller is New, NewWorkspaceReconciler, CacheOptions, and of the reconcilers
// Reconcile, start and the handlers.

// simOperator is one process of the operator: the reconcilers, the caches that they read from, and the queue that calls them.
type simOperator struct {
	sim    *simulation
	ctx    context.Context
	cancel context.CancelFunc
	r      *Reconciler
	w      *WorkspaceReconciler
	queue  *simQueue
	// busy are the sessions, and the workspace, that are being reconciled, failures how often in a row that failed.
	busy     map[string]*simAttempt
	failures map[string]int

	mu       sync.Mutex
	position map[string]int           // in the history, by kind
	cache    map[simKey]client.Object // never an earlier state than before
}

// simAttempt is one reconcile.
type simAttempt struct {
	by   *simOperator
	name string
	// session is the object as the operator's cache showed it when the reconcile began.
	session *v1alpha1.SeamClientSession
	word    *simWord // Seam's, if it was asked
	asked   bool
	writes  int
	failed  bool // a request was not answered as it should
}

type attemptKey struct{}

func attemptOf(ctx context.Context) *simAttempt {
	attempt, _ := ctx.Value(attemptKey{}).(*simAttempt)
	return attempt
}

// startOperator starts a process whose caches begin some changes behind: a list may be served from a cache as well.
func (s *simulation) startOperator(behind int) {
	o := &simOperator{
		sim: s, busy: map[string]*simAttempt{}, failures: map[string]int{}, position: map[string]int{}, cache: map[simKey]client.Object{},
		queue: &simQueue{mono: s.mono.Now, due: map[string]time.Time{}},
	}
	o.ctx, o.cancel = context.WithCancel(s.ctx)
	o.ctx = logf.IntoContext(o.ctx, funcr.New(s.says, funcr.Options{Verbosity: 100}))
	clock := simClock{s.mono, s.wall, &s.timers}
	seamClient, err := seam.NewClient(seam.Config{
		Endpoint: "http://localhost", UserAgent: "simulation", MaxInFlight: 2, Clock: clock,
		Instrument: func(http.RoundTripper) http.RoundTripper { return o },
	})
	if err != nil {
		panic(err)
	}
	live := simClient{o: o, live: true}
	o.r = New(simClient{o: o}, live, live, simRecorder{s}, Options{Seam: seamClient, Workers: 16, Clock: clock})
	o.w = NewWorkspaceReconciler(o.r, live)
	if err := errors.Join(o.r.start(o.ctx, o.queue), o.w.start(o.ctx, o.queue)); err != nil {
		panic(err)
	}
	for _, kind := range simKinds {
		for _, change := range s.api.history[kind][:max(0, len(s.api.history[kind])-behind)] {
			o.show(kind, change)
		}
	}
	for _, kind := range simKinds {
		for _, object := range sorted(o.cache, kind) {
			o.handle(kind, nil, object)
		}
	}
	s.operator = o
}

// restart ends the operator's process and begins another, whose first lists may be somewhat old. The first one may not be dead
// but frozen in the middle of a call: once thawed, it gets as far as the end of what it was doing.
func (s *simulation) restart() string {
	behind, former, did := pick(s, 0, 0, 0, 2), s.operator, "killed"
	if len(former.busy) > 0 && s.chance(50) {
		did = "frozen"
		for _, call := range s.calls {
			call.until = call.until.Add(pick(s, 20*time.Second, time.Minute, time.Hour))
		}
	} else {
		former.kill()
		synctest.Wait()
	}
	s.restarted()
	s.startOperator(behind)
	return fmt.Sprintf("the operator is %s, and started anew, %d changes behind", did, behind)
}

func (o *simOperator) kill() {
	o.cancel()
	o.sim.calls = slices.DeleteFunc(o.sim.calls, func(c *simCall) bool { return c.attempt.by == o })
}

// show brings a change into the cache, which holds what CacheOptions has it hold.
func (o *simOperator) show(kind string, change simChange) (before, after client.Object) {
	before, after = asCached(change.before), asCached(change.after)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.position[kind]++
	delete(o.cache, simKey{kind, change.name()})
	if after != nil {
		o.cache[simKey{kind, change.name()}] = after
	}
	return before, after
}

// asCached is an object as CacheOptions has it in the cache; nil if it is not there.
func asCached(object client.Object) client.Object {
	held, ok := object.(*corev1.Secret)
	if !ok {
		return object
	}
	for kind, options := range CacheOptions(nil).ByObject {
		if _, ok := kind.(*corev1.Secret); ok && options.Label.Matches(labels.Set(held.Labels)) {
			transformed, err := options.Transform(held.DeepCopy())
			if err != nil {
				panic(err)
			}
			return transformed.(client.Object)
		}
	}
	return nil
}

// handle calls the handlers of a change that the cache shows.
func (o *simOperator) handle(kind string, before, after client.Object) {
	handler := o.r.secretHandler()
	if kind == kindWorkspace {
		handler = o.r.workspaceHandler()
		if before == nil || after == nil || before.GetGeneration() != after.GetGeneration() {
			o.queue.Add(reconcile.Request{NamespacedName: simName(simWorkspace)})
		}
	}
	switch {
	case before == nil && after == nil:
	case kind == kindSession:
		o.queue.Add(reconcile.Request{NamespacedName: simName(nonNil(before, after).GetName())})
	case before == nil:
		handler.Create(o.ctx, event.CreateEvent{Object: after}, o.queue)
	case after == nil:
		handler.Delete(o.ctx, event.DeleteEvent{Object: before}, o.queue)
	default:
		handler.Update(o.ctx, event.UpdateEvent{ObjectOld: before, ObjectNew: after}, o.queue)
	}
}

// catchUp shows the operator everything but the last changes of each kind.
func (o *simOperator) catchUp(but int) {
	for _, kind := range simKinds {
		for history := o.sim.api.history[kind]; o.position[kind] < len(history)-but; {
			before, after := o.show(kind, history[o.position[kind]])
			o.handle(kind, before, after)
		}
	}
	o.sim.api.tell()
}

// fresh says whether the caches show the present.
func (o *simOperator) fresh() bool {
	return !slices.ContainsFunc(simKinds, func(kind string) bool { return o.position[kind] < len(o.sim.api.history[kind]) })
}

// simClient is what the operator reads and writes with: from its caches, or live. What is not here, nothing may call.
type simClient struct {
	client.WithWatch
	o    *simOperator
	live bool
}

// broken says whether a request fails now.
func (c simClient) broken(ctx context.Context, what string) error {
	s := c.o.sim
	if err := c.o.ctx.Err(); err != nil {
		return err // of a process that is gone
	}
	if attempt := attemptOf(ctx); attempt != nil && s.chance(s.brokenWrites) {
		attempt.failed = true
		s.tracef("  %s fails", what)
		return apierrors.NewInternalError(errors.New("etcd has no leader"))
	}
	return nil
}

// Get implements client.Reader.
func (c simClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	object.SetName(key.Name)
	sought := keyOf(object)
	var found client.Object
	if c.live {
		if err := c.broken(ctx, fmt.Sprintf("get %v", sought)); err != nil {
			return err
		}
		found = c.o.sim.api.get(sought)
	} else {
		c.o.mu.Lock()
		found = c.o.cache[sought]
		c.o.mu.Unlock()
	}
	if found == nil {
		return apierrors.NewNotFound(sought.resource(), key.Name)
	}
	copyInto(found, object)
	return nil
}

// List implements client.Reader. The indices are of the SeamWorkspace that a session names, or of the client session of its
// status, and of the owners of a Secret.
func (c simClient) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	kind := kindSecret
	if _, ok := list.(*v1alpha1.SeamClientSessionList); ok {
		kind = kindSession
	}
	if c.live {
		return errors.New("what is not the operator's is read one by one")
	}
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	var found []runtime.Object
	for _, object := range sorted(c.o.cache, kind) {
		if wanted(opts)(object) {
			found = append(found, object.DeepCopyObject())
		}
	}
	return meta.SetList(list, found)
}

// wanted says which objects options select.
func wanted(opts []client.ListOption) func(client.Object) bool {
	options := (&client.ListOptions{}).ApplyOptions(opts)
	return func(object client.Object) bool {
		if options.Namespace != "" && object.GetNamespace() != options.Namespace {
			return false
		}
		if options.LabelSelector != nil && !options.LabelSelector.Matches(labels.Set(object.GetLabels())) {
			return false
		}
		if options.FieldSelector == nil {
			return true
		}
		field := options.FieldSelector.Requirements()[0]
		if session, ok := object.(*v1alpha1.SeamClientSession); ok && field.Field == indexSession {
			return bucketOfSession(session) != nil // as if all were in one bucket
		} else if ok {
			return session.Workspace().String() == field.Value
		}
		if field.Field == "metadata.name" {
			return object.GetName() == field.Value
		}
		return bucketOfController(object) != nil
	}
}

// Watch implements client.WithWatch, for the metadata of Secrets.
func (c simClient) Watch(ctx context.Context, _ client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
	options := (&client.ListOptions{}).ApplyOptions(opts)
	lasts := 5 * time.Minute
	if raw := options.Raw; raw != nil && raw.TimeoutSeconds != nil {
		lasts = time.Duration(*raw.TimeoutSeconds) * time.Second
	}
	return c.o.sim.api.watch(ctx, wanted(opts), c.o.sim.mono.Now().Add(lasts)), nil
}

// Create implements client.Writer.
func (c simClient) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	if len((&client.CreateOptions{}).ApplyOptions(opts).DryRun) > 0 { // which the simulation's API server never refuses
		return nil
	}
	return c.write(ctx, "create", object, c.o.sim.api.create)
}

// Update implements client.Writer.
func (c simClient) Update(ctx context.Context, object client.Object, _ ...client.UpdateOption) error {
	return c.write(ctx, "update", object, c.o.sim.api.update)
}

// Patch implements client.Writer.
func (c simClient) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	if len((&client.PatchOptions{}).ApplyOptions(opts).DryRun) > 0 {
		return nil
	}
	return c.write(ctx, "patch", object, func(object client.Object) error { return c.o.sim.api.patch(object, patch, false) })
}

// Delete implements client.Writer.
func (c simClient) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	options, want := (&client.DeleteOptions{}).ApplyOptions(opts), client.Preconditions{}
	if options.Preconditions != nil {
		want = client.Preconditions(*options.Preconditions)
	}
	return c.write(ctx, "delete", object, func(object client.Object) error { return c.o.sim.api.remove(object, want) })
}

// Status implements client.StatusClient.
func (c simClient) Status() client.SubResourceWriter { return simStatus{c: c} }

type simStatus struct {
	client.SubResourceWriter
	c simClient
}

// Patch implements client.SubResourceWriter.
func (w simStatus) Patch(ctx context.Context, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	return w.c.write(ctx, "patch status", object, func(object client.Object) error {
		return w.c.o.sim.api.patch(object, patch, true)
	})
}

// write is one write: it may fail, before it takes effect or after, and what it does is checked.
func (c simClient) write(ctx context.Context, verb string, object client.Object, do func(client.Object) error) error {
	s, key, attempt := c.o.sim, keyOf(object), attemptOf(ctx)
	what := fmt.Sprintf("%s %s %s", verb, key.kind, key.name)
	failure := c.broken(ctx, what)
	if c.o.ctx.Err() != nil {
		return failure
	}
	if failure != nil && s.chance(60) {
		return pick[error](s, failure, apierrors.NewForbidden(key.resource(), key.name, errors.New("exceeded quota")),
			apierrors.NewConflict(key.resource(), key.name, errors.New("modified")))
	}
	attempt.writes++
	before := s.api.get(key)
	if err := do(object); err != nil {
		s.tracef("  %s is refused: %s", what, apierrors.ReasonForError(err))
		attempt.failed = true
		return err
	}
	s.tracef("  %s", what)
	s.wrote(attempt, verb, before, s.api.get(key))
	if w := s.written[key.name]; failure != nil && key.kind == kindSecret && w != nil {
		w.unheard = true
	}
	return failure
}

// simQueue is the work queue: one entry a session, with the time at which it is due, by the clock which nobody can set.
type simQueue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	mono func() time.Time

	mu  sync.Mutex
	due map[string]time.Time
}

// Add implements the work queue.
func (q *simQueue) Add(request reconcile.Request) { q.AddAfter(request, 0) }

// AddAfter implements the work queue.
func (q *simQueue) AddAfter(request reconcile.Request, after time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := q.mono().Add(after)
	if earlier, ok := q.due[request.Name]; !ok || at.Before(earlier) {
		q.due[request.Name] = at
	}
}

func (q *simQueue) times() map[string]time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.due)
}

// nextDue takes a session out of the queue that is due, and not being reconciled already.
func (o *simOperator) nextDue(now time.Time) (string, bool) {
	o.queue.mu.Lock()
	defer o.queue.mu.Unlock()
	for _, name := range slices.Concat(simSessions, []string{simWorkspace}) {
		if at, ok := o.queue.due[name]; ok && !at.After(now) && o.busy[name] == nil {
			delete(o.queue.due, name)
			return name, true
		}
	}
	return "", false
}

// reconcile calls a reconciler as controller-runtime does, and goes on when that is done, or waits for Seam.
func (o *simOperator) reconcile(name string) {
	attempt := &simAttempt{by: o, name: name}
	attempt.session, _ = o.cache[simKey{kindSession, name}].(*v1alpha1.SeamClientSession)
	o.busy[name] = attempt
	o.sim.began(name)
	var reconciler reconcile.Reconciler = o.r
	if name == simWorkspace {
		reconciler = o.w
	}
	go func() {
		defer o.sim.recover()
		result, err := reconciler.Reconcile(context.WithValue(o.ctx, attemptKey{}, attempt), ctrl.Request{NamespacedName: simName(name)})
		o.ended(attempt, result, err)
	}()
	synctest.Wait()
}

// ended queues a session again as the reconciler wants.
func (o *simOperator) ended(attempt *simAttempt, result ctrl.Result, err error) {
	if o.ctx.Err() != nil { // all that a process was doing ends at once
		return
	}
	s, name := o.sim, attempt.name
	delete(o.busy, name)
	after := result.RequeueAfter
	if err != nil {
		after = min(time.Second<<min(o.failures[name], 6), time.Minute)
		o.failures[name]++
	} else {
		o.failures[name] = 0
	}
	if after > 0 {
		o.queue.AddAfter(reconcile.Request{NamespacedName: simName(name)}, after)
	}
	s.tracef("  reconcile %s: again after %s, error %v", name, after, err)
	s.checkAttempt(attempt, err)
	if o != s.operator && len(o.busy) == 0 { // it learns that it no longer leads
		o.kill()
	}
}

// simClock tells the operator a time that can be set, and runs its timers by one that can't.
type simClock struct {
	*testclock.FakeClock
	wall   *testclock.FakePassiveClock
	timers *simTimers
}

// After implements clock.Clock.
func (c simClock) After(d time.Duration) <-chan time.Time {
	c.timers.add(c.FakeClock.Now(), d)
	return c.FakeClock.After(d)
}

// simTimers are the times, by mono, at which the operator compares its clocks: were it late, every step of time would seem a
// clock that was set, and everything would be looked at, be it due or not. What it waits for more briefly may be late.
type simTimers struct {
	mu sync.Mutex
	at []time.Time
}

func (t *simTimers) add(now time.Time, d time.Duration) {
	if d < clockInterval {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = append(slices.DeleteFunc(t.at, func(at time.Time) bool { return !at.After(now) }), now.Add(d))
}

func (t *simTimers) times() []time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.at)
}

// Now implements clock.Clock.
func (c simClock) Now() time.Time { return c.wall.Now() }

// Since implements clock.Clock.
func (c simClock) Since(t time.Time) time.Duration { return c.wall.Since(t) }

// simRecorder is an event recorder.
type simRecorder struct{ sim *simulation }

// Eventf implements recorder.EventRecorder.
func (r simRecorder) Eventf(about, _ runtime.Object, kind, reason, _, note string, args ...any) {
	r.sim.says(kind+" "+reason, fmt.Sprintf(note, args...))
	if session, ok := about.(*v1alpha1.SeamClientSession); ok && reason == eventSessionLeftBehind {
		r.sim.leftBehind(session)
	}
}

// AnnotatedEventf implements recorder.EventRecorder.
func (r simRecorder) AnnotatedEventf(_, _ runtime.Object, _ map[string]string, kind, reason, _, note string, args ...any) {
	r.sim.says(kind+" "+reason, fmt.Sprintf(note, args...))
}
