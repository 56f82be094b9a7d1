package seam

import "container/list"

// waiters are a queue in which each key stands once. Taking, adding and dropping take the same time however many wait: a
// credential that is refused may have all sessions of a cluster waiting.
type waiters struct {
	order list.List // of Waiter
	byKey map[string]*list.Element
}

// add queues w. One of the same key keeps its place.
func (q *waiters) add(w Waiter) {
	if element, ok := q.byKey[w.Key]; ok {
		element.Value = w
		return
	}
	if q.byKey == nil {
		q.byKey = map[string]*list.Element{}
	}
	q.byKey[w.Key] = q.order.PushBack(w)
}

// drop takes the waiter of that key out of the queue, if it is in it.
func (q *waiters) drop(key string) {
	if element, ok := q.byKey[key]; ok {
		q.order.Remove(element)
		delete(q.byKey, key)
	}
}

// take takes the first n out of the queue, or all if there are fewer.
func (q *waiters) take(n int) []Waiter {
	var taken []Waiter
	for len(taken) < n && q.order.Len() > 0 {
		w, ok := q.order.Remove(q.order.Front()).(Waiter)
		if ok {
			delete(q.byKey, w.Key)
			taken = append(taken, w)
		}
	}
	return taken
}

func (q *waiters) len() int { return q.order.Len() }
