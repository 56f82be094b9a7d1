package seam

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func jwt(claims string) string {
	return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2lnbmF0dXJl"
}

func TestCredentialsThatAreTaken(t *testing.T) {
	console := jwt(`{"user_id":"a","key":"b"}`)
	for _, test := range []struct {
		value, workspace string
		kind             credentialKind
		want             string
	}{
		{"seam_apikey1_token", "", apiKey, "seam_apikey1_token"},
		{"seam_apikey1_token", "seed_workspace_1", apiKey, "seam_apikey1_token"},
		{"seam_test_key", "", apiKey, "seam_test_key"},
		{" \t\r\nseam_apikey1_token\r\n\n", "", apiKey, "seam_apikey1_token"},
		{"seam_at1_longtoken", "w", personalAccessToken, "seam_at1_longtoken"},
		{console, "w", consoleSession, console},
		{"seam_cst1_token", "", clientSessionToken, "seam_cst1_token"},
		{"seam_" + strings.Repeat("x", 8187), "", apiKey, "seam_" + strings.Repeat("x", 8187)},
	} {
		got, err := ParseCredential(test.value, test.workspace)
		if err != nil {
			t.Errorf("%.30q: %v", test.value, err)
			continue
		}
		if got.reveal() != (plainCredential{test.kind, test.want, test.workspace}) {
			t.Errorf("%.30q: kind %d, workspace %q", test.value, got.reveal().kind, got.reveal().workspaceID)
		}
	}
}

func TestCredentialsThatAreRefused(t *testing.T) {
	const kinds = ": use an API key, a personal access token, a console session or a client session token"
	const unseen = "the credential has white space, control or non-ASCII characters in it: give the bare value of one credential"
	const unknown = "the credential begins neither with seam_ nor with ey" + kinds
	const cluster = "a Kubernetes service account token is not sent to Seam" + kinds
	for _, test := range []struct{ value, workspace, want string }{
		{"", "", "the credential is empty" + kinds},
		{" \n\t", "", "the credential is empty" + kinds},
		{"seam_" + strings.Repeat("x", 8188), "", "the credential is longer than 8192 bytes" + kinds},
		{"seam_api key", "", unseen},
		{"seam_key1\nseam_key2", "", unseen},
		{"Bearer seam_key1", "", unseen},
		{"seam_key\x00", "", unseen},
		{"seam_key\x7f", "", unseen},
		{"seam_ключ", "", unseen},
		{"\ufeffseam_key1", "", unseen},
		{"seam_key\xff", "", unseen},
		{"seam_pk1_token", "", "a publishable key can't read client sessions" + kinds},
		{"seam_at1_longtoken", "", "a personal access token needs a workspace ID beside it"},
		{jwt(`{}`), "", "a console session needs a workspace ID beside it"},
		{jwt(`{"iss":"https://kubernetes.default.svc","kubernetes.io":{"namespace":"a"}}`), "w", cluster},
		{jwt(`{"iss":"kubernetes/serviceaccount","kubernetes.io/serviceaccount/namespace":"a"}`), "w", cluster},
		{"sk_live_1234", "", unknown},
		{"SEAM_KEY1", "", unknown},
		{"seam_", "", unknown},
		{"seam_at", "w", unknown},
		{`"seam_key1"`, "", unknown},
		{"SEAM_API_KEY=seam_key1", "", unknown},
		{base64.StdEncoding.EncodeToString([]byte("seam_key1")), "",
			"the credential is encoded in base64 twice: encode it once in data, or not at all in stringData"},
		{"seam_key1", "a b", "the workspace ID must be 1 to 64 letters, digits, '_' and '-'"},
		{"seam_key1", strings.Repeat("w", 65), "the workspace ID must be 1 to 64 letters, digits, '_' and '-'"},
		{"seam_key1", "w\r\nx: y", "the workspace ID must be 1 to 64 letters, digits, '_' and '-'"},
	} {
		if _, err := ParseCredential(test.value, test.workspace); textOf(err) != test.want {
			t.Errorf("%.30q: got %q, want %q", test.value, textOf(err), test.want)
		}
	}
}

func TestCredentialRevealsNothing(t *testing.T) {
	c := credential(t, "seam_apikey1_token", "")
	expectSilent(t, c)
	expectSilent(t, &c)
	client, err := NewClient(Config{Endpoint: DefaultEndpoint})
	if err != nil {
		t.Fatal(err)
	}
	holder := struct { // fmt calls no methods in here
		credential Credential
		connection *Connection
	}{c, client.Connection(c)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		if shown := fmt.Sprintf(verb, holder); strings.Contains(shown, "apikey1") || strings.Contains(shown, fmt.Sprintf("%x", "apikey1")) {
			t.Errorf("%s shows %s", verb, shown)
		}
	}
}
