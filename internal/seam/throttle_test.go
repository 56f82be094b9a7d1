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

// gateTest steps a gate and its clock.
type gateTest struct {
	*testing.T
	*gate
	now   time.Time
	woken []string
}

func newGateTest(t *testing.T, maxInFlight int) *gateTest {
	return &gateTest{T: t, gate: newGate(maxInFlight), now: start}
}

func (g *gateTest) waiter(key string) Waiter { return Waiter{Key: key, Wake: func() {}} }

// enter expects a ticket.
func (g *gateTest) enter() ticket {
	g.Helper()
	ticket, held := g.acquire(g.now, Waiter{})
	if held != nil {
		g.Fatalf("held: %+v, want a ticket", *held)
	}
	return ticket
}

// expectFull expects that there is no slot.
func (g *gateTest) expectFull(key string) {
	g.Helper()
	_, held := g.acquire(g.now, g.waiter(key))
	if held == nil || held.Cause != nil || !held.Until.IsZero() {
		g.Fatalf("acquire: %+v, want no free slot", held)
	}
}

// expectHeld expects a hold by cause for that long.
func (g *gateTest) expectHeld(key string, cause *Error, length time.Duration) {
	g.Helper()
	_, held := g.acquire(g.now, g.waiter(key))
	if held == nil || held.Cause != cause || held.Until.Sub(g.now) != length {
		g.Fatalf("acquire: %+v, want a hold of %s by %+v", held, length, cause)
	}
}

func (g *gateTest) leave(t ticket, o outcome, cause *Error) {
	for _, w := range g.release(g.now, t, o, cause) {
		g.woken = append(g.woken, w.Key)
	}
}

func (g *gateTest) expectWoken(keys ...string) {
	g.Helper()
	if !slices.Equal(g.woken, keys) {
		g.Fatalf("woken: %q, want %q", g.woken, keys)
	}
	g.woken = nil
}

// widen makes calls succeed until the limit is n.
func (g *gateTest) widen(n int) {
	g.Helper()
	for g.limit < n {
		g.leave(g.enter(), accepted, nil)
	}
}

func (g *gateTest) expectLimit(n int) {
	g.Helper()
	if g.limit != n {
		g.Fatalf("limit: %d, want %d", g.limit, n)
	}
}

var (
	errOf401 = &Error{Kind: Unauthorized, StatusCode: 401, text: "401"}
	errOf429 = &Error{Kind: RateLimited, StatusCode: 429, text: "429"}
)

func errOf429For(wait time.Duration) *Error {
	return &Error{Kind: RateLimited, StatusCode: 429, RetryAfter: wait, text: "429"}
}

func TestGateWidensWithEachSuccess(t *testing.T) {
	g := newGateTest(t, 6)
	for _, limit := range []int{1, 2, 4, 6, 6} {
		g.expectLimit(limit)
		var tickets []ticket
		for range limit {
			tickets = append(tickets, g.enter())
		}
		g.expectFull("one more")
		for _, ticket := range tickets[1:] {
			g.leave(ticket, neutral, nil)
		}
		g.leave(tickets[0], accepted, nil)
	}
}

func TestGateHasAtLeastOneSlot(t *testing.T) {
	for _, limit := range []int{-1, 0, 1} {
		g := newGateTest(t, limit)
		ticket := g.enter()
		g.expectFull("b")
		g.leave(ticket, accepted, nil)
		g.expectLimit(1)
		g.enter()
	}
}

