package seam

import (
	"container/heap"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// event is something that happens at a time of a world.
type event struct {
	at    time.Time
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// world is a pool and those who call through it, with a clock that jumps from event to event.
type world struct {
	*testing.T
	pool    *pool
	tenants []*tenant
	now     time.Time
	events  events
	order   int
}

// poolSize is what 64 workers have.
const poolSize = 56

func newWorld(t *testing.T, size int) *world {
	w := &world{T: t, pool: newPool(size), now: start}
	w.after(0, w.tick)
	return w
}

func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.events, event{w.now.Add(d), w.order, do})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	w.Helper()
	end := w.now.Add(d)
	for len(w.events) > 0 && !w.events[0].at.After(end) {
		next := heap.Pop(&w.events).(event)
		w.now = next.at
		next.do()
		w.check()
	}
	w.now = end
}

// tick is what Client's timer does.
func (w *world) tick() {
	if w.pool.waits() {
		wake(w.pool.tick(w.now))
	}
	w.after(tickInterval, w.tick)
}

// check checks what holds at all times: no more calls than there may be, and nobody waits where there is room.
func (w *world) check() {
	w.Helper()
	calls, byClass := 0, [classes]int{}
	for _, t := range w.tenants {
		calls += t.inFlight
		byClass[t.class] += t.inFlight
		waits := t.queue.len() > 0 && t.held(w.now) == nil && t.inFlight < t.limit
		if waits && w.pool.admits(t.class) && w.pool.leavesRoom(t.throttle) {
			w.Fatalf("%s waits, and there is room: %d of %d calls", t.name, w.pool.inFlight, w.pool.size)
		}
	}
	if calls != w.pool.inFlight || byClass != w.pool.byClass || calls > w.pool.size {
		w.Fatalf("%d calls of %d, %v; the pool says %d, %v", calls, w.pool.size, byClass, w.pool.inFlight, w.pool.byClass)
	}
}

// tenant is a credential, and the sessions that use it.
type tenant struct {
	*throttle
	world   *world
	name    string
	latency time.Duration
	verdict func() (verdict, *Error) // of a call
	dies    func(group string) bool  // whether a session that is woken does not come

	served map[string]int           // by group
	waited map[string]time.Duration // the longest, by group
	most   int                      // calls at once
	dead   int
}

func (w *world) tenant(latency time.Duration) *tenant {
	t := &tenant{
		throttle: newThrottle(w.pool.size), world: w, name: "tenant " + strconv.Itoa(len(w.tenants)), latency: latency,
		verdict: func() (verdict, *Error) { return accepted, nil }, dies: func(string) bool { return false },
		served: map[string]int{}, waited: map[string]time.Duration{},
	}
	w.tenants = append(w.tenants, t)
	return t
}

// session is one that wants a call, as a worker of the controller sees it: never twice at once.
type session struct {
	*tenant
	key, group string
	endless    bool // it wants another call after each
	since      time.Time
	gone       bool // it has its call, or was deleted
}

// want makes n sessions of a group want a call each, again and again if they are endless.
func (t *tenant) want(group string, n int, endless bool) {
	for range n {
		t.world.order++
		s := &session{tenant: t, key: strconv.Itoa(t.world.order), group: group, endless: endless, since: t.world.now}
		s.come()
	}
}

func (s *session) come() {
	if s.gone {
		return
	}
	w := s.world
	started, held, woken := w.pool.acquire(w.now, s.throttle, Waiter{Key: s.key, Group: s.group, Wake: s.wake})
	wake(woken)
	if held != nil {
		if held.Cause != nil {
			w.after(held.Until.Sub(w.now), s.come)
		}
		return
	}
	s.gone = true
	s.waited[s.group] = max(s.waited[s.group], w.now.Sub(s.since))
	s.most = max(s.most, s.inFlight-s.keptCalls)
	w.after(s.latency, func() {
		v, cause := s.verdict()
		wake(w.pool.release(w.now, started, v, cause))
		s.served[s.group]++
		if s.endless {
			s.gone, s.since = false, w.now
			s.come()
		}
	})
}

func (s *session) wake() {
	switch {
	case s.gone:
	case s.dies(s.group):
		s.gone = true
		s.dead++
	default:
		s.world.after(0, s.come)
	}
}

