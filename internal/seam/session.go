package seam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxUserIdentifierKey is how many characters a user identifier key may have. The CRD has the same bound, and counts
// characters as well.
const MaxUserIdentifierKey = 512

const (
	maxTokenBytes = 4096
	// maxOtherBytes bounds strings that nothing depends upon.
	maxOtherBytes = 1024
)

// Selector names a session: exactly one of its fields is set. Printed or marshalled, it reveals nothing.
type Selector struct {
	// ClientSessionID is the session's ID.
	ClientSessionID string
	// UserIdentifierKey is the key of the session's user, which is a secret to some users. Which session Seam returns if
	// several share it is undocumented.
	UserIdentifierKey string
}

// Validate returns an *Error of kind InvalidRequest if the selector can't be sent as it is.
func (s Selector) Validate() error {
	invalid := func(message string) error { return &Error{Kind: InvalidRequest, message: message} }
	switch key := s.UserIdentifierKey; {
	case (s.ClientSessionID == "") == (key == ""):
		return invalid("exactly one of client session ID and user identifier key must be given")
	case key == "" && !identifier.MatchString(s.ClientSessionID):
		return invalid("the client session ID must be 1 to 64 letters, digits, '_' and '-'")
	case !utf8.ValidString(key):
		return invalid("the user identifier key must be valid UTF-8")
	case utf8.RuneCountInString(key) > MaxUserIdentifierKey:
		return invalid(fmt.Sprintf("the user identifier key must be at most %d characters long", MaxUserIdentifierKey))
	case strings.ContainsFunc(key, unicode.IsControl):
		return invalid("the user identifier key must hold no line breaks or other control characters")
	}
	return nil
}

// Format reveals nothing, whatever the verb.
func (s Selector) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[selector]") }

// MarshalJSON reveals nothing.
func (s Selector) MarshalJSON() ([]byte, error) { return []byte(`"[selector]"`), nil }

// ClientSession is a session of Seam's, as far as this project needs it. Printed or marshalled, it reveals neither token nor
// keys.
type ClientSession struct {
	// ID is 1 to 64 letters, digits, '_' and '-'.
	ID string
	// WorkspaceID is of the same form; empty if Seam gave none.
	WorkspaceID string
	// Token is the secret: 1 to 4096 graphic ASCII characters.
	Token string
	// CreatedAt is when the session was made, in whole seconds; nil if Seam gave no time that can be read.
	CreatedAt *time.Time
	// ExpiresAt is when the session ends, in whole seconds, a fraction cut off; nil if Seam gave no end. It may be past.
	ExpiresAt *time.Time
	// UserIdentifierKey is a secret to some users; empty if Seam gave none.
	UserIdentifierKey string
	// UserIdentityID is empty if Seam gave none.
	UserIdentityID string
	// CustomerKey is empty if Seam gave none.
	CustomerKey string
	// ConnectedAccountIDs and ConnectWebviewIDs are what the session may see, each of the form of ID; nil if Seam did not say, or
	// not so that it could be sent back.
	ConnectedAccountIDs, ConnectWebviewIDs []string
	// DeviceCount is how many devices the session gives access to; nil if Seam did not say.
	DeviceCount *int32

	// Date is when Seam answered, by its own clock (the Date header), in whole seconds; zero if it did not say. It tells
	// whether the clocks are apart.
	Date time.Time
}

// String names the session by its ID.
func (s ClientSession) String() string { return "client session " + s.ID }

// Format names the session by its ID, whatever the verb.
func (s ClientSession) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalJSON gives the ID and no other field.
func (s ClientSession) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"client_session_id": s.ID})
}

// sessionAnswer is a good answer of /client_sessions/get and get_or_create. What may have any shape stays raw.
type sessionAnswer struct {
	OK            json.RawMessage `json:"ok"`
	ClientSession *struct {
		ClientSessionID   json.RawMessage `json:"client_session_id"`
		WorkspaceID       json.RawMessage `json:"workspace_id"`
		Token             json.RawMessage `json:"token"`
		CreatedAt         json.RawMessage `json:"created_at"`
		ExpiresAt         json.RawMessage `json:"expires_at"`
		UserIdentifierKey json.RawMessage `json:"user_identifier_key"`
		UserIdentityID    json.RawMessage `json:"user_identity_id"`
		CustomerKey       json.RawMessage `json:"customer_key"`
		DeviceCount       json.RawMessage `json:"device_count"`

		ConnectedAccountIDs json.RawMessage `json:"connected_account_ids"`
		ConnectWebviewIDs   json.RawMessage `json:"connect_webview_ids"`
	} `json:"client_session"`
}

