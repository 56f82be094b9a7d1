package controller

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/workqueue"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// simOperator is one process of the operator: a Reconciler, the caches that it reads from, and the queue that calls it.
// It has one worker.
type simOperator struct {
	sim    *simulation
	ctx    context.Context
	cancel context.CancelFunc
	r      *Reconciler
	cache  simCache
	queue  *simQueue
	// current is the session that is being reconciled, if one is.
	current string
	// writes and answer are those of the reconcile under way, or the last one.
	writes int
	answer *simAnswer
	// seamChanges is what had been done at Seam when it answered.
	seamChanges int
	// failures in a row of a session, for the queue's back-off.
	failures map[string]int
}

// startOperator starts a process whose caches begin some changes behind: a list may be served from a cache as well.
func (s *simulation) startOperator(behind int) *simOperator {
	o := &simOperator{sim: s, failures: map[string]int{}}
	o.cache.position, o.cache.objects = map[string]int{}, map[types.NamespacedName]client.Object{}
	o.ctx, o.cancel = context.WithCancel(s.ctx)
	o.ctx = logf.IntoContext(o.ctx, s.logger())
	o.queue = &simQueue{mono: s.mono.Now, due: map[string]time.Time{}}
	seamClient, err := seam.NewClient(seam.Config{
		Endpoint: "http://localhost", UserAgent: "simulation", MaxInFlight: 8, Clock: s.clock,
		Instrument: func(http.RoundTripper) http.RoundTripper { return &simTransport{o} },
	})
	if err != nil {
		panic(err)
	}
	cached := o.client()
	o.r = New(cached, simReader{o}, cached, &s.events, Options{Seam: seamClient, Workers: 1, Clock: s.clock})
	if err := o.r.start(o.ctx, o.queue); err != nil {
		panic(err)
	}
	o.list(kindSession, behind)
	o.list(kindSecret, behind)
	return o
}

// list fills the cache of a kind with what there was before the last changes, and queues all of it.
func (o *simOperator) list(kind string, behind int) {
	history := o.sim.api.history[kind]
	position := max(0, len(history)-behind)
	for _, change := range history[:position] {
		o.cache.set(kind, asCached(change.before), asCached(change.after))
	}
	o.cache.position[kind] = position
	for _, object := range o.cache.of(kind) {
		o.handle(kind, nil, object)
	}
}

// simCache is what the operator's informers hold: of each kind the state after some of its changes, and never an earlier
// one than before.
type simCache struct {
	mu       sync.Mutex
	position map[string]int
	objects  map[types.NamespacedName]client.Object // by simKey
}

// deliver brings the cache of a kind to a position in the history, and calls the handlers as informers do.
func (o *simOperator) deliver(kind string, position int) {
	for o.cache.position[kind] < position {
		change := o.sim.api.history[kind][o.cache.position[kind]]
		o.cache.position[kind]++
		before, after := asCached(change.before), asCached(change.after)
		o.cache.set(kind, before, after)
		o.handle(kind, before, after)
		if name := nonNil(change.before, change.after).GetName(); change.writer != o && kind == kindSecret {
			o.sim.concernsSecret(name)
		} else if change.writer != o {
			o.sim.concerns(name)
		}
	}
}

// handle calls the handlers of a change that the cache shows.
func (o *simOperator) handle(kind string, before, after client.Object) {
	if kind == kindSession {
		o.queue.Add(reconcile.Request{NamespacedName: o.sim.key(nonNil(before, after).GetName())})
		return
	}
	secrets := o.r.secretHandler()
	switch {
	case before == nil && after != nil:
		secrets.Create(o.ctx, event.CreateEvent{Object: after}, o.queue)
	case before != nil && after != nil:
		secrets.Update(o.ctx, event.UpdateEvent{ObjectOld: before, ObjectNew: after}, o.queue)
	case before != nil:
		secrets.Delete(o.ctx, event.DeleteEvent{Object: before}, o.queue)
	}
}

// catchUp delivers everything but the last changes of each kind.
func (o *simOperator) catchUp(but int) {
	for _, kind := range []string{kindSession, kindSecret} {
		o.deliver(kind, len(o.sim.api.history[kind])-but)
	}
}

// fresh says whether the caches show the present.
func (o *simOperator) fresh() bool {
	return o.cache.position[kindSession] == len(o.sim.api.history[kindSession]) &&
		o.cache.position[kindSecret] == len(o.sim.api.history[kindSecret])
}

// asCached is an object as CacheOptions has it in the cache; nil if it is not there.
func asCached(object client.Object) client.Object {
	s, ok := object.(*corev1.Secret)
	if !ok {
		return object
	}
	if s.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
		return nil
	}
	return digest(s)
}

func (c *simCache) set(kind string, before, after client.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case after != nil:
		c.objects[simKey(kind, after.GetName())] = after
	case before != nil:
		delete(c.objects, simKey(kind, before.GetName()))
	}
}

