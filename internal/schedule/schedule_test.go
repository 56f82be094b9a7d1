package schedule

import (
	"testing"
	"time"
)

const day = 24 * time.Hour

// t0 is when everything in the tables begins. uid has jitter: see TestJitterOfTheTables.
var t0 = time.Date(2026, 7, 31, 12, 0, 0, 0, time.UTC)

const uid = "c2cbd177-1ace-414b-bb1e-9f129e4a05c1"

func at(d time.Duration) time.Time { return t0.Add(d) }

func ptr[T any](v T) *T { return &v }

// hourly is a session whose every attempt was at t0, asked about every hour. Its jitter makes that 55m10s.
func hourly(change func(*Input)) Input {
	in := Input{UID: uid, RefreshInterval: time.Hour, LastFetch: t0, LastAttempt: t0}
	change(&in)
	return in
}

// expiring is hourly with an end and a renewBefore, which jitter widens, 10m by 39s.
func expiring(end, renewBefore time.Duration) Input {
	return hourly(func(in *Input) {
		in.ExpiresAt, in.ExpiryObserved, in.RenewBefore = at(end), t0, &renewBefore
	})
}

func failing(result Result, failures int) Input {
	return hourly(func(in *Input) { in.Result, in.Failures = result, failures })
}

func with(in Input, change func(*Input)) Input {
	change(&in)
	return in
}

