package seam

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// throttleTest steps a throttle and its clock.
type throttleTest struct {
	*testing.T
	*throttle
	pool  *pool // without bounds of its own
	now   time.Time
	woken []string
}

// newThrottle returns the throttle of a credential that calls one route.
func newThrottle(maxInFlight int) *throttle { return (&account{}).throttle(maxInFlight, true) }

func newThrottleTest(t *testing.T, maxInFlight int) *throttleTest {
	return &throttleTest{T: t, throttle: newThrottle(maxInFlight), pool: newPool(1000), now: start}
}

func (g *throttleTest) waiter(key string) Waiter { return Waiter{Key: key, Wake: func() {}} }

func (g *throttleTest) acquire(w Waiter) (*call, *HeldError) {
	started, held, woken := g.pool.acquire(g.now, g.throttle, w)
	for _, w := range woken {
		g.woken = append(g.woken, w.Key)
	}
	return started, held
}

// enter expects a call.
func (g *throttleTest) enter() *call {
	g.Helper()
	started, held := g.acquire(Waiter{})
	if held != nil {
		g.Fatalf("held: %+v, want a call", *held)
	}
	return started
}

// expectFull expects that there is no slot.
func (g *throttleTest) expectFull(key string) {
	g.Helper()
	_, held := g.acquire(g.waiter(key))
	if held == nil || held.Cause != nil || !held.Until.IsZero() {
		g.Fatalf("acquire: %+v, want no free slot", held)
	}
}

// expectHeld expects to be held by cause for that long.
func (g *throttleTest) expectHeld(key string, cause *Error, length time.Duration) {
	g.Helper()
	_, held := g.acquire(g.waiter(key))
	if held == nil || held.Cause != cause || held.Until.Sub(g.now) != length {
		g.Fatalf("acquire: %+v, want to be held for %s by %+v", held, length, cause)
	}
}

func (g *throttleTest) leave(done *call, v verdict, cause *Error) {
	for _, w := range g.pool.release(g.now, done, v, cause) {
		g.woken = append(g.woken, w.Key)
	}
}

func (g *throttleTest) expectWoken(keys ...string) {
	g.Helper()
	if !slices.Equal(g.woken, keys) {
		g.Fatalf("woken: %q, want %q", g.woken, keys)
	}
	g.woken = nil
}

// widen makes calls succeed until the limit is n.
func (g *throttleTest) widen(n int) {
	g.Helper()
	for g.limit < n {
		g.leave(g.enter(), accepted, nil)
	}
}

func (g *throttleTest) expectLimit(n int) {
	g.Helper()
	if g.limit != n {
		g.Fatalf("limit: %d, want %d", g.limit, n)
	}
}

var (
	errOf401 = &Error{Kind: Unauthorized, StatusCode: 401, message: "401"}
	errOf429 = &Error{Kind: RateLimited, StatusCode: 429, message: "429"}
)

func errOf429For(wait time.Duration) *Error {
	return &Error{Kind: RateLimited, StatusCode: 429, RetryAfter: wait, message: "429"}
}

func TestThrottleWidensWithEachSuccess(t *testing.T) {
	g := newThrottleTest(t, 6)
	for _, limit := range []int{1, 2, 4, 6, 6} {
		g.expectLimit(limit)
		var calls []*call
		for range limit {
			calls = append(calls, g.enter())
		}
		g.expectFull("one more")
		for _, one := range calls[1:] {
			g.leave(one, neutral, nil)
		}
		g.leave(calls[0], accepted, nil)
	}
}

func TestThrottleHasAtLeastOneSlot(t *testing.T) {
	for _, limit := range []int{-1, 0, 1} {
		g := newThrottleTest(t, limit)
		one := g.enter()
		g.expectFull("b")
		g.leave(one, accepted, nil)
		g.expectLimit(1)
		g.enter()
	}
}

