package seam

import (
	"context"
	"time"
)

type Workspace struct {
	ID, Name string
	Sandbox  bool
	Date     time.Time
}
type Event struct {
	ID, WorkspaceID, ClientSessionID string
	At                               time.Time
}
type EventList struct {
	Events []Event
	Full   bool
	Date   time.Time
}

func (c *Connection) GetWorkspace(ctx context.Context, w Waiter) (*Workspace, error) { return nil, nil }
func (c *Connection) ListEvents(ctx context.Context, since, until time.Time, w Waiter) (*EventList, error) {
	return nil, nil
}

func (c Credential) OpensWorkspace() bool { return c.reveal().kind != clientSessionToken }
