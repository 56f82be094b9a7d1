package seam

import "container/list"

// Waiter says whom to wake when it is worth trying again.
type Waiter struct {
	// Key identifies the waiter: one of the same key takes the other's place.
	Key string
	// Group is what shares a credential's calls fairly with other groups: a namespace.
	Group string
	// Wake is called without locks held, at most once for each HeldError. It must not block.
	Wake func()
}

// waiters are the queue of one credential. Groups take turns; within a group, who came first is first. Each operation takes
// the same time however many wait: a credential that is refused may have all sessions of a cluster waiting.
type waiters struct {
	turns  list.List // of *group: those in which somebody waits
	groups map[string]*group
	byKey  map[string]place
}

type group struct {
	order list.List     // of Waiter
	turn  *list.Element // in waiters.turns
}

// place is where a waiter stands.
type place struct {
	group   string
	element *list.Element
}

// add queues w. One of the same key and group keeps its place.
func (q *waiters) add(w Waiter) {
	if at, ok := q.byKey[w.Key]; ok {
		if at.group == w.Group {
			at.element.Value = w
			return
		}
		q.drop(w.Key)
	}
	if q.byKey == nil {
		q.groups, q.byKey = map[string]*group{}, map[string]place{}
	}
	g, ok := q.groups[w.Group]
	if !ok {
		g = &group{}
		g.turn = q.turns.PushBack(g)
		q.groups[w.Group] = g
	}
	q.byKey[w.Key] = place{w.Group, g.order.PushBack(w)}
}

// drop takes the waiter of that key out of the queue, if it is in it.
func (q *waiters) drop(key string) {
	at, ok := q.byKey[key]
	if !ok {
		return
	}
	g := q.groups[at.group]
	g.order.Remove(at.element)
	delete(q.byKey, key)
	if g.order.Len() == 0 {
		q.turns.Remove(g.turn)
		delete(q.groups, at.group)
	}
}

// take takes the next one out of the queue, which must not be empty.
func (q *waiters) take() Waiter {
	g := q.turns.Front().Value.(*group)
	q.turns.MoveToBack(g.turn)
	w := g.order.Front().Value.(Waiter)
	q.drop(w.Key)
	return w
}

// takeAll empties the queue.
func (q *waiters) takeAll() []Waiter {
	var taken []Waiter
	for q.len() > 0 {
		taken = append(taken, q.take())
	}
	return taken
}

func (q *waiters) len() int { return len(q.byKey) }
