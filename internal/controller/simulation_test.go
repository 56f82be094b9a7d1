package controller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// A simulation drives the real Reconciler through days and weeks in a fraction of a second: users, colleagues, Seam, the
// clocks and the operator's own process do at random what they can do, from a seed that repeats it. After every step these
// invariants hold:
//
//  1. A good token is never lost. While the Secret holds, for the present spec, a token of a session that has not ended at
//     Seam, the operator neither deletes it nor puts anything in its place but such a token that Seam has just given it;
//     unless Seam itself said that the session has ended, and the spec says to delete then.
//  2. Ready tells the truth. Once the operator has come to rest, Ready is True if and only if the Secret holds a token for
//     the present spec which by Seam's last word has not ended; it turns False in the second in which the token ends.
//  3. No two objects write one Secret, and nobody's Secret is touched but with consent.
//  4. Calls and writes are bounded by what happened. No two calls for one object within five seconds without a cause,
//     none with a credential that Seam refused or asked to pause, no write that changes nothing, and no spinning.
//  5. Nothing secret shows: no token, credential or user identifier key in a status, an event or the log.
//  6. Everything settles. Once faults end, every object for which Seam has a good session and the namespace a good
//     credential is Ready with that session's token within a bounded time, no former Secret is left behind, and from then
//     on there are only the scheduled calls, each with one write of the status.
//  7. Rest is rest. Statuses are in whole seconds, and another reconcile without a change neither asks nor writes.
//
// What it can't see: more than one worker at a time, Kubernetes' own validation, admission and timing, TLS and sockets,
// and clocks whose readings are monotonic.

// simSpans are how long nothing may happen, most often not for long: that is where little is to be seen.
var simSpans = []time.Duration{
	10 * time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 48 * time.Hour,
}

// simPatience is how many timers run out at most while nothing happens.
const simPatience = 120

// simSteps is how many steps a simulation has before everything is to settle.
const simSteps = 150

func TestSimulation(t *testing.T) {
	first, count := uint64(1), uint64(simSeeds)
	if seed := os.Getenv("SEED"); seed != "" {
		first, count = number(t, seed), 1
	} else if seeds := os.Getenv("SEEDS"); seeds != "" {
		count = number(t, seeds)
	}
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			s := simulate(t, seed, simSteps)
			if s.violation != "" {
				t.Errorf("%s\n\nrepeat it with: make simulate SEED=%d\n\nlast steps:\n%s",
					s.violation, seed, strings.Join(s.trace, "\n"))
			}
		})
	}
}

func TestSimulationRepeats(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		first, second := simulate(t, seed, simSteps), simulate(t, seed, simSteps)
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

// simulation is a namespace, a Seam, clocks, an operator, and all that is random about them.
type simulation struct {
	ctx  context.Context
	rand *rand.Rand

	// truth is Seam's clock and goes on. wall is the operator's, which can be set. mono is the one that timers run by.
	truth, wall *testclock.FakePassiveClock
	mono        *testclock.FakeClock
	clock       simClock

	api      *simAPI
	seam     *seamtest.Server
	operator *simOperator

	steps int
	// brokenWrites is how many of a hundred writes fail. behind is how many changes the caches lag behind.
	brokenWrites, behind int
	// calm says that the faults have ended, and everything is to settle.
	calm bool
	// takingOver says that a second process runs while a call of the first is under way.
	takingOver bool
	// seamIDs and tokens number what Seam has given out, seamChanges what was done there.
	seamIDs, tokens, seamChanges int

	events simEvents
	logs   simLines
	simChecks

	trace     []string
	violation string
}

// simulate runs one simulation. Its goroutines, which are the watches of credentials, run in a bubble: it goes on when
// they wait.
func simulate(t *testing.T, seed uint64, steps int) *simulation {
	t.Helper()
	s := &simulation{}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.begin(ctx, seed)
		defer s.seam.Close()
		defer func() {
			if err := recover(); err != nil {
				s.violate(0, "panic: %v", err)
			}
		}()
		for s.steps = 1; s.steps <= steps && s.violation == ""; s.steps++ {
			s.tracef("step %d", s.steps)
			s.tracef("  %s", s.oneStep())
			s.rest()
		}
		s.settle()
	})
	return s
}

