package seam

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxWorkspaceName is how many characters of a workspace's name are kept.
const maxWorkspaceName = 128

// Workspace is the workspace of a credential.
type Workspace struct {
	// ID is 1 to 64 letters, digits, '_' and '-'.
	ID string
	// Name is what its owner calls it: at most 128 graphic characters and spaces; empty if Seam gave none, or one that can't be
	// shown.
	Name string
	// Sandbox says that its devices are simulated.
	Sandbox bool
	// Date is when Seam answered, by its own clock (the Date header), in whole seconds; zero if it did not say.
	Date time.Time
}

// GetWorkspace fetches the workspace that the credential opens: it is the one that the credential names, if it names one. Errors
// and waiter are as GetClientSession's.
func (c *Connection) GetWorkspace(ctx context.Context, waiter Waiter) (*Workspace, error) {
	return exchange(ctx, c, getWorkspace, request{fields: map[string]any{}}, waiter,
		func(a *answer, credential plainCredential) (*Workspace, *Error) {
			workspace, wrong := decodeWorkspace(a.body, credential)
			if wrong != nil {
				return nil, wrong
			}
			workspace.Date = dateOf(a.header)
			return workspace, nil
		})
}

// workspaceAnswer is a good answer of /workspaces/get. What may have any shape stays raw.
type workspaceAnswer struct {
	OK        json.RawMessage `json:"ok"`
	Workspace *struct {
		WorkspaceID json.RawMessage `json:"workspace_id"`
		Name        json.RawMessage `json:"name"`
		IsSandbox   json.RawMessage `json:"is_sandbox"`
	} `json:"workspace"`
}

// decodeWorkspace reads a good answer. Its error is an InvalidResponse or a Mismatch.
func decodeWorkspace(body []byte, credential plainCredential) (*Workspace, *Error) {
	var answer workspaceAnswer
	switch {
	case json.Unmarshal(body, &answer) != nil:
		return nil, invalidResponse("the answer is not a workspace in JSON: " + checkEndpoint)
	case string(answer.OK) == "false":
		return nil, invalidResponse("the answer has status 200 but says that it is not ok")
	case answer.Workspace == nil:
		return nil, invalidResponse("the answer holds no workspace: " + checkEndpoint)
	}
	secrets := []string{credential.value}
	workspace := &Workspace{
		ID:      parseString(answer.Workspace.WorkspaceID, maxOtherBytes),
		Name:    shownName(parseString(answer.Workspace.Name, maxOtherBytes), secrets),
		Sandbox: string(answer.Workspace.IsSandbox) == "true",
	}
	if !identifier.MatchString(workspace.ID) || containsAny(workspace.ID, secrets) {
		return nil, invalidResponse("the workspace ID in the answer can't be used")
	}
	if credential.workspaceID != "" && workspace.ID != credential.workspaceID {
		return nil, &Error{Kind: Mismatch,
			message: "the credential opens another workspace than was asked for: check the workspace ID and the credential"}
	}
	return workspace, nil
}

// shownName is a workspace's name if it can be shown.
func shownName(name string, secrets []string) string {
	name = strings.TrimSpace(name)
	hidden := func(r rune) bool { return !unicode.IsGraphic(r) || r == utf8.RuneError }
	if utf8.RuneCountInString(name) > maxWorkspaceName || strings.ContainsFunc(name, hidden) ||
		containsAny(name, secrets) || secretLike.MatchString(name) {
		return ""
	}
	return name
}
