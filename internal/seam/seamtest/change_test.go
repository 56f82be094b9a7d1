package seamtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func post(t *testing.T, s *Server, path, body string) reply {
	t.Helper()
	return do(t, s, http.MethodPost, path, body, "Authorization", "Bearer "+APIKey1)
}

// provision makes or extends John's session.
func provision(t *testing.T, s *Server, more string) reply {
	t.Helper()
	return post(t, s, getOrCreatePath, fmt.Sprintf(`{"user_identifier_key":%q%s}`, JohnUserIdentifierKey, more))
}

const tomorrow = `,"expires_at":"2030-01-02T00:00:00Z"`

func TestSessionIsMade(t *testing.T) {
	s, _ := newServer(t)
	made := post(t, s, getOrCreatePath, `{"user_identifier_key":"jane","connected_account_ids":["a"]`+tomorrow+`}`).session(t)
	if made.UserIdentifierKey != "jane" || made.WorkspaceID != Workspace1 || made.Token == "" || !made.CreatedAt.Equal(now) ||
		!made.ExpiresAt.Equal(now.Add(24*time.Hour)) || !slices.Equal(made.ConnectedAccountIDs, []string{"a"}) {
		t.Errorf("got %+v", made)
	}
	if again := post(t, s, getOrCreatePath, `{"user_identifier_key":"jane"}`).session(t); again.ID != made.ID {
		t.Errorf("a second one was made: %+v", again)
	}
	if got := get(t, s, APIKey1, "", `{"user_identifier_key":"jane"}`).session(t); got.Token != made.Token {
		t.Errorf("got %+v", got)
	}
	for _, body := range []string{`{}`, `{"user_identifier_key":""}`, `{"user_identifier_key":"a","expires_at":"soon"}`} {
		if got := post(t, s, getOrCreatePath, body); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", body, got.status)
		}
	}
	if got := do(t, s, http.MethodPost, getOrCreatePath, `{"user_identifier_key":"a"}`, "Authorization", "Bearer "+JohnToken); got.status != 401 {
		t.Errorf("by the token of a session: %d", got.status)
	}
}

func TestBehaviourOfWhatThereIs(t *testing.T) {
	ended := func(session *Session) { session.ExpiresAt = now }
	revoked := func(session *Session) { session.RevokedAt = now }
	for name, test := range map[string]struct {
		behaviour Behaviour
		before    func(*Session)
		status    int
		same      bool // the session
		token     bool // is the same
		sessions  int
	}{
		"extended":                     {status: 200, same: true, token: true, sessions: 1},
		"extended, with another token": {behaviour: Behaviour{ExtendingChangesToken: true}, status: 200, same: true, sessions: 1},
		"doubled":                      {behaviour: Behaviour{Existing: Doubled}, status: 200, sessions: 2},
		"refused":                      {behaviour: Behaviour{Existing: Refused}, status: 400, sessions: 1},
		"a conflict":                   {behaviour: Behaviour{Existing: Conflicting}, status: 409, sessions: 1},
		"ended and revived":            {before: ended, status: 200, same: true, token: true, sessions: 1},
		"revoked and revived":          {before: revoked, status: 200, same: true, token: true, sessions: 1},
		"ended and replaced":           {before: ended, behaviour: Behaviour{Ended: Replaced}, status: 200, sessions: 1},
		"revoked and replaced":         {before: revoked, behaviour: Behaviour{Ended: Replaced}, status: 200, sessions: 1},
		"ended and doubled":            {before: ended, behaviour: Behaviour{Ended: Doubled}, status: 200, sessions: 2},
		"ended and refused":            {before: ended, behaviour: Behaviour{Ended: Refused}, status: 400, sessions: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newServer(t)
			s.Behave(test.behaviour)
			if test.before != nil {
				s.Change(JohnSessionID, test.before)
			}
			got := provision(t, s, tomorrow)
			if got.status != test.status || len(s.Sessions(JohnUserIdentifierKey)) != test.sessions {
				t.Fatalf("got %d %s, and %d sessions", got.status, got.body, len(s.Sessions(JohnUserIdentifierKey)))
			}
			if test.status != 200 {
				return
			}
			session := got.session(t)
			if (session.ID == JohnSessionID) != test.same || (session.Token == JohnToken) != test.token ||
				!session.ExpiresAt.Equal(now.Add(24*time.Hour)) || !session.RevokedAt.IsZero() {
				t.Errorf("got %+v", session)
			}
		})
	}
}

