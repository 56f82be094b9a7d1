package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// simNamespace is where everything in a simulation is.
const simNamespace = "shop"

// simScheme is not the scheme of the specs, which is filled when their suite begins.
var simScheme = sync.OnceValue(func() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s)); err != nil {
		panic(err)
	}
	return s
})

// simAPI is the API server of a simulation: controller-runtime's fake client, and what an operator depends on that it
// lacks. The fake client keeps versions, conflicts and the status subresource. Added are UIDs (also as a
// precondition of a deletion), generations, what a Secret's type and immutability forbid, the garbage collector, watches of
// one Secret, and a history of changes, from which caches are fed that lag behind.
//
// It is changed by the simulation's goroutine alone; watches are opened and closed by others.
type simAPI struct {
	store   client.WithWatch
	now     func() time.Time
	uids    int
	history map[string][]simChange // by kind
	writer  *simOperator           // of the write under way

	mu      sync.Mutex                             // for others to read what is below, and for the simulation to change it
	current map[types.NamespacedName]client.Object // by kind and name: see simKey
	watches map[*simWatch]struct{}
}

// simChange is one change of one object; before and after are nil for none, and never changed.
type simChange struct {
	before, after client.Object
	writer        *simOperator // who did it; nil for anybody else
}

const (
	kindSession = "SeamClientSession"
	kindSecret  = "Secret"
)

var sessionResource = v1alpha1.GroupVersion.WithResource("seamclientsessions").GroupResource()

func newSimAPI(now func() time.Time) *simAPI {
	decoder := serializer.NewCodecFactory(simScheme()).UniversalDecoder()
	return &simAPI{
		now: now,
		store: fake.NewClientBuilder().WithScheme(simScheme()).WithGlobalResourceVersionCounter().
			WithObjectTracker(testing.NewObjectTracker(simScheme(), decoder)).
			WithStatusSubresource(&v1alpha1.SeamClientSession{}).Build(),
		current: map[types.NamespacedName]client.Object{},
		history: map[string][]simChange{},
		watches: map[*simWatch]struct{}{},
	}
}

// kindOf is the kind of an object, which typed objects don't carry.
func kindOf(object client.Object) string {
	if _, ok := object.(*corev1.Secret); ok {
		return kindSecret
	}
	return kindSession
}

// simKey finds an object of any kind: there is one namespace, so its place is free for the kind.
func simKey(kind, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: kind, Name: name}
}

// session returns the session as it is; nil if there is none. It is not to be changed.
func (a *simAPI) session(name string) *v1alpha1.SeamClientSession {
	found, _ := a.current[simKey(kindSession, name)].(*v1alpha1.SeamClientSession)
	return found
}

// secret returns the Secret as it is; nil if there is none. It is not to be changed.
func (a *simAPI) secret(name string) *corev1.Secret {
	found, _ := a.current[simKey(kindSecret, name)].(*corev1.Secret)
	return found
}

