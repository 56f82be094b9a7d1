package seamtest

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// defaultLifetime is how long a session lives whose end nobody named.
const defaultLifetime = 72 * time.Hour

var (
	errNoKey  = &failure{http.StatusBadRequest, "invalid_input", "user_identifier_key is required"}
	errPast   = &failure{http.StatusBadRequest, "invalid_input", "expires_at is past"}
	errExists = &failure{http.StatusBadRequest, "client_session_token_already_exists",
		"Client session token already exists for this user_identifier_key"}
	errConflict = &failure{http.StatusConflict, "conflict", "Client session is being changed"}
)

// getOrCreateClientSession is /client_sessions/get_or_create.
func getOrCreateClientSession(x *exchange) {
	s := x.server
	key := x.request.UserIdentifierKey
	switch ends := x.request.ExpiresAt; {
	case key == nil || *key == "":
		x.failure = errNoKey
		return
	case ends != nil && s.behaviour.RefusesPast && past(*ends, x.call.At):
		x.failure = errPast
		return
	}
	i, match := s.match(x.who, *key, x.call.At)
	switch match {
	case Refused:
		x.failure = errExists
		return
	case Conflicting:
		x.failure = errConflict
		return
	case Replaced:
		s.remove(i)
	case Returned, Doubled:
	}
	session := s.newSession()
	session.WorkspaceID, session.UserIdentifierKey, session.ExpiresAt = x.who.workspace, *key, x.call.At.Add(defaultLifetime)
	existing := i >= 0 && match == Returned
	if existing {
		session = s.sessions[i]
	}
	x.apply(&session, existing)
	s.put(session)
	x.session = &session
}

// match is the position of the session of a user that counts, -1 if there is none, and what to do with it: the oldest of those
// that have not ended, or else the oldest. The lock is held.
func (s *Server) match(who caller, key string, now time.Time) (int, Match) {
	ended := -1
	for i, session := range s.sessions {
		if session.WorkspaceID != who.workspace || session.UserIdentifierKey != key {
			continue
		}
		if !past(session.ExpiresAt, now) && !past(session.RevokedAt, now) {
			return i, s.behaviour.Existing
		}
		if ended < 0 {
			ended = i
		}
	}
	if ended < 0 {
		return -1, Returned
	}
	return ended, s.behaviour.Ended
}

// apply gives a session what the request asks for.
func (x *exchange) apply(session *Session, existing bool) {
	b, request := x.server.behaviour, x.request
	if ends := request.ExpiresAt; ends != nil && (!existing || !b.KeepsEnd) {
		session.ExpiresAt = *ends
		if latest := x.call.At.Add(b.MaxLifetime); b.MaxLifetime > 0 && ends.After(latest) {
			session.ExpiresAt = latest
		}
		session.RevokedAt = time.Time{}
	}
	if existing && b.ExtendingChangesToken {
		x.server.created++
		session.Token = fmt.Sprintf("%s%s_%d", b.tokenPrefix(), session.ID, x.server.created)
	}
	session.ConnectedAccountIDs = b.list(session.ConnectedAccountIDs, request.ConnectedAccountIDs)
	session.ConnectWebviewIDs = b.list(session.ConnectWebviewIDs, request.ConnectWebviewIDs)
	switch {
	case request.UserIdentityID != nil:
		session.UserIdentityID = *request.UserIdentityID
	case b.OmittedClears:
		session.UserIdentityID = ""
	}
}

// tokenPrefix is what tokens begin with.
func (b *Behaviour) tokenPrefix() string {
	if b.TokenPrefix == "" {
		return "seam_cst1"
	}
	return b.TokenPrefix
}

// list is what becomes of a list of a session by a request, in which it is nil if it was left out.
func (b *Behaviour) list(before, asked []string) []string {
	switch {
	case asked == nil && !b.OmittedClears, asked != nil && len(asked) == 0 && b.EmptyKeeps:
		return before
	case len(asked) == 0:
		return nil
	}
	return slices.Clone(asked)
}

// deleteClientSession is /client_sessions/delete.
func deleteClientSession(x *exchange) {
	s := x.server
	i := -1
	if id := x.request.ClientSessionID; id != nil {
		i = s.position(*id)
	}
	found := i >= 0 && s.sessions[i].WorkspaceID == x.who.workspace
	switch {
	case found:
		s.noteDeletion(s.sessions[i])
		s.remove(i)
	case !s.behaviour.GoneIsDeleted:
		x.failure = errNotFound
		return
	}
	x.other = map[string]any{"ok": true}
	if s.behaviour.DeletedIsEmpty {
		x.other = map[string]any{}
	}
}

// getWorkspace is /workspaces/get.
func getWorkspace(x *exchange) {
	x.other = map[string]any{"ok": true, "workspace": map[string]any{
		"workspace_id": x.who.workspace, "name": "Workspace " + x.who.workspace, "is_sandbox": true,
		"is_suspended": false, "publishable_key": PublishableKey,
	}}
}
