package seam

import (
	"container/list"
	"time"
)

const (
	// slowAfter is how long a call takes that is slow. Seam answers in 100 to 300 ms.
	slowAfter = 2 * time.Second
	// keepFor is how long a call is kept for the group of a waiter that was woken.
	keepFor = time.Second
	// tickInterval is how often the pool looks at the time while somebody waits.
	tickInterval = time.Second
	// aloneRatio is how many times as many calls as are free a credential may have under way: one alone gets three quarters
	// of all. Where others have some too, the reserve counts as taken.
	aloneRatio = 3
	// reservePart is the part of all calls, a seventh, that is kept for credentials that have none under way: however soon
	// others take all that they may, and then turn slow, there is room for one more.
	reservePart = 7
	// slowPart is the part of all calls beyond which slow credentials start none: a third.
	slowPart = 3
)

// pool decides which calls may be made now, over all credentials. It does no I/O and has no lock and no clock: Client brings
// all three.
//
// What is bounded is the calls under way. Whoever may make none is queued with the credential. When there is room, the
// credentials with waiters take turns, and within each its groups: the next waiter is woken, and a call is kept for its group
// until it comes. So whoever finds room on coming passes over nobody.
type pool struct {
	size     int
	inFlight int // calls under way, and those that are kept
	byClass  [classes]int

	ready [classes]list.List // of *throttle, in the order of their turns
	turn  class              // whose turn it is
	young list.List          // of *call, those that are not slow, the oldest first
	kept  list.List          // of *keep, the oldest first
}

// keep is a call that is kept for a group of a credential's waiters.
type keep struct {
	throttle *throttle
	group    string
	since    time.Time
	element  *list.Element // in pool.kept
}

func newPool(size int) *pool { return &pool{size: max(1, size)} }

// acquire starts a call, or says why there is none and queues w. It also returns who is to be woken.
func (p *pool) acquire(now time.Time, t *throttle, w Waiter) (*call, *HeldError, []Waiter) {
	p.advance(now)
	started, held := p.start(now, t, w)
	if held != nil && w.Wake != nil {
		t.queue.add(w)
	}
	p.settle(now, t)
	return started, held, p.wakeFree(now)
}

func (p *pool) start(now time.Time, t *throttle, w Waiter) (*call, *HeldError) {
	if held := t.held(now); held != nil {
		return nil, held
	}
	if kept := t.kept[w.Group]; len(kept) > 0 {
		p.giveUp(kept[0])
	} else if t.inFlight >= t.limit || !p.admits(t.class) || !p.leavesRoom(t) {
		return nil, &HeldError{}
	}
	t.queue.drop(w.Key)
	started := t.start(now)
	started.young = p.young.PushBack(started)
	return started, nil
}

// release takes a call back and returns who is to be woken. cause is the call's error where its verdict is unauthorized or
// rateLimited.
func (p *pool) release(now time.Time, done *call, v verdict, cause *Error) []Waiter {
	p.advance(now)
	t := done.throttle
	if done.young != nil {
		p.young.Remove(done.young)
	}
	narrowed, held := t.end(now, done, v, cause)
	for _, n := range narrowed {
		p.giveUpAll(n)
	}
	var woken []Waiter
	for _, h := range held {
		woken = append(woken, h.queue.takeAll()...) // to learn what keeps them back, and until when
	}
	for _, other := range t.account.throttles { // the account's circuit opens and closes for all of them
		p.settle(now, other)
	}
	return append(woken, p.wakeFree(now)...)
}

// tick returns who is to be woken because time has passed.
func (p *pool) tick(now time.Time) []Waiter {
	p.advance(now)
	return p.wakeFree(now)
}

// waits says whether time alone may make room for somebody who waits.
func (p *pool) waits() bool {
	return p.kept.Len() > 0 || p.young.Len() > 0 && p.ready[steady].Len()+p.ready[untried].Len()+p.ready[slow].Len() > 0
}