func (a *simAPI) names(kind string) []string {
	var names []string
	for key := range a.current {
		if key.Namespace == kind {
			names = append(names, key.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Get implements client.Reader, but for List.
func (a *simAPI) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	into, ok := object.(*corev1.Secret)
	if !ok {
		return a.getSession(key, object)
	}
	found := a.secret(key.Name)
	if found == nil {
		return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
	}
	found.DeepCopyInto(into)
	return nil
}

func (a *simAPI) getSession(key client.ObjectKey, object client.Object) error {
	into, ok := object.(*v1alpha1.SeamClientSession)
	found := a.session(key.Name)
	if !ok || found == nil {
		return apierrors.NewNotFound(sessionResource, key.Name)
	}
	found.DeepCopyInto(into)
	return nil
}

func (a *simAPI) create(ctx context.Context, object client.Object) error {
	a.uids++
	object.SetUID(types.UID(fmt.Sprintf("uid-%d", a.uids)))
	object.SetGeneration(1)
	object.SetCreationTimestamp(metav1.Time{Time: a.now().Truncate(time.Second)})
	if err := a.store.Create(ctx, object); err != nil {
		return err
	}
	a.record(kindOf(object), object.GetName(), object)
	return nil
}

func (a *simAPI) update(ctx context.Context, object client.Object) error {
	kind := kindOf(object)
	before := a.current[simKey(kind, object.GetName())]
	if before != nil && object.GetUID() != before.GetUID() {
		return apierrors.NewConflict(schema.GroupResource{Resource: kind}, object.GetName(), errors.New("another UID"))
	}
	if session, ok := object.(*v1alpha1.SeamClientSession); ok && before != nil {
		object.SetGeneration(before.GetGeneration())
		if !reflect.DeepEqual(session.Spec, a.session(session.Name).Spec) {
			object.SetGeneration(before.GetGeneration() + 1)
		}
	}
	if s, ok := object.(*corev1.Secret); ok && before != nil {
		if err := checkSecretUpdate(a.secret(s.Name), s); err != nil {
			return err
		}
	}
	if err := a.store.Update(ctx, object); err != nil {
		return err
	}
	a.record(kind, object.GetName(), object)
	return nil
}

// checkSecretUpdate refuses what Kubernetes does of a Secret.
func checkSecretUpdate(before, after *corev1.Secret) error {
	immutable := before.Immutable != nil && *before.Immutable
	stays := after.Immutable != nil && *after.Immutable
	if before.Type != after.Type || immutable && (!stays || !reflect.DeepEqual(before.Data, after.Data)) {
		return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind(kindSecret).GroupKind(), after.Name, nil)
	}
	return nil
}

// patchStatus applies a merge patch and sends the result as an update: the fake client's own patches take ten times as long.
func (a *simAPI) patchStatus(ctx context.Context, object client.Object, patch client.Patch) error {
	current := a.session(object.GetName())
	if current == nil {
		return apierrors.NewNotFound(sessionResource, object.GetName())
	}
	data, err := patch.Data(object)
	if err != nil {
		return err
	}
	var changes, merged map[string]any
	encoded, err := json.Marshal(current)
	if err := errors.Join(err, json.Unmarshal(data, &changes), json.Unmarshal(encoded, &merged)); err != nil {
		return err
	}
	mergePatch(merged, changes)
	patched := &v1alpha1.SeamClientSession{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(merged, patched); err != nil {
		return err
	}
	if err := a.store.Status().Update(ctx, patched); err != nil {
		return err
	}
	patched.DeepCopyInto(object.(*v1alpha1.SeamClientSession))
	a.record(kindSession, object.GetName(), patched)
	return nil
}

// mergePatch is RFC 7396.
func mergePatch(target, changes map[string]any) {
	for key, value := range changes {
		inner, isObject := value.(map[string]any)
		current, hasObject := target[key].(map[string]any)
		switch {
		case value == nil:
			delete(target, key)
		case isObject && hasObject:
			mergePatch(current, inner)
		default:
			target[key] = value
		}
	}
}

func (a *simAPI) remove(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	kind := kindOf(object)
	before := a.current[simKey(kind, object.GetName())]
	options := (&client.DeleteOptions{}).ApplyOptions(opts)
	if want := options.Preconditions; before != nil && want != nil && want.UID != nil && *want.UID != before.GetUID() {
		return apierrors.NewConflict(schema.GroupResource{Resource: kind}, object.GetName(), errors.New("another UID"))
	}
	if err := a.store.Delete(ctx, object, opts...); err != nil {
		return err
	}
	a.record(kind, object.GetName(), nil)
	return nil
}

// record keeps a change, and tells who watches.
func (a *simAPI) record(kind, name string, after client.Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := simKey(kind, name)
	before := a.current[key]
	if after == nil {
		delete(a.current, key)
	} else {
		after, _ = after.DeepCopyObject().(client.Object)
		a.current[key] = after
	}
	a.history[kind] = append(a.history[kind], simChange{before, after, a.writer})
	if kind == kindSecret {
		a.tell(name, simChange{before: before, after: after})
	}
}

// collectGarbage deletes what is left of sessions that are gone, as Kubernetes does at its leisure.
func (a *simAPI) collectGarbage(ctx context.Context) (collected []string) {
	for _, name := range a.names(kindSecret) {
		owners := a.secret(name).OwnerReferences
		gone := slices.ContainsFunc(owners, func(ref metav1.OwnerReference) bool {
			owner := a.session(ref.Name)
			return ref.Kind == kindSession && (owner == nil || owner.UID != ref.UID)
		})
		if gone && a.remove(ctx, a.secret(name)) == nil {
			collected = append(collected, name)
		}
	}
	return collected
}

// simWatch is a watch of one Secret by name.
type simWatch struct {
	api    *simAPI
	name   string
	opened time.Time
	events chan watch.Event
}

// watch opens a watch of one Secret; without a version to begin from, Kubernetes tells first what is there.
func (a *simAPI) watch(ctx context.Context, name string, opened time.Time) watch.Interface {
	w := &simWatch{api: a, name: name, opened: opened, events: make(chan watch.Event, 1000)}
	context.AfterFunc(ctx, func() { a.endWatches(func(other *simWatch) bool { return other == w }) })
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watches[w] = struct{}{}
	if found := a.secret(name); found != nil {
		w.events <- watch.Event{Type: watch.Added, Object: found.DeepCopy()}
	}
	return w
}

// tell sends a change to the watches of a Secret. The lock is held.
func (a *simAPI) tell(name string, change simChange) {
	event := watch.Event{Type: watch.Modified, Object: change.after}
	switch {
	case change.after == nil:
		event = watch.Event{Type: watch.Deleted, Object: change.before}
	case change.before == nil:
		event.Type = watch.Added
	}
	for w := range a.watches {
		if w.name == name {
			w.events <- event
		}
	}
}

// endWatches ends some of the watches.
func (a *simAPI) endWatches(which func(*simWatch) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.watches, func(w *simWatch, _ struct{}) bool {
		if which(w) {
			close(w.events)
			return true
		}
		return false
	})
}

// ResultChan implements watch.Interface.
func (w *simWatch) ResultChan() <-chan watch.Event { return w.events }

// Stop implements watch.Interface.
func (w *simWatch) Stop() {
	w.api.mu.Lock()
	defer w.api.mu.Unlock()
	delete(w.api.watches, w)
}
