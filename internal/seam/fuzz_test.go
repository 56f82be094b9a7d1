package seam

import (
	"encoding/json"
	"fmt"
	"net/http"
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
		if selector.check() != nil {
			return
		}
		credential := credentialSecret{kind: apiKey, value: "seam_apikey1_token", workspaceID: "w"}
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
	if text := err.Error(); !known || text == "" || len(text) > 250 || strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
		t.Fatalf("got %s: %q", err.Kind, text)
	}
}

func expectUsable(t *testing.T, s *ClientSession) {
	t.Helper()
	if s.Token == "" || len(s.Token) > 4096 || strings.ContainsFunc(s.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		t.Fatalf("token %q", s.Token)
	}
	if !identifier.MatchString(s.ID) || s.WorkspaceID != "" && !identifier.MatchString(s.WorkspaceID) || strings.Contains(s.ID, s.Token) {
		t.Fatalf("session %q of workspace %q", s.ID, s.WorkspaceID)
	}
	for _, at := range []*time.Time{s.CreatedAt, s.ExpiresAt} {
		if at == nil {
			continue
		}
		stored, err := json.Marshal(at)
		var read time.Time
		if err != nil || json.Unmarshal(stored, &read) != nil || !read.Equal(*at) || at.Nanosecond() != 0 || at.Location() != time.UTC {
			t.Fatalf("time %s does not survive being stored", at)
		}
	}
	for _, text := range []string{s.UserIdentifierKey, s.UserIdentityID, s.CustomerKey} {
		if len(text) > 4096 || !utf8.ValidString(text) {
			t.Fatalf("text of %d bytes", len(text))
		}
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
		if status < -1 || status > 9999 {
			return
		}
		header := http.Header{"Seam-Request-Id": {id}, "Retry-After": {wait}}
		a := &answer{status: status, header: header, body: body}
		err := a.err(start, credentialSecret{value: "seam_apikey1_token"}, Selector{UserIdentifierKey: key})
		expectPlain(t, err, Unauthorized, Forbidden, NotFound, InvalidRequest, RateLimited, Unavailable, InvalidResponse)
		switch {
		case (status == 401) != (err.Kind == Unauthorized), (status == 429) != (err.Kind == RateLimited):
			t.Fatalf("status %d is %s", status, err.Kind)
		case err.Kind == NotFound && (status != 404 || !strings.Contains(string(body), "error")):
			t.Fatalf("status %d with %q is NotFound", status, body)
		case err.Kind != RateLimited && err.RetryAfter != 0, err.RetryAfter < 0, err.RetryAfter > time.Hour:
			t.Fatalf("%s: retry after %s", err.Kind, err.RetryAfter)
		case len(err.Message) > 512 || !utf8.ValidString(err.Message) || strings.ContainsFunc(err.Message, unicode.IsControl):
			t.Fatalf("message %q", err.Message)
		}
		fixed := &answer{status: status}
		typ, _ := decodeError(body)
		known := strings.HasPrefix(typ, "client_session_") || typ == typeUnauthorized || typ == typeWrongWorkspace
		shown := err.RequestID
		if !known { // then nothing of the server's is in the text that the key could be in
			shown += err.Type
		}
		if key != "" && strings.Contains(strings.ToLower(shown), strings.ToLower(key)) || strings.Contains(shown+err.Message+err.Error(), "seam_apikey1_token") {
			t.Fatalf("shows a secret: %s, request %q, message %q", err, err.RequestID, err.Message)
		}
		if plain := fixed.err(start, credentialSecret{}, Selector{}); err.Type == "" && err.Kind == plain.Kind && typ == "" && err.Error() != plain.Error() {
			t.Fatalf("without a type the text is %q, want %q", err, plain)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, header := range []string{"", "0", "20", "-1", "1.5", "99999999999999999999", "Tue, 01 Jan 2030 00:00:20 GMT", "Tuesday, 01-Jan-30 00:00:20 GMT"} {
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
		"", "seam_apikey1_token", "seam_apikey1_token\n", "seam_at1_longtoken", "seam_cst1_token", "seam_pk1_token", "seam_", "ey", "eyJ.a.b",
		"Bearer seam_x", "c2VhbV9rZXkx", "seam_\x00", "\ufeffseam_x", jwt(`{"kubernetes.io":{}}`),
	} {
		f.Add(value, "")
		f.Add(value, "w")
	}
	f.Fuzz(func(t *testing.T, value, workspace string) {
		c, err := ParseCredential(value, workspace)
		trimmed := strings.TrimSpace(value)
		if err != nil {
			// A message is written by us: it can repeat only what is in it anyway.
			if text := err.Error(); len(text) > 200 || len(trimmed) > 25 && strings.Contains(text, trimmed) || strings.ContainsFunc(text, unicode.IsControl) {
				t.Fatalf("message %q", text)
			}
			return
		}
		secret := c.reveal()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+secret.value)
		var sent strings.Builder
		if err := request.Write(&sent); err != nil || !strings.Contains(sent.String(), "\r\nAuthorization: Bearer "+trimmed+"\r\n") {
			t.Fatalf("%q can't be sent: %v", value, err)
		}
		needsWorkspace := secret.kind == personalAccessToken || secret.kind == consoleSession
		if secret.kind == publishableKey || needsWorkspace && workspace == "" || secret.workspaceID != workspace ||
			!strings.HasPrefix(trimmed, "seam_") && !strings.HasPrefix(trimmed, "ey") {
			t.Fatalf("%q of workspace %q was taken", value, workspace)
		}
		if shown := fmt.Sprintf("%v %+v %#v", c, c, struct{ c Credential }{c}); strings.Contains(shown, trimmed) {
			t.Fatalf("shows %q", shown)
		}
	})
}
