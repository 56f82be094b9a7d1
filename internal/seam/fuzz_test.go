package seam

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func FuzzDecodeClientSession(f *testing.F) {
	for _, fields := range []string{
		``, `"expires_at":"2030-01-01T00:00:00.5Z"`, `"expires_at":null`, `"token":"a b"`, `"workspace_id":"w"`,
		`"device_count":1e9`, `"created_at":"x"`, `"customer_key":"\u0000"`, `"client_session_id":"seam_cst1_token"`,
	} {
		f.Add([]byte(answerWith(fields)), "cst1", "")
		f.Add([]byte(answerWith(fields)), "", "jane")
	}
	f.Add([]byte(`{"ok":false}`), "cst1", "")
	f.Add([]byte(`{"client_session":{"client_session_id":"a","token":"b","user_identifier_key":"\ud800"}}`), "", "\ufffd")
	f.Fuzz(func(t *testing.T, body []byte, id, key string) {
		selector := Selector{ClientSessionID: id, UserIdentifierKey: key}
		if selector.Validate() != nil {
			return
		}
		credential := plainCredential{kind: apiKey, value: "seam_apikey1_token", workspaceID: "w"}
		for _, credential.workspaceID = range []string{"", "w"} {
			session, err := decodeClientSession(body, credential, selector)
			if (session == nil) == (err == nil) {
				t.Fatalf("got %v and %v", session, err)
			}
			if err != nil {
				expectPlain(t, err, InvalidResponse, Mismatch)
				continue
			}
			expectUsable(t, session)
			if id != "" && session.ID != id || key != "" && session.UserIdentifierKey != key ||
				credential.workspaceID != "" && session.WorkspaceID != credential.workspaceID {
				t.Fatalf("asked for %q, %q in %q, got %q, %q in %q",
					id, key, credential.workspaceID, session.ID, session.UserIdentifierKey, session.WorkspaceID)
			}
			if strings.Contains(session.Token+session.ID+session.WorkspaceID, credential.value) {
				t.Fatal("the credential is in a field that is kept")
			}
		}
	})
}

// expectPlain checks an error's text for what a server can't have written.
func expectPlain(t *testing.T, err *Error, kinds ...Kind) {
	t.Helper()
	known := false
	for _, kind := range kinds {
		known = known || err.Kind == kind
	}
	text := err.Error()
	if !known || text == "" || len(text) > 250 || strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
		t.Fatalf("got %s: %q", err.Kind, text)
	}
}

func expectUsable(t *testing.T, s *ClientSession) {
	t.Helper()
	if s.Token == "" || len(s.Token) > 4096 || strings.ContainsFunc(s.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		t.Fatalf("token %q", s.Token)
	}
	badWorkspace := s.WorkspaceID != "" && !identifier.MatchString(s.WorkspaceID)
	if !identifier.MatchString(s.ID) || badWorkspace || strings.Contains(s.ID, s.Token) {
		t.Fatalf("session %q of workspace %q", s.ID, s.WorkspaceID)
	}
	expectStorable(t, s.CreatedAt)
	expectStorable(t, s.ExpiresAt)
	for _, text := range []string{s.UserIdentifierKey, s.UserIdentityID, s.CustomerKey} {
		if len(text) > 2048 || !utf8.ValidString(text) {
			t.Fatalf("text of %d bytes", len(text))
		}
	}
}

// expectStorable checks that a time comes back from a status as it went in.
func expectStorable(t *testing.T, at *time.Time) {
	t.Helper()
	if at == nil {
		return
	}
	stored, err := json.Marshal(at)
	var read time.Time
	if err != nil || json.Unmarshal(stored, &read) != nil || !read.Equal(*at) || at.Nanosecond() != 0 || at.Location() != time.UTC {
		t.Fatalf("time %s does not survive being stored", at)
	}
}