// crowd makes tenants of which a hundred sessions each want calls all the time.
func (w *world) crowd(n int, latency time.Duration) []*tenant {
	var all []*tenant
	for range n {
		t := w.tenant(latency)
		t.want("ns", 100, true)
		all = append(all, t)
	}
	return all
}

const (
	near = 200 * time.Millisecond
	far  = 20 * time.Second
)

func TestPoolGivesACredentialAloneThreeQuarters(t *testing.T) {
	for _, test := range []struct{ size, most int }{{1, 1}, {2, 2}, {3, 3}, {4, 3}, {8, 6}, {14, 11}, {56, 42}} {
		w := newWorld(t, test.size)
		alone := w.tenant(near)
		alone.want("ns", 200, false)
		w.run(time.Hour)
		if alone.most != test.most || alone.served["ns"] != 200 {
			t.Errorf("of %d: %d calls at once, %d served; want %d, 200", test.size, alone.most, alone.served["ns"], test.most)
		}
	}
}

func TestPoolServesFiveThousandFromFarAway(t *testing.T) {
	w := newWorld(t, poolSize)
	alone := w.tenant(near)
	alone.want("ns", 5000, false)
	w.run(27 * time.Second)
	if alone.served["ns"] != 5000 { // 185 a second
		t.Errorf("%d served", alone.served["ns"])
	}
}

func TestPoolStartsACredentialWithOneCall(t *testing.T) {
	w := newWorld(t, poolSize)
	fresh := w.tenant(near)
	fresh.want("ns", 1000, false)
	for _, calls := range []int{1, 2, 8} {
		if fresh.inFlight != calls {
			t.Fatalf("%d calls, want %d", fresh.inFlight, calls)
		}
		w.run(near)
	}
}

// TestPoolLeavesAHealthyCredentialUnharmed has others with a hundred sessions each, and one whose Seam answers at once.
func TestPoolLeavesAHealthyCredentialUnharmed(t *testing.T) {
	turn := func(n int) func(*world) { // as many as there may be turn slow, with all that they can have under way
		return func(w *world) {
			for _, other := range w.crowd(n, near) {
				w.after(10*time.Second, func() { other.latency = far })
			}
			w.run(10*time.Second + near)
		}
	}
	inTurn := func(n int) func(*world) { // as many become busy one after the other, and are slow from then on
		return func(w *world) {
			var others []*tenant
			for range n {
				others = append(others, w.tenant(near))
				others[len(others)-1].want("before", 100, false)
			}
			w.run(10 * time.Second)
			for _, other := range others {
				other.latency = far
				other.want("ns", 100, true)
				w.run(3 * time.Second)
			}
		}
	}
	for _, test := range []struct {
		name   string
		others func(*world)
		proven bool          // the credential has had an answer before
		waits  time.Duration // the longest
	}{
		{"3 are slow", func(w *world) { w.crowd(3, far); w.run(10 * time.Minute) }, true, 0},
		{"50 are slow", func(w *world) { w.crowd(50, far); w.run(10 * time.Minute) }, true, 0},
		{"3 are slow, it is new", func(w *world) { w.crowd(3, far); w.run(10 * time.Minute) }, false, 0},
		{"50 are slow, it is new", func(w *world) { w.crowd(50, far); w.run(10 * time.Minute) }, false, 0},
		{"100 are slow, it is new", func(w *world) { w.crowd(100, far); w.run(10 * time.Minute) }, false, 0},
		{"3 are new and slow, and so is it", func(w *world) { w.crowd(3, far) }, false, 0},
		{"100 are new and slow", func(w *world) { w.crowd(100, far) }, true, 0},
		{"100 are new and slow, a second ago", func(w *world) { w.crowd(100, far); w.run(time.Second) }, true, 0},
		{"1 turns slow", turn(1), true, 0},
		{"1 turns slow, it is new", turn(1), false, 0},
		{"3 turn slow", turn(3), true, 0},
		{"3 turn slow, it is new", turn(3), false, 0},
		{"3 turn slow one after the other", inTurn(3), true, 0},
		{"3 turn slow one after the other, it is new", inTurn(3), false, 0},
		{"6 turn slow one after the other", inTurn(6), true, 0},
		{"6 turn slow one after the other, it is new", inTurn(6), false, 0},
		{"20 are busy", func(w *world) { w.crowd(20, near); w.run(10 * time.Second) }, true, near},
		{"100 are busy", func(w *world) { w.crowd(100, near); w.run(20 * time.Second) }, true, time.Second},
		{"100 are busy, it is new", func(w *world) { w.crowd(100, near); w.run(20 * time.Second) }, false, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, poolSize)
			healthy := w.tenant(near)
			if test.proven {
				healthy.want("before", 1, false)
				w.run(near)
			}
			test.others(w)
			for range 20 { // as they come due one after the other
				healthy.want("ns", 1, false)
				w.run(time.Second)
			}
			w.run(5 * time.Second)
			if healthy.served["ns"] != 20 || healthy.waited["ns"] > test.waits {
				t.Errorf("%d of 20 served, waited up to %s, want %s", healthy.served["ns"], healthy.waited["ns"], test.waits)
			}
		})
	}
}