func TestThrottleNarrowsWhenSeamCantBeReached(t *testing.T) {
	g := newThrottleTest(t, 8)
	g.widen(8)
	before, failing := g.enter(), g.enter()
	g.leave(failing, unreachable, nil)
	g.expectLimit(1)
	g.leave(before, accepted, nil) // asked while Seam could be reached: proves nothing
	g.expectLimit(1)
	g.leave(g.enter(), neutral, nil)
	g.expectLimit(1)
	g.leave(g.enter(), accepted, nil)
	g.expectLimit(2)
}

func TestThrottleProbesOnceAMinuteAfter401(t *testing.T) {
	g := newThrottleTest(t, 8)
	g.widen(4)
	first, second := g.enter(), g.enter()
	g.now = g.now.Add(time.Second)
	g.leave(first, unauthorized, errOf401)
	g.expectHeld("a", errOf401, time.Minute)
	g.now = g.now.Add(time.Second)
	g.leave(second, unauthorized, errOf401) // asked before the answer: does not prolong
	g.expectHeld("b", errOf401, 59*time.Second)

	g.now = g.now.Add(59*time.Second - time.Nanosecond)
	g.expectHeld("a", errOf401, time.Nanosecond)
	g.now = g.now.Add(time.Nanosecond)
	probe := g.enter()
	g.expectHeld("a", errOf401, time.Minute)
	g.now = g.now.Add(2 * time.Second)
	again := &Error{Kind: Unauthorized, RequestID: "2"}
	g.leave(probe, unauthorized, again)
	g.expectHeld("a", again, 58*time.Second) // from the start of the probe, as those were told who came meanwhile

	g.now = g.now.Add(58 * time.Second)
	g.leave(g.enter(), unreachable, nil) // says nothing about the credential
	g.expectHeld("a", again, time.Minute)
	g.now = g.now.Add(time.Minute)
	g.leave(g.enter(), accepted, nil)
	g.expectLimit(2)
	g.enter()
	g.enter()
}

func TestThrottleOpensTheCircuitOnceHoweverManyWereUnderWay(t *testing.T) {
	g := newThrottleTest(t, 8)
	g.widen(8)
	first, second, third := g.enter(), g.enter(), g.enter()
	g.leave(first, unauthorized, errOf401)
	g.expectHeld("a", errOf401, time.Minute)
	g.leave(second, unauthorized, &Error{Kind: Unauthorized, RequestID: "2"})
	g.leave(third, accepted, nil)
	g.expectWoken() // a was told until when
	g.expectHeld("a", errOf401, time.Minute)
	g.now = g.now.Add(time.Minute)
	g.leave(g.enter(), accepted, nil)
	g.expectLimit(2)
}

func TestThrottleHasOneProbeHoweverLongItTakes(t *testing.T) {
	g := newThrottleTest(t, 8)
	g.leave(g.enter(), unauthorized, errOf401)
	g.now = g.now.Add(time.Minute)
	probe := g.enter()
	g.now = g.now.Add(90 * time.Second)
	g.expectHeld("a", errOf401, time.Minute)
	g.now = g.now.Add(61 * time.Second)
	g.leave(probe, unauthorized, errOf401)
	g.expectHeld("a", errOf401, time.Minute)
}

func TestThrottleProbesAlone(t *testing.T) {
	g := newThrottleTest(t, 8)
	g.widen(2)
	slow := g.enter()
	g.leave(g.enter(), unauthorized, errOf401)
	g.now = g.now.Add(time.Minute)
	g.expectHeld("a", errOf401, time.Minute)
	g.leave(slow, accepted, nil) // asked before the 401: does not close the circuit
	g.expectHeld("a", errOf401, time.Minute)
}