func TestNext(t *testing.T) {
	tests := []struct {
		situation string
		in        Input
		now       time.Duration // after t0
		want      time.Duration // after t0
	}{
		// While all is well.
		{"never asked: now", Input{UID: uid, RefreshInterval: time.Hour}, 7 * time.Second, 7 * time.Second},
		{"no end: after the interval, shortened by jitter", hourly(func(*Input) {}), 0, hour},
		{"overdue: stays what it was, so that it can be stored", hourly(func(*Input) {}), 5 * time.Hour, hour},
		{"a fetch with a fraction of a second counts as the second", hourly(func(in *Input) { in.LastFetch = at(999 * time.Millisecond) }), 1, hour},
		{"a good attempt whose fetch was not stored counts as the fetch", hourly(func(in *Input) { in.LastFetch = time.Time{} }), 0, hour},
		{"an interval below what the CRD allows counts as 30s", hourly(func(in *Input) { in.RefreshInterval = time.Second }), 0, 30*time.Second - jitter(uid, "refresh-interval", 30*time.Second)},
		{"the end is far: after the interval", expiring(30*day, 10*time.Minute), 0, hour},
		{"renewBefore begins earlier than the interval ends: when it begins", expiring(time.Hour, 10*time.Minute), 0, time.Hour - tenMinutes},
		{"renewBefore begins in less than 5s: after 5s", expiring(tenMinutes+2*time.Second, 10*time.Minute), 0, 5 * time.Second},
		{"a renewBefore of zero: at the end", expiring(40*time.Minute, 0), 0, 40 * time.Minute},
		{"a negative renewBefore: at the end", expiring(40*time.Minute, -time.Hour), 0, 40 * time.Minute},

		// Near the end.
		{"within renewBefore: a third of what is left", expiring(9*time.Minute, 10*time.Minute), 0, 3 * time.Minute},
		{"a third that is not in whole seconds is cut", expiring(100*time.Second, 10*time.Minute), 0, 33 * time.Second},
		{"renewBefore longer than the life: a third of what is left", expiring(6*time.Hour, 30*day), 0, hour},
		{"a third of less than 5s: 5s", expiring(12*time.Second, 10*time.Minute), 0, 5 * time.Second},
		{"the end in less than 5s: at the end", expiring(2*time.Second, 10*time.Minute), 0, 2 * time.Second},
		{"the end has a fraction of a second: in the second in which it falls", expiring(2900*time.Millisecond, 10*time.Minute), 0, 2 * time.Second},

		// After the end.
		{"asked at the end: 5s later", expiring(0, 10*time.Minute), 0, 5 * time.Second},
		{"ended 7s ago: as long again", expiring(-7*time.Second, 10*time.Minute).observed(-time.Hour), 0, 7 * time.Second},
		{"ended long ago: after the interval", expiring(-30*day, 10*time.Minute).observed(-31 * day), 0, hour},
		{"over when it was first seen, just now: 5s later", expiring(-30*day, 10*time.Minute), 0, 5 * time.Second},
		{"over when it was first seen, a minute ago: as long again", expiring(-30*day, 10*time.Minute).observed(-time.Minute), 0, time.Minute},
		{"the end was first seen after it was fetched, by a clock that was set back since: ignored", expiring(-7*time.Second, 0).observed(time.Hour), 0, 7 * time.Second},

		// The default of renewBefore.
		{"default: after two thirds of the life", with(expiring(30*time.Minute, 0), func(in *Input) { in.RenewBefore = nil }), 0, 20*time.Minute - tenMinutes + 10*time.Minute},
		{"default of a session of a year: a day before the end", with(expiring(365*day, 0), func(in *Input) {
			in.RenewBefore, in.LastFetch, in.RefreshInterval = nil, t0, 1000*day
		}), 0, 364*day - jitter(uid, "renew-before", day)},

		// Seam says that the session does not exist.
		{"not found once: after 5s", failing(NotFound, 1), 0, 5 * time.Second},
		{"not found 4 times: doubled 3 times", failing(NotFound, 4), 0, 40 * time.Second},
		{"not found for ever: after the interval", failing(NotFound, 1<<30), 0, hour},
		{"not found for ever with an interval of 30s: after a minute", with(failing(NotFound, 99), func(in *Input) { in.RefreshInterval = 30 * time.Second }), 0, time.Minute},
		{"a count of failures that was lost: as after one", failing(NotFound, 0), 0, 5 * time.Second},
		{"a count of failures that is negative: as after one", failing(NotFound, -5), 0, 5 * time.Second},

		// Seam, or the network, fails.
		{"failed once: after 5s", failing(Transient, 1), 0, 5 * time.Second},
		{"failed 3 times: doubled twice, less jitter", failing(Transient, 3), 0, 20*time.Second - jitter(uid, "back-off", 20*time.Second)},
		{"failed for ever: after 5 minutes, less jitter", failing(Transient, 1<<30), 0, 5*time.Minute - jitter(uid, "back-off", 5*time.Minute)},
		{"an unknown result counts as such a failure", failing(99, 1), 0, 5 * time.Second},
		{"failed: counted from the attempt, not from the fetch", with(failing(Transient, 1), func(in *Input) { in.LastFetch = at(-time.Hour) }), 0, 5 * time.Second},
		{"failed, with an attempt that was not stored: counted from the fetch", with(failing(Transient, 1), func(in *Input) { in.LastAttempt = time.Time{} }), 0, 5 * time.Second},
		{"only the object can help: after the interval", failing(Blocked, 50), 0, hour},
		{"failed before the end: at the end at the latest", with(failing(Transient, 9), func(in *Input) { in.ExpiresAt = at(time.Minute) }), 0, time.Minute},
		{"failed 2s before the end: at the end", with(failing(NotFound, 9), func(in *Input) { in.ExpiresAt = at(2 * time.Second) }), 0, 2 * time.Second},
		{"blocked before the end: at the end at the latest", with(failing(Blocked, 1), func(in *Input) { in.ExpiresAt = at(time.Minute) }), 0, time.Minute},
		{"failed at the end: the back-off goes on", with(failing(NotFound, 3), func(in *Input) { in.ExpiresAt = t0 }), 0, 20 * time.Second},

		// Too many requests.
		{"429 with a time: then", rateLimited(20 * time.Second), 0, 20 * time.Second},
		{"429 with a fraction of a second: rounded up", rateLimited(20*time.Second + 1), 0, 21 * time.Second},
		{"429 with a time that has come: after 5s", rateLimited(-time.Minute), 0, 5 * time.Second},
		{"429 with more than an hour: after an hour", rateLimited(30 * day), 0, time.Hour},
		{"429 with a time after the end: then, Seam asked for it", with(rateLimited(20*time.Second), func(in *Input) { in.ExpiresAt = at(10 * time.Second) }), 0, 20 * time.Second},
		{"429 of another, and never asked itself: then", Input{UID: uid, RefreshInterval: time.Hour, Result: RateLimited, RetryAt: at(20 * time.Second)}, 0, 20 * time.Second},
		{"429 of another, clock set back by a day since: now", Input{UID: uid, RefreshInterval: time.Hour, Result: RateLimited, RetryAt: at(20 * time.Second)}, -day, -day},
		{"429 of another, and asked itself long before: then", with(rateLimited(90*time.Minute), func(in *Input) { in.LastAttempt = at(-day) }), 45 * time.Minute, 90 * time.Minute},
		{"429 of another, and the time has come: now", with(rateLimited(90*time.Minute), func(in *Input) { in.LastAttempt = at(-day) }), 2 * time.Hour, 90 * time.Minute},
		{"429 without a time: as any failure", failing(RateLimited, 1), 0, 5 * time.Second},

		// Clocks.
		{"clock set back by a day: the fetch counts as now", hourly(func(*Input) {}), -day, -day + hour},
		{"clock set back by a day after a failure: the attempt counts as now", failing(Transient, 1), -day, -day + 5*time.Second},
		{"clock set back by a day after a 429: an hour at most", rateLimited(20 * time.Second), -day, -day + time.Hour},
		{"clock set back by a day between fetch and failure: counted from the failure", with(failing(Transient, 1), func(in *Input) { in.LastFetch = at(day) }), 10 * time.Minute, 5 * time.Second},
		{"clock set forward by a day: overdue, once", hourly(func(*Input) {}), day, hour},
		{"process suspended for an hour in the last minute of a session: overdue, once", expiring(time.Minute, 10*time.Minute), time.Hour, 20 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			if got := Next(test.in, at(test.now)); !got.Equal(at(test.want)) {
				t.Errorf("got %v after t0, want %v", got.Sub(t0), test.want)
			}
		})
	}
}

