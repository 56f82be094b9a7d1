package seam

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// provisionJohn is John's session as it should be: until a day from the start.
var provisionJohn = Provision{User: johnKey, ExpiresAt: start.Add(24 * time.Hour)}

// callEach calls each route once.
var callEach = map[route]func(*testing.T, *Connection, Waiter) error{
	getClientSession: func(t *testing.T, c *Connection, w Waiter) error {
		_, err := c.GetClientSession(t.Context(), johnKey, w)
		return err
	},
	getOrCreateClientSession: func(t *testing.T, c *Connection, w Waiter) error {
		_, err := c.GetOrCreateClientSession(t.Context(), provisionJohn, w)
		return err
	},
	deleteClientSession: func(t *testing.T, c *Connection, w Waiter) error {
		return c.DeleteClientSession(t.Context(), "cst9", w)
	},
	getWorkspace: func(t *testing.T, c *Connection, w Waiter) error {
		_, err := c.GetWorkspace(t.Context(), w)
		return err
	},
	listEvents: func(t *testing.T, c *Connection, w Waiter) error {
		_, err := c.ListDeletions(t.Context(), Window{Since: start}, MaxEvents, w)
		return err
	},
}

func TestEveryRouteIsCalled(t *testing.T) {
	s := newServer(t, nil)
	for r := range routes {
		if err := callEach[r](t, s.connection(t), Waiter{}); err != nil || s.CallsTo(r.path()) != 1 {
			t.Errorf("%s: %v, %d calls", r.path(), err, s.CallsTo(r.path()))
		}
	}
}

// What one route answers must not stop the others, but for a 401 that can only mean that the credential is unknown.
func TestRoutesHoldEachOther(t *testing.T) {
	for _, fault := range []seamtest.Fault{
		seamtest.Unauthorized, seamtest.Forbidden, seamtest.RateLimitedSeconds, seamtest.Outage, seamtest.BadRequest, seamtest.HTML,
	} {
		for failing := range routes {
			s := newServer(t, nil)
			s.FailRoute(failing.path(), fault)
			if err := callEach[failing](t, s.connection(t), Waiter{}); err == nil {
				t.Fatalf("%s on %s is no error", fault, failing.path())
			}
			all := fault.Name == "401" && failing.identifies()
			own := all || fault.Name == "401" || fault.Name == seamtest.RateLimitedSeconds.Name
			for r := range routes {
				err := callEach[r](t, s.connection(t), Waiter{})
				var held *HeldError
				if want := all || own && r == failing; errors.As(err, &held) != want {
					t.Errorf("%s on %s: %s got %v, want held: %t", fault, failing.path(), r.path(), err, want)
				}
			}
		}
	}
}

func TestUnknownCredentialIsTriedOnceAMinuteWhateverTheRoute(t *testing.T) {
	s := newServer(t, nil)
	s.Revoke(seamtest.APIKey1)
	try := func() {
		for r := range routes {
			if err := callEach[r](t, s.connection(t), Waiter{}); err == nil {
				t.Fatalf("%s succeeded", r.path())
			}
		}
	}
	try()
	if s.CallCount() != 1 || s.client.Paused() != 1 {
		t.Fatalf("%d calls, %d paused: want 1 and 1", s.CallCount(), s.client.Paused())
	}
	for range 10 {
		s.step(30 * time.Second)
		try()
	}
	if s.CallCount() != 6 {
		t.Errorf("%d calls in five minutes, want 6", s.CallCount())
	}
	s.AddCredential(seamtest.APIKey1, seamtest.Workspace1)
	s.step(time.Minute)
	for r := range routes {
		if err := callEach[r](t, s.connection(t), Waiter{}); err != nil {
			t.Errorf("%s, once it is known: %v", r.path(), err)
		}
	}
	if s.client.Paused() != 0 {
		t.Error("it is still paused")
	}
}

