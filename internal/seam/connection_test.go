package seam

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

func (s *server) connection(t *testing.T) *Connection {
	t.Helper()
	return s.client.Connection(credential(t, seamtest.APIKey1, ""))
}

func TestConnectionIsTheSameForTheSameCredentialAndWorkspace(t *testing.T) {
	s := newServer(t, nil)
	first := s.client.Connection(credential(t, seamtest.APIKey1, "w"))
	for _, test := range []struct {
		value, workspace string
		same             bool
	}{
		{seamtest.APIKey1, "w", true},
		{" " + seamtest.APIKey1 + "\n", "w", true},
		{seamtest.APIKey1, "", false},
		{seamtest.APIKey1, "v", false},
		{seamtest.APIKey2, "w", false},
	} {
		if same := s.client.Connection(credential(t, test.value, test.workspace)) == first; same != test.same {
			t.Errorf("credential %q of workspace %q: same connection: %t, want %t", test.value, test.workspace, same, test.same)
		}
	}
}

func TestConnectionIsForgottenOnceNobodyUsesIt(t *testing.T) {
	s := newServer(t, nil)
	for i := range 100 {
		s.client.Connection(credential(t, "seam_key"+strconv.Itoa(i), ""))
	}
	held := s.client.Connection(credential(t, seamtest.APIKey2, ""))
	s.FailCredential(seamtest.APIKey2, seamtest.RateLimited(time.Hour))
	if _, err := held.GetClientSession(t.Context(), john, Waiter{}); err == nil {
		t.Fatal("a 429 is no error")
	}
	used := s.connection(t)
	for range 10 {
		s.step(idleAfter / 10)
		if s.connection(t) != used {
			t.Fatal("a connection in use was forgotten")
		}
	}
	if s.client.Connection(credential(t, seamtest.APIKey2, "")) != held {
		t.Error("a connection that holds callers back was forgotten")
	}
	if n := len(s.client.connections); n != 2 {
		t.Errorf("%d connections are remembered, want 2", n)
	}
}

func TestConnectionOutlivesAClockThatIsSetBack(t *testing.T) {
	s := newServer(t, nil)
	connection := s.connection(t)
	s.step(-24 * time.Hour)
	s.client.Connection(credential(t, seamtest.APIKey2, ""))
	s.step(idleAfter)
	s.client.Connection(credential(t, seamtest.APIKey2, ""))
	if s.connection(t) == connection {
		t.Error("a connection that was idle since the clock was set back is remembered")
	}
}

// crowd is many callers of one credential, who come back when they are woken and at no other time.
type crowd struct {
	*server
	t          *testing.T
	connection *Connection

	mu      sync.Mutex
	changed *sync.Cond
	working int
	queue   []string
	queued  map[string]bool
	served  map[string]bool
	held    map[string]*HeldError
	failed  map[string]*Error
}

func newCrowd(t *testing.T, s *server, size int) *crowd {
	c := &crowd{
		server: s, t: t, connection: s.connection(t), queued: map[string]bool{}, served: map[string]bool{},
		held: map[string]*HeldError{}, failed: map[string]*Error{},
	}
	c.changed = sync.NewCond(&c.mu)
	for i := range size {
		c.add(strconv.Itoa(i))
	}
	return c
}

func (c *crowd) add(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.queued[key] {
		c.queued[key] = true
		c.queue = append(c.queue, key)
		c.changed.Signal()
	}
}

// next takes a caller from the queue. While others work, who may fill it again, it waits.
func (c *crowd) next() (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working--
	for len(c.queue) == 0 {
		if c.working == 0 {
			c.changed.Broadcast()
			return "", false
		}
		c.changed.Wait()
	}
	c.working++
	key := c.queue[0]
	c.queue = c.queue[1:]
	c.queued[key] = false
	return key, true
}

// work lets workers serve the queue until it is empty and nobody can fill it again.
func (c *crowd) work(workers int) {
	c.working = workers
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for key, ok := c.next(); ok; key, ok = c.next() {
				c.try(key)
			}
		})
	}
	group.Wait()
}

func (c *crowd) try(key string) {
	_, err := c.connection.GetClientSession(c.t.Context(), john, Waiter{Key: key, Wake: func() { c.add(key) }})
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, key)
	delete(c.failed, key)
	var held *HeldError
	var failed *Error
	switch {
	case err == nil:
		c.served[key] = true
	case errors.As(err, &held):
		c.held[key] = held
	case errors.As(err, &failed):
		c.failed[key] = failed
	default:
		c.t.Errorf("caller %s: %v", key, err)
	}
}

