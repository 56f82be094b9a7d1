package seam

import (
	"context"
	"encoding/json"
	"time"
)

const (
	// MaxEvents is how many events Seam gives at most.
	MaxEvents = 500

	typeSessionDeleted = "client_session.deleted"
	// eventTime is how a time is sent: with the milliseconds of Seam's own.
	eventTime = "2006-01-02T15:04:05.000Z"
)

// Window is a stretch of time, by Seam's clock. Whether its bounds are in it is undocumented: the fake leaves out Since.
type Window struct {
	// Since is where it begins.
	Since time.Time
	// Until is where it ends; zero for now.
	Until time.Time
}

// Deletions are the deletions of client sessions in a window.
type Deletions struct {
	// Events are in the order in which they came, which is undocumented; the same may come twice.
	Events []Deletion
	// Full says that there may be more in the window: as many came as Seam gives at most.
	Full bool
	// Date is when Seam answered, by its own clock (the Date header), in whole seconds; zero if it did not say.
	Date time.Time
}

// Deletion is an event that says that a client session was deleted.
type Deletion struct {
	// EventID tells events apart: 1 to 64 letters, digits, '_' and '-', as are the other IDs.
	EventID string
	// ClientSessionID is the session that was deleted.
	ClientSessionID string
	// WorkspaceID is where; empty if Seam did not say.
	WorkspaceID string
	// OccurredAt is when, by Seam's clock and as precisely as it says; zero if Seam gave no time that can be read.
	OccurredAt time.Time
}

// ListDeletions lists the client sessions that were deleted in a window: at most limit, 1 to MaxEvents. What is about another
// workspace than the credential names, or does not say what it is about, is left out. Errors and waiter are as
// GetClientSession's.
func (c *Connection) ListDeletions(ctx context.Context, window Window, limit int, waiter Waiter) (*Deletions, error) {
	limit = min(max(1, limit), MaxEvents)
	fields := map[string]any{"event_types": []string{typeSessionDeleted}, "limit": limit}
	since := window.Since.UTC().Format(eventTime)
	if window.Until.IsZero() {
		fields["since"] = since
	} else {
		fields["between"] = []string{since, window.Until.UTC().Format(eventTime)}
	}
	return exchange(ctx, c, listEvents, request{fields: fields}, waiter,
		func(a *answer, credential plainCredential) (*Deletions, *Error) {
			deletions, wrong := decodeDeletions(a.body, credential, limit)
			if wrong != nil {
				return nil, wrong
			}
			deletions.Date = dateOf(a.header)
			return deletions, nil
		})
}

// eventsAnswer is a good answer of /events/list. What may have any shape stays raw.
type eventsAnswer struct {
	OK     json.RawMessage   `json:"ok"`
	Events []json.RawMessage `json:"events"`
}

// decodeDeletions reads a good answer to a request for at most limit events. Its error is an InvalidResponse.
func decodeDeletions(body []byte, credential plainCredential, limit int) (*Deletions, *Error) {
	var answer eventsAnswer
	switch {
	case json.Unmarshal(body, &answer) != nil:
		return nil, invalidResponse("the answer is not a list of events in JSON: " + checkEndpoint)
	case string(answer.OK) == "false":
		return nil, invalidResponse("the answer has status 200 but says that it is not ok")
	case answer.Events == nil:
		return nil, invalidResponse("the answer holds no events: " + checkEndpoint)
	}
	deletions := &Deletions{Full: len(answer.Events) >= limit}
	for _, raw := range answer.Events {
		if deletion, ok := decodeDeletion(raw, credential); ok {
			deletions.Events = append(deletions.Events, deletion)
		}
	}
	return deletions, nil
}

func decodeDeletion(raw json.RawMessage, credential plainCredential) (Deletion, bool) {
	var wire struct {
		EventID         json.RawMessage `json:"event_id"`
		EventType       json.RawMessage `json:"event_type"`
		ClientSessionID json.RawMessage `json:"client_session_id"`
		WorkspaceID     json.RawMessage `json:"workspace_id"`
		OccurredAt      json.RawMessage `json:"occurred_at"`
		CreatedAt       json.RawMessage `json:"created_at"`
	}
	if json.Unmarshal(raw, &wire) != nil || parseString(wire.EventType, maxOtherBytes) != typeSessionDeleted {
		return Deletion{}, false
	}
	deletion := Deletion{
		EventID:         parseString(wire.EventID, maxOtherBytes),
		ClientSessionID: parseString(wire.ClientSessionID, maxOtherBytes),
		WorkspaceID:     parseString(wire.WorkspaceID, maxOtherBytes),
		OccurredAt:      parsePreciseTime(parseString(wire.OccurredAt, maxOtherBytes)),
	}
	if deletion.OccurredAt.IsZero() {
		deletion.OccurredAt = parsePreciseTime(parseString(wire.CreatedAt, maxOtherBytes))
	}
	secrets := []string{credential.value}
	for _, id := range []string{deletion.EventID, deletion.ClientSessionID} {
		if !identifier.MatchString(id) || containsAny(id, secrets) {
			return Deletion{}, false
		}
	}
	if !absent(wire.WorkspaceID) && (!identifier.MatchString(deletion.WorkspaceID) || containsAny(deletion.WorkspaceID, secrets)) {
		return Deletion{}, false
	}
	return deletion, credential.workspaceID == "" || deletion.WorkspaceID == credential.workspaceID
}

// parsePreciseTime is parseTime without cutting off the fraction; zero if s is not a time.
func parsePreciseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || parseTime(s) == nil {
		return time.Time{}
	}
	return t.UTC()
}
