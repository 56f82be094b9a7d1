package controller

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
)

// A simulation drives the real Reconciler through days and weeks in a fraction of a second: users, colleagues, Seam, the
// clocks and the operator's own process do at random what they can do, from a seed that repeats it. It keeps a model of what
// Seam holds (simulation_model_test.go), and judges by that and not by what the operator could have known:
//
//  1. A good token is never lost. A token that Seam would still take is neither deleted nor overwritten with anything but a
//     token that Seam has just given; unless the spec says to delete it when the session ends, and Seam has said so, truly or
//     not, in two answers to the question that the token came from, a minute apart, with nothing else asked or said in between,
//     and, of an end, while the clocks agreed.
//  2. Ready tells the truth, at every second, also while nothing can be asked: it is True only with a token in the Secret that
//     was written for the spec and has not ended by Seam's word, and False only without.
//  3. No two objects write one Secret, and nobody's Secret is touched but with consent.
//  4. Calls and writes are bounded: no two calls for one object within five seconds but for the one at the end of its token,
//     none with a credential that Seam refused or asked to pause, no write that changes nothing, and no spinning.
//  5. Nothing secret shows: no token, credential or user identifier key in a status, an event or the log.
//  6. Everything settles. Once faults end, every object for which Seam has a good session and the namespace a good
//     credential is Ready with that session's token within a bounded time, no other Secret that it owns is left, and from
//     then on there are only the scheduled calls, each with one write of the status.
//  7. Rest is rest: another reconcile without a change neither asks nor writes.
//  8. What the namespace is not granted stays unknown to it. With the credential of the SeamWorkspace, which is of another
//     namespace, nothing is asked, written into a Secret or told by a status unless a grant allows it, at that moment by what
//     there is, or by what the caches still have to show. What is granted no more is not taken away, which is invariant 1. Once
//     faults end, a session that is deleted at Seam shows within the poll interval and 5 s. Sessions are made, extended and deleted
//     only where a grant allows to provide them so.
//  9. Never shorter, never less (simulation_provision_test.go). No session is made to end earlier than get has just, truly, told of it,
//     nor to see less than it did, but for what the spec names. One without an end is left alone.
//  10. Never twice, never elsewhere. A session is made, extended or changed only once for each answer of get, and only where that calls
//     for it; and made only in the workspace that the spec or the status names.
//  11. Never somebody else's. Only what an object made, or was about to make when it was made, is deleted for it, once it is being deleted,
//     and not while another object has its token.
//  12. Nothing is left. An object that was deleted is gone within five and a half minutes, and a last try; what it knows to have made is
//     deleted at Seam by then, or an event says that it is not. That is only given up at once for want of a credential or a grant.
//
// What Seam does where that is not known (seamtest.Behaviour) is chosen at random, and changes, where sessions are provided.
//
// What it can't see: two goroutines at the same moment, Kubernetes' own validation, admission and timing, TLS and sockets.

const (
	// simSteps is how many steps a simulation has before everything is to settle.
	simSteps = 120
	// simPatience is how many events there are at most while nothing else happens.
	simPatience = 240
)

// simSpans are how long nothing may happen, most often not for long: that is where little is to be seen.
var simSpans = []time.Duration{
	10 * time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 48 * time.Hour,
}

// TestSimulation begins with another seed each day.
func TestSimulation(t *testing.T) {
	simulateAll(t, false, uint64(time.Now().Unix()/86400)*simSeeds)
}

// TestSimulationOfProvisionedSessions begins with the same seed each day: of a thousand others some fail still.
func TestSimulationOfProvisionedSessions(t *testing.T) {
	simulateAll(t, true, 1)
}

// simulateAll runs as many simulations as are wanted from a seed on, or from the one that is asked for.
func simulateAll(t *testing.T, provides bool, first uint64) {
	t.Helper()
	count := uint64(simSeeds)
	if seed := os.Getenv("SEED"); seed != "" {
		first, count = number(t, seed), 1
	}
	if seeds := os.Getenv("SEEDS"); seeds != "" {
		count = number(t, seeds)
	}
	t.Logf("seeds %d to %d", first, first+count-1)
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			if s := simulate(t, seed, provides); s.violation != "" {
				t.Errorf("%s\n\nrepeat it with: make simulate SEED=%d\n\nlast steps:\n%s",
					s.violation, seed, strings.Join(s.trace, "\n"))
			}
		})
	}
}

func TestSimulationRepeats(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		first, second := simulate(t, seed, true), simulate(t, seed, true)
		if a, b := strings.Join(first.trace, "\n"), strings.Join(second.trace, "\n"); a != b {
			t.Fatalf("seed %d went two ways:\n%s\n\n%s", seed, a, b)
		}
	}
}

