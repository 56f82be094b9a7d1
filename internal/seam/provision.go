package seam

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Provision is a session as it should be. Printed or marshalled, it does not reveal whose.
type Provision struct {
	// User names the session's user by its user identifier key.
	User Selector
	// ExpiresAt is when the session shall end; sent in whole seconds.
	ExpiresAt time.Time
	// ConnectedAccountIDs and ConnectWebviewIDs are what the session may see. A nil list is not sent, an empty one is.
	ConnectedAccountIDs, ConnectWebviewIDs []string
	// UserIdentityID is not sent where it is empty.
	UserIdentityID string
}

// GetOrCreateClientSession makes the session of a user, or sets the end and what the session may see of one that there is. What
// it returns is checked as GetClientSession's answer is. It may end earlier than asked, or later, and may be another session
// than the one before, with another token. Errors and waiter are as GetClientSession's. After an error that has no StatusCode the
// session may have been made or changed all the same.
func (c *Connection) GetOrCreateClientSession(ctx context.Context, provision Provision, waiter Waiter) (*ClientSession, error) {
	request, err := provision.request()
	if err != nil {
		return nil, err
	}
	return exchange(ctx, c, getOrCreateClientSession, request, waiter, readClientSession(provision.User))
}

func (p Provision) request() (request, error) {
	invalid := func(message string) error { return &Error{Kind: InvalidRequest, message: message} }
	switch {
	case p.User.ClientSessionID != "":
		return request{}, invalid("a client session can be made or extended by its user identifier key alone, not by its ID")
	case p.ExpiresAt.IsZero():
		return request{}, invalid("a client session is made or extended with an end alone")
	}
	if err := p.User.Validate(); err != nil {
		return request{}, err
	}
	fields := map[string]any{
		"user_identifier_key": p.User.UserIdentifierKey,
		"expires_at":          p.ExpiresAt.UTC().Truncate(time.Second).Format(time.RFC3339),
	}
	for name, ids := range map[string][]string{
		"connected_account_ids": p.ConnectedAccountIDs, "connect_webview_ids": p.ConnectWebviewIDs,
	} {
		if slices.ContainsFunc(ids, func(id string) bool { return !identifier.MatchString(id) }) {
			return request{}, invalid("the IDs of what a client session may see must be 1 to 64 letters, digits, '_' and '-'")
		}
		if ids != nil {
			fields[name] = ids
		}
	}
	if id := p.UserIdentityID; id != "" {
		if !identifier.MatchString(id) {
			return request{}, invalid("the user identity ID must be 1 to 64 letters, digits, '_' and '-'")
		}
		fields["user_identity_id"] = id
	}
	return request{fields: fields, secret: p.User.UserIdentifierKey}, nil
}

// DeleteClientSession deletes a session for good. It returns nil as well where Seam knows no such session in the workspace of
// the credential. Errors and waiter are as GetClientSession's.
func (c *Connection) DeleteClientSession(ctx context.Context, id string, waiter Waiter) error {
	selector := Selector{ClientSessionID: id}
	if err := selector.Validate(); err != nil {
		return err
	}
	_, err := exchange(ctx, c, deleteClientSession, requestOf(selector), waiter, func(a *answer, _ plainCredential) (bool, *Error) {
		return true, decodeDone(a.body)
	})
	if failed, ok := err.(*Error); ok && failed.Kind == NotFound { //nolint:errorlint // exchange wraps none
		return nil
	}
	return err
}

// decodeDone reads an answer that says nothing but that it was done.
func decodeDone(body []byte) *Error {
	var answer map[string]json.RawMessage
	switch {
	case json.Unmarshal(body, &answer) != nil || answer == nil:
		return invalidResponse("the answer is not an object in JSON: " + checkEndpoint)
	case string(answer["ok"]) == "false":
		return invalidResponse("the answer has status 200 but says that it is not ok")
	}
	return nil
}
