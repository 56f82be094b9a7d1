package seam

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var (
	anAPIKey = plainCredential{kind: apiKey, value: "seam_apikey1_token"}
	byID     = Selector{ClientSessionID: "cst1"}
	byKey    = Selector{UserIdentifierKey: "jane"}
)

// session is a good answer, with some more fields before its end, which override others.
func answerWith(fields string) string {
	if fields != "" {
		fields = "," + fields
	}
	return `{"client_session":{"client_session_id":"cst1","token":"seam_cst1_token","user_identifier_key":"jane"` + fields + `}}`
}

func TestDecodeWhatIsOptional(t *testing.T) {
	for _, test := range []struct{ fields, want string }{
		{``, "workspace , created -, expires -, identity , customer , devices -"},
		{`"workspace_id":"w","created_at":"2029-12-31T23:00:00.123456Z","expires_at":"2030-01-02T00:00:00.999999+01:00",
		  "user_identity_id":"i","customer_key":"c","device_count":2.0,"connected_account_ids":[],"x":{"y":[1]}`,
			"workspace w, created 2029-12-31T23:00:00Z, expires 2030-01-01T23:00:00Z, identity i, customer c, devices 2"},
		{`"workspace_id":null,"created_at":null,"expires_at":null,"user_identity_id":null,"customer_key":null,"device_count":null`,
			"workspace , created -, expires -, identity , customer , devices -"},
		{`"created_at":"yesterday","user_identity_id":7,"customer_key":["c"],"device_count":"2"`,
			"workspace , created -, expires -, identity , customer , devices -"},
		{`"created_at":"0000-01-01T00:00:00Z","device_count":2.5,"customer_key":"` + strings.Repeat("c", 1025) + `"`,
			"workspace , created -, expires -, identity , customer , devices -"},
		{`"created_at":17,"device_count":-1`, "workspace , created -, expires -, identity , customer , devices -"},
		{`"device_count":2147483648`, "workspace , created -, expires -, identity , customer , devices -"},
		{`"device_count":2147483647`, "workspace , created -, expires -, identity , customer , devices 2147483647"},
		{`"device_count":1e400`, "workspace , created -, expires -, identity , customer , devices -"},
		{`"device_count":0`, "workspace , created -, expires -, identity , customer , devices 0"},
		{`"expires_at":"1970-01-01T00:00:00Z"`, "workspace , created -, expires 1970-01-01T00:00:00Z, identity , customer , devices -"},
		{`"expires_at":"9999-12-31T23:59:59.999Z"`, "workspace , created -, expires 9999-12-31T23:59:59Z, identity , customer , devices -"},
	} {
		s, err := decodeClientSession([]byte(answerWith(test.fields)), anAPIKey, byID)
		if err != nil {
			t.Errorf("%s: %v", test.fields, err)
			continue
		}
		devices := "-"
		if s.DeviceCount != nil {
			devices = fmt.Sprint(*s.DeviceCount)
		}
		got := fmt.Sprintf("workspace %s, created %s, expires %s, identity %s, customer %s, devices %s",
			s.WorkspaceID, show(s.CreatedAt), show(s.ExpiresAt), s.UserIdentityID, s.CustomerKey, devices)
		if got != test.want || s.ID != "cst1" || s.Token != "seam_cst1_token" || s.UserIdentifierKey != "jane" {
			t.Errorf("%s:\ngot  %s\nwant %s", test.fields, got, test.want)
		}
	}
}

func show(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339Nano)
}

