package controller

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/seam-session-operator/seam-session-operator/internal/lifecycle"
)

// workspaceMemories are what is remembered of each workspace beside its status. One worker at a time works on a workspace.
type workspaceMemories struct {
	mu  sync.Mutex
	all map[types.NamespacedName]workspaceMemory
}

type workspaceMemory struct {
	lifecycle.WorkspaceMemory
	uid types.UID
	// credential tells that which was last checked from others; empty if none was.
	credential string
	// known are the events that were read, and which sessions were told of each, with the time until which events of Seam's
	// that are as old may come again.
	known map[string]time.Time
}

// since is what is known of events that are no older.
func (m workspaceMemory) since(t time.Time) map[string]time.Time {
	known := map[string]time.Time{}
	maps.Copy(known, m.known)
	maps.DeleteFunc(known, func(_ string, at time.Time) bool { return at.Before(t) })
	return known
}

// of is what is remembered of a workspace, if it is still the same.
func (m *workspaceMemories) of(key types.NamespacedName, uid types.UID) workspaceMemory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.all[key]; known.uid == uid {
		return known
	}
	return workspaceMemory{uid: uid}
}

func (m *workspaceMemories) set(key types.NamespacedName, memory workspaceMemory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[types.NamespacedName]workspaceMemory{}
	}
	m.all[key] = memory
}

func (m *workspaceMemories) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
}
