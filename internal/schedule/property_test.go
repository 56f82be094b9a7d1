package schedule

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMain keeps rapid from writing to the tree: a failure prints the seed that repeats it.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// anyInput draws what can be in a spec and a status: lives from seconds to years, clocks that jump by a day, and values
// that the API would not let through.
func anyInput(t *rapid.T) (Input, time.Time) {
	now := t0.Add(anyDuration(t, "now", 0, 100*365*day))
	before := func(label string) time.Time {
		if rapid.Bool().Draw(t, label+" is none") {
			return time.Time{}
		}
		return now.Add(-anyDuration(t, label, -2*day, 400*day))
	}
	in := Input{
		UID:             rapid.String().Draw(t, "uid"),
		RefreshInterval: anyDuration(t, "refreshInterval", 0, 50*365*day),
		LastFetch:       before("lastFetch"),
		LastAttempt:     before("lastAttempt"),
		ExpiresAt:       before("expiresAt"),
		ExpiryObserved:  before("expiryObserved"),
		Result:          Result(rapid.IntRange(int(Good), int(RateLimited)).Draw(t, "result")),
		Failures:        rapid.OneOf(rapid.IntRange(0, 12), rapid.Int()).Draw(t, "failures"),
		RetryAt:         before("retryAt"),
	}
	if !in.ExpiresAt.IsZero() {
		in.ExpiresAt = in.ExpiresAt.Add(anyDuration(t, "life", 0, 800*day))
	}
	if rapid.Bool().Draw(t, "renewBefore is given") {
		in.RenewBefore = ptr(anyDuration(t, "renewBefore", -day, 50*365*day))
	}
	return in, now
}

// anyDuration draws from every order of magnitude between low and high.
func anyDuration(t *rapid.T, label string, low, high time.Duration) time.Duration {
	top := rapid.SampledFrom([]time.Duration{10 * time.Second, 10 * time.Minute, day, high}).Draw(t, label+" up to")
	return time.Duration(rapid.Int64Range(int64(low), int64(min(high, top))).Draw(t, label))
}

// asked is an input just after a call.
func asked(in Input, now time.Time) Input {
	in.LastAttempt = now
	if in.Result == Good {
		in.LastFetch = now
	}
	return in
}

// TestEveryNextCall holds what is true of the next call whatever has been.
func TestEveryNextCall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, now := anyInput(t)
		in = asked(in, now)
		last, next := now.Truncate(time.Second), Next(in, now)
		wait := next.Sub(last)
		end := in.ExpiresAt.Truncate(time.Second)
		alive := last.Before(end)

		if next.Nanosecond() != 0 {
			t.Fatalf("not in whole seconds: %v", next)
		}
		if wait < 5*time.Second && (!alive || !next.Equal(end)) {
			t.Fatalf("asks again after %v", wait)
		}
		if limit := longestWait(in); wait > limit {
			t.Fatalf("waits for %v, at most %v are allowed", wait, limit)
		}
		if alive && in.Result != RateLimited && next.After(end) {
			t.Fatalf("misses the end by %v", next.Sub(end))
		}
		if retryAt := in.RetryAt; in.Result == RateLimited && wait < time.Hour && next.Before(retryAt) {
			t.Fatalf("asks %v before Seam said", retryAt.Sub(next))
		}
	})
}

// longestWait is what the table of situations promises. Only a good answer and a blocked object keep to refreshInterval:
// an outage or a missing session may be waited for longer, if that interval is short.
func longestWait(in Input) time.Duration {
	interval := max(in.RefreshInterval, 30*time.Second)
	switch {
	case in.Result == NotFound:
		return max(interval, time.Minute)
	case in.Result == RateLimited && !in.RetryAt.IsZero():
		return time.Hour
	case in.Result == Transient || in.Result == RateLimited:
		return 5 * time.Minute
	}
	return interval
}

// TestSameOnEveryEvaluation: a wake-up that looks at the clock finds the time that was stored, unless the clock was set
// back.
func TestSameOnEveryEvaluation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, now := anyInput(t)
		in = asked(in, now)
		if in.RetryAt.Sub(now) > time.Hour { // than which nothing is stored that is later
			in.RetryAt = now.Add(time.Hour)
		}
		first := Next(in, now)
		later := now.Add(anyDuration(t, "later", 0, 10*365*day))
		if again := Next(in, later); !again.Equal(first) {
			t.Fatalf("was %v, is %v when evaluated %v later", first, again, later.Sub(now))
		}
		if stored := Next(roundTrip(in), later); !stored.Equal(first) {
			t.Fatalf("was %v, is %v once stored", first, stored)
		}
	})
}

// roundTrip is what a status keeps: whole seconds. RetryAt is stored rounded up.
func roundTrip(in Input) Input {
	for _, t := range []*time.Time{&in.LastFetch, &in.LastAttempt, &in.ExpiresAt, &in.ExpiryObserved} {
		*t = t.Truncate(time.Second).Local()
	}
	return in
}

