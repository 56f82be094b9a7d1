package references

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// watchers is how many namespaces are watched at a time. Where sessions wait in more, the namespaces take turns.
	watchers = 32
	// turn is how long a namespace is watched before it is asked whether that is still wanted, or another's turn.
	turn = 5 * time.Second
	// watchPeriod is how long one watch lasts at most.
	watchPeriod = 10 * time.Minute
	// watchRetry is the pause after a watch that broke.
	watchRetry = time.Second
)

// errWatchEnded says that the API server has ended a watch.
var errWatchEnded = errors.New("the API server has ended the watch")

var secretListKind = corev1.SchemeGroupVersion.WithKind("SecretList")

// Waiting are the sessions that wait for a change of a Secret that they refer to. The namespaces that they are in are
// watched.
type Waiting struct {
	client  client.WithWatch
	reader  *Reader
	clock   clock.Clock
	enqueue func(types.NamespacedName)
	turns   workqueue.TypedInterface[string] // the namespaces that are to be watched

	mu         sync.Mutex
	namespaces map[string]*namespace
}

// namespace is a namespace in which sessions wait.
type namespace struct {
	// sessions has for each the Secrets that it waits for, with the versions that failed; secrets has who waits for each.
	sessions map[string]map[string]string
	secrets  map[string]map[string]struct{}
	// late says that a session came while the watch was under way: what changed just before, that has shown already.
	late bool
}

func (n *namespace) add(session string, secrets map[string]string) {
	n.remove(session)
	n.sessions[session] = secrets
	for name := range secrets {
		if n.secrets[name] == nil {
			n.secrets[name] = map[string]struct{}{}
		}
		n.secrets[name][session] = struct{}{}
	}
}

func (n *namespace) remove(session string) {
	for name := range n.sessions[session] {
		delete(n.secrets[name], session)
		if len(n.secrets[name]) == 0 {
			delete(n.secrets, name)
		}
	}
	delete(n.sessions, session)
}

// takeChanged takes out the sessions that waited for a Secret of another version than it has now.
func (n *namespace) takeChanged(secret, version string) []string {
	var changed []string
	for session := range n.secrets[secret] {
		if n.sessions[session][secret] != version {
			changed = append(changed, session)
			n.remove(session)
		}
	}
	return changed
}

// NewWaiting returns a Waiting that watches with a client and enqueues sessions for which a change may help. What has
// changed, the reader reads anew.
func NewWaiting(c client.WithWatch, reader *Reader, clk clock.Clock, enqueue func(types.NamespacedName)) *Waiting {
	return &Waiting{
		client: c, reader: reader, clock: clk, enqueue: enqueue,
		turns: workqueue.NewTyped[string](), namespaces: map[string]*namespace{},
	}
}

// Start begins to watch, until the context ends.
func (w *Waiting) Start(ctx context.Context) {
	for range watchers {
		go w.work(ctx)
	}
	context.AfterFunc(ctx, w.turns.ShutDown)
}

// Add has a session wait for a change of any of these Secrets of its namespace, each given with the version that failed.
func (w *Waiting) Add(session types.NamespacedName, secrets map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ns, watched := w.namespaces[session.Namespace]
	switch {
	case !watched:
		ns = &namespace{sessions: map[string]map[string]string{}, secrets: map[string]map[string]struct{}{}}
		w.namespaces[session.Namespace] = ns
		w.turns.Add(session.Namespace)
	case maps.Equal(ns.sessions[session.Name], secrets):
		return
	default:
		ns.late = true
	}
	ns.add(session.Name, maps.Clone(secrets))
}

// Remove has a session wait no longer.
func (w *Waiting) Remove(session types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ns, ok := w.namespaces[session.Namespace]; ok {
		ns.remove(session.Name)
	}
}

// Changed says whether a Secret that a session waits for may have changed: one has, or this process does not know, because
// the session does not wait here.
func (w *Waiting) Changed(session types.NamespacedName) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	ns, ok := w.namespaces[session.Namespace]
	return !ok || ns.sessions[session.Name] == nil
}

// work watches one namespace after the other.
func (w *Waiting) work(ctx context.Context) {
	for {
		name, shutdown := w.turns.Get()
		if shutdown {
			return
		}
		if err := w.watch(ctx, name); err != nil && ctx.Err() == nil {
			logf.FromContext(ctx).V(1).Info("watching the Secrets that sessions refer to failed; trying again", "namespace", name, "error", err.Error())
			select {
			case <-ctx.Done():
			case <-w.clock.After(watchRetry):
			}
		}
		w.endTurn(name)
	}
}

// beginTurn says whether sessions wait in a namespace. All of them will be compared with what the watch begins with.
func (w *Waiting) beginTurn(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	ns, ok := w.namespaces[name]
	if ok {
		ns.late = false
	}
	return ok && len(ns.sessions) > 0
}

// endTurn queues a namespace again if sessions still wait in it.
func (w *Waiting) endTurn(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turns.Done(name)
	if ns, ok := w.namespaces[name]; !ok || len(ns.sessions) == 0 {
		delete(w.namespaces, name)
		return
	}
	w.turns.Add(name)
}

// wanted says whether a watch is to go on: sessions still wait, none came late, and it is no other namespace's turn.
func (w *Waiting) wanted(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	ns, ok := w.namespaces[name]
	return ok && len(ns.sessions) > 0 && !ns.late && w.turns.Len() == 0
}

// watch compares the Secrets of a namespace, as they are and as they change, with the versions that sessions failed with.
func (w *Waiting) watch(ctx context.Context, name string) error {
	if !w.beginTurn(name) {
		return nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(secretListKind)
	watcher, err := w.client.Watch(ctx, list, client.InNamespace(name),
		&client.ListOptions{Raw: &metav1.ListOptions{TimeoutSeconds: ptr.To(int64(watchPeriod.Seconds()))}})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	over := w.clock.After(turn)
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-watcher.ResultChan():
			object, ok := event.Object.(client.Object)
			if !open || !ok { // an error, such as a version that is too old, or a server that goes down: begin anew, but not at once
				return errWatchEnded
			}
			if event.Type != watch.Bookmark {
				w.seen(event.Type, object)
			}
		case <-over:
			if !w.wanted(name) {
				return nil
			}
			over = w.clock.After(turn)
		}
	}
}

// seen lets the sessions that waited for a Secret of another version than it has now go on.
func (w *Waiting) seen(change watch.EventType, s client.Object) {
	now := version(s)
	if change == watch.Deleted {
		now = ""
	}
	w.mu.Lock()
	var changed []string
	if ns, ok := w.namespaces[s.GetNamespace()]; ok {
		changed = ns.takeChanged(s.GetName(), now)
	}
	w.mu.Unlock()
	if len(changed) > 0 {
		w.reader.forget(client.ObjectKeyFromObject(s)) // before anybody is enqueued, who would try the former value
	}
	for _, session := range changed {
		w.enqueue(types.NamespacedName{Namespace: s.GetNamespace(), Name: session})
	}
}