func (c *simCache) get(kind, name string) client.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects[simKey(kind, name)]
}

// of returns the objects of a kind, by name.
func (c *simCache) of(kind string) (objects []client.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, object := range c.objects {
		if key.Namespace == kind {
			objects = append(objects, object)
		}
	}
	slices.SortFunc(objects, func(a, b client.Object) int { return strings.Compare(a.GetName(), b.GetName()) })
	return objects
}

// referring lists the sessions that refer to a Secret, as the index of the cache does.
func (c *simCache) referring(name string) (items []v1alpha1.SeamClientSession) {
	for _, object := range c.of(kindSession) {
		if session, ok := object.(*v1alpha1.SeamClientSession); ok && slices.Contains(indexedReferences(session), name) {
			items = append(items, *session.DeepCopy())
		}
	}
	return items
}

// client is what the operator reads and writes with.
func (o *simOperator) client() client.WithWatch {
	return interceptor.NewClient(o.sim.api.store, interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
			switch found := o.cache.get(kindOf(object), key.Name).(type) {
			case *corev1.Secret:
				found.DeepCopyInto(object.(*corev1.Secret))
			case *v1alpha1.SeamClientSession:
				found.DeepCopyInto(object.(*v1alpha1.SeamClientSession))
			default:
				return apierrors.NewNotFound(corev1.Resource(kindOf(object)), key.Name)
			}
			return nil
		},
		List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			options := (&client.ListOptions{}).ApplyOptions(opts)
			name, _ := options.FieldSelector.RequiresExactMatch(indexReferences)
			list.(*v1alpha1.SeamClientSessionList).Items = o.cache.referring(name)
			return nil
		},
		Watch: func(ctx context.Context, _ client.WithWatch, _ client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
			options := (&client.ListOptions{}).ApplyOptions(opts)
			name, _ := options.FieldSelector.RequiresExactMatch("metadata.name")
			return o.sim.api.watch(ctx, name, o.sim.mono.Now()), nil
		},
		Create: func(ctx context.Context, _ client.WithWatch, object client.Object, _ ...client.CreateOption) error {
			return o.write("create", object, func() error { return o.sim.api.create(ctx, object) })
		},
		Update: func(ctx context.Context, _ client.WithWatch, object client.Object, _ ...client.UpdateOption) error {
			return o.write("update", object, func() error { return o.sim.api.update(ctx, object) })
		},
		Delete: func(ctx context.Context, _ client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			return o.write("delete", object, func() error { return o.sim.api.remove(ctx, object, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, _ client.Client, _ string, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
			return o.write("patch", object, func() error { return o.sim.api.patchStatus(ctx, object, patch) })
		},
	})
}

// simReader reads past the cache, where that works.
type simReader struct{ operator *simOperator }

// Get implements client.Reader.
func (r simReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	s := r.operator.sim
	if s.chance(s.brokenWrites) {
		s.tracef("  get %s %s fails", kindOf(object), key.Name)
		for _, name := range simSessions { // who shares what was to be read
			s.facts(name).troubled = true
		}
		return apierrors.NewInternalError(errors.New("etcd has no leader"))
	}
	return s.api.Get(ctx, key, object, opts...)
}

// List implements client.Reader. Nobody lists past the cache: the operator may not depend on what else is there.
func (simReader) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("the simulation's API server lists nothing")
}

// write is one write of the operator: it may fail, before it takes effect or after, and what it does is checked.
func (o *simOperator) write(verb string, object client.Object, do func() error) error {
	s := o.sim
	o.writes++
	kind, name := kindOf(object), object.GetName()
	failure := s.writeFailure(kind, name)
	if failure != nil && (apierrors.IsConflict(failure) || s.chance(50)) {
		s.tracef("  %s %s %s fails: %v", verb, kind, name, apierrors.ReasonForError(failure))
		s.failedWrite(o, kind)
		return failure
	}
	before := s.api.current[simKey(kind, name)]
	s.api.writer = o
	err := do()
	s.api.writer = nil
	if err != nil {
		s.tracef("  %s %s %s is refused: %s", verb, kind, name, apierrors.ReasonForError(err))
		s.failedWrite(o, kind)
		return err
	}
	s.tracef("  %s %s %s", verb, kind, name)
	s.wrote(o, verb, before, s.api.current[simKey(kind, name)])
	if failure != nil {
		s.tracef("  … and the answer to that is lost: %v", apierrors.ReasonForError(failure))
		s.failedWrite(o, kind)
	}
	return failure
}