func TestThrottlePausesFor429(t *testing.T) {
	g := newThrottleTest(t, 8)
	g.widen(8)
	first, second, third := g.enter(), g.enter(), g.enter()
	pause, longer, shorter := errOf429For(20*time.Second), errOf429For(30*time.Second), errOf429For(time.Second)
	g.leave(first, rateLimited, pause)
	g.expectHeld("a", pause, 20*time.Second)
	g.leave(second, rateLimited, longer)
	g.leave(third, rateLimited, shorter)
	g.expectHeld("a", longer, 30*time.Second)
	g.now = g.now.Add(30 * time.Second)
	one := g.enter()
	g.expectFull("a")
	g.leave(one, accepted, nil)
	g.expectLimit(2)
}

func TestThrottlePausesEverLongerWhere429SaysNothing(t *testing.T) {
	g := newThrottleTest(t, 8)
	for _, length := range []time.Duration{5, 10, 20, 40, 60, 60} {
		g.leave(g.enter(), rateLimited, errOf429)
		g.expectHeld("a", errOf429, length*time.Second)
		g.now = g.now.Add(length * time.Second)
	}
	g.widen(2)
	first, second := g.enter(), g.enter()
	g.leave(first, rateLimited, errOf429)
	g.leave(second, rateLimited, errOf429) // asked before the first answer: the same event
	g.expectHeld("a", errOf429, 5*time.Second)
}

func TestThrottleHoldsForTheLongerReason(t *testing.T) {
	for _, test := range []struct {
		pause time.Duration
		held  time.Duration
	}{{20 * time.Second, time.Minute}, {2 * time.Minute, 2 * time.Minute}} {
		g := newThrottleTest(t, 8)
		g.widen(2)
		first, second := g.enter(), g.enter()
		pause := errOf429For(test.pause)
		g.leave(first, rateLimited, pause)
		g.leave(second, unauthorized, errOf401)
		cause := errOf401
		if test.held == test.pause {
			cause = pause
		}
		g.expectHeld("a", cause, test.held)
	}
}

func TestThrottleHoldsNoLongerWhenTheClockIsSetBack(t *testing.T) {
	g := newThrottleTest(t, 8)
	g.leave(g.enter(), unauthorized, errOf401)
	g.now = g.now.Add(-24 * time.Hour)
	g.expectHeld("a", errOf401, time.Minute)
	g.now = g.now.Add(time.Minute)
	g.leave(g.enter(), accepted, nil)

	pause := errOf429For(20 * time.Second)
	g.leave(g.enter(), rateLimited, pause)
	g.now = g.now.Add(-24 * time.Hour)
	g.expectHeld("a", pause, 20*time.Second)
	g.now = g.now.Add(20 * time.Second)
	g.enter()
}

func TestThrottleWakesInOrderAsManyAsThereIsRoomFor(t *testing.T) {
	g := newThrottleTest(t, 8)
	one := g.enter()
	for _, key := range []string{"a", "b", "c", "a", "d", "e"} {
		g.expectFull(key)
	}
	g.expectWoken()
	g.leave(one, accepted, nil)
	g.expectWoken("a", "b")
	first, second := g.enter(), g.enter()
	g.expectFull("a")
	g.leave(first, neutral, nil)
	g.expectWoken("c")
	g.leave(second, unreachable, nil)
	g.expectWoken("d")
	g.leave(g.enter(), accepted, nil)
	g.expectWoken("e", "a")
}

func TestThrottleForgetsAWaiterThatGotACallOrCantBeWoken(t *testing.T) {
	g := newThrottleTest(t, 8)
	one := g.enter()
	g.expectFull("a")
	if _, held := g.acquire(Waiter{Key: "none"}); held == nil {
		t.Fatal("got a one, want none")
	}
	g.leave(one, neutral, nil)
	g.expectWoken("a")
	one = g.enter()
	g.expectFull("a")
	g.limit++ // as if there were room
	if _, held := g.acquire(g.waiter("a")); held != nil {
		t.Fatalf("held: %+v", held)
	}
	g.leave(one, accepted, nil)
	g.expectWoken()
}