func FuzzDecodeError(f *testing.F) {
	for _, body := range []string{
		``, `Invalid JSON`, `{"error":{"type":"unauthorized","message":"m"},"ok":false}`, `{"error":{"type":"seam_apikey1_token"}}`,
		`{"error":{"type":"jane","message":"jane seam_apikey1_token seam_cst1_x"}}`, `{"error":{"validation_errors":{"_errors":[]}}}`,
	} {
		for _, status := range []int{0, 204, 302, 400, 401, 403, 404, 407, 408, 418, 429, 500, 503, 600} {
			f.Add(status, []byte(body), "request1", "20", "jane")
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, id, wait, key string) {
		if status < 100 || status > 999 { // net/http lets no other pass
			return
		}
		const credential = "seam_apikey1_token"
		header := http.Header{"Seam-Request-Id": {id}, "Retry-After": {wait}}
		a := &answer{status: status, header: header, body: body}
		err := a.err(start, getClientSession, plainCredential{value: credential}, key)
		expectPlain(t, err, Unauthorized, Forbidden, NotFound, InvalidRequest, RateLimited, Unavailable, InvalidResponse)
		expectKindOfStatus(t, err, decodeError(body))
		if strings.Contains(err.RequestID+err.Error(), credential) || key != "" && strings.Contains(err.RequestID, key) {
			t.Fatalf("shows a secret: %s, request %q", err, err.RequestID)
		}
		// But for the type, nothing of the text is the server's.
		typ := decodeError(body)
		plain := strings.Replace(err.Error(), " "+shownType(typ, []string{credential, key})+":", ":", 1)
		for _, typ := range []string{"", typeSessionNotFound, typeSessionExpired, typeWrongWorkspace} {
			if _, advice := classify(getClientSession, status, typ); plain == fmt.Sprintf("seam answered %d: %s", status, advice) {
				return
			}
		}
		t.Fatalf("text %q", err)
	})
}