func TestPoolServesAHealthyCrowdBesideSlowOnes(t *testing.T) {
	for _, n := range []int{3, 50} {
		w := newWorld(t, poolSize)
		slow := w.crowd(n, far)
		w.run(time.Hour)
		healthy := w.tenant(near)
		healthy.want("ns", 1000, false)
		w.run(10 * time.Second) // 28 calls at once, three quarters of what the slow ones leave
		if healthy.served["ns"] != 1000 {
			t.Errorf("beside %d: %d served", n, healthy.served["ns"])
		}
		for _, other := range slow {
			if other.served["ns"] == 0 {
				t.Errorf("beside %d: %s, which is slow, got nothing", n, other.name)
			}
		}
	}
}

func TestPoolLetsASlowCredentialRecover(t *testing.T) {
	w := newWorld(t, poolSize)
	one := w.crowd(1, far)[0]
	w.run(10 * time.Minute)
	if one.inFlight != poolSize/slowPart {
		t.Fatalf("%d calls at once while it is slow", one.inFlight)
	}
	one.latency = near
	w.run(time.Minute)
	if one.inFlight != 42 || one.class != steady {
		t.Errorf("%d calls at once, class %d", one.inFlight, one.class)
	}
}

func TestPoolSharesAmongCredentials(t *testing.T) {
	for _, n := range []int{2, 3, 10, 50} {
		w := newWorld(t, poolSize)
		all := w.crowd(n, near)
		w.run(20 * time.Second)
		for _, one := range all {
			one.served["ns"] = 0
		}
		w.run(20 * time.Second)
		least, most, sum := all[0].served["ns"], 0, 0
		for _, one := range all {
			least, most, sum = min(least, one.served["ns"]), max(most, one.served["ns"]), sum+one.served["ns"]
		}
		if least*10 < most*8 || sum < 250*20*8/10 {
			t.Errorf("%d credentials: from %d to %d calls each, %d in all", n, least, most, sum)
		}
	}
}

func TestPoolSharesAmongGroups(t *testing.T) {
	w := newWorld(t, poolSize)
	one := w.tenant(near)
	one.want("crowd", 10_000, false)
	w.run(10 * time.Second)
	for range 20 {
		one.want("single", 1, false)
		w.run(time.Second)
	}
	if one.served["single"] != 20 || one.waited["single"] > near {
		t.Errorf("%d of 20 served, waited up to %s", one.served["single"], one.waited["single"])
	}
	one.want("second", 1000, false)
	crowd := one.served["crowd"]
	w.run(5 * time.Second)
	if crowd = one.served["crowd"] - crowd; crowd*10 < one.served["second"]*9 || crowd*9 > one.served["second"]*10 {
		t.Errorf("two crowds got %d and %d calls", crowd, one.served["second"])
	}
}

// TestPoolKeepsACallForTheGroupThatIsWoken has callers of another group come before the one who was woken.
func TestPoolKeepsACallForTheGroupThatIsWoken(t *testing.T) {
	g := newThrottleTest(t, 1)
	first := g.enter()
	waiter := Waiter{Key: "a", Group: "a", Wake: func() {}}
	if _, held := g.acquire(waiter); held == nil {
		t.Fatal("got a second call")
	}
	g.leave(first, accepted, nil)
	g.expectWoken("a")
	g.expectFull("thief")
	started, held := g.acquire(waiter)
	if held != nil {
		t.Fatalf("held: %v", held)
	}
	g.leave(started, accepted, nil)
	g.expectWoken("thief")
	g.now = g.now.Add(keepFor) // and it does not come
	g.leave(g.enter(), accepted, nil)
	g.expectWoken()
}

