package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/lifecycle"
)

// memory is what is remembered of sessions beside their status: of few of them, since it is about what went wrong.
type memory struct {
	mu  sync.Mutex
	all map[types.NamespacedName]remembered
}

type remembered struct {
	drift lifecycle.Drift
	// unsaved is the status that the API server has not taken yet; nil if it took the last one.
	unsaved *unsavedStatus
	// unsavedCall is when Seam was last called, if the API server did not take a status that says so: that it has another by now
	// doesn't undo the call.
	unsavedCall time.Time
	// deleted is the client session that was deleted at Seam, if any; tried says that it was fetched since.
	deleted string
	tried   bool
	// farewells is how often in a row deleting the sessions of an object that is being deleted failed.
	farewells int32
	// wish is what Seam is to be asked to make of the session; nil if nothing is.
	wish *lifecycle.Wish
}

// unsavedStatus is a status that the API server has not taken.
type unsavedStatus struct {
	uid types.UID
	// instead is what the API server has in its place.
	instead, status v1alpha1.SeamClientSessionStatus
}

// of returns a session with that status, so that what was done and learned is not done and asked again; or as it is, where it
// is another object, or has another status by now. An edit of its spec changes nothing.
func (u *unsavedStatus) of(session *v1alpha1.SeamClientSession) *v1alpha1.SeamClientSession {
	if u == nil || session.UID != u.uid || !equality.Semantic.DeepEqual(session.Status, u.instead) {
		return session
	}
	session = session.DeepCopy()
	session.Status = *u.status.DeepCopy()
	return session
}

// deletion is what is remembered of the deletion of a client session.
func (k remembered) deletion(clientSessionID string) lifecycle.Deletion {
	switch {
	case clientSessionID == "" || k.deleted != clientSessionID:
		return lifecycle.NotDeleted
	case k.tried:
		return lifecycle.DeletionTried
	}
	return lifecycle.DeletionHeard
}

// of is what is remembered of a session until now.
func (m *memory) of(key types.NamespacedName, now time.Time) remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.all[key]
	if !ok {
		return known
	}
	known.drift = known.drift.At(now)
	m.all[key] = known
	return known
}

// corrected counts a write that corrected the Secret of a session.
func (m *memory) corrected(key types.NamespacedName, now time.Time) {
	m.change(key, func(known remembered) remembered {
		known.drift = known.drift.Corrected(now)
		return known
	})
}

// unsaved notes a status that the API server has not taken; nil for none.
func (m *memory) unsaved(key types.NamespacedName, unsaved *unsavedStatus) {
	if unsaved == nil && !m.has(key) {
		return
	}
	m.change(key, func(known remembered) remembered {
		known.unsaved = unsaved
		return known
	})
}

// called notes a call to Seam of which the API server did not take the status.
func (m *memory) called(key types.NamespacedName, at time.Time) {
	m.change(key, func(known remembered) remembered {
		known.unsavedCall = at
		return known
	})
}

// deletionHeard notes that a client session was deleted at Seam.
func (m *memory) deletionHeard(key types.NamespacedName, clientSessionID string) {
	m.change(key, func(known remembered) remembered {
		known.deleted, known.tried = clientSessionID, false
		return known
	})
}

// deletionTried notes that the session was fetched after that.
func (m *memory) deletionTried(key types.NamespacedName) {
	m.change(key, func(known remembered) remembered {
		known.tried = true
		return known
	})
}

// farewell counts an attempt to delete the sessions of an object that is being deleted.
func (m *memory) farewell(key types.NamespacedName) {
	m.change(key, func(known remembered) remembered {
		known.farewells++
		return known
	})
}

// wish notes what Seam is to be asked to make of a session; nil for nothing.
func (m *memory) wish(key types.NamespacedName, wish *lifecycle.Wish) {
	if wish == nil && !m.has(key) {
		return
	}
	m.change(key, func(known remembered) remembered {
		known.wish = wish
		return known
	})
}

func (m *memory) has(key types.NamespacedName) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.all[key]
	return ok
}

func (m *memory) change(key types.NamespacedName, change func(remembered) remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[types.NamespacedName]remembered{}
	}
	m.all[key] = change(m.all[key])
}

func (m *memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
}
