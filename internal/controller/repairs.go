package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// promptRepairs is how often in a row a Secret is put right at once: a person who edits it twice sees it put right
	// twice. After that somebody else, most likely another controller, wants it otherwise.
	promptRepairs = 5
	// firstYield and longestYield bound the pause before the next repair, which doubles.
	firstYield   = 10 * time.Second
	longestYield = 10 * time.Minute
	// repairMemory is how long after its pause a repair is remembered.
	repairMemory = 10 * time.Minute
)

// repairs remembers how often the Secret of each session was put right lately, so that two writers who disagree don't
// write for ever.
type repairs struct {
	mu  sync.Mutex
	all map[types.NamespacedName]repairHistory
}

// repairHistory is how often in a row a Secret was put right, and when last.
type repairHistory struct {
	count int
	last  time.Time
}

// next is when the Secret may be put right again; zero is at any time.
func (h repairHistory) next() time.Time {
	if h.count < promptRepairs {
		return time.Time{}
	}
	return h.last.Add(h.pause())
}

func (h repairHistory) pause() time.Duration {
	pause := firstYield
	for range h.count - promptRepairs {
		if pause *= 2; pause >= longestYield {
			return longestYield
		}
	}
	return pause
}

// after is the history once the Secret has been put right at a time.
func (h repairHistory) after(now time.Time) repairHistory {
	if now.Sub(h.last) > h.pause()+repairMemory {
		return repairHistory{count: 1, last: now}
	}
	return repairHistory{count: h.count + 1, last: now}
}

// of is the history until now. A repair in the future counts as now: the clock was set back.
func (r *repairs) of(key types.NamespacedName, now time.Time) repairHistory {
	r.mu.Lock()
	defer r.mu.Unlock()
	history := r.all[key]
	if history.last.After(now) {
		history.last = now
		r.all[key] = history
	}
	return history
}

func (r *repairs) set(key types.NamespacedName, history repairHistory) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[types.NamespacedName]repairHistory{}
	}
	r.all[key] = history
}

func (r *repairs) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, key)
}