func TestBehaviourOfEndAndLists(t *testing.T) {
	day := now.Add(24 * time.Hour)
	for name, test := range map[string]struct {
		behaviour Behaviour
		more      string
		ends      time.Time
		accounts  []string
	}{
		"left out":                  {more: tomorrow, ends: day, accounts: []string{"a"}},
		"left out, which clears":    {behaviour: Behaviour{OmittedClears: true}, more: tomorrow, ends: day},
		"empty":                     {more: tomorrow + `,"connected_account_ids":[]`, ends: day},
		"empty, which keeps":        {behaviour: Behaviour{EmptyKeeps: true}, more: tomorrow + `,"connected_account_ids":[]`, ends: day, accounts: []string{"a"}},
		"another":                   {more: tomorrow + `,"connected_account_ids":["b"]`, ends: day, accounts: []string{"b"}},
		"an end that is capped":     {behaviour: Behaviour{MaxLifetime: time.Hour}, more: tomorrow, ends: now.Add(time.Hour), accounts: []string{"a"}},
		"an end that stays":         {behaviour: Behaviour{KeepsEnd: true}, more: tomorrow, ends: now.Add(year), accounts: []string{"a"}},
		"an end that nobody named":  {ends: now.Add(year), accounts: []string{"a"}},
		"an end that is past, made": {more: `,"expires_at":"2029-01-01T00:00:00Z"`, ends: now.AddDate(-1, 0, 0), accounts: []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newServer(t)
			s.Behave(test.behaviour)
			s.Change(JohnSessionID, func(session *Session) { session.ConnectedAccountIDs = []string{"a"} })
			session := provision(t, s, test.more).session(t)
			if !session.ExpiresAt.Equal(test.ends) || !slices.Equal(session.ConnectedAccountIDs, test.accounts) {
				t.Errorf("got %+v", session)
			}
		})
	}
	s, _ := newServer(t)
	s.Behave(Behaviour{RefusesPast: true})
	if got := provision(t, s, `,"expires_at":"2029-01-01T00:00:00Z"`); got.status != 400 {
		t.Errorf("an end that is past: %d", got.status)
	}
}

func TestSessionIsDeleted(t *testing.T) {
	s, _ := newServer(t)
	s.Put(Session{ID: "elsewhere", WorkspaceID: Workspace2, Token: "t"})
	for _, test := range []struct {
		behaviour Behaviour
		body      string
		status    int
		want      string
	}{
		{Behaviour{}, byID, 200, `{"ok":true}`},
		{Behaviour{}, byID, 404, "client_session_not_found"},
		{Behaviour{GoneIsDeleted: true, DeletedIsEmpty: true}, byID, 200, `{}`},
		{Behaviour{}, `{"client_session_id":"elsewhere"}`, 404, ""},
		{Behaviour{}, `{}`, 404, ""},
	} {
		s.Behave(test.behaviour)
		if got := post(t, s, deletePath, test.body); got.status != test.status || !strings.Contains(got.body, test.want) {
			t.Errorf("%s: %d %s", test.body, got.status, got.body)
		}
	}
	if _, ok := s.Session("elsewhere"); !ok {
		t.Error("a session of another workspace was deleted")
	}
	if got := get(t, s, APIKey1, "", byID); got.status != 404 {
		t.Errorf("the session is still there: %d", got.status)
	}
}