// TestClockSetBack: whatever is in the future, the object is not forgotten.
func TestClockSetBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, now := anyInput(t)
		in = asked(in, now)
		now = now.Add(-anyDuration(t, "set back by", 0, 400*day))
		if wait := Next(in, now).Sub(now); wait > longestWait(in)+time.Second {
			t.Fatalf("waits for %v, at most %v and a second are allowed", wait, longestWait(in))
		}
	})
}

// TestLifeOfASession follows a session from its first fetch to a week after its end, with an operator that makes every
// call when it is due: the calls come when the user expects them, and there are few.
func TestLifeOfASession(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		life := anyDuration(t, "life", time.Second, 30*day).Truncate(time.Second) + time.Second
		interval := max(anyDuration(t, "refreshInterval", 0, 2*day), 10*time.Minute)
		in := Input{UID: rapid.String().Draw(t, "uid"), RefreshInterval: interval, ExpiryObserved: t0, ExpiresAt: t0.Add(life)}
		if rapid.Bool().Draw(t, "renewBefore is given") {
			in.RenewBefore = ptr(anyDuration(t, "renewBefore", 0, 60*day))
		}
		atEnd, beforeEnd, calls := 0, 0, 0
		for now := t0; now.Before(in.ExpiresAt.Add(7*day)) && calls < 10_000; now = Next(in, now) {
			in.LastFetch, in.LastAttempt = now, now
			calls++
			if now.Equal(in.ExpiresAt) {
				atEnd++
			}
			if now.Before(in.ExpiresAt) && Expiring(in, now) {
				beforeEnd++
			}
		}
		if atEnd != 1 {
			t.Fatalf("asked %d times at the end, want once", atEnd)
		}
		if wide := life > time.Minute && renewBefore(in) > time.Minute; wide && beforeEnd < 2 {
			t.Fatalf("asked %d times within renewBefore, an extension was hardly seen", beforeEnd)
		}
		// About once an interval, some tens as the end comes near and as the back-off doubles from 5 s, a third at a time.
		if limit := int((life+7*day)/(interval*9/10)) + 60; calls > limit {
			t.Fatalf("asked %d times, want at most %d", calls, limit)
		}
	})
}

// TestManyObjectsSpread: a thousand objects that were applied together are spread over a tenth of the interval at once,
// and over all of it in time.
func TestManyObjectsSpread(t *testing.T) {
	const objects, slots = 1000, 10
	for rounds, span := range map[int]time.Duration{1: 6 * time.Minute, 60: time.Hour} {
		t.Run(fmt.Sprintf("after %d rounds", rounds), func(t *testing.T) {
			var counts [slots]int
			for i := range objects {
				in := Input{UID: fmt.Sprintf("00000000-0000-0000-0000-%012d", i), RefreshInterval: time.Hour, LastFetch: t0}
				for range rounds {
					in.LastFetch = Next(in, in.LastFetch)
				}
				counts[in.LastFetch.Sub(t0)%span*slots/span]++
			}
			for _, n := range counts {
				if n < objects/slots/2 || n > objects/slots*2 {
					t.Fatalf("calls in each tenth of %v: %v", span, counts)
				}
			}
		})
	}
}

// TestNoSecondHasThemAll: ten thousand objects that were fetched in the same second, with the default interval, are due over
// the six minutes of the jitter, some 28 each second. No second has twice that.
func TestNoSecondHasThemAll(t *testing.T) {
	due := map[time.Time]int{}
	for i := range 10_000 {
		in := Input{UID: fmt.Sprintf("00000000-0000-0000-0000-%012d", i), RefreshInterval: time.Hour, LastFetch: t0}
		due[Next(in, t0)]++
	}
	if busiest := slices.Max(slices.Collect(maps.Values(due))); busiest > 56 || len(due) < 350 {
		t.Errorf("%d calls in the busiest second, in %d different seconds", busiest, len(due))
	}
}

// TestNothingOverflows: what no API server would let through, and no clock shows.
func TestNothingOverflows(t *testing.T) {
	const forever = time.Duration(1<<63 - 1)
	first, last := time.Time{}.Add(1), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for result := Good; result <= RateLimited; result++ {
		for _, end := range []time.Time{{}, first, t0, last} {
			for _, renew := range []*time.Duration{nil, ptr(forever), ptr(-forever)} {
				in := Input{
					RefreshInterval: forever, RenewBefore: renew, LastFetch: t0, LastAttempt: t0, ExpiresAt: end,
					ExpiryObserved: first, Result: result, Failures: 1 << 30, RetryAt: last,
				}
				next := Next(in, t0)
				if wait := next.Sub(t0); wait < MinDelay || wait > maxDuration {
					t.Errorf("result %d, end %v: waits for %v", result, end, wait)
				}
				if rb := RenewBefore(in); rb < 0 {
					t.Errorf("end %v: renewBefore is %v", end, rb)
				}
				Expiring(in, last)
			}
		}
	}
}
