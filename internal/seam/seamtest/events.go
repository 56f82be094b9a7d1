package seamtest

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	sessionDeleted = "client_session.deleted"
	// keptEvents bounds the events that are remembered.
	keptEvents = 100_000
)

// deletion is an event that says that a session was deleted.
type deletion struct {
	id, session, workspace string
	at                     time.Time
}

// noteDeletion remembers that a session was deleted. The lock is held.
func (s *Server) noteDeletion(session Session) {
	s.created++
	s.events = append(s.events, deletion{"event_" + strconv.Itoa(s.created), session.ID, session.WorkspaceID, s.clock.Now()})
	s.events = s.events[max(0, len(s.events)-keptEvents):]
}

// listEvents is /events/list.
func listEvents(x *exchange) {
	var from, to time.Time
	switch request := x.request; {
	case (request.Since == nil) == (request.Between == nil), request.Between != nil && len(request.Between) != 2:
		x.failure = &failure{http.StatusBadRequest, "invalid_input", "exactly one of since and between must be given"}
		return
	case request.Since != nil:
		from = *request.Since
	default:
		from, to = request.Between[0], request.Between[1]
	}
	events := []map[string]any{}
	if slices.Contains(x.request.EventTypes, sessionDeleted) {
		events = x.server.listed(x.who, x.call.At, from, to)
	}
	limit := 500
	for _, other := range []*int{x.request.Limit, &x.server.behaviour.PageLimit} {
		if other != nil && *other > 0 {
			limit = min(limit, *other)
		}
	}
	x.other = map[string]any{"ok": true, "events": events[:min(limit, len(events))]}
}

// listed are the events that are shown at a time, of those that happened after from, and before to unless that is zero. The lock
// is held.
func (s *Server) listed(who caller, now, from, to time.Time) []map[string]any {
	b := s.behaviour
	listed := []map[string]any{}
	for _, event := range s.events {
		at := event.at.Add(b.EventAhead)
		age := now.Sub(event.at)
		shown := event.workspace == who.workspace && age >= b.EventDelay && (b.EventRetention == 0 || age < b.EventRetention)
		if !shown || !at.After(from) || !to.IsZero() && !at.Before(to) {
			continue
		}
		fields := map[string]any{
			"event_id": event.id, "event_type": sessionDeleted, "workspace_id": event.workspace, "client_session_id": event.session,
			"occurred_at": at, "created_at": at.Add(b.EventDelay),
		}
		listed = append(listed, fields)
		if b.EventsTwice {
			listed = append(listed, fields)
		}
	}
	if b.NewestFirst {
		slices.Reverse(listed)
	}
	return listed
}