func TestThrottleCallsTheLatestWakeOfAKey(t *testing.T) {
	g := newThrottleTest(t, 1)
	one := g.enter()
	woken := ""
	_, _ = g.acquire(Waiter{Key: "a", Wake: func() { woken += "old" }})
	_, _ = g.acquire(Waiter{Key: "a", Wake: func() { woken += "new" }})
	wake(g.pool.release(g.now, one, neutral, nil))
	if woken != "new" {
		t.Fatalf("woken: %q", woken)
	}
}

func TestThrottleTellsEveryWaiterWhatHoldsItBack(t *testing.T) {
	for _, test := range []struct {
		name    string
		verdict verdict
		cause   *Error
	}{{"401", unauthorized, errOf401}, {"429", rateLimited, errOf429For(time.Minute)}} {
		t.Run(test.name, func(t *testing.T) {
			g := newThrottleTest(t, 8)
			one := g.enter()
			g.expectFull("a")
			g.expectFull("b")
			g.leave(one, test.verdict, test.cause)
			g.expectWoken("a", "b")
			g.expectHeld("a", test.cause, time.Minute)
			g.expectHeld("b", test.cause, time.Minute)

			g.now = g.now.Add(time.Minute)
			probe := g.enter()
			g.leave(probe, accepted, nil)
			g.expectWoken("a", "b") // earlier than they were told
		})
	}
}

func TestThrottleIsIdleOnlyWhereNothingWouldBeLost(t *testing.T) {
	g := newThrottleTest(t, 8)
	expect := func(idle bool) {
		t.Helper()
		if g.idle(g.now) != idle {
			t.Fatalf("idle: %t, want %t", !idle, idle)
		}
	}
	expect(true)
	one := g.enter()
	expect(false)
	g.leave(one, rateLimited, errOf429For(time.Second))
	expect(false)
	g.now = g.now.Add(time.Second)
	expect(true)
	g.leave(g.enter(), unauthorized, errOf401)
	expect(false)
	g.now = g.now.Add(time.Minute)
	expect(true)
}

// TestThrottleInvariants lets many callers come and go at random, some of them dying when they should wake, while the credential
// is revoked and restored, Seam asks for pauses and can't be reached.
func TestThrottleInvariants(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			newThrottleSimulation(t, seed).run()
		})
	}
}

const simulatedCallers = 24

type throttleSimulation struct {
	*testing.T
	random   *rand.Rand
	pool     *pool
	throttle *throttle
	max      int
	now      time.Time
	mortal   bool // some callers never come back when they are woken

	wanting map[int]time.Time // when a caller that wants to call tries next; zero: only when it is woken
	flying  map[int]*call
	asked   map[*call]time.Time
	dead    map[int]bool
	served  map[int]int

	refusedAt  time.Time // the 401 since which none was accepted, or zero
	refusedBy  time.Time // the last call that was made since then
	pausedTill time.Time
}

func newThrottleSimulation(t *testing.T, seed uint64) *throttleSimulation {
	random := rand.New(rand.NewPCG(seed, 1))
	limit := 1 + random.IntN(9)
	return &throttleSimulation{
		T: t, random: random, pool: newPool(1000), throttle: newThrottle(limit), max: limit, now: start, mortal: seed%2 == 0,
		wanting: map[int]time.Time{}, flying: map[int]*call{}, asked: map[*call]time.Time{},
		dead: map[int]bool{}, served: map[int]int{},
	}
}

func (s *throttleSimulation) run() {
	for caller := range simulatedCallers {
		s.wanting[caller] = s.now
	}
	for range 400 {
		s.step(func() (verdict, *Error) { return anyVerdict(s.random) })
	}
	// From here on all is well: everybody who lives is served. Where none dies, waking is enough for those without a time.
	s.served = map[int]int{}
	for range 400 {
		s.step(func() (verdict, *Error) { return accepted, nil })
	}
	for caller := range s.wanting {
		if !s.dead[caller] && s.served[caller] == 0 {
			s.Fatalf("caller %d was never served", caller)
		}
	}
}

