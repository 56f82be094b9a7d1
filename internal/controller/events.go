package controller

import (
	"time"

	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

const (
	// pagesPerPoll bounds the calls of one poll. The next goes on where it ended.
	pagesPerPoll = 16
	// shortestWindow is the shortest window that is read in halves.
	shortestWindow = 2 * time.Second
)

// readEvents reads all events since a time, by Seam's clock, and says up to when it has read them. Seam does not say in which
// order it gives them, so that a page which is full is read again in halves, the earlier first. list reads one page.
func readEvents(since time.Time, list func(seam.Window) (*seam.Deletions, error)) ([]seam.Deletion, time.Time, error) {
	first, err := list(seam.Window{Since: since})
	if err != nil {
		return nil, since, err
	}
	now := first.Date
	if now.IsZero() { // Seam's clock is not known: no further than the last event
		for _, event := range first.Events {
			now = latest(now, event.OccurredAt)
		}
	}
	switch {
	case first.Full && now.Sub(since) >= shortestWindow:
	case first.Date.IsZero():
		return first.Events, latest(since, now), nil
	default: // also where that is before the window: it began by a clock of ours that is ahead
		return first.Events, now, nil
	}
	var events []seam.Deletion
	windows := halves(since, now)
	for pages := 1; len(windows) > 0 && pages < pagesPerPoll; pages++ {
		window := windows[0]
		page, err := list(window)
		if err != nil {
			return events, since, err
		}
		windows = windows[1:]
		if page.Full && window.Until.Sub(window.Since) >= shortestWindow {
			windows = append(halves(window.Since, window.Until), windows...)
			continue
		}
		events, since = append(events, page.Events...), window.Until
	}
	return events, since, nil
}

// halves overlap, since which ends of a window belong to it is not documented.
func halves(since, until time.Time) []seam.Window {
	middle := since.Add(until.Sub(since) / 2).Truncate(time.Second)
	return []seam.Window{{Since: since, Until: middle}, {Since: middle.Add(-time.Second), Until: until}}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