// advance notes what has become of calls as time passed: that they are slow, or are kept no longer. A clock that was set back moves
// them with it, rather than have them kept until it has caught up.
func (p *pool) advance(now time.Time) {
	for oldest := p.young.Front(); oldest != nil; oldest = p.young.Front() {
		c := oldest.Value.(*call)
		if c.started = earlier(c.started, now); now.Sub(c.started) < slowAfter {
			break
		}
		p.young.Remove(oldest)
		c.young, c.slow = nil, true
		c.throttle.slowCalls++
		p.settle(now, c.throttle)
	}
	for oldest := p.kept.Front(); oldest != nil; oldest = p.kept.Front() {
		k := oldest.Value.(*keep)
		if k.since = earlier(k.since, now); now.Sub(k.since) < keepFor {
			break
		}
		p.giveUp(k)
		p.settle(now, k.throttle)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// admits says whether a class can have one more call, if there is one left.
func (p *pool) admits(c class) bool {
	untrusted := p.byClass[untried] + p.byClass[slow]
	switch c {
	case untried:
		return untrusted < p.size-(p.reserve()+1)/2 // the other half is for steady ones, should all of these be slow
	case slow:
		return untrusted < p.size-p.reserve() && p.byClass[slow] < max(1, p.size/slowPart)
	}
	return true
}

// leavesRoom says whether there is a call left that the credential can make without taking what is left for others.
func (p *pool) leavesRoom(t *throttle) bool {
	mine, free := t.account.inFlight(), p.size-p.inFlight
	if mine > 0 && mine < p.inFlight { // others have some too
		free -= p.reserve()
	}
	return mine < aloneRatio*free
}

func (p *pool) reserve() int { return p.size / reservePart }

// settle brings up to date what the pool knows of a credential that has changed.
func (p *pool) settle(now time.Time, t *throttle) {
	if t.ready != nil && t.class != t.classify() {
		p.ready[t.class].Remove(t.ready)
		t.ready = nil
	}
	p.inFlight += t.inFlight - t.counted
	p.byClass[t.class] -= t.counted
	t.class, t.counted = t.classify(), t.inFlight
	p.byClass[t.class] += t.counted

	ready := t.queue.len() > 0 && t.inFlight < t.limit && t.held(now) == nil
	switch {
	case ready && t.ready == nil:
		t.ready = p.ready[t.class].PushBack(t)
	case !ready && t.ready != nil:
		p.ready[t.class].Remove(t.ready)
		t.ready = nil
	}
}

// wakeFree keeps a call for each waiter that can make one now, and returns them.
func (p *pool) wakeFree(now time.Time) []Waiter {
	var woken []Waiter
	for t := p.next(); t != nil; t = p.next() {
		w := t.queue.take()
		k := &keep{throttle: t, group: w.Group, since: now}
		k.element = p.kept.PushBack(k)
		t.kept[w.Group] = append(t.kept[w.Group], k)
		t.keptCalls++
		t.inFlight++
		p.settle(now, t)
		woken = append(woken, w)
	}
	return woken
}

// next returns the credential whose turn it is, or nil if none with waiters can make a call. Those that it passes over have
// a call each, so there are few.
func (p *pool) next() *throttle {
	for range classes {
		c := p.turn
		p.turn = (p.turn + 1) % classes
		if !p.admits(c) {
			continue
		}
		for at := p.ready[c].Front(); at != nil; at = at.Next() {
			if t := at.Value.(*throttle); p.leavesRoom(t) {
				p.ready[c].MoveToBack(at)
				return t
			}
		}
	}
	return nil
}

// giveUp keeps a call no longer. The credential is to be settled.
func (p *pool) giveUp(k *keep) {
	p.kept.Remove(k.element)
	t := k.throttle
	t.inFlight--
	t.keptCalls--
	if t.kept[k.group] = t.kept[k.group][1:]; len(t.kept[k.group]) == 0 { // it is the oldest of its group
		delete(t.kept, k.group)
	}
}

func (p *pool) giveUpAll(t *throttle) {
	for _, kept := range t.kept {
		for _, k := range kept {
			p.giveUp(k)
		}
	}
}