// expectKindOfStatus checks what a status can be.
func expectKindOfStatus(t *testing.T, err *Error, typ string) {
	t.Helper()
	only := map[int]Kind{400: InvalidRequest, 401: Unauthorized, 403: Forbidden, 429: RateLimited, 503: Unavailable}
	kind, ok := only[err.StatusCode]
	switch {
	case ok && err.Kind != kind, !ok && (err.Kind == Unauthorized || err.Kind == RateLimited || err.Kind == InvalidRequest):
		t.Fatalf("status %d is %s", err.StatusCode, err.Kind)
	case err.Kind == NotFound && (err.StatusCode != 404 || typ != typeSessionNotFound):
		t.Fatalf("status %d with type %q is NotFound", err.StatusCode, typ)
	case err.Kind != RateLimited && err.RetryAfter != 0, err.RetryAfter < 0, err.RetryAfter > time.Hour:
		t.Fatalf("%s: retry after %s", err.Kind, err.RetryAfter)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, header := range []string{
		"", "0", "20", "-1", "1.5", "99999999999999999999", "Tue, 01 Jan 2030 00:00:20 GMT", "Tuesday, 01-Jan-30 00:00:20 GMT",
	} {
		f.Add(header, int64(0))
	}
	f.Fuzz(func(t *testing.T, header string, seconds int64) {
		now := time.Unix(seconds%(1<<40), 0)
		if got := retryAfter(header, now); got < 0 || got > time.Hour {
			t.Fatalf("%q: %s", header, got)
		}
		if got, want := retryAfter(fmt.Sprint(seconds), now), time.Duration(min(max(0, seconds), 3600))*time.Second; got != want {
			t.Fatalf("%d: got %s, want %s", seconds, got, want)
		}
	})
}

func FuzzParseCredential(f *testing.F) {
	for _, value := range []string{
		"", "seam_apikey1_token", "seam_apikey1_token\n", "seam_at1_longtoken", "seam_cst1_token", "seam_pk1_token", "seam_",
		"ey", "eyJ.a.b", "Bearer seam_x", "c2VhbV9rZXkx", "seam_\x00", "\ufeffseam_x", jwt(`{"kubernetes.io":{}}`),
	} {
		f.Add(value, "")
		f.Add(value, "w")
	}
	f.Fuzz(func(t *testing.T, value, workspace string) {
		trimmed := strings.TrimSpace(value)
		c, err := ParseCredential(value, workspace)
		if err != nil {
			// The text is ours: a value can be in it only if it is a piece of it anyway.
			if text := err.Error(); len(text) > 200 || len(trimmed) > 25 && strings.Contains(text, trimmed) {
				t.Fatalf("text %q", text)
			}
			return
		}
		if secret := c.reveal(); secret.value != trimmed || secret.workspaceID != workspace {
			t.Fatalf("%q of workspace %q became %q of %q", value, workspace, secret.value, secret.workspaceID)
		}
		expectSendable(t, c.reveal())
		if shown := fmt.Sprintf("%v %+v %#v", c, c, struct{ c Credential }{c}); strings.Contains(shown, trimmed) {
			t.Fatalf("shows %q", shown)
		}
	})
}

// expectSendable checks that a credential is of a kind that Seam takes, and arrives there as it is.
func expectSendable(t *testing.T, secret plainCredential) {
	t.Helper()
	known := strings.HasPrefix(secret.value, "seam_") || strings.HasPrefix(secret.value, "ey")
	needsWorkspace := strings.HasPrefix(secret.value, "seam_at") || strings.HasPrefix(secret.value, "ey")
	if !known || strings.HasPrefix(secret.value, "seam_pk") || needsWorkspace && secret.workspaceID == "" {
		t.Fatalf("%q of workspace %q was taken", secret.value, secret.workspaceID)
	}
	client := &Client{endpoint: &url.URL{Scheme: "http", Host: "localhost"}}
	request, err := client.newRequest(t.Context(), secret, getClientSession, nil)
	if err != nil {
		t.Fatal(err)
	}
	var sent strings.Builder
	if err := request.Write(&sent); err != nil || !strings.Contains(sent.String(), "\r\nAuthorization: Bearer "+secret.value+"\r\n") {
		t.Fatalf("%q can't be sent: %v", secret.value, err)
	}
}

func FuzzDecodeWorkspace(f *testing.F) {
	for _, body := range []string{
		``, `null`, `{"workspace":{"workspace_id":"w","name":"n","is_sandbox":true},"ok":true}`, `{"workspace":{"workspace_id":"v"}}`,
		`{"workspace":{"workspace_id":"w","name":"seam_apikey1_token"}}`, `{"workspace":null,"ok":false}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		credential := plainCredential{kind: apiKey, value: "seam_apikey1_token", workspaceID: "w"}
		for _, credential.workspaceID = range []string{"", "w"} {
			workspace, err := decodeWorkspace(body, credential)
			if (workspace == nil) == (err == nil) {
				t.Fatalf("got %v and %v", workspace, err)
			}
			if err != nil {
				expectPlain(t, err, InvalidResponse, Mismatch)
				continue
			}
			if !identifier.MatchString(workspace.ID) || credential.workspaceID != "" && workspace.ID != "w" ||
				len(workspace.Name) > utf8.UTFMax*maxWorkspaceName || strings.ContainsFunc(workspace.Name, unicode.IsControl) ||
				strings.Contains(workspace.ID+workspace.Name, credential.value) {
				t.Fatalf("got %+v", workspace)
			}
		}
	})
}

func FuzzDecodeDeletions(f *testing.F) {
	for _, body := range []string{
		``, `null`, `{"events":[]}`, `{"events":[null,{}],"ok":true}`,
		`{"events":[{"event_type":"client_session.deleted","event_id":"e","client_session_id":"s","workspace_id":"w",` +
			`"occurred_at":"2030-01-01T00:00:00.5Z"}]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		credential := plainCredential{kind: apiKey, value: "seam_apikey1_token", workspaceID: "w"}
		deletions, err := decodeDeletions(body, credential, 3)
		if (deletions == nil) == (err == nil) {
			t.Fatalf("got %v and %v", deletions, err)
		}
		if err != nil {
			expectPlain(t, err, InvalidResponse)
			return
		}
		if len(deletions.Events) >= 3 && !deletions.Full {
			t.Fatalf("%d events are not full", len(deletions.Events))
		}
		for _, event := range deletions.Events {
			year := event.OccurredAt.Year()
			if !identifier.MatchString(event.EventID) || !identifier.MatchString(event.ClientSessionID) || event.WorkspaceID != "w" ||
				!event.OccurredAt.IsZero() && (year < 1970 || year > 9999) {
				t.Fatalf("got %+v", event)
			}
		}
	})
}

func FuzzDecodeDone(f *testing.F) {
	for _, body := range []string{``, `{}`, `{"ok":true}`, `{"ok":false}`, `null`, `[]`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := decodeDone(body); err != nil {
			expectPlain(t, err, InvalidResponse)
		}
	})
}
