package seamtest

import "time"

// Behaviour is what the server does where it is unknown what Seam does. The zero Behaviour is what is likeliest.
type Behaviour struct {
	// TokenPrefix is what the tokens begin with that the server makes; empty for seam_cst1.
	TokenPrefix string
	// ExtendingChangesToken gives a session that is extended or revived another token.
	ExtendingChangesToken bool
	// Existing is what /client_sessions/get_or_create does if the user has a session that has not ended.
	Existing Match
	// Ended is what it does if the user has none but sessions that have ended or were revoked.
	Ended Match
	// OmittedClears takes a list that is left out for an empty one, rather than leave the session's as it is.
	OmittedClears bool
	// EmptyKeeps takes an empty list for one that is left out.
	EmptyKeeps bool
	// KeepsEnd leaves the end of a session that there is as it is, as Seam's own fake does.
	KeepsEnd bool
	// MaxLifetime is the longest life that it grants; 0 for any.
	MaxLifetime time.Duration
	// RefusesPast answers 400 to an end that is past, rather than make a session that has ended.
	RefusesPast bool

	// RevokedNotFound has /client_sessions/get find no session that was revoked.
	RevokedNotFound bool
	// GoneIsDeleted answers 200 to whoever deletes a session that there is not.
	GoneIsDeleted bool
	// DeletedIsEmpty answers {} to whoever deletes a session, rather than {"ok": true}.
	DeletedIsEmpty bool

	// EventDelay is how long after it happened an event is first listed.
	EventDelay time.Duration
	// EventRetention is how long an event is listed; 0 for ever.
	EventRetention time.Duration
	// EventAhead is how far the clock of events is ahead of the one that Date tells.
	EventAhead time.Duration
	// EventsTwice lists every event twice.
	EventsTwice bool
	// NewestFirst lists the newest event first. Of a page that is full, the last are then the ones that are missing as well.
	NewestFirst bool
	// PageLimit is how many events it lists at most; 0 for 500.
	PageLimit int
}

// Match is what /client_sessions/get_or_create does with a session of the user that there is.
type Match int

const (
	// Returned extends or revives the session, and returns it.
	Returned Match = iota
	// Replaced puts a new session in its place. There is no event.
	Replaced
	// Doubled makes a new session beside it: /client_sessions/get goes on returning the former.
	Doubled
	// Refused answers 400 client_session_token_already_exists.
	Refused
	// Conflicting answers 409.
	Conflicting
)

// Behave changes what the server does from now on.
func (s *Server) Behave(behaviour Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = behaviour
}
