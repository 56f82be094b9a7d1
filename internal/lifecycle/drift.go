package lifecycle

import "time"

const (
	// promptCorrections is how often in a row a Secret that drifted is corrected at once: a person who edits it twice sees
	// it corrected twice. After that somebody else, most likely another controller, wants it otherwise.
	promptCorrections = 5
	// firstYield and longestYield bound the pause before the next correction, which doubles.
	firstYield   = 10 * time.Second
	longestYield = 10 * time.Minute
	// driftMemory is how long after its pause a correction is remembered.
	driftMemory = 10 * time.Minute
)

// Drift is how often in a row the Secret of a session was written because somebody else had changed it, and when last. The
// back-off between corrections comes from it, so that two writers who disagree don't write for ever.
type Drift struct {
	corrections int
	last        time.Time
}

// Next is when the Secret may be corrected again; zero is at any time.
func (d Drift) Next() time.Time {
	if d.corrections < promptCorrections {
		return time.Time{}
	}
	return d.last.Add(d.pause())
}

func (d Drift) pause() time.Duration {
	pause := firstYield
	for range d.corrections - promptCorrections {
		if pause *= 2; pause >= longestYield {
			return longestYield
		}
	}
	return pause
}

// Corrected is the drift once the Secret has been corrected at a time.
func (d Drift) Corrected(now time.Time) Drift {
	if now.Sub(d.last) > d.pause()+driftMemory {
		return Drift{corrections: 1, last: now}
	}
	return Drift{corrections: d.corrections + 1, last: now}
}

// At is the drift as it counts at a time: a correction in the future counts as now, since the clock was set back.
func (d Drift) At(now time.Time) Drift {
	if d.last.After(now) {
		d.last = now
	}
	return d
}