// The probe of a credential that was unknown may be a call of any route.
func TestAnyRouteProbes(t *testing.T) {
	for probe := range routes {
		s := newServer(t, nil)
		s.Revoke(seamtest.APIKey1)
		_, _ = s.get(t, john)
		s.step(time.Minute)
		if err := callEach[probe](t, s.connection(t), Waiter{}); err == nil {
			t.Fatal("the credential is known")
		}
		var held *HeldError
		if _, err := s.get(t, john); !errors.As(err, &held) || held.Until.Sub(s.clock.Now()) != time.Minute {
			t.Errorf("after a probe by %s: %v", probe.path(), err)
		}
		s.AddCredential(seamtest.APIKey1, seamtest.Workspace1)
		s.step(time.Minute)
		for _, r := range []route{probe, getClientSession, getOrCreateClientSession} {
			if err := callEach[r](t, s.connection(t), Waiter{}); err != nil {
				t.Errorf("%s, after a probe by %s: %v", r.path(), probe.path(), err)
			}
		}
	}
}

func TestWaiterIsWokenWhateverRouteOpensTheCircuit(t *testing.T) {
	s := newServer(t, func(c *Config) { c.MaxInFlight = 4 })
	c := s.connection(t)
	woken := map[string]int{}
	wait := func(key string) Waiter { return Waiter{Key: key, Wake: func() { woken[key]++ }} }
	first, _ := c.enter(listEvents, Waiter{})
	if _, held := c.enter(listEvents, wait("events")); held == nil {
		t.Fatal("an untried route has two calls")
	}
	s.Revoke(seamtest.APIKey1)
	if err := callEach[getClientSession](t, c, Waiter{}); err == nil {
		t.Fatal("the credential is known")
	}
	if woken["events"] != 1 {
		t.Errorf("woken %v", woken)
	}
	c.leave(first, nil)
}

// However many routes it calls, a credential alone has three quarters of all calls.
func TestRoutesOfOneCredentialShareItsCalls(t *testing.T) {
	p, a := newPool(40), &account{}
	calls := 0
	for range 3 {
		throttle := a.throttle(40, false)
		throttle.limit = 40
		p.settle(start, throttle)
		for {
			if _, held, _ := p.acquire(start, throttle, Waiter{}); held != nil {
				break
			}
			calls++
		}
	}
	if calls != 30 || p.inFlight != 30 {
		t.Errorf("%d calls, %d in flight: want 30", calls, p.inFlight)
	}
}

func TestClientSessionTokenIsSentToOneRoute(t *testing.T) {
	s := newServer(t, nil)
	for r := range routes {
		err := callEach[r](t, s.client.Connection(credential(t, seamtest.JohnToken, "")), Waiter{})
		if want := r == getClientSession; (err == nil) != want || s.CallsTo(r.path()) > 0 != want {
			t.Errorf("%s: %v, %d calls", r.path(), err, s.CallsTo(r.path()))
		}
	}
}