func (c *crowd) everybodyTriesAgain(size int) {
	for i := range size {
		c.add(strconv.Itoa(i))
	}
	c.work(1)
}

func TestCrowdIsServedWithinTheLimit(t *testing.T) {
	s := newServer(t, func(c *Config) { c.MaxInFlight = 4 })
	s.SetLatency(time.Millisecond)
	c := newCrowd(t, s, 200)
	c.work(16)
	if len(c.served) != 200 || s.CallCount() != 200 {
		t.Errorf("%d of 200 were served with %d calls", len(c.served), s.CallCount())
	}
	if n := s.MaxInFlightWith(seamtest.APIKey1); n > 4 || n < 2 {
		t.Errorf("%d calls were under way at once, want more than one and at most 4", n)
	}
}

func TestRevokedCredentialIsTriedOnceAMinuteForAll(t *testing.T) {
	s := newServer(t, nil)
	s.Revoke(seamtest.APIKey1)
	c := newCrowd(t, s, 100)
	c.work(1)
	if s.CallCount() != 1 || len(c.held) != 99 || len(c.failed) != 1 || s.client.Paused() != 1 {
		t.Fatalf("%d calls, %d held, %d failed, %d paused: want 1, 99, 1, 1",
			s.CallCount(), len(c.held), len(c.failed), s.client.Paused())
	}
	for _, held := range c.held {
		if held.Cause.Kind != Unauthorized || !held.Until.Equal(start.Add(time.Minute)) {
			t.Fatalf("held until %s by %v", held.Until, held.Cause)
		}
		expectSilent(t, held)
	}
	for minute := range 5 {
		s.step(time.Minute)
		c.everybodyTriesAgain(100)
		if s.CallCount() != 2+minute {
			t.Fatalf("%d calls in %d minutes", s.CallCount(), minute+1)
		}
	}
	s.AddCredential(seamtest.APIKey1, seamtest.Workspace1)
	s.step(time.Minute)
	for key := range c.failed { // who made the last probe comes back, and wakes the others
		c.add(key)
	}
	c.work(1)
	if len(c.served) != 100 || s.client.Paused() != 0 {
		t.Errorf("%d of 100 were served, %d paused", len(c.served), s.client.Paused())
	}
}

func TestReachTellsAnOutageFromACredentialThatIsWrong(t *testing.T) {
	s := newServer(t, nil)
	call := func(key string) {
		_, _ = s.client.Connection(credential(t, key, "")).GetClientSession(t.Context(), john, Waiter{})
	}
	expect := func(when string, wantAnswered, wantUnanswered int) {
		t.Helper()
		if answered, unanswered := s.client.Reach(); answered != wantAnswered || unanswered != wantUnanswered {
			t.Errorf("%s: %d answered and %d unanswered, want %d and %d", when, answered, unanswered, wantAnswered, wantUnanswered)
		}
	}
	expect("before the first call", 0, 0)
	call(seamtest.APIKey1)
	call("seam_unknown")
	expect("a good and a refused credential", 2, 0)
	s.FailCredential(seamtest.APIKey1, seamtest.Outage)
	call(seamtest.APIKey1)
	expect("a credential that alone fails", 1, 1)
	s.step(10 * time.Minute)
	expect("nothing was called lately", 0, 0)
}

func TestRetryAfterHoldsBackAllOfTheCredentialAndNobodyElse(t *testing.T) {
	s := newServer(t, nil)
	s.FailCredential(seamtest.APIKey1, seamtest.RateLimitedSeconds)
	c := newCrowd(t, s, 100)
	c.work(1)
	s.step(20*time.Second - time.Nanosecond)
	c.everybodyTriesAgain(100)
	if s.CallCount() != 1 || len(c.held) != 100 || c.held["7"].Cause.Kind != RateLimited {
		t.Fatalf("%d calls, %d held", s.CallCount(), len(c.held))
	}
	s.Put(seamtest.Session{ID: "other", WorkspaceID: seamtest.Workspace2, Token: "seam_cst1other"})
	other := s.client.Connection(credential(t, seamtest.APIKey2, ""))
	if _, err := other.GetClientSession(t.Context(), Selector{ClientSessionID: "other"}, Waiter{}); err != nil {
		t.Errorf("another credential: %v", err)
	}
	s.HealCredential(seamtest.APIKey1)
	s.step(time.Nanosecond)
	c.everybodyTriesAgain(100)
	if len(c.served) != 100 {
		t.Errorf("%d of 100 were served", len(c.served))
	}
}