func TestGateNarrowsWhenSeamCantBeReached(t *testing.T) {
	g := newGateTest(t, 8)
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

func TestGateProbesOnceAMinuteAfter401(t *testing.T) {
	g := newGateTest(t, 8)
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

func TestGateOpensTheCircuitOnceHoweverManyWereUnderWay(t *testing.T) {
	g := newGateTest(t, 8)
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

func TestGateHasOneProbeHoweverLongItTakes(t *testing.T) {
	g := newGateTest(t, 8)
	g.leave(g.enter(), unauthorized, errOf401)
	g.now = g.now.Add(time.Minute)
	probe := g.enter()
	g.now = g.now.Add(90 * time.Second)
	g.expectHeld("a", errOf401, time.Minute)
	g.now = g.now.Add(61 * time.Second)
	g.leave(probe, unauthorized, errOf401)
	g.expectHeld("a", errOf401, time.Minute)
}

func TestGateProbesAlone(t *testing.T) {
	g := newGateTest(t, 8)
	g.widen(2)
	slow := g.enter()
	g.leave(g.enter(), unauthorized, errOf401)
	g.now = g.now.Add(time.Minute)
	g.expectHeld("a", errOf401, time.Minute)
	g.leave(slow, accepted, nil) // asked before the 401: does not close the circuit
	g.expectHeld("a", errOf401, time.Minute)
}

func TestGateResetClosesTheCircuit(t *testing.T) {
	g := newGateTest(t, 8)
	g.widen(4)
	before, refused := g.enter(), g.enter()
	g.leave(refused, unauthorized, errOf401)
	g.expectHeld("a", errOf401, time.Minute)
	g.woken = nil
	g.close(g.now)
	g.expectLimit(1)
	g.leave(before, unauthorized, errOf401) // what was asked before the reset is of the past
	current := g.enter()
	g.expectFull("a")
	g.leave(current, accepted, nil)
	g.expectLimit(2)
	g.leave(g.enter(), unauthorized, errOf401)
	g.expectHeld("a", errOf401, time.Minute)
}

func TestGateResetLeavesPauseAndLimitAlone(t *testing.T) {
	g := newGateTest(t, 8)
	g.widen(8)
	g.close(g.now)
	g.expectLimit(8)
	pause := errOf429For(20 * time.Second)
	g.leave(g.enter(), rateLimited, pause)
	g.close(g.now)
	g.expectHeld("a", pause, 20*time.Second)
}

func TestGatePausesFor429(t *testing.T) {
	g := newGateTest(t, 8)
	g.widen(8)
	first, second, third := g.enter(), g.enter(), g.enter()
	pause, longer, shorter := errOf429For(20*time.Second), errOf429For(30*time.Second), errOf429For(time.Second)
	g.leave(first, rateLimited, pause)
	g.expectHeld("a", pause, 20*time.Second)
	g.leave(second, rateLimited, longer)
	g.leave(third, rateLimited, shorter)
	g.expectHeld("a", longer, 30*time.Second)
	g.now = g.now.Add(30 * time.Second)
	ticket := g.enter()
	g.expectFull("a")
	g.leave(ticket, accepted, nil)
	g.expectLimit(2)
}

func TestGatePausesEverLongerWhere429SaysNothing(t *testing.T) {
	g := newGateTest(t, 8)
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

func TestGateHoldsForTheLongerReason(t *testing.T) {
	for _, test := range []struct {
		pause time.Duration
		hold  time.Duration
	}{{20 * time.Second, time.Minute}, {2 * time.Minute, 2 * time.Minute}} {
		g := newGateTest(t, 8)
		g.widen(2)
		first, second := g.enter(), g.enter()
		pause := errOf429For(test.pause)
		g.leave(first, rateLimited, pause)
		g.leave(second, unauthorized, errOf401)
		cause := errOf401
		if test.hold == test.pause {
			cause = pause
		}
		g.expectHeld("a", cause, test.hold)
	}
}

func TestGateHoldsNoLongerWhenTheClockIsSetBack(t *testing.T) {
	g := newGateTest(t, 8)
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

func TestGateWakesInOrderAsManyAsThereIsRoomFor(t *testing.T) {
	g := newGateTest(t, 8)
	ticket := g.enter()
	for _, key := range []string{"a", "b", "c", "a", "d", "e"} {
		g.expectFull(key)
	}
	g.expectWoken()
	g.leave(ticket, accepted, nil)
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

func TestGateForgetsAWaiterThatGotATicketOrCantBeWoken(t *testing.T) {
	g := newGateTest(t, 8)
	ticket := g.enter()
	g.expectFull("a")
	if _, held := g.acquire(g.now, Waiter{Key: "none"}); held == nil {
		t.Fatal("got a ticket, want none")
	}
	g.leave(ticket, neutral, nil)
	g.expectWoken("a")
	ticket = g.enter()
	g.expectFull("a")
	g.inFlight-- // as if there were room
	if _, held := g.acquire(g.now, g.waiter("a")); held != nil {
		t.Fatalf("held: %+v", held)
	}
	g.leave(ticket, accepted, nil)
	g.expectWoken()
}

func TestGateCallsTheLatestWakeOfAKey(t *testing.T) {
	g := newGateTest(t, 1)
	ticket := g.enter()
	woken := ""
	_, _ = g.acquire(g.now, Waiter{Key: "a", Wake: func() { woken += "old" }})
	_, _ = g.acquire(g.now, Waiter{Key: "a", Wake: func() { woken += "new" }})
	wake(g.release(g.now, ticket, neutral, nil))
	if woken != "new" {
		t.Fatalf("woken: %q", woken)
	}
}

func TestGateTellsEveryWaiterWhatHoldsItBack(t *testing.T) {
	for _, test := range []struct {
		name    string
		outcome outcome
		cause   *Error
	}{{"401", unauthorized, errOf401}, {"429", rateLimited, errOf429For(time.Minute)}} {
		t.Run(test.name, func(t *testing.T) {
			g := newGateTest(t, 8)
			ticket := g.enter()
			g.expectFull("a")
			g.expectFull("b")
			g.leave(ticket, test.outcome, test.cause)
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

func TestGateResetWakesOneToFindOut(t *testing.T) {
	g := newGateTest(t, 8)
	g.leave(g.enter(), unauthorized, errOf401)
	g.expectHeld("a", errOf401, time.Minute)
	g.expectHeld("b", errOf401, time.Minute)
	woken := g.close(g.now)
	if len(woken) != 1 || woken[0].Key != "a" {
		t.Fatalf("woken: %v, want a", woken)
	}
	g.leave(g.enter(), accepted, nil)
	g.expectWoken("b")
}

func TestGateIsIdleOnlyWhereNothingWouldBeLost(t *testing.T) {
	g := newGateTest(t, 8)
	expect := func(idle bool) {
		t.Helper()
		if g.idle(g.now) != idle {
			t.Fatalf("idle: %t, want %t", !idle, idle)
		}
	}
	expect(true)
	ticket := g.enter()
	expect(false)
	g.leave(ticket, rateLimited, errOf429For(time.Second))
	expect(false)
	g.now = g.now.Add(time.Second)
	expect(true)
	g.leave(g.enter(), unauthorized, errOf401)
	expect(false)
	g.now = g.now.Add(time.Minute)
	expect(true)
}

// TestGateInvariants lets many callers come and go at random, some of them dying when they should wake, while the credential
// is revoked and restored, Seam asks for pauses and can't be reached.
func TestGateInvariants(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			newGateSimulation(t, seed).run()
		})
	}
}

const simulatedCallers = 24

type gateSimulation struct {
	*testing.T
	random *rand.Rand
	gate   *gate
	max    int
	now    time.Time
	mortal bool // some callers never come back when they are woken

	wanting map[int]time.Time // when a caller that wants to call tries next; zero: only when it is woken
	flying  map[int]ticket
	asked   map[ticket]time.Time
	dead    map[int]bool
	served  map[int]int

	refusedAt  time.Time // the 401 since which none was accepted, or zero
	refusedBy  time.Time // the last call that was made since then
	pausedTill time.Time
}

func newGateSimulation(t *testing.T, seed uint64) *gateSimulation {
	random := rand.New(rand.NewPCG(seed, 1))
	limit := 1 + random.IntN(9)
	return &gateSimulation{
		T: t, random: random, gate: newGate(limit), max: limit, now: start, mortal: seed%2 == 0,
		wanting: map[int]time.Time{}, flying: map[int]ticket{}, asked: map[ticket]time.Time{},
		dead: map[int]bool{}, served: map[int]int{},
	}
}

func (s *gateSimulation) run() {
	for caller := range simulatedCallers {
		s.wanting[caller] = s.now
	}
	for range 400 {
		s.step(s.anyOutcome)
	}
	// From here on all is well: everybody who lives is served. Where none dies, waking is enough for those without a time.
	s.served = map[int]int{}
	for range 400 {
		s.step(func() (outcome, *Error) { return accepted, nil })
	}
	for caller := range s.wanting {
		if !s.dead[caller] && s.served[caller] == 0 {
			s.Fatalf("caller %d was never served", caller)
		}
	}
}

func (s *gateSimulation) anyOutcome() (outcome, *Error) {
	switch n := s.random.IntN(20); {
	case n < 12:
		return accepted, nil
	case n < 14:
		return unauthorized, errOf401
	case n < 16:
		return rateLimited, errOf429For(time.Duration(s.random.IntN(30)) * time.Second)
	case n < 18:
		return unreachable, nil
	}
	return neutral, nil
}

func (s *gateSimulation) step(end func() (outcome, *Error)) {
	s.now = s.now.Add(time.Duration(s.random.IntN(3000)) * time.Millisecond)
	for _, caller := range s.shuffled() {
		at := s.wanting[caller]
		if _, flies := s.flying[caller]; !flies && !s.dead[caller] && !at.IsZero() && !s.now.Before(at) && s.random.IntN(3) > 0 {
			s.call(caller)
		}
	}
	for _, caller := range s.shuffled() {
		if ticket, ok := s.flying[caller]; ok && s.random.IntN(3) == 0 {
			o, cause := end()
			s.land(caller, ticket, o, cause)
		}
	}
}

func (s *gateSimulation) shuffled() []int { return s.random.Perm(simulatedCallers) }

func (s *gateSimulation) call(caller int) {
	key := strconv.Itoa(caller)
	got, held := s.gate.acquire(s.now, Waiter{Key: key, Wake: func() { s.wake(caller) }})
	if held != nil {
		s.wanting[caller] = held.Until // zero where it is only woken
		if held.Cause == nil && s.mortal {
			s.wanting[caller] = s.now.Add(30 * time.Second) // as every caller must: those woken before it may be dead
		}
		return
	}
	s.flying[caller] = got
	s.asked[got] = s.now
	if len(s.flying) > s.gate.limit || len(s.flying) > s.max {
		s.Fatalf("%d calls under way, limit %d of %d", len(s.flying), s.gate.limit, s.max)
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

func (s *gateSimulation) land(caller int, t ticket, o outcome, cause *Error) {
	delete(s.flying, caller)
	probe := !s.refusedAt.IsZero() && !s.asked[t].Before(s.refusedAt) && s.asked[t].Equal(s.refusedBy)
	switch {
	case o == unauthorized && s.refusedAt.IsZero():
		s.refusedAt, s.refusedBy = s.now, time.Time{}
	case o == accepted && probe:
		s.refusedAt = time.Time{}
	case o == rateLimited && cause.RetryAfter > 0:
		if until := s.now.Add(cause.RetryAfter); until.After(s.pausedTill) {
			s.pausedTill = until
		}
	}
	s.served[caller]++
	s.wanting[caller] = s.now.Add(time.Duration(s.random.IntN(120)) * time.Second)
	wake(s.gate.release(s.now, t, o, cause))
}

func (s *gateSimulation) wake(caller int) {
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
		{&HeldError{}, "not asked yet: other calls with the same credential are under way"},
		{&HeldError{Until: start, Cause: errOf401}, "not asked: an earlier call with the same credential failed: 401"},
	} {
		if got := fmt.Sprint(test.err); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
