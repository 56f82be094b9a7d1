package references

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var dawn = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// secrets is an API server that has Secrets alone.
type secrets struct {
	client.WithWatch
	mu      sync.Mutex
	all     map[types.NamespacedName]*corev1.Secret
	version int
	reads   int
	down    bool
	// answers, if not nil, is called before each read ends.
	answers func()
	// watching are the watches under way, by namespace.
	watching map[string]*watch.FakeWatcher
	begun    int
	// ends, if not nil, ends each watch as soon as it has begun.
	ends func(*watch.FakeWatcher)
}

func newSecrets() *secrets {
	return &secrets{all: map[types.NamespacedName]*corev1.Secret{}, watching: map[string]*watch.FakeWatcher{}}
}

func (s *secrets) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.answers != nil {
		s.answers()
	}
	found, ok := s.all[key]
	switch {
	case s.down:
		return errors.New("connection refused")
	case !ok:
		return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
	}
	found.DeepCopyInto(object.(*corev1.Secret))
	return nil
}

// Watch begins with what is there, as one without a resourceVersion does.
func (s *secrets) Watch(_ context.Context, _ client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	namespace := (&client.ListOptions{}).ApplyOptions(opts).Namespace
	watcher := watch.NewFakeWithChanSize(100, false)
	for key, found := range s.all {
		if key.Namespace == namespace {
			watcher.Add(metadataOf(found))
		}
	}
	s.watching[namespace] = watcher
	s.begun++
	if s.ends != nil {
		s.ends(watcher)
	}
	return watcher, nil
}

func metadataOf(s *corev1.Secret) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: *s.ObjectMeta.DeepCopy()}
}

func (s *secrets) put(namespace, name, value string, changes ...func(*corev1.Secret)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	created := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "1", ResourceVersion: fmt.Sprint(s.version)},
		Data:       map[string][]byte{"key": []byte(value)},
	}
	for _, change := range changes {
		change(created)
	}
	s.all[client.ObjectKeyFromObject(created)] = created
	if watcher := s.watching[namespace]; watcher != nil && !watcher.IsStopped() {
		watcher.Modify(metadataOf(created))
	}
}

var seam = Reference{Namespace: "shop", Name: "seam", Key: "key"}