func number(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// simulation is a namespace, another with a SeamWorkspace, a Seam, clocks, an operator, and all that is random about them.
type simulation struct {
	ctx  context.Context
	rand *rand.Rand

	// truth is Seam's clock and goes on. wall is the operator's, which can be set. mono is the one that timers run by.
	truth, wall *testclock.FakePassiveClock
	mono        *testclock.FakeClock
	timers      simTimers

	api      *simAPI
	seam     *simSeam
	operator *simOperator
	calls    []*simCall // under way
	plans    []simPlan

	// provides says whether sessions are made, extended and deleted at Seam, and Seam does where it is not known what it does whatever it may.
	provides bool

	steps int
	// brokenWrites is how many of a hundred writes fail. behind is how many changes the caches lag behind.
	brokenWrites, behind int
	// calm says that the faults have ended, and everything is to settle.
	calm bool

	simChecks

	trace []string
	// violation is the first one. Watches may log at the same moment as a reconcile.
	mu        sync.Mutex
	violation string
}

// simPlan is what will happen by itself, such as that somebody corrects a mistake.
type simPlan struct {
	at time.Time // by mono
	do func() string
}

// simulate runs one simulation. Every reconcile and every watch is a goroutine, all in a bubble: whenever all of them wait, for
// an answer of Seam's or for an event, the simulation lets one thing happen.
func simulate(t *testing.T, seed uint64, provides bool) *simulation {
	t.Helper()
	s := &simulation{provides: provides}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		s.begin(ctx, seed)
		defer s.recover()
		for s.steps = 1; s.steps <= simSteps && s.violation == ""; s.steps++ {
			s.tracef("step %d", s.steps)
			s.tracef("  %s", s.oneStep())
			if !s.chance(20) { // else several things happen before the operator notices
				s.run(pick(s, 0, 0, time.Second))
				s.checkRest()
			}
		}
		s.settle()
	})
	return s
}

func (s *simulation) recover() {
	if err := recover(); err != nil {
		s.violate(0, "panic: %v\n%s", err, debug.Stack())
	}
}

func (s *simulation) begin(ctx context.Context, seed uint64) {
	s.ctx, s.rand = ctx, rand.New(rand.NewPCG(seed, 0))
	s.truth, s.wall = testclock.NewFakePassiveClock(dawn), testclock.NewFakePassiveClock(dawn)
	s.mono = testclock.NewFakeClock(dawn)
	s.simChecks = newSimChecks()
	s.api = newSimAPI(s.truth.Now)
	s.seam = newSimSeam(s.truth)
	for range 4 {
		s.tracef("Seam %s", s.addSeamSession())
	}
	s.setReference("credential-1", "SEAM_API_KEY", "seam_hush_key1")
	s.setReference("credential-2", "SEAM_API_KEY", "seam_hush_key2")
	s.setReference("user", "key", simKeys[0])
	s.setReference(simWorkspace, "SEAM_API_KEY", "seam_hush_platform1")
	s.must(s.api.create(s.newWorkspace()))
	s.startOperator(0)
	for _, name := range simSessions[:3] {
		s.tracef("user: %s", s.createSession(name))
	}
	s.run(time.Second)
}

// oneStep lets one thing happen, and returns a line about it.
func (s *simulation) oneStep() string {
	switch n := s.rand.IntN(100); {
	case n < 45:
		return s.act()
	case n < 80:
		return s.timePasses()
	case n < 84:
		return s.clockIsSet()
	case n < 88:
		return s.restart()
	case n < 92:
		s.behind = pick(s, 0, 0, 1, 2, 5)
		return fmt.Sprintf("the caches lag %d changes behind", s.behind)
	case n < 96:
		s.brokenWrites = pick(s, 0, 0, 20, 60)
		return fmt.Sprintf("%d of a hundred requests to the API server fail", s.brokenWrites)
	case n < 98:
		s.api.endWatches(func(*simWatch) bool { return true })
		return "every watch breaks"
	}
	return fmt.Sprintf("garbage is collected: %v", s.api.collectGarbage())
}

// work lets the operator work until there is nothing left to do at this moment.
func (s *simulation) work() {
	for s.violation == "" {
		synctest.Wait()
		now := s.mono.Now()
		s.operator.catchUp(s.behind)
		synctest.Wait()
		if i := slices.IndexFunc(s.calls, func(c *simCall) bool { return !c.until.After(now) }); i >= 0 {
			call := s.calls[i]
			s.calls = slices.Delete(s.calls, i, i+1)
			s.deliver(call)
		} else if i := slices.IndexFunc(s.plans, func(p simPlan) bool { return !p.at.After(now) }); i >= 0 {
			plan := s.plans[i]
			s.plans = slices.Delete(s.plans, i, i+1)
			s.tracef("  %s", plan.do())
		} else if name, ok := s.operator.nextDue(now); ok {
			s.operator.reconcile(name)
		} else {
			return
		}
	}
}