// decodeClientSession reads a good answer to a request for selector: tolerant of what Seam's reference leaves open, strict
// about what must hold. Its error is an InvalidResponse or a Mismatch.
func decodeClientSession(body []byte, credential plainCredential, selector Selector) (*ClientSession, *Error) {
	var answer sessionAnswer
	if json.Unmarshal(body, &answer) != nil {
		return nil, invalidResponse("the answer is not a client session in JSON: " + checkEndpoint)
	}
	wire := answer.ClientSession
	if string(answer.OK) == "false" {
		return nil, invalidResponse("the answer has status 200 but says that it is not ok")
	}
	if wire == nil {
		return nil, invalidResponse("the answer holds no client session: " + checkEndpoint)
	}
	session := &ClientSession{
		ID:                parseString(wire.ClientSessionID, maxBodyBytes),
		WorkspaceID:       parseString(wire.WorkspaceID, maxBodyBytes),
		Token:             parseString(wire.Token, maxBodyBytes),
		CreatedAt:         parseTime(parseString(wire.CreatedAt, maxOtherBytes)),
		UserIdentifierKey: parseString(wire.UserIdentifierKey, utf8.UTFMax*MaxUserIdentifierKey),
		UserIdentityID:    parseString(wire.UserIdentityID, maxOtherBytes),
		CustomerKey:       parseString(wire.CustomerKey, maxOtherBytes),
		DeviceCount:       parseCount(wire.DeviceCount),

		ConnectedAccountIDs: parseIDs(wire.ConnectedAccountIDs),
		ConnectWebviewIDs:   parseIDs(wire.ConnectWebviewIDs),
	}
	if problem := session.problem(credential); problem != "" {
		return nil, invalidResponse(problem)
	}
	if !absent(wire.WorkspaceID) && session.WorkspaceID == "" {
		return nil, invalidResponse("the workspace ID in the answer can't be used")
	}
	if !absent(wire.ExpiresAt) {
		if session.ExpiresAt = parseTime(parseString(wire.ExpiresAt, maxOtherBytes)); session.ExpiresAt == nil {
			return nil, invalidResponse("the expires_at in the answer is not a time that can be read")
		}
	}
	if mismatch := session.mismatch(credential, selector); mismatch != "" {
		return nil, &Error{Kind: Mismatch, message: mismatch}
	}
	return session, nil
}

// problem says what makes the session unusable, if anything.
func (s *ClientSession) problem(credential plainCredential) string {
	secrets := []string{s.Token, credential.value}
	switch {
	case s.Token == "":
		return "the client session in the answer has no token"
	case len(s.Token) > maxTokenBytes:
		return fmt.Sprintf("the token in the answer is longer than %d bytes", maxTokenBytes)
	case !isGraphicASCII(s.Token):
		return "the token in the answer has white space, control or non-ASCII characters in it"
	case credential.kind != clientSessionToken && strings.Contains(s.Token, credential.value):
		return "the token in the answer is the credential itself"
	case !identifier.MatchString(s.ID) || containsAny(s.ID, secrets):
		return "the client session ID in the answer can't be used"
	case s.WorkspaceID != "" && (!identifier.MatchString(s.WorkspaceID) || containsAny(s.WorkspaceID, secrets)):
		return "the workspace ID in the answer can't be used"
	}
	return ""
}

// mismatch says how the session is not the one that was asked for, if it isn't: with the IDs, and never with a key.
func (s *ClientSession) mismatch(credential plainCredential, selector Selector) string {
	keys := []string{s.UserIdentifierKey, selector.UserIdentifierKey}
	switch {
	case selector.ClientSessionID != "" && s.ID != selector.ClientSessionID:
		return fmt.Sprintf("client_session_id of the answer is %s, and %q was asked for: %s",
			shownID(s.ID, keys), selector.ClientSessionID, checkEndpoint)
	case selector.UserIdentifierKey != "" && s.UserIdentifierKey != selector.UserIdentifierKey:
		return fmt.Sprintf("user_identifier_key of the answer, which is about client session %s, is another than was asked for: "+
			"check the user identifier key and the credential", shownID(s.ID, keys))
	case credential.workspaceID != "" && s.WorkspaceID != credential.workspaceID:
		return fmt.Sprintf("workspace_id of the answer is %s, and %q was asked for: check the workspace ID and the credential",
			shownID(s.WorkspaceID, keys), credential.workspaceID)
	}
	return ""
}

// shownID is an ID of an answer as a message has it: not if somebody's key is in it.
func shownID(id string, keys []string) string {
	switch {
	case id == "":
		return "missing"
	case containsAny(id, keys) || secretLike.MatchString(id):
		return "another"
	}
	return strconv.Quote(id)
}

// absent says whether a field was left out or is null.
func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}

// parseString reads a JSON string of at most maxBytes; anything else counts as empty.
func parseString(raw json.RawMessage, maxBytes int) string {
	var s string
	if json.Unmarshal(raw, &s) != nil || len(s) > maxBytes {
		return ""
	}
	return s
}

// parseIDs reads a list of IDs; nil if one of them isn't.
func parseIDs(raw json.RawMessage) []string {
	var ids []string
	if json.Unmarshal(raw, &ids) != nil || slices.ContainsFunc(ids, func(id string) bool { return !identifier.MatchString(id) }) {
		return nil
	}
	return ids
}

// parseTime reads an RFC 3339 time in whole seconds, or nil. No time of a session lies before 1970; that of the year 1 would be
// none at all to whoever keeps it.
func parseTime(s string) *time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	if t.Year() < 1970 || t.Year() > 9999 {
		return nil
	}
	return &t
}

// parseCount reads a whole number, which Seam's reference calls a float, or nil.
func parseCount(raw json.RawMessage) *int32 {
	var f *float64
	if json.Unmarshal(raw, &f) != nil || f == nil || *f != math.Trunc(*f) || *f < 0 || *f > math.MaxInt32 {
		return nil
	}
	n := int32(*f)
	return &n
}