func TestProvisionSendsWhatIsSet(t *testing.T) {
	s := newServer(t, nil)
	for _, test := range []struct {
		provision Provision
		want      string
	}{
		{provisionJohn, `{"expires_at":"2030-01-02T00:00:00Z","user_identifier_key":"john_user_identifier_key"}`},
		{
			Provision{
				User: Selector{UserIdentifierKey: `"`}, ExpiresAt: start.Add(time.Hour + 999*time.Millisecond).In(time.FixedZone("", 3600)),
				ConnectedAccountIDs: []string{"a", "b"}, ConnectWebviewIDs: []string{}, UserIdentityID: "c",
			},
			`{"connect_webview_ids":[],"connected_account_ids":["a","b"],"expires_at":"2030-01-01T01:00:00Z","user_identifier_key":"\"","user_identity_id":"c"}`,
		},
	} {
		if _, err := s.connection(t).GetOrCreateClientSession(t.Context(), test.provision, Waiter{}); err != nil {
			t.Fatal(err)
		}
		if got := s.Calls()[s.CallCount()-1].Body; got != test.want {
			t.Errorf("sent %s, want %s", got, test.want)
		}
		expectSilent(t, test.provision)
	}
	for _, bad := range []Provision{
		{User: john, ExpiresAt: start}, {User: johnKey}, {ExpiresAt: start},
		{User: johnKey, ExpiresAt: start, ConnectedAccountIDs: []string{""}},
		{User: johnKey, ExpiresAt: start, ConnectWebviewIDs: []string{"a b"}},
		{User: johnKey, ExpiresAt: start, UserIdentityID: "é"},
	} {
		_, err := s.connection(t).GetOrCreateClientSession(t.Context(), bad, Waiter{})
		var failed *Error
		if !errors.As(err, &failed) || failed.Kind != InvalidRequest || s.CallCount() != 2 {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestProvisionIsReadAnew(t *testing.T) {
	s := newServer(t, nil)
	s.Behave(seamtest.Behaviour{ExtendingChangesToken: true, MaxLifetime: time.Hour})
	provision := provisionJohn
	provision.ConnectedAccountIDs = []string{"a"}
	got, err := s.connection(t).GetOrCreateClientSession(t.Context(), provision, Waiter{})
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != seamtest.JohnSessionID || got.Token == seamtest.JohnToken || !got.ExpiresAt.Equal(start.Add(time.Hour)) ||
		!slices.Equal(got.ConnectedAccountIDs, []string{"a"}) || got.ConnectWebviewIDs == nil || !got.Date.Equal(start) {
		t.Errorf("got %s, %+v", got, got.ConnectedAccountIDs)
	}
}

func TestErrorOfOtherRoutesSaysWhatToDo(t *testing.T) {
	for _, test := range []struct {
		route route
		fault seamtest.Fault
		kind  Kind
		text  string
	}{
		{getOrCreateClientSession, seamtest.BadRequest, InvalidRequest,
			"seam answered 400 invalid_input: check the user identifier key, the lifetime, and the IDs of what the client session may see"},
		{getOrCreateClientSession, seamtest.Status(404, "connected_account_not_found"), InvalidRequest,
			"seam answered 404 connected_account_not_found: " +
				"check the user identifier key, the lifetime, and the IDs of what the client session may see"},
		{getOrCreateClientSession, seamtest.NotFoundUntyped, InvalidResponse,
			"seam answered 404: check --seam-endpoint, and what is between here and Seam"},
		{getOrCreateClientSession, seamtest.Status(400, "client_session_token_already_exists"), Conflict,
			"seam answered 400 client_session_token_already_exists: " +
				"seam has a client session of that user which it neither returns nor extends: delete that one at Seam"},
		{getOrCreateClientSession, seamtest.Status(409, "conflict"), Conflict,
			"seam answered 409 conflict: seam has a client session of that user which it neither returns nor extends: delete that one at Seam"},
		{getOrCreateClientSession, seamtest.Forbidden, Forbidden,
			"seam answered 403 forbidden: the credential may not make or extend client sessions: check what it may do"},
		{getOrCreateClientSession, seamtest.AnotherSession, Mismatch,
			"user_identifier_key of the answer, which is about client session \"another_session\", is another than was asked for: " +
				"check the user identifier key and the credential"},
		{deleteClientSession, seamtest.Forbidden, Forbidden,
			"seam answered 403 forbidden: the credential may not delete client sessions: check what it may do"},
		{deleteClientSession, seamtest.HTML, InvalidResponse,
			"the answer is not an object in JSON: check --seam-endpoint, and what is between here and Seam"},
		{getWorkspace, seamtest.NotFound, InvalidResponse,
			"seam answered 404 client_session_not_found: check --seam-endpoint, and what is between here and Seam"},
		{listEvents, seamtest.Forbidden, Forbidden,
			"seam answered 403 forbidden: the credential may not list events: check what it may do"},
		{listEvents, seamtest.BadRequest, InvalidRequest,
			"seam answered 400 invalid_input: check --seam-endpoint, and what is between here and Seam"},
		{listEvents, seamtest.NotOK, InvalidResponse, "the answer has status 200 but says that it is not ok"},
	} {
		s := newServer(t, nil)
		s.FailRoute(test.route.path(), test.fault)
		var failed *Error
		err := callEach[test.route](t, s.connection(t), Waiter{})
		if !errors.As(err, &failed) || failed.Kind != test.kind || failed.Error() != test.text {
			t.Errorf("%s on %s: got %v", test.fault, test.route.path(), err)
		}
	}
}

// No fault has another route than get panic, hang, show a secret, or take for a success what isn't one.
func TestEveryFaultOnEveryRoute(t *testing.T) {
	harmless := []string{ // for an answer without a session
		seamtest.EmptyToken.Name, seamtest.NoSession.Name, seamtest.AnotherSession.Name, seamtest.AnotherWorkspace.Name,
		seamtest.UnreadableExpiry.Name, seamtest.PastExpiry.Name, seamtest.NoExpiry.Name, seamtest.UnknownFields.Name,
	}
	succeeds := func(r route, name string) bool {
		switch r {
		case getClientSession, getOrCreateClientSession:
			return slices.Contains(harmless[4:], name) && name != seamtest.UnreadableExpiry.Name || name == seamtest.AnotherWorkspace.Name
		case deleteClientSession:
			return name == seamtest.NotFound.Name || slices.Contains(harmless, name)
		case getWorkspace, listEvents, routes:
		}
		return slices.Contains(harmless, name)
	}
	for _, fault := range seamtest.Faults {
		t.Run(fault.Name, func(t *testing.T) {
			for r := range routes {
				s := newServer(t, nil)
				s.Put(seamtest.Session{ID: "cst9", WorkspaceID: seamtest.Workspace1, Token: "seam_cst9"})
				s.fail(fault)
				err := callEach[r](t, s.connection(t), Waiter{})
				if (err == nil) != succeeds(r, fault.Name) {
					t.Errorf("%s: %v", r.path(), err)
				}
				if err != nil {
					expectSilent(t, err)
				}
			}
		})
	}
}

// A call that changes something must not be sent again by the transport, which does that for calls that only read.
func TestOnlyReadsAreRepeatable(t *testing.T) {
	s := newServer(t, nil)
	for r := range routes {
		request, err := s.client.newRequest(t.Context(), plainCredential{value: seamtest.APIKey1}, r, map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		if _, repeatable := request.Header["Idempotency-Key"]; repeatable != (r == getClientSession || r == getWorkspace || r == listEvents) {
			t.Errorf("%s: repeatable: %t", r.path(), repeatable)
		}
	}
}

func TestWorkspace(t *testing.T) {
	s := newServer(t, nil)
	got, err := s.connection(t).GetWorkspace(t.Context(), Waiter{})
	want := Workspace{ID: seamtest.Workspace1, Name: "Workspace seed_workspace_1", Sandbox: true, Date: start}
	if err != nil || *got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = s.client.Connection(credential(t, seamtest.APIKey1, "another")).GetWorkspace(t.Context(), Waiter{})
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != Mismatch {
		t.Errorf("of another workspace: %v", err)
	}
	for name, want := range map[string]string{
		"Ünïted 1": "Ünïted 1", " a ": "a", "a\nb": "", "a\u202eb": "", "seam_apikey1_token": "", "x seam_cst9_y": "", "\ufffd": "",
	} {
		encoded, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`{"workspace":{"workspace_id":"w","name":%s,"is_sandbox":"yes"}}`, encoded)
		got, wrong := decodeWorkspace([]byte(body), plainCredential{value: seamtest.APIKey1})
		if wrong != nil || got.Name != want || got.Sandbox {
			t.Errorf("%q: got %+v, %v", name, got, wrong)
		}
	}
}

func TestDeletions(t *testing.T) {
	s := newServer(t, nil)
	s.step(1500 * time.Millisecond)
	s.Delete(seamtest.JohnSessionID)
	got, err := s.connection(t).ListDeletions(t.Context(), Window{Since: start}, 2, Waiter{})
	if err != nil || len(got.Events) != 1 || got.Full || !got.Date.Equal(start.Add(time.Second)) {
		t.Fatalf("got %+v, %v", got, err)
	}
	want := Deletion{
		EventID: got.Events[0].EventID, ClientSessionID: seamtest.JohnSessionID, WorkspaceID: seamtest.Workspace1,
		OccurredAt: start.Add(1500 * time.Millisecond),
	}
	if got.Events[0] != want || want.EventID == "" {
		t.Errorf("got %+v", got.Events[0])
	}
	for _, test := range []struct {
		window Window
		limit  int
		body   string
		full   bool
	}{
		{Window{Since: start}, 1, `{"event_types":["client_session.deleted"],"limit":1,"since":"2030-01-01T00:00:00.000Z"}`, true},
		{Window{Since: start, Until: start.Add(1234 * time.Millisecond)}, 5000,
			`{"between":["2030-01-01T00:00:00.000Z","2030-01-01T00:00:01.234Z"],"event_types":["client_session.deleted"],"limit":500}`, false},
	} {
		got, err := s.connection(t).ListDeletions(t.Context(), test.window, test.limit, Waiter{})
		if err != nil || got.Full != test.full {
			t.Errorf("got %+v, %v", got, err)
		}
		if sent := s.Calls()[s.CallCount()-1].Body; sent != test.body {
			t.Errorf("sent %s, want %s", sent, test.body)
		}
	}
}

func TestEventsThatCantBeUsedAreLeftOut(t *testing.T) {
	const good = `"event_type":"client_session.deleted","event_id":"e","client_session_id":"s","workspace_id":"w"`
	for event, want := range map[string]bool{
		`{` + good + `}`: true, `{` + good + `,"new":[1],"occurred_at":7}`: true,
		`{` + good + `,"workspace_id":"v"}`: false, `{` + good + `,"workspace_id":null}`: false, `{` + good + `,"workspace_id":7}`: false,
		`{` + good + `,"event_id":""}`: false, `{` + good + `,"event_id":7}`: false, `{` + good + `,"client_session_id":"a b"}`: false,
		`{` + good + `,"client_session_id":"seam_apikey1_token"}`: false, `{` + good + `,"event_type":"device.connected"}`: false,
		`{` + good + `,"event_type":null}`: false, `null`: false, `7`: false, `[]`: false,
	} {
		got, wrong := decodeDeletions([]byte(`{"events":[`+event+`,{`+good+`}]}`), plainCredential{value: seamtest.APIKey1, workspaceID: "w"}, 2)
		if wrong != nil || (len(got.Events) == 2) != want || !got.Full {
			t.Errorf("%s: got %+v, %v", event, got, wrong)
		}
	}
	for _, body := range []string{`{}`, `{"events":null}`, `{"events":{}}`, `[]`, `null`, `{"events":[],"ok":false}`, ``} {
		if got, wrong := decodeDeletions([]byte(body), plainCredential{}, 2); wrong == nil || wrong.Kind != InvalidResponse {
			t.Errorf("%s: got %+v", body, got)
		}
	}
}

func TestDeletingWhatIsGoneIsDone(t *testing.T) {
	for _, behaviour := range []seamtest.Behaviour{{}, {GoneIsDeleted: true}, {DeletedIsEmpty: true, GoneIsDeleted: true}} {
		s := newServer(t, nil)
		s.Behave(behaviour)
		for range 2 {
			if err := s.connection(t).DeleteClientSession(t.Context(), seamtest.JohnSessionID, Waiter{}); err != nil {
				t.Errorf("%+v: %v", behaviour, err)
			}
		}
		if _, ok := s.Session(seamtest.JohnSessionID); ok {
			t.Error("the session is still there")
		}
	}
	s := newServer(t, nil)
	if err := s.connection(t).DeleteClientSession(t.Context(), "", Waiter{}); err == nil || s.CallCount() != 0 {
		t.Errorf("without an ID: %v, %d calls", err, s.CallCount())
	}
}

func TestListsThatCantBeSentBackAreNotKept(t *testing.T) {
	for list, want := range map[string][]string{
		`["a","b"]`: {"a", "b"}, `[]`: {}, `null`: nil, `["a b"]`: nil, `[null]`: nil, `{}`: nil, `"a"`: nil, `[""]`: nil,
	} {
		body := fmt.Sprintf(`{"client_session":{"client_session_id":"cst1","token":"seam_cst9","connected_account_ids":%s}}`, list)
		got, wrong := decodeClientSession([]byte(body), plainCredential{value: seamtest.APIKey1}, john)
		if wrong != nil || !slices.Equal(got.ConnectedAccountIDs, want) || (got.ConnectedAccountIDs == nil) != (want == nil) {
			t.Errorf("%s: got %#v, %v", list, got, wrong)
		}
	}
}