func TestDecodeTolerates(t *testing.T) {
	for _, body := range []string{
		`{"ok":true,` + answerWith("")[1:],
		`{"ok":null,` + answerWith("")[1:],
		`{"ok":"yes","warnings":[{}],` + answerWith("")[1:],
		" \n" + answerWith("") + "\n",
		answerWith(`"user_identifier_key":null`),
		answerWith(`"user_identifier_key":7`),
	} {
		if _, err := decodeClientSession([]byte(body), anAPIKey, byID); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const notJSON = "the answer is not a client session in JSON: " + checkEndpoint
	const none = "the answer holds no client session: " + checkEndpoint
	const noToken = "the client session in the answer has no token"
	const badToken = "the token in the answer has white space, control or non-ASCII characters in it"
	const badID = "the client session ID in the answer can't be used"
	const badWorkspace = "the workspace ID in the answer can't be used"
	const badExpiry = "the expires_at in the answer is not a time that can be read"
	for _, test := range []struct{ body, want string }{
		{``, notJSON}, {`{`, notJSON}, {`[]`, notJSON}, {`"a"`, notJSON}, {`{"client_session":[]}`, notJSON},
		{answerWith("") + "x", notJSON}, {`null`, none}, {`{}`, none}, {`{"client_session":null}`, none},
		{strings.Repeat("[", 100_000), notJSON},
		{`{"ok":false,` + answerWith("")[1:], "the answer has status 200 but says that it is not ok"},
		{`{"ok":false}`, "the answer has status 200 but says that it is not ok"},
		{`{"client_session":{}}`, noToken}, {answerWith(`"token":null`), noToken},
		{`{"client_session":{"client_session_id":"cst1","token":null}}`, noToken},
		{answerWith(`"token":""`), noToken}, {answerWith(`"token":7`), noToken}, {answerWith(`"token":["a"]`), noToken},
		{answerWith(`"token":"` + strings.Repeat("t", 4097) + `"`), "the token in the answer is longer than 4096 bytes"},
		{answerWith(`"token":"` + strings.Repeat("t", 4096) + `"`), ""},
		{answerWith(`"token":"a b"`), badToken}, {answerWith(`"token":"a\n"`), badToken}, {answerWith(`"token":"\u0000"`), badToken},
		{answerWith(`"token":"ü"`), badToken}, {answerWith("\"token\":\"a\xff\""), badToken}, {answerWith(`"token":"a\u007f"`), badToken},
		{answerWith(`"token":"seam_apikey1_token"`), "the token in the answer is the credential itself"},
		{answerWith(`"token":"xseam_apikey1_tokenx"`), "the token in the answer is the credential itself"},
		{answerWith(`"client_session_id":""`), badID}, {answerWith(`"client_session_id":7`), badID},
		{answerWith(`"client_session_id":"a b"`), badID}, {answerWith(`"client_session_id":"a/b"`), badID},
		{answerWith(`"client_session_id":"a\n"`), badID}, {answerWith(`"client_session_id":"../../x"`), badID},
		{answerWith(`"client_session_id":"` + strings.Repeat("a", 65) + `"`), badID},
		{answerWith(`"client_session_id":"seam_cst1_token"`), badID},
		{answerWith(`"client_session_id":"x_SEAM_CST1_TOKEN_x"`), badID},
		{answerWith(`"client_session_id":"seam_apikey1_token"`), badID},
		{answerWith(`"workspace_id":""`), badWorkspace}, {answerWith(`"workspace_id":7`), badWorkspace},
		{answerWith(`"workspace_id":"a b"`), badWorkspace}, {answerWith(`"workspace_id":"seam_cst1_token"`), badWorkspace},
		{answerWith(`"workspace_id":"seam_apikey1_token"`), badWorkspace},
		{answerWith(`"expires_at":"tomorrow"`), badExpiry}, {answerWith(`"expires_at":""`), badExpiry},
		{answerWith(`"expires_at":1893456000`), badExpiry}, {answerWith(`"expires_at":{}`), badExpiry},
		{answerWith(`"expires_at":"2030-01-01"`), badExpiry}, {answerWith(`"expires_at":"2030-13-01T00:00:00Z"`), badExpiry},
		{answerWith(`"expires_at":"0000-12-31T23:59:59Z"`), badExpiry},
		{answerWith(`"expires_at":"0001-01-01T00:00:00Z"`), badExpiry}, {answerWith(`"expires_at":"1969-12-31T23:59:59Z"`), badExpiry},
		{answerWith(`"expires_at":"9999-12-31T23:59:59-01:00"`), badExpiry},
		{answerWith(`"expires_at":"10000-01-01T00:00:00Z"`), badExpiry},
	} {
		_, err := decodeClientSession([]byte(test.body), anAPIKey, byID)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%.200s: %v", test.body, err)
		case test.want != "" && (err == nil || err.Kind != InvalidResponse || err.Error() != test.want):
			t.Errorf("%.200s:\ngot  %v\nwant InvalidResponse: %s", test.body, err, test.want)
		}
	}
}

