package seamtest

import (
	"encoding/json"
	"net/http"
	"time"
)

// The routes under /_test are those of hack/fake-seam/server.mjs: with them, who stands outside the process is the owner of
// the sessions.

func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"ok": true})
}

func (s *Server) controlList(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	sessions := append([]Session{}, s.sessions...)
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"client_sessions": sessions})
}

// controlUpsert changes the session whose client_session_id is given, or adds one. null removes a field;
// expires_in_seconds, which may be negative, sets expires_at from now.
func (s *Server) controlUpsert(w http.ResponseWriter, r *http.Request) {
	var changes map[string]any
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&changes); err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
		return
	}
	if seconds, ok := changes["expires_in_seconds"].(float64); ok {
		changes["expires_at"] = s.clock.Now().Add(time.Duration(seconds * float64(time.Second)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.newSession()
	if id, ok := changes["client_session_id"].(string); ok {
		if i := s.position(id); i >= 0 {
			session = s.sessions[i]
		}
	}
	session, err := changed(session, changes)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
		return
	}
	s.put(session)
	writeJSON(w, http.StatusOK, map[string]any{"client_session": session})
}

func (s *Server) controlDelete(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	if !s.Delete(r.PathValue("id")) {
		status = http.StatusNotFound
	}
	writeJSON(w, status, map[string]any{})
}

// changed returns a session with some of its fields, as Seam names them, set to other values or, by null, removed.
func changed(session Session, changes map[string]any) (Session, error) {
	fields := toFields(session)
	for name, value := range changes {
		fields[name] = value
		if value == nil {
			delete(fields, name)
		}
	}
	encoded, err := json.Marshal(fields)
	if err != nil {
		return Session{}, err
	}
	var result Session
	return result, json.Unmarshal(encoded, &result)
}

// toFields are a session's fields as Seam names them.
func toFields(session Session) map[string]any {
	encoded, err := json.Marshal(session)
	if err != nil {
		panic(err) // only for a year that JSON can't hold
	}
	var fields map[string]any
	if err := json.Unmarshal(encoded, &fields); err != nil {
		panic(err)
	}
	return fields
}