func TestAnswersThatCloseTheCircuit(t *testing.T) {
	for _, test := range []struct {
		fault  seamtest.Fault
		closes bool
	}{
		{seamtest.Fault{}, true}, {seamtest.NotFound, true}, {seamtest.Forbidden, true}, {seamtest.BadRequest, true},
		{seamtest.AnotherSession, true},
		{seamtest.Unauthorized, false}, {seamtest.ServerError, false}, {seamtest.NotFoundUntyped, false},
		{seamtest.HTML, false}, {seamtest.ResetInBody, false}, {seamtest.RateLimited(time.Second), false},
	} {
		t.Run(test.fault.Name, func(t *testing.T) {
			s := newServer(t, nil)
			s.Fail(seamtest.Unauthorized)
			_, _ = s.get(t, john)
			s.step(time.Minute)
			s.Fail(test.fault)
			_, _ = s.get(t, john)
			s.Heal()
			s.step(2 * time.Second) // past a pause, not past the circuit
			if _, err := s.get(t, john); (err == nil) != test.closes {
				t.Errorf("circuit closed: %t, want %t", err == nil, test.closes)
			}
		})
	}
}

func TestFailureToReachSeamNarrowsTheConnection(t *testing.T) {
	for _, test := range []struct {
		fault   seamtest.Fault
		narrows bool
	}{
		{seamtest.Hang, true}, {seamtest.ResetBeforeHeaders, true}, {seamtest.Outage, true}, {seamtest.RequestTimeout, true},
		{seamtest.NotFound, false}, {seamtest.HTML, false}, {seamtest.Forbidden, false},
	} {
		t.Run(test.fault.Name, func(t *testing.T) {
			s := newServer(t, nil)
			for range 3 {
				if _, err := s.get(t, john); err != nil {
					t.Fatal(err)
				}
			}
			s.fail(test.fault)
			_, _ = s.get(t, john)
			if narrowed := s.connection(t).throttle(getClientSession).limit == 1; narrowed != test.narrows {
				t.Errorf("narrowed: %t, want %t", narrowed, test.narrows)
			}
		})
	}
}

func TestCallThatIsGivenUpSaysNothingOfTheCredential(t *testing.T) {
	s := newServer(t, nil)
	for range 3 {
		if _, err := s.get(t, john); err != nil {
			t.Fatal(err)
		}
	}
	s.Fail(seamtest.Hang)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.connection(t).GetClientSession(ctx, john, Waiter{})
	if throttle := s.connection(t).throttle(getClientSession); !errors.Is(err, context.DeadlineExceeded) || throttle.limit != 8 || throttle.inFlight != 0 {
		t.Errorf("got %v; limit %d, %d under way: want 8 and none", err, throttle.limit, throttle.inFlight)
	}
}

func TestSlotComesBackAfterAPanic(t *testing.T) {
	s := newServer(t, nil)
	s.client = s.newClient(t, func(c *Config) {
		c.Instrument = func(http.RoundTripper) http.RoundTripper {
			return roundTripper(func(*http.Request) (*http.Response, error) { panic("out of order") })
		}
	})
	func() {
		defer func() { _ = recover() }()
		_, _ = s.get(t, john)
	}()
	if throttle := s.connection(t).throttle(getClientSession); throttle.inFlight != 0 || throttle.account.issued != 1 {
		t.Errorf("%d calls under way of %d", throttle.inFlight, throttle.account.issued)
	}
}

func TestWakeMayCallAnything(t *testing.T) {
	s := newServer(t, func(c *Config) { c.MaxInFlight = 1 })
	s.SetLatency(time.Millisecond)
	connection := s.connection(t)
	started, _ := connection.enter(getClientSession, Waiter{})
	woken := 0
	_, err := connection.GetClientSession(t.Context(), john, Waiter{Key: "a", Wake: func() {
		woken++
		if _, err := s.get(t, john); err != nil {
			t.Error(err)
		}
	}})
	var held *HeldError
	if !errors.As(err, &held) || held.Cause != nil {
		t.Fatalf("got %v, want no free slot", err)
	}
	connection.leave(started, nil)
	if woken != 1 {
		t.Errorf("woken %d times", woken)
	}
}

