package seam

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

const (
	// maxBodyBytes is a thousand times what Seam's answer needs.
	maxBodyBytes = 1 << 20

	// checkEndpoint is the advice where whoever answered is probably not Seam.
	checkEndpoint = "check --seam-endpoint, and what is between here and Seam"
)

// errGaveUp says that a call ended because its caller's context did, and for nothing that Seam or the network did.
type errGaveUp struct{ error }

func (e errGaveUp) Unwrap() error { return e.error }

// call makes the call, and nothing but the call, and returns an answer of status 200. Its error is an *Error or an errGaveUp.
func (c *Client) call(ctx context.Context, credential plainCredential, r route, request request) (*answer, error) {
	answer, err := c.post(ctx, credential, r, request.fields)
	if err != nil {
		return nil, err
	}
	if answer.status != http.StatusOK {
		return nil, answer.err(c.clock.Now(), r, credential, request.secret)
	}
	if answer.tooLong {
		return nil, answer.wrong(invalidResponse("the answer is longer than 1 MiB: "+checkEndpoint), credential, request.secret)
	}
	return answer, nil
}

// requestOf names the session by one field and leaves the other out: with both, Seam's fake takes either.
func requestOf(selector Selector) request {
	if selector.ClientSessionID != "" {
		return request{fields: map[string]any{"client_session_id": selector.ClientSessionID}}
	}
	return request{fields: map[string]any{"user_identifier_key": selector.UserIdentifierKey}, secret: selector.UserIdentifierKey}
}

// answer is what came back, whoever sent it.
type answer struct {
	status  int
	header  http.Header
	body    []byte // at most maxBodyBytes
	tooLong bool   // there was more
}

// dateOf is when Seam answered, by its own clock; zero if it did not say.
func dateOf(header http.Header) time.Time {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date.UTC()
}

// post sends fields as JSON and reads the answer. Its error is an *Error or an errGaveUp.
func (c *Client) post(ctx context.Context, credential plainCredential, r route, fields map[string]any) (*answer, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := c.newRequest(bounded, credential, r, fields)
	if err != nil {
		return nil, &Error{Kind: Unavailable, message: "the request can't be made: " + checkEndpoint}
	}
	// The transport and not an http.Client: that would follow redirects, with the credential.
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, c.failure(ctx, bounded, err)
	}
	defer func() { _ = response.Body.Close() }()
	c.skew.observe(ctx, c.clock.Now(), response.Header)
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBodyBytes+1))
	if err != nil && !decidedByStatus(response.StatusCode) {
		return nil, c.failure(ctx, bounded, err)
	}
	got := &answer{status: response.StatusCode, header: response.Header, body: body}
	if len(body) > maxBodyBytes {
		got.body, got.tooLong = body[:maxBodyBytes], true
	}
	return got, nil
}

func (c *Client) newRequest(
	ctx context.Context, credential plainCredential, r route, fields map[string]any,
) (*http.Request, error) {
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	target := c.endpoint.JoinPath(r.path()).String()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+credential.value)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", c.userAgent)
	if credential.workspaceID != "" {
		request.Header.Set("Seam-Workspace", credential.workspaceID)
	}
	if !r.changes() {
		// Sends nothing, but tells the transport that this POST only reads: where an idle connection turns out to be dead, it
		// takes another.
		request.Header["Idempotency-Key"] = nil
	}
	return request, nil
}

// decidedByStatus says whether the status alone says what to do, even if the body did not arrive.
func decidedByStatus(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests
}