func TestPoolKeepsACallNoLongerWhenTheClockIsSetBack(t *testing.T) {
	p, one := newPool(poolSize), newThrottle(poolSize)
	first, _, _ := p.acquire(start, one, Waiter{Key: "first", Group: "first", Wake: func() {}})
	for _, group := range []string{"gone", "waits"} {
		if _, held, _ := p.acquire(start, one, Waiter{Key: group, Group: group, Wake: func() {}}); held == nil {
			t.Fatal("a credential without a success has a second call")
		}
	}
	if woken := p.release(start, first, neutral, nil); len(woken) != 1 || woken[0].Key != "gone" {
		t.Fatalf("woken: %v", woken)
	}
	back := start.Add(-24 * time.Hour)
	if woken := p.tick(back); len(woken) > 0 {
		t.Fatalf("woken at once: %v", woken)
	}
	if woken := p.tick(back.Add(keepFor)); len(woken) != 1 || woken[0].Key != "waits" {
		t.Errorf("%s after the clock was set back: %v are woken", keepFor, woken)
	}
}

func TestPoolWakesTheNextWhereOneDoesNotCome(t *testing.T) {
	w := newWorld(t, poolSize)
	one := w.tenant(near)
	one.dies = func(group string) bool { return group == "deleted" }
	one.want("ns", 1, false)
	one.want("deleted", 50, false)
	one.want("ns", 9, false)
	w.run(time.Minute)
	if one.served["ns"] != 10 {
		t.Errorf("%d of 10 served, %d did not come", one.served["ns"], one.dead)
	}
}

func TestPoolWakesWhoWaitsForAFreeProbe(t *testing.T) {
	w := newWorld(t, 1)
	other := w.tenant(far)
	refused := w.tenant(near)
	refused.verdict = func() (verdict, *Error) { return unauthorized, errOf401 }
	refused.want("ns", 1, false)
	w.run(59 * time.Second)
	other.want("ns", 1, false)
	w.run(2 * time.Second)
	refused.verdict = func() (verdict, *Error) { return accepted, nil }
	refused.want("ns", 1, false)
	w.run(far)
	if refused.served["ns"] != 2 {
		t.Error("the probe that waited for the other's call was not made")
	}
}

// TestPoolLosesNobody lets credentials of all kinds come, be refused, turn slow and recover at random. World checks at each
// step that nobody waits where there is room; in the end everybody is served.
func TestPoolLosesNobody(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			w := newWorld(t, 1+random.IntN(poolSize))
			wanted, ill := 0, true
			for range 1 + random.IntN(12) {
				one := w.tenant(near)
				one.verdict = func() (verdict, *Error) {
					if ill {
						return anyVerdict(random)
					}
					return accepted, nil
				}
				one.dies = func(string) bool { return ill && random.IntN(20) == 0 }
			}
			for range 200 {
				one := w.tenants[random.IntN(len(w.tenants))]
				one.latency = []time.Duration{near, near, near, 3 * time.Second, far}[random.IntN(5)]
				n := random.IntN(20)
				one.want("ns"+strconv.Itoa(random.IntN(4)), n, false)
				wanted += n
				w.run(time.Duration(random.IntN(2000)) * time.Millisecond)
			}
			ill = false
			for _, one := range w.tenants {
				one.latency = near
			}
			w.run(2 * time.Hour)
			for _, one := range w.tenants {
				wanted -= one.dead
				for _, n := range one.served {
					wanted -= n
				}
			}
			if wanted != 0 || w.pool.inFlight != 0 || w.pool.kept.Len() != 0 || w.pool.young.Len() != 0 || w.pool.waits() {
				t.Errorf("%d were not served; %d calls, %d kept", wanted, w.pool.inFlight, w.pool.kept.Len())
			}
		})
	}
}

func BenchmarkPoolWithTenThousandWaiters(b *testing.B) {
	p, t := newPool(poolSize), newThrottle(poolSize)
	for i := range 10_000 {
		_, _, _ = p.acquire(start, t, Waiter{Key: strconv.Itoa(i), Group: strconv.Itoa(i % 10), Wake: func() {}})
	}
	b.ReportAllocs()
	now := start
	for b.Loop() {
		now = now.Add(keepFor)
		started, _, woken := p.acquire(now, t, Waiter{Key: "a", Group: "1", Wake: func() {}})
		for _, w := range woken {
			t.queue.add(w)
		}
		if started != nil {
			for _, w := range p.release(now, started, neutral, nil) {
				t.queue.add(w)
			}
		}
	}
}