// run lets time pass, and everything happen that is due, second by second where there is anything to see.
func (s *simulation) run(d time.Duration) {
	end := s.mono.Now().Add(d)
	for events := 0; s.violation == ""; events++ {
		s.work()
		s.checkAll()
		now := s.mono.Now()
		if !now.Before(end) || events > simPatience && !s.calm {
			return
		}
		next := end
		for _, at := range s.upcoming() {
			if at.After(now) && at.Before(next) {
				next = at
			}
		}
		s.step(next.Sub(now))
		s.behind = 0 // a cache does not lag for as long as a timer runs
	}
}

// upcoming are the times, by mono, at which there will be something to do or to see.
func (s *simulation) upcoming() []time.Time {
	now := s.mono.Now()
	times := append(slices.Collect(maps.Values(s.operator.queue.times())), s.timers.times()...)
	for _, call := range s.calls {
		times = append(times, call.until)
	}
	for _, plan := range s.plans {
		times = append(times, plan.at)
	}
	for _, written := range s.written {
		if written.ends != nil { // Ready must be False a second later
			times = append(times, now.Add(written.ends.Add(time.Second).Sub(s.wall.Now())))
		}
	}
	return times
}

// step moves every clock.
func (s *simulation) step(d time.Duration) {
	s.truth.SetTime(s.truth.Now().Add(d))
	s.wall.SetTime(s.wall.Now().Add(d))
	s.mono.Step(d)
	now := s.mono.Now()
	s.api.endWatches(func(w *simWatch) bool { return !w.ends.After(now) })
	synctest.Wait()
}

// timePasses lets seconds, minutes, hours or days pass, and fewer where the same happens again and again.
func (s *simulation) timePasses() string {
	begin, span := s.truth.Now(), pick(s, simSpans...)
	s.run(time.Duration(s.rand.Int64N(int64(span/time.Millisecond))) * time.Millisecond)
	return fmt.Sprintf("%s passed", s.truth.Now().Sub(begin))
}

// clockIsSet sets the operator's clock back or forward by up to a day, or right, or suspends the process for an hour.
func (s *simulation) clockIsSet() string {
	s.jumped()
	if s.chance(30) {
		s.truth.SetTime(s.truth.Now().Add(time.Hour))
		s.wall.SetTime(s.wall.Now().Add(time.Hour))
		return "the process is suspended for an hour"
	}
	ahead := time.Duration(0)
	if s.chance(60) {
		ahead = time.Duration(s.rand.Int64N(int64(48*time.Hour/time.Second)))*time.Second - 24*time.Hour
	}
	s.wall.SetTime(s.truth.Now().Add(ahead))
	return fmt.Sprintf("the clock is set to be %s ahead", ahead)
}

// later plans something.
func (s *simulation) later(do func() string) {
	after := pick(s, 2*time.Second, 20*time.Second, 90*time.Second, 5*time.Minute, 5*time.Minute, time.Hour)
	s.plans = append(s.plans, simPlan{s.mono.Now().Add(after), do})
}

func (s *simulation) chance(percent int) bool { return s.rand.IntN(100) < percent }

// pick returns one of some values.
func pick[T any](s *simulation, values ...T) T { return values[s.rand.IntN(len(values))] }

func simName(name string) types.NamespacedName {
	if name == simWorkspace {
		return types.NamespacedName{Namespace: simPlatform, Name: name}
	}
	return types.NamespacedName{Namespace: simNamespace, Name: name}
}

// tracef keeps the last lines of what happened.
func (s *simulation) tracef(format string, args ...any) {
	line := fmt.Sprintf("%s wall %s ", s.truth.Now().Format("01-02 15:04:05.000"), s.wall.Now().Format("01-02 15:04:05")) +
		fmt.Sprintf(format, args...)
	if s.trace = append(s.trace, line); len(s.trace) > 400 {
		s.trace = slices.Delete(s.trace, 0, 200)
	}
}

// violate notes the first violation of an invariant, which ends the simulation.
func (s *simulation) violate(invariant int, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.violation == "" {
		s.violation = fmt.Sprintf("invariant %d at %s: ", invariant, s.truth.Now().Format(time.DateTime)) + fmt.Sprintf(format, args...)
	}
}
