package seamtest

import (
	"fmt"
	"slices"
	"time"
)

// What Seam's own fake is seeded with, and Seed makes.
const (
	Workspace1            = "seed_workspace_1"
	Workspace2            = "seed_workspace_2"
	APIKey1               = "seam_apikey1_token"
	APIKey2               = "seam_apikey2_token"
	AccessToken           = "seam_at1_longtoken"
	PublishableKey        = "seam_pk1_token"
	JohnSessionID         = "cst1"
	JohnUserIdentifierKey = "john_user_identifier_key"
	JohnToken             = "seam_cst1_token"
	year                  = 365 * 24 * time.Hour
)

// Session is a client session, as Seam's API names its fields. A zero time is one that Seam does not give.
type Session struct {
	ID                string    `json:"client_session_id"`
	WorkspaceID       string    `json:"workspace_id,omitempty"`
	Token             string    `json:"token"`
	UserIdentifierKey string    `json:"user_identifier_key,omitempty"`
	UserIdentityID    string    `json:"user_identity_id,omitempty"`
	CustomerKey       string    `json:"customer_key,omitempty"`
	CreatedAt         time.Time `json:"created_at,omitzero"`
	ExpiresAt         time.Time `json:"expires_at,omitzero"`
	RevokedAt         time.Time `json:"revoked_at,omitzero"`
	DeviceCount       int       `json:"device_count"`

	ConnectedAccountIDs []string `json:"connected_account_ids,omitempty"`
	ConnectWebviewIDs   []string `json:"connect_webview_ids,omitempty"`
}

// Seed adds what Seam's own fake is seeded with.
func (s *Server) Seed() {
	s.AddCredential(APIKey1, Workspace1)
	s.AddCredential(APIKey2, Workspace2)
	s.AddCredential(AccessToken, Workspace1)
	s.AddCredential(PublishableKey, Workspace1)
	now := s.clock.Now()
	s.Put(Session{
		ID: JohnSessionID, WorkspaceID: Workspace1, Token: JohnToken, UserIdentifierKey: JohnUserIdentifierKey,
		CreatedAt: now, ExpiresAt: now.Add(year),
	})
}

// AddCredential makes a credential valid: an API key or a publishable key for its one workspace, a personal access token or
// a console session for those it may choose from. The token of a session is a credential without being added.
func (s *Server) AddCredential(value string, workspaces ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credentials[value] = workspaces
	s.note(value)
}

// Revoke makes a credential invalid.
func (s *Server) Revoke(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.credentials, value)
}

// Put adds a session, or takes the place of the one of the same ID.
func (s *Server) Put(session Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(session)
}

// Delete removes a session, with an event, and says whether there was one.
func (s *Server) Delete(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.position(id)
	if i < 0 {
		return false
	}
	s.noteDeletion(s.sessions[i])
	s.remove(i)
	return true
}

// remove removes the session at a position. The lock is held.
func (s *Server) remove(i int) {
	s.sessions = slices.Delete(s.sessions, i, i+1)
	clear(s.positions)
	for i := range s.sessions {
		s.positions[s.sessions[i].ID] = i
	}
}

// Extend moves the end of a session, as its owner does through /client_sessions/get_or_create. The token stays.
func (s *Server) Extend(id string, expiresAt time.Time) {
	s.Change(id, func(session *Session) { session.ExpiresAt = expiresAt })
}

// Change changes a session. It panics if there is none of that ID.
func (s *Server) Change(id string, change func(*Session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.position(id)
	if i < 0 {
		panic("seamtest: no session " + id)
	}
	session := s.sessions[i]
	change(&session)
	s.put(session)
}

// Replace removes a session and adds another: what a user gets who signs in anew.
func (s *Server) Replace(id string, session Session) {
	s.Delete(id)
	s.Put(session)
}

// Session returns the session of an ID.
func (s *Server) Session(id string) (Session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.position(id); i >= 0 {
		return s.sessions[i], true
	}
	return Session{}, false
}

// Secrets returns every credential, token and user identifier key that the server has ever known: none of them must show.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	secrets := make([]string, 0, len(s.secrets))
	for secret := range s.secrets {
		secrets = append(secrets, secret)
	}
	slices.Sort(secrets)
	return secrets
}

// put is Put. The lock is held.
func (s *Server) put(session Session) {
	s.note(session.Token)
	s.note(session.UserIdentifierKey)
	if i := s.position(session.ID); i >= 0 {
		s.sessions[i] = session
		return
	}
	s.positions[session.ID] = len(s.sessions)
	s.sessions = append(s.sessions, session)
}

// Sessions returns every session of a user identifier key, the oldest first.
func (s *Server) Sessions(key string) []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.sessions), func(session Session) bool { return session.UserIdentifierKey != key })
}

// newSession is a session that nothing was said of: as in Seam's fake. The lock is held.
func (s *Server) newSession() Session {
	s.created++
	id := fmt.Sprintf("cst_%d", s.created)
	now := s.clock.Now()
	return Session{ID: id, WorkspaceID: Workspace1, Token: s.behaviour.tokenPrefix() + id, CreatedAt: now, ExpiresAt: now.Add(year)}
}

// position is where the session of an ID is; -1 if there is none. The lock is held.
func (s *Server) position(id string) int {
	if i, ok := s.positions[id]; ok {
		return i
	}
	return -1
}

func (s *Server) note(secret string) {
	if secret != "" {
		s.secrets[secret] = struct{}{}
	}
}