func TestRead(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*corev1.Secret)
		want   Value
	}{
		"a value":                   {func(*corev1.Secret) {}, Value{Data: "seam_key1", Version: "1/1"}},
		"no such key":               {func(s *corev1.Secret) { s.Data = map[string][]byte{"other": nil, "a": nil} }, Value{MissingKey: true, Keys: []string{"a", "other"}, Version: "1/1"}},
		"a service account's token": {func(s *corev1.Secret) { s.Type = corev1.SecretTypeServiceAccountToken }, Value{KubernetesType: "kubernetes.io/service-account-token", Version: "1/1"}},
		"too long to be any":        {func(s *corev1.Secret) { s.Data["key"] = []byte(strings.Repeat("x", maxValue+1)) }, Value{TooLong: true, Version: "1/1"}},
	} {
		t.Run(name, func(t *testing.T) {
			api := newSecrets()
			api.put("shop", "seam", "seam_key1", test.change)
			got, err := NewReader(api, testclock.NewFakeClock(dawn)).Read(t.Context(), seam)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	if got, err := NewReader(newSecrets(), testclock.NewFakeClock(dawn)).Read(t.Context(), seam); err != nil || !reflect.DeepEqual(got, Value{Missing: true}) {
		t.Errorf("no Secret: %+v, %v", got, err)
	}
	api := newSecrets()
	api.down = true
	if _, err := NewReader(api, testclock.NewFakeClock(dawn)).Read(t.Context(), seam); err == nil || !strings.Contains(err.Error(), "reading Secret shop/seam: ") {
		t.Errorf("no API server: %v", err)
	}
}

func TestValuesAreReadOnceAndKeptForSeconds(t *testing.T) {
	api, clock := newSecrets(), testclock.NewFakeClock(dawn)
	api.put("shop", "seam", "seam_key1")
	reader := NewReader(api, clock)
	for range 100 {
		_, _ = reader.Read(t.Context(), seam)
	}
	if api.reads != 1 {
		t.Errorf("a hundred sessions cost %d reads", api.reads)
	}
	api.put("shop", "seam", "seam_key2")
	clock.Step(TTL)
	if len(reader.readings) != 0 {
		t.Error("a value that nobody asks for is kept")
	}
	if got, _ := reader.Read(t.Context(), seam); got.Data != "seam_key2" {
		t.Errorf("after %s: %q", TTL, got.Data)
	}
	clock.SetTime(dawn.Add(-time.Hour))
	if _, _ = reader.Read(t.Context(), seam); api.reads != 3 {
		t.Error("a value is believed for as long as a clock was set back")
	}
}

func TestABusyValueIsReadOnceInItsTime(t *testing.T) {
	api, clock := newSecrets(), testclock.NewFakeClock(dawn)
	api.put("shop", "seam", "seam_key1")
	api.answers = func() { clock.Step(200 * time.Millisecond) }
	reader := NewReader(api, clock)
	for clock.Since(dawn) < time.Minute {
		if got, err := reader.Read(t.Context(), seam); err != nil || got.Data != "seam_key1" {
			t.Fatalf("got %+v, %v", got, err)
		}
		clock.Step(50 * time.Millisecond)
	}
	if most := int(time.Minute/TTL) + 1; api.reads > most {
		t.Errorf("%d reads in a minute instead of %d", api.reads, most)
	}
}

func TestReadsThatLeadToNothingAreBounded(t *testing.T) {
	api, clock := newSecrets(), testclock.NewFakeClock(dawn)
	reader := NewReader(api, clock)
	limited := 0
	for i := range 3000 {
		_, err := reader.Read(t.Context(), Reference{Namespace: "shop", Name: fmt.Sprint("missing-", i), Key: "key"})
		if errors.As(err, new(*LimitedError)) {
			limited++
		}
	}
	if api.reads != readBurst || limited != 3000-readBurst {
		t.Errorf("%d reads, %d held back", api.reads, limited)
	}
	api.put("other", "seam", "seam_key1")
	if _, err := reader.Read(t.Context(), Reference{Namespace: "other", Name: "seam", Key: "key"}); err != nil {
		t.Errorf("another namespace: %v", err)
	}
	api.reads = 0
	for second := range 10 {
		clock.Step(time.Second)
		for i := range 100 {
			_, _ = reader.Read(t.Context(), Reference{Namespace: "shop", Name: fmt.Sprintf("still-missing-%d-%d", second, i), Key: "key"})
		}
	}
	if api.reads > 10*readsPerSecond+1 {
		t.Errorf("%d reads in ten seconds", api.reads)
	}
	clock.Step(time.Minute)
	if len(reader.limits) > 1 || len(reader.readings) != 0 {
		t.Errorf("%d limits and %d readings are kept", len(reader.limits), len(reader.readings))
	}
}

// waitingRoom is a Waiting whose sessions are enqueued into a list.
type waitingRoom struct {
	*Waiting
	api   *secrets
	clock *testclock.FakeClock

	mu       sync.Mutex
	enqueued []string
}

func inWaitingRoom(t *testing.T, test func(*testing.T, *waitingRoom)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		room := &waitingRoom{api: newSecrets(), clock: testclock.NewFakeClock(dawn)}
		room.Waiting = NewWaiting(room.api, NewReader(room.api, room.clock), room.clock, func(key types.NamespacedName) {
			room.mu.Lock()
			defer room.mu.Unlock()
			room.enqueued = append(room.enqueued, key.String())
		})
		room.Start(ctx)
		test(t, room)
	})
}

func session(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

func (r *waitingRoom) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	synctest.Wait()
	if strings.Join(r.enqueued, " ") != strings.Join(want, " ") {
		t.Errorf("%s: enqueued %v, want %v", when, r.enqueued, want)
	}
	r.enqueued = nil
}