func (in Input) observed(d time.Duration) Input {
	in.ExpiryObserved = at(d)
	return in
}

func rateLimited(retryAt time.Duration) Input {
	return with(failing(RateLimited, 1), func(in *Input) { in.RetryAt = at(retryAt) })
}

// The jitter of uid, as the tables have it: it is pinned, since a release that rolls it anew moves all calls at once.
const (
	hour       = 55*time.Minute + 10*time.Second
	tenMinutes = 10*time.Minute + 39*time.Second
)

func TestJitterOfTheTables(t *testing.T) {
	if got := time.Hour - jitter(uid, "refresh-interval", time.Hour); got != hour {
		t.Errorf("an hour is %v, want %v", got, hour)
	}
	if got := 10*time.Minute + jitter(uid, "renew-before", 10*time.Minute); got != tenMinutes {
		t.Errorf("ten minutes are %v, want %v", got, tenMinutes)
	}
	if got := jitter(uid, "back-off", 5*time.Minute); got < 3*time.Second {
		t.Errorf("the back-off has too little jitter for the table to show it: %v", got)
	}
}

func TestRenewBefore(t *testing.T) {
	tests := []struct {
		situation string
		in        Input
		want      time.Duration
	}{
		{"given: widened by jitter", expiring(time.Hour, 10*time.Minute), tenMinutes},
		{"given, with a fraction of a second: cut", expiring(time.Hour, 10*time.Minute+time.Millisecond), tenMinutes},
		{"negative: zero", expiring(time.Hour, -time.Minute), 0},
		{"default: a third of the life", with(expiring(30*time.Minute, 0), func(in *Input) { in.RenewBefore = nil }), tenMinutes},
		{"default: that life was longer when the end was first seen", with(expiring(-time.Hour, 0).observed(-90*time.Minute), func(in *Input) { in.RenewBefore = nil }), tenMinutes},
		{"default, when the end was first seen is lost: a third of what the last fetch saw", with(expiring(30*time.Minute, 0), func(in *Input) { in.RenewBefore, in.ExpiryObserved = nil, time.Time{} }), tenMinutes},
		{"default, the end was past when it was first seen: zero", with(expiring(-time.Hour, 0), func(in *Input) { in.RenewBefore = nil }), 0},
		{"no end: zero", hourly(func(in *Input) { in.RenewBefore = ptr(time.Hour) }), 0},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			if got := RenewBefore(test.in); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestExpiring(t *testing.T) {
	in := expiring(time.Hour, 10*time.Minute)
	tests := []struct {
		situation string
		in        Input
		now       time.Duration
		want      bool
	}{
		{"a second before renewBefore begins", in, 50*time.Minute - time.Second, false},
		{"when renewBefore begins, without jitter", in, 50 * time.Minute, true},
		{"in the last second", in, time.Hour - 1, true},
		{"at the end", in, time.Hour, false},
		{"no end", hourly(func(in *Input) { in.RenewBefore = ptr(time.Hour) }), 0, false},
		{"renewBefore longer than the life", expiring(time.Hour, 30*day), 0, true},
		{"renewBefore of zero", expiring(time.Hour, 0), time.Hour - 1, false},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			if got := Expiring(test.in, at(test.now)); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestWaitsAfterTheEndDouble: nobody extends the session, and it is asked for less and less often.
func TestWaitsAfterTheEndDouble(t *testing.T) {
	in := expiring(0, 10*time.Minute)
	var waits []time.Duration
	for range 6 {
		next := Next(in, in.LastFetch)
		waits = append(waits, next.Sub(in.LastFetch))
		in.LastFetch, in.LastAttempt = next, next
	}
	for i, want := range []time.Duration{5, 5, 10, 20, 40, 80} {
		if waits[i] != want*time.Second {
			t.Fatalf("waited %v, want 5, 5, 10, 20, 40, 80 seconds", waits)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for name, in := range map[string]Input{
		"hourly":   hourly(func(*Input) {}),
		"expiring": expiring(time.Hour, 10*time.Minute),
		"failing":  failing(Transient, 10),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Next(in, t0)
			}
		})
	}
}