func anyVerdict(random *rand.Rand) (verdict, *Error) {
	switch n := random.IntN(20); {
	case n < 12:
		return accepted, nil
	case n < 14:
		return unauthorized, errOf401
	case n < 16:
		return rateLimited, errOf429For(time.Duration(random.IntN(30)) * time.Second)
	case n < 18:
		return unreachable, nil
	}
	return neutral, nil
}

func (s *throttleSimulation) step(end func() (verdict, *Error)) {
	s.now = s.now.Add(time.Duration(s.random.IntN(3000)) * time.Millisecond)
	for _, caller := range s.shuffled() {
		at := s.wanting[caller]
		if _, flies := s.flying[caller]; !flies && !s.dead[caller] && !at.IsZero() && !s.now.Before(at) && s.random.IntN(3) > 0 {
			s.call(caller)
		}
	}
	for _, caller := range s.shuffled() {
		if one, ok := s.flying[caller]; ok && s.random.IntN(3) == 0 {
			v, cause := end()
			s.land(caller, one, v, cause)
		}
	}
}

func (s *throttleSimulation) shuffled() []int { return s.random.Perm(simulatedCallers) }

func (s *throttleSimulation) call(caller int) {
	key := strconv.Itoa(caller)
	got, held, woken := s.pool.acquire(s.now, s.throttle, Waiter{Key: key, Wake: func() { s.wake(caller) }})
	defer wake(woken)
	if held != nil {
		s.wanting[caller] = held.Until // zero where it is only woken
		if held.Cause == nil && s.mortal {
			s.wanting[caller] = s.now.Add(30 * time.Second) // as every caller must: those woken before it may be dead
		}
		return
	}
	s.flying[caller] = got
	s.asked[got] = s.now
	if len(s.flying) > s.throttle.limit || len(s.flying) > s.max {
		s.Fatalf("%d calls under way, limit %d of %d", len(s.flying), s.throttle.limit, s.max)
	}
	if s.now.Before(s.pausedTill) {
		s.Fatalf("called at %s, in a pause until %s", s.now, s.pausedTill)
	}
	if !s.refusedAt.IsZero() {
		last := s.refusedAt
		if s.refusedBy.After(last) {
			last = s.refusedBy
		}
		if gap := s.now.Sub(last); gap < time.Minute {
			s.Fatalf("called %s after the last call or 401 of a refused credential", gap)
		}
		s.refusedBy = s.now
	}
}

func (s *throttleSimulation) land(caller int, done *call, v verdict, cause *Error) {
	delete(s.flying, caller)
	probe := !s.refusedAt.IsZero() && !s.asked[done].Before(s.refusedAt) && s.asked[done].Equal(s.refusedBy)
	switch {
	case v == unauthorized && s.refusedAt.IsZero():
		s.refusedAt, s.refusedBy = s.now, time.Time{}
	case v == accepted && probe:
		s.refusedAt = time.Time{}
	case v == rateLimited && cause.RetryAfter > 0:
		if until := s.now.Add(cause.RetryAfter); until.After(s.pausedTill) {
			s.pausedTill = until
		}
	}
	s.served[caller]++
	s.wanting[caller] = s.now.Add(time.Duration(s.random.IntN(120)) * time.Second)
	wake(s.pool.release(s.now, done, v, cause))
}

func (s *throttleSimulation) wake(caller int) {
	if s.mortal && s.random.IntN(40) == 0 && len(s.dead) < simulatedCallers/2 {
		s.dead[caller] = true
		return
	}
	if _, flies := s.flying[caller]; !flies {
		s.wanting[caller] = s.now
	}
}

func TestHeldErrorSaysWhy(t *testing.T) {
	for _, test := range []struct {
		err  *HeldError
		want string
	}{
		{&HeldError{}, "not fetched yet: as many calls are under way as may be"},
		{&HeldError{Until: start, Cause: errOf401}, "not fetched: an earlier call with the same credential failed: 401"},
	} {
		if got := fmt.Sprint(test.err); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