func TestChangesAreNoticed(t *testing.T) {
	inWaitingRoom(t, func(t *testing.T, room *waitingRoom) {
		room.api.put("shop", "seam", "seam_wrong")
		room.Add(session("jane"), map[string]string{"seam": "1/1"})
		room.expect(t, "nothing has changed")
		if room.Changed(session("jane")) || !room.Changed(session("john")) {
			t.Error("what has changed is not known")
		}
		room.api.put("shop", "other", "x")
		room.expect(t, "another Secret")
		room.api.put("shop", "seam", "seam_right")
		room.expect(t, "it was corrected", "shop/jane")
		if !room.Changed(session("jane")) {
			t.Error("that it changed is forgotten")
		}
		room.api.put("shop", "seam", "seam_again")
		room.expect(t, "nobody waits any more")

		room.Add(session("jane"), map[string]string{"seam": ""})
		room.clock.Step(turn)
		room.expect(t, "it was made before anybody waited for it", "shop/jane")
	})
}

func TestWhatChangedBeforeTheWatchShowsIsNoticed(t *testing.T) {
	inWaitingRoom(t, func(t *testing.T, room *waitingRoom) {
		room.Add(session("john"), map[string]string{"johns": ""})
		synctest.Wait()
		room.api.put("shop", "seam", "seam_right") // and the session failed with the version before
		synctest.Wait()
		room.Add(session("jane"), map[string]string{"seam": "1/0"})
		room.expect(t, "not yet")
		room.clock.Step(turn)
		room.expect(t, "at the next turn", "shop/jane")
	})
}

func TestWatchesEndWithTheSessionsThatWait(t *testing.T) {
	inWaitingRoom(t, func(t *testing.T, room *waitingRoom) {
		for i := range 3000 {
			room.Add(session(fmt.Sprint("s", i)), map[string]string{fmt.Sprint("missing-", i): ""})
		}
		synctest.Wait()
		if room.api.begun != 1 {
			t.Errorf("3,000 sessions of a namespace cost %d watches", room.api.begun)
		}
		for i := range 3000 {
			room.Remove(session(fmt.Sprint("s", i)))
		}
		room.clock.Step(turn)
		synctest.Wait()
		if len(room.namespaces) != 0 || !room.api.watching["shop"].IsStopped() {
			t.Error("a watch outlives those who waited")
		}
	})
}

func TestWatchesThatEndAtOnceAreBegunAnewAfterAPause(t *testing.T) {
	for name, ends := range map[string]func(*watch.FakeWatcher){
		"closed":  (*watch.FakeWatcher).Stop,
		"too old": func(w *watch.FakeWatcher) { w.Error(&apierrors.NewResourceExpired("too old").ErrStatus) },
	} {
		t.Run(name, func(t *testing.T) {
			inWaitingRoom(t, func(t *testing.T, room *waitingRoom) {
				room.api.ends = func(w *watch.FakeWatcher) {
					if room.api.begun < 1000 {
						ends(w)
					}
				}
				room.Add(session("jane"), map[string]string{"seam": ""})
				for range 3 {
					synctest.Wait()
					room.clock.Step(watchRetry)
				}
				synctest.Wait()
				if room.api.begun != 4 {
					t.Errorf("%d watches in 3 s", room.api.begun)
				}
				room.api.ends = nil
				room.api.put("shop", "seam", "seam_right")
				room.clock.Step(watchRetry)
				room.expect(t, "once a watch lasts", "shop/jane")
			})
		})
	}
}

func TestNamespacesTakeTurns(t *testing.T) {
	inWaitingRoom(t, func(t *testing.T, room *waitingRoom) {
		const namespaces = 3 * watchers
		for i := range namespaces {
			room.Add(types.NamespacedName{Namespace: fmt.Sprint("n", i), Name: "s"}, map[string]string{"seam": ""})
		}
		synctest.Wait()
		if room.api.begun != watchers {
			t.Errorf("%d watches at a time", room.api.begun)
		}
		for i := range namespaces {
			room.api.put(fmt.Sprint("n", i), "seam", "seam_right")
		}
		for range 4 {
			synctest.Wait()
			room.clock.Step(turn)
		}
		synctest.Wait()
		if len(room.enqueued) != namespaces {
			t.Errorf("%d of %d namespaces were looked at", len(room.enqueued), namespaces)
		}
	})
}
