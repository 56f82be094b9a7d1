package seam

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"testing"
)

func fingerprintOf(t *testing.T, value, workspace string, selector Selector) string {
	t.Helper()
	client, err := NewClient(Config{Endpoint: DefaultEndpoint})
	if err != nil {
		t.Fatal(err)
	}
	return client.Connection(credential(t, value, workspace)).Fingerprint(selector)
}

func TestFingerprintIsTheSameForTheSameQuestionAlone(t *testing.T) {
	type question struct {
		value, workspace string
		selector         Selector
	}
	base := question{"seam_key1", "w", Selector{UserIdentifierKey: "jane"}}
	for _, test := range []struct {
		name string
		question
		same bool
	}{
		{"the same", base, true},
		{"a Secret that ends in a newline", question{" seam_key1\n", "w", base.selector}, true},
		{"another credential", question{"seam_key2", "w", base.selector}, false},
		{"another kind of credential", question{"seam_at1", "w", base.selector}, false},
		{"another workspace", question{"seam_key1", "v", base.selector}, false},
		{"no workspace", question{"seam_key1", "", base.selector}, false},
		{"another key", question{"seam_key1", "w", Selector{UserIdentifierKey: "joe"}}, false},
		{"a key in other case", question{"seam_key1", "w", Selector{UserIdentifierKey: "Jane"}}, false},
		{"a client session ID", question{"seam_key1", "w", Selector{ClientSessionID: "jane"}}, false},
		{"a key that goes on in the workspace", question{"seam_key1", "wuser_identifier_key", Selector{UserIdentifierKey: "jane"}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := fingerprintOf(t, base.value, base.workspace, base.selector)
			got := fingerprintOf(t, test.value, test.workspace, test.selector)
			if same := got == want; same != test.same || len(got) != 12 {
				t.Errorf("%s and %s: same %t, want %t", got, want, same, test.same)
			}
		})
	}
}

func TestFingerprintIsWhatItSaysItIs(t *testing.T) {
	length := func(n byte) string { return string([]byte{0, 0, 0, 0, 0, 0, 0, n}) }
	mac := hmac.New(sha256.New, []byte("seam_key1"))
	mac.Write([]byte(length(1) + "w" + length(19) + "user_identifier_key" + length(4) + "jane"))
	want := fmt.Sprintf("%x", mac.Sum(nil))[:12]
	if got := fingerprintOf(t, "seam_key1", "w", Selector{UserIdentifierKey: "jane"}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
