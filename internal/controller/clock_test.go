package controller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

// settableClock tells a time that can be set, and runs its timers by one that can't.
type settableClock struct {
	*testclock.FakeClock
	wall *testclock.FakePassiveClock
}

func (c settableClock) Now() time.Time { return c.wall.Now() }

func TestClockIsWatched(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile time.Duration // what passes by the clock until somebody looks at it
		passes    time.Duration // by the clock, while clockInterval passes by the timer
		jumps     bool
	}{
		"an ordinary interval":      {clockInterval / 2, clockInterval, false},
		"a tick that is late":       {clockInterval, clockInterval + clockJump, false},
		"set ahead":                 {0, clockInterval + 24*time.Hour, true},
		"set back":                  {0, -time.Hour, true},
		"a little more than a tick": {0, clockInterval + clockJump + time.Second, true},
		"set ahead, and right":      {24 * time.Hour, clockInterval, true},
		"set back, and right":       {-time.Hour, clockInterval, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := settableClock{testclock.NewFakeClock(dawn), testclock.NewFakePassiveClock(dawn)}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				jumped := 0
				var watch clockWatch
				go watch.run(ctx, c, func(context.Context) { jumped++ })
				synctest.Wait()
				watch.shown(dawn.Add(test.meanwhile))
				c.wall.SetTime(dawn.Add(test.passes))
				c.Step(clockInterval)
				synctest.Wait()
				if (jumped == 1) != test.jumps {
					t.Errorf("noticed %d times", jumped)
				}
			})
		})
	}
}