// begin makes the world: Seam knows some sessions, and the namespace has its credentials.
func (s *simulation) begin(ctx context.Context, seed uint64) {
	s.ctx, s.rand = ctx, rand.New(rand.NewPCG(seed, 0))
	s.truth, s.wall = testclock.NewFakePassiveClock(dawn), testclock.NewFakePassiveClock(dawn)
	s.mono = testclock.NewFakeClock(dawn)
	s.clock = simClock{FakeClock: s.mono, wall: s.wall}
	s.simChecks = newSimChecks()
	s.api = newSimAPI(s.truth.Now)
	s.seam = seamtest.New(s.truth)
	s.addCredentials()
	for range 4 {
		s.tracef("Seam %s", s.addSeamSession())
	}
	s.setReference("credential-1", "SEAM_API_KEY", "seam_hush_key1")
	s.setReference("credential-2", "SEAM_API_KEY", "seam_hush_key2")
	s.setReference("user", "key", simKeys[0])
	s.operator = s.startOperator(0)
}

// oneStep lets one thing happen, and returns a line about it.
func (s *simulation) oneStep() string {
	switch n := s.rand.IntN(100); {
	case n < 40:
		return s.act()
	case n < 60:
		s.run(s.untilNextTimer())
		return "the next timer"
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
		return fmt.Sprintf("%d of a hundred writes fail", s.brokenWrites)
	case n < 98:
		s.api.endWatches(func(*simWatch) bool { return true })
		return "every watch of a credential breaks"
	}
	collected := s.api.collectGarbage(s.ctx)
	for _, name := range collected {
		s.concernsSecret(name)
	}
	return fmt.Sprintf("garbage is collected: %v", collected)
}

// rest lets the operator work until there is nothing left to do, or, now and then, not, and then checks.
func (s *simulation) rest() {
	if !s.calm && s.chance(20) {
		return // several things happen before the operator notices
	}
	s.settled()
	s.operator.catchUp(s.behind)
	s.run(0)
	s.checkAll()
}

// run lets time pass, and calls the operator when its timers run out.
func (s *simulation) run(d time.Duration) {
	end := s.mono.Now().Add(d)
	for s.violation == "" {
		name, at, ok := s.operator.queue.next(s.mono.Now())
		switch {
		case ok && !at.After(s.mono.Now()):
			s.operator.reconcile(name)
			s.operator.catchUp(s.behind)
		case ok && at.Before(end):
			s.step(at.Sub(s.mono.Now()))
			s.behind = 0 // a cache does not lag for as long as a timer runs
			s.operator.catchUp(0)
		default:
			s.step(max(0, end.Sub(s.mono.Now())))
			return
		}
	}
}

// step moves every clock.
func (s *simulation) step(d time.Duration) {
	if d <= 0 {
		return
	}
	s.truth.SetTime(s.truth.Now().Add(d))
	s.wall.SetTime(s.wall.Now().Add(d))
	s.mono.Step(d)
	s.api.endWatches(func(w *simWatch) bool { return s.mono.Now().Sub(w.opened) >= watchPeriod })
	s.settled()
}

// settled waits for what runs beside: the watches of credentials.
func (*simulation) settled() { synctest.Wait() }

// untilNextTimer is how long nothing is due.
func (s *simulation) untilNextTimer() time.Duration {
	_, at, ok := s.operator.queue.next(time.Time{})
	if !ok {
		return time.Minute
	}
	return max(0, at.Sub(s.mono.Now())) + time.Millisecond
}

