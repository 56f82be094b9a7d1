package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

const (
	simNamespace = "shop"
	// simPlatform is the namespace of simWorkspace, and of the Secret of the same name with its credential.
	simPlatform, simWorkspace = "platform", "production"

	kindSession   = "SeamClientSession"
	kindSecret    = "Secret"
	kindWorkspace = "SeamWorkspace"
)

// simKinds are what the operator has caches of.
var simKinds = []string{kindWorkspace, kindSession, kindSecret}

// simAPI is the API server, to which names are unique in all namespaces: versions, conflicts, preconditions, UIDs, generations, the status subresource, what a Secret's type
// and immutability forbid, the garbage collector, watches, and a history from which caches and watches are fed.
type simAPI struct {
	mu            sync.Mutex
	now           func() time.Time
	version, uids int
	objects       map[simKey]client.Object // never changed
	history       map[string][]simChange   // by kind
	watches       []*simWatch
}

type simKey struct{ kind, name string }

// simChange is one change of one object; before and after are nil for none.
type simChange struct {
	before, after client.Object
	at            time.Time
}

func (c simChange) name() string { return nonNil(c.before, c.after).GetName() }

func nonNil(a, b client.Object) client.Object {
	if a != nil {
		return a
	}
	return b
}

func newSimAPI(now func() time.Time) *simAPI {
	return &simAPI{now: now, objects: map[simKey]client.Object{}, history: map[string][]simChange{}}
}

// keyOf finds an object, which need not be whole: metadata does.
func keyOf(object client.Object) simKey {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	switch object.(type) {
	case *corev1.Secret:
		kind = kindSecret
	case *v1alpha1.SeamClientSession:
		kind = kindSession
	case *v1alpha1.SeamWorkspace:
		kind = kindWorkspace
	}
	return simKey{kind, object.GetName()}
}

func (k simKey) resource() schema.GroupResource { return schema.GroupResource{Resource: k.kind} }

func (a *simAPI) get(key simKey) client.Object {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.objects[key]
}

// session, secret and workspace return what there is, nil if nothing. It is not to be changed.
func (a *simAPI) session(name string) *v1alpha1.SeamClientSession {
	found, _ := a.get(simKey{kindSession, name}).(*v1alpha1.SeamClientSession)
	return found
}

func (a *simAPI) secret(name string) *corev1.Secret {
	found, _ := a.get(simKey{kindSecret, name}).(*corev1.Secret)
	return found
}

func (a *simAPI) workspace() *v1alpha1.SeamWorkspace {
	found, _ := a.get(simKey{kindWorkspace, simWorkspace}).(*v1alpha1.SeamWorkspace)
	return found
}

func (a *simAPI) names(kind string) (names []string) {
	for _, object := range sorted(a.objects, kind) {
		names = append(names, object.GetName())
	}
	return names
}

// sorted returns the objects of a kind by name.
func sorted(objects map[simKey]client.Object, kind string) (found []client.Object) {
	for key, object := range objects {
		if key.kind == kind {
			found = append(found, object)
		}
	}
	slices.SortFunc(found, func(a, b client.Object) int { return strings.Compare(a.GetName(), b.GetName()) })
	return found
}

func (a *simAPI) create(object client.Object) error {
	if a.get(keyOf(object)) != nil {
		return apierrors.NewAlreadyExists(keyOf(object).resource(), object.GetName())
	}
	a.uids++
	object.SetUID(types.UID(fmt.Sprintf("uid-%d", a.uids)))
	object.SetGeneration(1)
	object.SetCreationTimestamp(metav1.Time{Time: a.now().Truncate(time.Second)})
	a.record(keyOf(object), object)
	return nil
}

// current returns what is there, if it is what the caller has seen.
func (a *simAPI) current(object client.Object, uid *types.UID, version *string) (client.Object, error) {
	before := a.get(keyOf(object))
	switch {
	case before == nil:
		return nil, apierrors.NewNotFound(keyOf(object).resource(), object.GetName())
	case uid != nil && *uid != "" && *uid != before.GetUID(), version != nil && *version != "" && *version != before.GetResourceVersion():
		return nil, apierrors.NewConflict(keyOf(object).resource(), object.GetName(), errors.New("modified"))
	}
	return before, nil
}

func (a *simAPI) update(object client.Object) error {
	uid, version := object.GetUID(), object.GetResourceVersion()
	before, err := a.current(object, &uid, &version)
	if err != nil {
		return err
	}
	switch after := object.(type) {
	case *v1alpha1.SeamClientSession:
		old := before.(*v1alpha1.SeamClientSession)
		old.Status.DeepCopyInto(&after.Status)
		if after.Generation = old.Generation; !reflect.DeepEqual(after.Spec, old.Spec) {
			after.Generation++
		}
	case *v1alpha1.SeamWorkspace:
		old := before.(*v1alpha1.SeamWorkspace)
		old.Status.DeepCopyInto(&after.Status)
		if after.Generation = old.Generation; !reflect.DeepEqual(after.Spec, old.Spec) {
			after.Generation++
		}
	case *corev1.Secret:
		old := before.(*corev1.Secret)
		immutable, stays := old.Immutable != nil && *old.Immutable, after.Immutable != nil && *after.Immutable
		if old.Type != after.Type || immutable && (!stays || !reflect.DeepEqual(old.Data, after.Data)) {
			return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind(kindSecret).GroupKind(), after.Name, nil)
		}
	}
	return a.finish(before, object)
}

