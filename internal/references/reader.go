package references

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// TTL is how long a value that was read is used before it is read again, and kept.
	TTL = 5 * time.Second
	// maxValue bounds a value that is kept, in bytes: no credential and no user identifier key is longer.
	maxValue = 8192
	// maxKeys bounds the keys that are kept of a Secret.
	maxKeys = 16
	// readsPerSecond and readBurst bound, for each namespace, the reads that lead to nothing: of Secrets that are missing, or
	// hold what can't be used. So sessions that name such Secrets by the thousands cost a namespace's share and no more.
	readsPerSecond, readBurst = 20, 100
)

// Reference is a key of a Secret.
type Reference struct{ Namespace, Name, Key string }

func (r Reference) secret() types.NamespacedName {
	return types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
}

// Value is what a reference led to. Printed, its data shows: it is passed on and kept nowhere.
type Value struct {
	// Data is what stands under the key.
	Data string
	// Missing says that there is no such Secret, MissingKey that there is one without that key.
	Missing, MissingKey bool
	// Keys are, with MissingKey, the first keys that are there, sorted, and MoreKeys is how many there are beside. They are for
	// whoever may read that Secret.
	Keys     []string
	MoreKeys int
	// TooLong says that what stands under the key is longer than any value that could be used; Data is empty then.
	TooLong bool
	// KubernetesType is the type of the Secret where that is one of Kubernetes' own, such as a service account's token. What
	// those hold is not sent anywhere; Data is empty then.
	KubernetesType string
	// Version tells two states of the Secret apart, also where it was deleted and made again; empty if it is missing.
	Version string
}

// LimitedError says that a value is not read now, because too many reads in its namespace led to nothing.
type LimitedError struct{ Until time.Time }

// Error says so.
func (e *LimitedError) Error() string {
	return "too many Secrets of this namespace that sessions refer to are missing or hold what can't be used"
}

// Reader reads values, each at most once in TTL however many sessions share it.
type Reader struct {
	live  client.Reader
	clock clock.WithDelayedExecution

	mu       sync.Mutex
	readings map[Reference]*reading
	limits   map[string]*rate.Limiter // by namespace
}

// reading is one read of a value, begun at a time. Those who want the same value wait for it.
type reading struct {
	at    time.Time
	once  sync.Once
	value Value
	err   error
}

// fresh says whether what was read can still be used. One from the future is of a clock that was set back.
func (r *reading) fresh(now time.Time) bool {
	age := now.Sub(r.at)
	return age >= 0 && age < TTL
}

// NewReader returns a Reader of what live reads from the API server.
func NewReader(live client.Reader, c clock.WithDelayedExecution) *Reader {
	return &Reader{live: live, clock: c, readings: map[Reference]*reading{}, limits: map[string]*rate.Limiter{}}
}

// Read returns a value as it was at most TTL ago. The error is a *LimitedError, or the API server's, with the name of the
// Secret.
func (r *Reader) Read(ctx context.Context, ref Reference) (Value, error) {
	entry, err := r.reading(ref)
	if err != nil {
		return Value{}, err
	}
	entry.once.Do(func() {
		entry.value, entry.err = r.fetch(ctx, ref)
		if entry.err != nil || entry.value.Data == "" {
			r.Useless(ref.Namespace)
		}
		r.clock.AfterFunc(TTL, func() { r.drop(ref, entry, entry.at.Add(TTL)) })
	})
	return entry.value, entry.err
}

// Useless counts a read that led to nothing.
func (r *Reader) Useless(namespace string) {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	limit, ok := r.limits[namespace]
	if !ok {
		limit = rate.NewLimiter(readsPerSecond, readBurst)
		r.limits[namespace] = limit
	}
	limit.AllowN(now, 1)
}

// reading returns the read of a value that can be used, which may be a new one.
func (r *Reader) reading(ref Reference) (*reading, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now() // not that of before the wait, by which what others have begun meanwhile would be of the future
	if entry, ok := r.readings[ref]; ok && entry.fresh(now) {
		return entry, nil
	}
	if limit, ok := r.limits[ref.Namespace]; ok && limit.TokensAt(now) < 1 {
		return nil, &LimitedError{Until: now.Add(TTL)}
	}
	entry := &reading{at: now}
	r.readings[ref] = entry
	return entry, nil
}

// drop forgets a value, and a limit that is not used up any more.
func (r *Reader) drop(ref Reference, entry *reading, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.readings[ref] == entry {
		delete(r.readings, ref)
	}
	if limit, ok := r.limits[ref.Namespace]; ok && limit.TokensAt(now) >= readBurst {
		delete(r.limits, ref.Namespace)
	}
}

// forget makes the next read of any value of a Secret a new one.
func (r *Reader) forget(secret types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ref := range r.readings {
		if ref.secret() == secret {
			delete(r.readings, ref)
		}
	}
}

// fetch reads a value from the API server.
func (r *Reader) fetch(ctx context.Context, ref Reference) (Value, error) {
	s := &corev1.Secret{}
	if err := r.live.Get(ctx, ref.secret(), s); err != nil {
		if err = client.IgnoreNotFound(err); err != nil {
			return Value{}, fmt.Errorf("reading Secret %s: %w", ref.secret(), err)
		}
		return Value{Missing: true}, nil
	}
	value := Value{Version: version(s)}
	data, ok := s.Data[ref.Key]
	switch {
	case strings.HasPrefix(string(s.Type), "kubernetes.io/"):
		value.KubernetesType = string(s.Type)
	case !ok:
		all := slices.Sorted(maps.Keys(s.Data))
		value.MissingKey, value.Keys = true, slices.Clone(all[:min(len(all), maxKeys)])
		value.MoreKeys = len(all) - len(value.Keys)
	case len(data) > maxValue:
		value.TooLong = true
	default:
		value.Data = string(data)
	}
	return value, nil
}

// version is the UID and the resourceVersion of an object.
func version(object client.Object) string {
	return string(object.GetUID()) + "/" + object.GetResourceVersion()
}
