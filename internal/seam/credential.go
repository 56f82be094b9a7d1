package seam

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// credentialKind is what a credential is, which decides what Seam wants beside it.
type credentialKind int

const (
	apiKey credentialKind = iota
	personalAccessToken
	consoleSession
	clientSessionToken
	publishableKey
)

// kindsByPrefix is Seam's own way to tell credentials apart: the first prefix that fits decides.
var kindsByPrefix = []struct {
	prefix string
	kind   credentialKind
}{
	{"seam_at", personalAccessToken},
	{"seam_cst", clientSessionToken},
	{"seam_pk", publishableKey},
	{"seam_", apiKey},
	{"ey", consoleSession},
}

const (
	// maxCredentialBytes leaves room for a console session, which is a JWT.
	maxCredentialBytes = 8192
	// usableKinds ends each message about a credential of the wrong kind.
	usableKinds = "use an API key, a personal access token, a console session or a client session token"
	// usableElsewhere is usableKinds for everything but reading a session.
	usableElsewhere = "use an API key, a personal access token or a console session"
)

// identifier is what the ID of a session or of a workspace may look like: not every Seam server gives UUIDs.
var identifier = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Credential is what a caller of Seam proves itself with, and the workspace that it acts in. However it is printed or
// marshalled, it reveals nothing.
type Credential struct {
	// A function, because that is all that fmt can't look into where a Credential is in an unexported field of something
	// that is printed: there it calls no methods.
	reveal func() plainCredential
}

// plainCredential is what is in a Credential. It is passed on and kept nowhere.
type plainCredential struct {
	kind        credentialKind
	value       string
	workspaceID string
}

// ParseCredential recognises a credential that /client_sessions/get takes by its prefix. White space around it is dropped:
// a file that became a Secret often ends in a newline. workspaceID is sent along and may be empty, but not for a personal
// access token or a console session. The error says what to use instead and never holds the value.
func ParseCredential(value, workspaceID string) (Credential, error) {
	value = strings.TrimSpace(value)
	if err := checkCredentialText(value); err != nil {
		return Credential{}, err
	}
	if workspaceID != "" && !identifier.MatchString(workspaceID) {
		return Credential{}, errors.New("the workspace ID must be 1 to 64 letters, digits, '_' and '-'")
	}
	kind, err := kindOfCredential(value)
	if err != nil {
		return Credential{}, err
	}
	switch {
	case kind == publishableKey:
		return Credential{}, errors.New("a publishable key can't read client sessions: " + usableKinds)
	case kind == personalAccessToken && workspaceID == "":
		return Credential{}, errors.New("a personal access token needs a workspace ID beside it")
	case kind == consoleSession && workspaceID == "":
		return Credential{}, errors.New("a console session needs a workspace ID beside it")
	case kind == consoleSession && isServiceAccountToken(value):
		return Credential{}, errors.New("a Kubernetes service account token is not sent to Seam: " + usableKinds)
	}
	secret := plainCredential{kind: kind, value: value, workspaceID: workspaceID}
	return Credential{func() plainCredential { return secret }}, nil
}

func checkCredentialText(value string) error {
	switch {
	case value == "":
		return errors.New("the credential is empty: " + usableKinds)
	case len(value) > maxCredentialBytes:
		return fmt.Errorf("the credential is longer than %d bytes: %s", maxCredentialBytes, usableKinds)
	case !isGraphicASCII(value):
		return errors.New("the credential has white space, control or non-ASCII characters in it: give the bare value of one credential")
	}
	return nil
}

func kindOfCredential(value string) (credentialKind, error) {
	for _, known := range kindsByPrefix {
		if rest, ok := strings.CutPrefix(value, known.prefix); ok {
			if rest == "" {
				break
			}
			return known.kind, nil
		}
	}
	if decoded, err := base64.StdEncoding.DecodeString(value); err == nil && strings.HasPrefix(string(decoded), "seam_") {
		return 0, errors.New("the credential is encoded in base64 twice: encode it once in data, or not at all in stringData")
	}
	return 0, errors.New("the credential begins neither with seam_ nor with ey: " + usableKinds)
}

// isServiceAccountToken says whether a JWT is one of Kubernetes' own: it begins as a console session does.
func isServiceAccountToken(jwt string) bool {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return false
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	return strings.Contains(string(claims), `"kubernetes.io`) || strings.Contains(string(claims), `"kubernetes/serviceaccount`)
}

// isGraphicASCII says whether every byte can be seen: no spaces, no control characters, nothing beyond ASCII.
func isGraphicASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// OpensWorkspace says whether the credential is one of a workspace, and not of one session in it.
func (c Credential) OpensWorkspace() bool { return c.reveal().kind != clientSessionToken }

// String reveals nothing.
func (Credential) String() string { return "[credential]" }

// Format reveals nothing, whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalJSON reveals nothing.
func (c Credential) MarshalJSON() ([]byte, error) { return []byte(`"[credential]"`), nil }