func TestDecodeComparesWithWhatWasAsked(t *testing.T) {
	inWorkspace := anAPIKey
	inWorkspace.workspaceID = "w"
	session := func(came string) string {
		return "client_session_id of the answer is " + came + `, and "cst1" was asked for: ` + checkEndpoint
	}
	user := func(session string) string {
		return "user_identifier_key of the answer, which is about client session " + session + ", is another than was asked for: " +
			"check the user identifier key and the credential"
	}
	workspace := func(came string) string {
		return "workspace_id of the answer is " + came + `, and "w" was asked for: check the workspace ID and the credential`
	}
	for _, test := range []struct {
		body       string
		credential plainCredential
		selector   Selector
		want       string
	}{
		{answerWith(``), anAPIKey, byID, ""},
		{answerWith(`"client_session_id":"CST1"`), anAPIKey, byID, session(`"CST1"`)},
		{answerWith(`"client_session_id":"cst2"`), anAPIKey, byID, session(`"cst2"`)},
		{answerWith(`"client_session_id":"of-jane"`), anAPIKey, byID, session("another")},
		{answerWith(`"client_session_id":"seam_cst7_token"`), anAPIKey, byID, session("another")},
		{answerWith(`"user_identifier_key":"joe"`), anAPIKey, byID, ""},
		{answerWith(``), anAPIKey, byKey, ""},
		{answerWith(`"client_session_id":"cst2"`), anAPIKey, byKey, ""},
		{answerWith(`"user_identifier_key":"Jane"`), anAPIKey, byKey, user(`"cst1"`)},
		{answerWith(`"user_identifier_key":"jane "`), anAPIKey, byKey, user(`"cst1"`)},
		{answerWith(`"client_session_id":"of-joe","user_identifier_key":"joe"`), anAPIKey, byKey, user("another")},
		{`{"client_session":{"client_session_id":"cst1","token":"seam_cst1_token"}}`, anAPIKey, byKey, user(`"cst1"`)},
		{`{"client_session":{"client_session_id":"cst1","token":"seam_cst1_token","user_identifier_key":null}}`, anAPIKey, byKey, user(`"cst1"`)},
		{answerWith(`"workspace_id":"w"`), inWorkspace, byID, ""},
		{answerWith(`"workspace_id":"v"`), inWorkspace, byID, workspace(`"v"`)},
		{answerWith(`"workspace_id":null`), inWorkspace, byID, workspace("missing")},
		{answerWith(``), inWorkspace, byID, workspace("missing")},
		{answerWith(``), plainCredential{kind: clientSessionToken, value: "seam_cst1_token"}, byID, ""},
	} {
		_, err := decodeClientSession([]byte(test.body), test.credential, test.selector)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.body, err)
		case test.want != "" && (err == nil || err.Kind != Mismatch || err.Error() != test.want):
			t.Errorf("%s:\ngot  %v\nwant Mismatch: %s", test.body, err, test.want)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	body := []byte(answerWith(`"workspace_id":"w","created_at":"2029-12-31T23:00:00.123456Z","expires_at":"2030-01-02T00:00:00Z",
		"connected_account_ids":["a","b"],"connect_webview_ids":[],"user_identity_ids":["i"],"device_count":2`))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeClientSession(body, anAPIKey, byID); err != nil {
			b.Fatal(err)
		}
	}
}