// finish records what is in the place of an object. One that is being deleted gets no more finalizers, and goes with the last.
func (a *simAPI) finish(before, after client.Object) error {
	deleted := before.GetDeletionTimestamp()
	after.SetDeletionTimestamp(deleted)
	switch {
	case deleted != nil && len(after.GetFinalizers()) == 0:
		a.record(keyOf(before), nil)
		return nil
	case deleted != nil && len(after.GetFinalizers()) > len(before.GetFinalizers()):
		return apierrors.NewForbidden(keyOf(before).resource(), before.GetName(), errors.New("it is being deleted"))
	}
	a.record(keyOf(before), after)
	return nil
}

// patch applies a merge patch: to the status of a session or workspace, or to all else.
func (a *simAPI) patch(object client.Object, patch client.Patch, status bool) error {
	data, err := patch.Data(object)
	if err != nil {
		return err
	}
	var changes, all map[string]any
	var names metav1.PartialObjectMetadata
	if err := errors.Join(json.Unmarshal(data, &changes), json.Unmarshal(data, &all), json.Unmarshal(data, &names)); err != nil || patch.Type() != types.MergePatchType {
		return fmt.Errorf("a patch that the simulation does not know: %w", err)
	}
	before, err := a.current(object, nil, &names.ResourceVersion)
	if err != nil {
		return err
	}
	encoded, err := runtime.DefaultUnstructuredConverter.ToUnstructured(before.DeepCopyObject())
	if err != nil {
		return err
	}
	if delete(changes, "status"); status {
		changes = map[string]any{"status": all["status"]}
	}
	var patched client.Object = &corev1.Secret{}
	switch before.(type) {
	case *v1alpha1.SeamClientSession:
		patched = &v1alpha1.SeamClientSession{}
	case *v1alpha1.SeamWorkspace:
		patched = &v1alpha1.SeamWorkspace{}
	}
	mergePatch(encoded, changes)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(encoded, patched); err != nil {
		return err
	}
	if err := a.finish(before, patched); err != nil {
		return err
	}
	copyInto(patched, object)
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

func (a *simAPI) remove(object client.Object, want client.Preconditions) error {
	before, err := a.current(object, want.UID, want.ResourceVersion)
	switch {
	case err != nil:
		return err
	case len(before.GetFinalizers()) == 0:
		a.record(keyOf(object), nil)
	case before.GetDeletionTimestamp() == nil:
		going := before.DeepCopyObject().(client.Object)
		going.SetDeletionTimestamp(&metav1.Time{Time: a.now().Truncate(time.Second)})
		going.SetGeneration(before.GetGeneration() + 1)
		a.record(keyOf(object), going)
	}
	return nil
}

// record keeps a change, with a new version.
func (a *simAPI) record(key simKey, after client.Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	before := a.objects[key]
	delete(a.objects, key)
	if after != nil {
		after.SetResourceVersion(strconv.Itoa(a.version))
		after = after.DeepCopyObject().(client.Object)
		a.objects[key] = after
	}
	a.history[key.kind] = append(a.history[key.kind], simChange{before, after, a.now()})
}

// copyInto fills in what was asked for: an object, or its metadata.
func copyInto(from, into client.Object) {
	if metadata, ok := into.(*metav1.PartialObjectMetadata); ok {
		meta.AsPartialObjectMetadata(from).DeepCopyInto(metadata)
		return
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(from.DeepCopyObject()).Elem())
}

// collectGarbage deletes what is left of sessions that are gone, as Kubernetes does at its leisure.
func (a *simAPI) collectGarbage() (collected []string) {
	for _, name := range a.names(kindSecret) {
		gone := slices.ContainsFunc(a.secret(name).OwnerReferences, func(ref metav1.OwnerReference) bool {
			owner := a.session(ref.Name)
			return owner == nil || owner.UID != ref.UID
		})
		if gone && a.remove(a.secret(name), client.Preconditions{}) == nil {
			collected = append(collected, name)
		}
	}
	return collected
}

// simWatch is a watch of the metadata of one Secret, or of all.
type simWatch struct {
	api      *simAPI
	wants    func(client.Object) bool
	position int // in the history
	ends     time.Time
	events   chan watch.Event
}

// watch opens a watch of Secrets: Kubernetes tells first what is there.
func (a *simAPI) watch(ctx context.Context, wants func(client.Object) bool, ends time.Time) watch.Interface {
	w := &simWatch{api: a, wants: wants, ends: ends, events: make(chan watch.Event, 10_000)}
	context.AfterFunc(ctx, w.Stop)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watches = append(a.watches, w)
	w.position = len(a.history[kindSecret])
	for _, object := range sorted(a.objects, kindSecret) {
		w.send(watch.Added, object)
	}
	return w
}

func (w *simWatch) send(kind watch.EventType, object client.Object) {
	if w.wants(object) {
		w.events <- watch.Event{Type: kind, Object: meta.AsPartialObjectMetadata(object)}
	}
}

// tell sends the watches what has happened.
func (a *simAPI) tell() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.watches {
		for _, change := range a.history[kindSecret][w.position:] {
			switch {
			case change.after == nil:
				w.send(watch.Deleted, change.before)
			case change.before == nil:
				w.send(watch.Added, change.after)
			default:
				w.send(watch.Modified, change.after)
			}
		}
		w.position = len(a.history[kindSecret])
	}
}

// endWatches ends some of the watches.
func (a *simAPI) endWatches(which func(*simWatch) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watches = slices.DeleteFunc(a.watches, func(w *simWatch) bool {
		if !which(w) {
			return false
		}
		close(w.events)
		return true
	})
}

// ResultChan implements watch.Interface.
func (w *simWatch) ResultChan() <-chan watch.Event { return w.events }

// Stop implements watch.Interface.
func (w *simWatch) Stop() { w.api.endWatches(func(other *simWatch) bool { return other == w }) }