func TestSelectorThatCantBeSent(t *testing.T) {
	s := newServer(t, nil)
	long := fmt.Sprintf("%05000d", 0)
	for _, test := range []struct {
		selector Selector
		want     string
	}{
		{Selector{}, "exactly one of client session ID and user identifier key must be given"},
		{Selector{ClientSessionID: "a", UserIdentifierKey: "b"}, "exactly one of client session ID and user identifier key must be given"},
		{Selector{ClientSessionID: "a b"}, "the client session ID must be 1 to 64 letters, digits, '_' and '-'"},
		{Selector{ClientSessionID: long}, "the client session ID must be 1 to 64 letters, digits, '_' and '-'"},
		{Selector{UserIdentifierKey: strings.Repeat("é", 513)}, "the user identifier key must be at most 512 characters long"},
		{Selector{UserIdentifierKey: long}, "the user identifier key must be at most 512 characters long"},
		{Selector{UserIdentifierKey: "jane\xff"}, "the user identifier key must be valid UTF-8"},
		{Selector{UserIdentifierKey: "jane\n"}, "the user identifier key must hold no line breaks or other control characters"},
		{Selector{UserIdentifierKey: "jane\x00"}, "the user identifier key must hold no line breaks or other control characters"},
	} {
		_, err := s.get(t, test.selector)
		var failed *Error
		if !errors.As(err, &failed) || failed.Kind != InvalidRequest || failed.StatusCode != 0 || failed.Error() != test.want {
			t.Errorf("got %v, want InvalidRequest: %s", err, test.want)
		}
		expectSilent(t, test.selector, "jane")
	}
	if s.CallCount() != 0 {
		t.Errorf("%d calls were made", s.CallCount())
	}
}

func TestSelectorIsSentByteForByte(t *testing.T) {
	s := newServer(t, nil)
	longest := strings.Repeat("𝄞", MaxUserIdentifierKey)
	for i, key := range []string{"jane@example.com", longest, "ジェーン", `"{{ .token }}" & <b> $(id) 'x' \n: - |`, " jane ", "\u2028"} {
		id := "s" + strconv.Itoa(i)
		s.Put(seamtest.Session{ID: id, WorkspaceID: seamtest.Workspace1, Token: "seam_cst1" + id, UserIdentifierKey: key})
		session, err := s.get(t, Selector{UserIdentifierKey: key})
		if err != nil || session.ID != id || session.UserIdentifierKey != key {
			t.Errorf("key %q: got %v, %v", key, session, err)
		}
	}
}

func TestCallsOfAllCredentialsAreBounded(t *testing.T) {
	s := newServer(t, func(c *Config) { c.MaxInFlight = 5 })
	s.SetLatency(5 * time.Millisecond)
	var group sync.WaitGroup
	for i := range 30 {
		connection := s.client.Connection(credential(t, "seam_key"+strconv.Itoa(i), ""))
		group.Go(func() {
			for range 5 {
				_, _ = connection.GetClientSession(t.Context(), john, Waiter{})
			}
		})
	}
	group.Wait()
	if n := s.MaxInFlight(); n > 5 || n < 2 {
		t.Errorf("%d calls were under way at once, want more than one and at most 5", n)
	}
}

// timerClock has timers that the test lets go off.
type timerClock struct {
	clock.WithDelayedExecution
	now    time.Time
	timers []func()
}

func (c *timerClock) Now() time.Time { return c.now }

func (c *timerClock) AfterFunc(_ time.Duration, f func()) clock.Timer {
	c.timers = append(c.timers, f)
	return nil
}

// step lets a second pass, and the timers go off.
func (c *timerClock) step() {
	c.now = c.now.Add(time.Second)
	timers := c.timers
	c.timers = nil
	for _, f := range timers {
		f()
	}
}

func TestNextIsWokenWhereAWokenOneDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timers := &timerClock{now: start}
		client, err := NewClient(Config{Endpoint: DefaultEndpoint, UserAgent: "test", MaxInFlight: 8, Clock: timers})
		if err != nil {
			t.Fatal(err)
		}
		connection := client.Connection(credential(t, seamtest.APIKey1, ""))
		started, _ := connection.enter(getClientSession, Waiter{})
		woken := ""
		for _, key := range []string{"a", "b", "c"} {
			_, _ = connection.enter(getClientSession, Waiter{Key: key, Wake: func() { woken += key }})
		}
		connection.leave(started, errGaveUp{})
		for _, want := range []string{"a", "ab", "abc", "abc"} {
			if woken != want {
				t.Fatalf("woken: %s, want %s", woken, want)
			}
			timers.step()
			synctest.Wait()
		}
		if len(timers.timers) != 0 {
			t.Error("a timer runs, and nobody waits")
		}
	})
}