func TestRevokedSessionMayNotBeFound(t *testing.T) {
	s, _ := newServer(t)
	s.Change(JohnSessionID, func(session *Session) { session.RevokedAt = now })
	if got := get(t, s, APIKey1, "", byID); got.status != 200 {
		t.Errorf("got %d", got.status)
	}
	s.Behave(Behaviour{RevokedNotFound: true})
	if got := get(t, s, APIKey1, "", byID); got.errorType() != "client_session_not_found" {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestWorkspaceIsTheCredentials(t *testing.T) {
	s, _ := newServer(t)
	for credential, want := range map[string]string{APIKey1: Workspace1, APIKey2: Workspace2} {
		got := do(t, s, http.MethodPost, workspacePath, `{}`, "Authorization", "Bearer "+credential)
		if got.status != 200 || !strings.Contains(got.body, `"workspace_id":"`+want+`"`) {
			t.Errorf("%s: %d %s", credential, got.status, got.body)
		}
	}
}

// listed are the sessions of the events that are listed.
func listed(t *testing.T, s *Server, body string) string {
	t.Helper()
	got := post(t, s, eventsPath, body)
	var list struct {
		Events []struct {
			ClientSessionID string `json:"client_session_id"`
		} `json:"events"`
	}
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var ids []string
	for _, event := range list.Events {
		ids = append(ids, event.ClientSessionID)
	}
	return strings.Join(ids, " ")
}

func TestEvents(t *testing.T) {
	s, clock := newServer(t)
	for i := range 4 {
		id := strconv.Itoa(i)
		s.Put(Session{ID: id, WorkspaceID: Workspace1, Token: "t"})
		s.Put(Session{ID: "elsewhere" + id, WorkspaceID: Workspace2, Token: "t"})
		clock.SetTime(now.Add(time.Duration(i) * time.Minute))
		s.Delete(id)
		s.Delete("elsewhere" + id)
	}
	const all = `"event_types":["client_session.deleted"]`
	for _, test := range []struct {
		behaviour  Behaviour
		body, want string
	}{
		{Behaviour{}, `{"since":"2029-12-31T00:00:00Z",` + all + `}`, "0 1 2 3"},
		{Behaviour{}, `{"since":"2030-01-01T00:01:00Z",` + all + `}`, "2 3"},
		{Behaviour{}, `{"since":"2029-12-31T00:00:00Z","event_types":["device.connected"]}`, ""},
		{Behaviour{}, `{"since":"2029-12-31T00:00:00Z","limit":3,` + all + `}`, "0 1 2"},
		{Behaviour{PageLimit: 2}, `{"since":"2029-12-31T00:00:00Z","limit":3,` + all + `}`, "0 1"},
		{Behaviour{}, `{"between":["2030-01-01T00:00:30Z","2030-01-01T00:02:30Z"],` + all + `}`, "1 2"},
		{Behaviour{EventDelay: 90 * time.Second}, `{"since":"2029-12-31T00:00:00Z",` + all + `}`, "0 1"},
		{Behaviour{EventRetention: 90 * time.Second}, `{"since":"2029-12-31T00:00:00Z",` + all + `}`, "2 3"},
		{Behaviour{EventAhead: time.Minute}, `{"since":"2030-01-01T00:01:00Z",` + all + `}`, "1 2 3"},
		{Behaviour{EventsTwice: true, NewestFirst: true}, `{"since":"2030-01-01T00:01:00Z",` + all + `}`, "3 3 2 2"},
	} {
		s.Behave(test.behaviour)
		if got := listed(t, s, test.body); got != test.want {
			t.Errorf("%+v %s: got %q, want %q", test.behaviour, test.body, got, test.want)
		}
	}
	for _, body := range []string{
		`{}`, `{"since":"2030-01-01T00:01:00Z","between":["2030-01-01T00:01:00Z","2030-01-01T00:01:00Z"]}`, `{"between":[]}`,
	} {
		if got := post(t, s, eventsPath, body); got.status != 400 {
			t.Errorf("%s: %d", body, got.status)
		}
	}
}

// tryProvision is provision where there may be no answer.
func tryProvision(t *testing.T, s *Server) {
	t.Helper()
	body := strings.NewReader(fmt.Sprintf(`{"user_identifier_key":%q%s}`, JohnUserIdentifierKey, tomorrow))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+getOrCreatePath, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+APIKey1)
	if response, err := http.DefaultTransport.RoundTrip(request); err == nil {
		_ = response.Body.Close()
	}
}

func TestFaultsActOrNot(t *testing.T) {
	s, _ := newServer(t)
	for _, test := range []struct {
		fault Fault
		acts  bool
	}{
		{Outage, false}, {Outage.AfterActing(), true}, {Forbidden, false}, {HTML, false}, {NoExpiry, true}, {ResetInBody, true},
	} {
		s.Extend(JohnSessionID, now)
		s.FailRoute(getOrCreatePath, test.fault)
		tryProvision(t, s)
		if session, _ := s.Session(JohnSessionID); session.ExpiresAt.After(now) != test.acts {
			t.Errorf("%s: the session ends at %s", test.fault, session.ExpiresAt)
		}
		if got := get(t, s, APIKey1, "", byID); got.status != 200 {
			t.Errorf("%s: another route answers %d", test.fault, got.status)
		}
	}
	s.HealRoute(getOrCreatePath)
	s.FailCredentialOn(APIKey1, getOrCreatePath, Forbidden)
	if got := provision(t, s, tomorrow); got.status != 403 {
		t.Errorf("got %d", got.status)
	}
	s.Heal()
	if got := provision(t, s, tomorrow); got.status != 200 || s.CallsTo(getOrCreatePath) != 8 || s.CallsTo(getPath) != 6 {
		t.Errorf("got %d; %d and %d calls", got.status, s.CallsTo(getOrCreatePath), s.CallsTo(getPath))
	}
}
