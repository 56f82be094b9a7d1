package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// officialFake is Seam's own fake server, as a process.
type officialFake struct {
	url string
	// hidden are tokens and credentials that were used and that its database does not show any more.
	hidden []string
}

// fakeSession is a session in the fake's database.
type fakeSession struct {
	ID                string    `json:"client_session_id"`
	WorkspaceID       string    `json:"workspace_id"`
	UserIdentifierKey string    `json:"user_identifier_key"`
	Token             string    `json:"token"`
	ExpiresAt         time.Time `json:"expires_at"`
}

// startOfficialFake starts Seam's fake. Where it can't run the spec is skipped, but not in CI.
func startOfficialFake() *officialFake {
	GinkgoHelper()
	folder := filepath.Join(root, "hack/fake-seam")
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(folder, "node_modules/@seamapi/fake-seam-connect"))
	}
	if err != nil {
		reason := fmt.Sprintf("Seam's own fake server can't run here (%v): it needs Node, and make test, which installs it", err)
		if os.Getenv("CI") == "true" {
			Fail(reason)
		}
		Skip(reason)
	}
	life, kill := context.WithCancel(context.Background())
	command := exec.CommandContext(life, node, "server.mjs")
	command.Dir = folder
	command.Env = append(os.Environ(), "PORT=0")
	command.Stderr = GinkgoWriter
	_, err = command.StdinPipe() // it ends when this closes, even if this process is killed
	Expect(err).NotTo(HaveOccurred())
	stdout, err := command.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(command.Start()).To(Succeed())
	DeferCleanup(func() {
		kill()
		_ = command.Wait() // it was killed
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	Expect(err).NotTo(HaveOccurred())
	var ready struct{ URL string }
	Expect(json.Unmarshal(line, &ready)).To(Succeed())
	return &officialFake{url: ready.URL, hidden: []string{
		seamtest.APIKey1, seamtest.APIKey2, seamtest.AccessToken, seamtest.PublishableKey,
	}}
}

// put adds a session, or changes the one of that client_session_id, as its owner does at Seam.
func (f *officialFake) put(ctx context.Context, fields map[string]any) fakeSession {
	GinkgoHelper()
	if token, ok := fields["token"].(string); ok {
		f.hidden = append(f.hidden, token)
	}
	var answer struct {
		Session fakeSession `json:"client_session"`
	}
	f.post(ctx, "/_test/client_sessions", fields, &answer)
	return answer.Session
}

// outage makes the fake fail, or ends that.
func (f *officialFake) outage(ctx context.Context, on bool) {
	GinkgoHelper()
	routes := []string{}
	if on {
		routes = append(routes, "/client_sessions/get")
	}
	f.post(ctx, "/_fake/simulate_workspace_outage", map[string]any{"workspace_id": seamtest.Workspace1, "routes": routes}, nil)
}

// session returns a session of the fake's database.
func (f *officialFake) session(ctx context.Context, id string) fakeSession {
	GinkgoHelper()
	for _, session := range f.sessions(ctx) {
		if session.ID == id {
			return session
		}
	}
	Fail("the fake has no session " + id)
	return fakeSession{}
}

func (f *officialFake) sessions(ctx context.Context) []fakeSession {
	GinkgoHelper()
	body, err := get(ctx, f.url+"/_test/client_sessions")
	Expect(err).NotTo(HaveOccurred())
	var answer struct {
		Sessions []fakeSession `json:"client_sessions"`
	}
	Expect(json.Unmarshal([]byte(body), &answer)).To(Succeed())
	return answer.Sessions
}

// secrets are all that must not show.
func (f *officialFake) secrets(ctx context.Context) []string {
	GinkgoHelper()
	all := f.hidden
	for _, session := range f.sessions(ctx) {
		all = append(all, session.Token)
		if session.UserIdentifierKey != "" {
			all = append(all, session.UserIdentifierKey)
		}
	}
	return all
}

func (f *officialFake) post(ctx context.Context, path string, body, answer any) {
	GinkgoHelper()
	encoded, err := json.Marshal(body)
	Expect(err).NotTo(HaveOccurred())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+path, bytes.NewReader(encoded))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	Expect(response.StatusCode).To(Equal(http.StatusOK))
	if answer != nil {
		Expect(json.NewDecoder(response.Body).Decode(answer)).To(Succeed())
	}
}