// writeFailure is what the API server answers to the next write, if it is to fail.
func (s *simulation) writeFailure(kind, name string) error {
	if !s.chance(s.brokenWrites) {
		return nil
	}
	resource := corev1.Resource(kind)
	switch s.rand.IntN(4) {
	case 0:
		return apierrors.NewConflict(resource, name, errors.New("modified"))
	case 1:
		return apierrors.NewInternalError(errors.New("etcd has no leader"))
	case 2:
		return apierrors.NewForbidden(resource, name, errors.New("exceeded quota"))
	}
	return apierrors.NewTimeoutError("the server was slow", 1)
}

// simQueue is the work queue: one entry a session, with the time at which it is due. That time is of the clock which
// timers run by, which nobody can set.
type simQueue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	mono func() time.Time

	mu  sync.Mutex
	due map[string]time.Time
}

// Add implements the work queue.
func (q *simQueue) Add(request reconcile.Request) { q.addAt(request.Name, q.mono()) }

func (q *simQueue) addAt(name string, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if earlier, ok := q.due[name]; !ok || at.Before(earlier) {
		q.due[name] = at
	}
}

// next returns the session that is due first, and takes it out if that is now.
func (q *simQueue) next(now time.Time) (name string, at time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, other := range slices.Sorted(maps.Keys(q.due)) {
		if !ok || q.due[other].Before(at) {
			name, at, ok = other, q.due[other], true
		}
	}
	if ok && !at.After(now) {
		delete(q.due, name)
	}
	return name, at, ok
}

// reconcile calls the reconciler as controller-runtime does, and queues the session again as it wants.
func (o *simOperator) reconcile(name string) {
	s := o.sim
	s.began(o, name)
	o.current, o.writes, o.answer = name, 0, nil
	result, err := o.r.Reconcile(o.ctx, ctrl.Request{NamespacedName: s.key(name)})
	o.current = ""
	s.settled()
	now := s.mono.Now()
	switch {
	case err != nil:
		o.failures[name]++
		o.queue.addAt(name, now.Add(min(firstRetry<<min(o.failures[name]-1, 10), longestRetry)))
		s.tracef("  reconcile %s fails: %v", name, err)
	default:
		o.failures[name] = 0
		if result.RequeueAfter > 0 {
			o.queue.addAt(name, now.Add(result.RequeueAfter))
		}
		s.tracef("  reconcile %s: again after %s", name, result.RequeueAfter)
	}
	s.ended(o, name)
	if o != s.operator { // another process has taken over
		o.cancel()
	}
}

// simTransport is the network between one operator and Seam.
type simTransport struct{ operator *simOperator }

// RoundTrip implements http.RoundTripper. While the answer is under way time may pass, and anybody may do something.
func (t *simTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	s := t.operator.sim
	credential := request.Header.Get("Authorization") + " " + request.Header.Get("Seam-Workspace")
	s.asking(t.operator, credential)
	response := &simResponse{header: http.Header{}, status: http.StatusOK}
	aborted := response.serve(s.seam.Handler(), request)
	s.answered(t.operator, credential, response)
	s.meanwhile()
	switch {
	case request.Context().Err() != nil:
		s.step(30 * time.Second)
		return nil, request.Context().Err()
	case aborted && response.body.Len() == 0:
		return nil, syscall.ECONNRESET
	}
	body := io.Reader(&response.body)
	if aborted {
		body = io.MultiReader(body, &brokenReader{})
	}
	return &http.Response{
		StatusCode: response.status, Header: response.header, Body: io.NopCloser(body), Request: request,
	}, nil
}

// simResponse takes an answer, up to what anybody reads of it.
type simResponse struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// serve calls the handler, and says whether it broke the connection off.
func (w *simResponse) serve(handler http.Handler, request *http.Request) (aborted bool) {
	defer func() {
		if err := recover(); err != nil {
			if err != http.ErrAbortHandler { //nolint:errorlint // what was panicked with, and not an error that wraps it
				panic(err)
			}
			aborted = true
		}
	}()
	handler.ServeHTTP(w, request)
	return false
}

// Header implements http.ResponseWriter.
func (w *simResponse) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *simResponse) WriteHeader(status int) { w.status = status }

// Flush implements http.Flusher.
func (*simResponse) Flush() {}

// Write implements http.ResponseWriter.
func (w *simResponse) Write(p []byte) (int, error) {
	if w.body.Len() > 1<<20 {
		return 0, errors.New("nobody reads on")
	}
	return w.body.Write(p)
}

// brokenReader is what comes after a connection was reset.
type brokenReader struct{}

// Read implements io.Reader.
func (*brokenReader) Read([]byte) (int, error) { return 0, syscall.ECONNRESET }

// simClock tells the operator a time that can be set, and runs its timers by one that can't.
type simClock struct {
	*testclock.FakeClock
	wall *testclock.FakePassiveClock
}

// Now implements clock.Clock.
func (c simClock) Now() time.Time { return c.wall.Now() }

// Since implements clock.Clock.
func (c simClock) Since(t time.Time) time.Duration { return c.wall.Since(t) }