// timePasses lets seconds, minutes, hours or days pass, and fewer where the same happens again and again.
func (s *simulation) timePasses() string {
	begin, span := s.truth.Now(), pick(s, simSpans...)
	end := s.mono.Now().Add(time.Duration(s.rand.Int64N(int64(span/time.Millisecond))) * time.Millisecond)
	for range simPatience {
		left := end.Sub(s.mono.Now())
		if left <= 0 || s.violation != "" {
			break
		}
		s.run(min(left, s.untilNextTimer()))
	}
	return fmt.Sprintf("%s pass", s.truth.Now().Sub(begin))
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

// restart ends the operator's process and begins another, whose first lists may be somewhat old.
func (s *simulation) restart() string {
	behind := pick(s, 0, 0, 0, 2)
	s.operator.cancel()
	s.restarted()
	s.operator = s.startOperator(behind)
	if behind > 0 {
		s.concerns(simSessions...)
	}
	return fmt.Sprintf("the operator is started anew, %d changes behind", behind)
}

// meanwhile is what happens while a call is under way: time passes, somebody does something, or another process takes over
// from one that was frozen.
func (s *simulation) meanwhile() {
	if s.takingOver || s.calm {
		return
	}
	if s.chance(20) {
		s.step(time.Duration(s.rand.IntN(20_000)) * time.Millisecond)
	}
	if s.chance(5) {
		s.tracef("  meanwhile, %s", s.act())
	}
	if s.chance(2) {
		s.takeOver()
	}
}

// takeOver lets a second process work while the first one, in the middle of a call, is frozen. Once thawed, that one gets
// as far as the end of what it was doing.
func (s *simulation) takeOver() {
	s.takingOver = true
	defer func() { s.takingOver = false }()
	s.tracef("  the operator is frozen, and another takes over")
	s.facts(s.operator.current).unsaved = true
	s.restarted()
	s.operator = s.startOperator(0)
	if s.chance(50) {
		s.tracef("  meanwhile, %s", s.act())
	}
	s.operator.catchUp(0)
	s.run(0)
	s.tracef("  the frozen one is thawed")
}

func (s *simulation) chance(percent int) bool { return s.rand.IntN(100) < percent }

func (*simulation) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: simNamespace, Name: name}
}

// tracef keeps the last lines of what happened.
func (s *simulation) tracef(format string, args ...any) {
	line := fmt.Sprintf("%s wall %s ", s.truth.Now().Format("01-02 15:04:05.000"), s.wall.Now().Format("01-02 15:04:05")) +
		fmt.Sprintf(format, args...)
	s.trace = append(s.trace, line)
	if len(s.trace) > 400 {
		s.trace = slices.Delete(s.trace, 0, 200)
	}
}

// violate notes the first violation of an invariant, which ends the simulation.
func (s *simulation) violate(invariant int, format string, args ...any) {
	if s.violation == "" {
		s.violation = fmt.Sprintf("invariant %d at %s: ", invariant, s.truth.Now().Format(time.DateTime)) + fmt.Sprintf(format, args...)
	}
}

// logger writes everything, at the most verbose level, to the simulation's log.
func (s *simulation) logger() logr.Logger {
	return funcr.New(func(prefix, args string) { s.logs.add(prefix + " " + args) }, funcr.Options{Verbosity: 100})
}

// simLines are lines of a log that nobody has looked at yet.
type simLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *simLines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *simLines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

// simEvents is an event recorder.
type simEvents struct{ simLines }

// Eventf implements recorder.EventRecorder.
func (e *simEvents) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	e.AnnotatedEventf(regarding, related, nil, kind, reason, action, note, args...)
}

// AnnotatedEventf implements recorder.EventRecorder.
func (e *simEvents) AnnotatedEventf(_, _ runtime.Object, _ map[string]string, kind, reason, _, note string, args ...any) {
	e.add(kind + " " + reason + ": " + fmt.Sprintf(note, args...))
}
