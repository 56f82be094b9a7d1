package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"time"

	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

// fakeSeam is Seam's own fake server, or the project's: both answer the routes that hack/fake-seam/server.mjs lists.
type fakeSeam struct {
	address string
	// provides says who answers the routes by which sessions are made, extended and deleted.
	provides string
}

// grantedLife is how long the fakes let a session live that the operator asks for, whatever it asks for.
const grantedLife = 30 * time.Second

func (f fakeSeam) url() string { return f.address }

// startFake starts Seam's own fake server where Node is, else the project's.
func startFake(ctx context.Context, s *stage) (fakeSeam, error) {
	if node, err := exec.LookPath("node"); err == nil {
		say("Starting Seam's own fake server")
		return startOfficial(ctx, s, node)
	}
	say("Starting the project's own fake of Seam, for want of Node")
	return startStandIn(s), nil
}

func startOfficial(ctx context.Context, s *stage, node string) (fakeSeam, error) {
	stdout, line := io.Pipe()
	_, err := s.start(command{
		name:   "Seam's fake server",
		args:   []string{node, "hack/fake-seam/server.mjs"},
		env:    []string{"PORT=0", fmt.Sprintf("GRANTS_SECONDS=%.0f", grantedLife.Seconds())},
		stdout: line,
	})
	if err != nil {
		return fakeSeam{}, err
	}
	fake, err := readAddress(ctx, stdout)
	fake.provides = "Seam's own fake lacks the routes for that, or does otherwise than is documented: hack/fake-seam/server.mjs answers them in its stead"
	return fake, err
}

func startStandIn(s *stage) fakeSeam {
	server := seamtest.New(nil)
	server.Seed()
	server.Behave(seamtest.Behaviour{MaxLifetime: grantedLife})
	server.Start()
	s.stops = append(s.stops, func() error { server.Close(); return nil })
	fmt.Println(server.URL())
	return fakeSeam{address: server.URL(), provides: "The project's own fake answers as Seam documents it"}
}

// readAddress reads the line that says where a fake listens, and lets it write on.
func readAddress(ctx context.Context, stdout *io.PipeReader) (fakeSeam, error) {
	stop := context.AfterFunc(ctx, func() { stdout.CloseWithError(context.Cause(ctx)) })
	defer stop()
	var ready struct {
		URL string `json:"url"`
	}
	if err := json.NewDecoder(stdout).Decode(&ready); err != nil {
		return fakeSeam{}, fmt.Errorf("read where the fake server listens: %w", err)
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	fmt.Println(ready.URL)
	return fakeSeam{address: ready.URL}, nil
}

// session is the part of a Seam client session that the story needs.
type session struct {
	Token             string    `json:"token"`
	ExpiresAt         time.Time `json:"expires_at"`
	UserIdentifierKey string    `json:"user_identifier_key"`
}

// owner does what the owner of a session does at Seam: makes it, extends it, changes its token.
func (f fakeSeam) owner(ctx context.Context, id string, fields map[string]any) (session, error) {
	fields["client_session_id"] = id
	body, err := json.Marshal(fields)
	if err != nil {
		return session{}, err
	}
	var answer struct {
		ClientSession session `json:"client_session"`
	}
	answered, err := f.control(ctx, http.MethodPost, "", body)
	if err == nil {
		err = json.Unmarshal(answered, &answer)
	}
	return answer.ClientSession, err
}

// deletes deletes a session, as its owner does at Seam.
func (f fakeSeam) deletes(ctx context.Context, id string) error {
	_, err := f.control(ctx, http.MethodDelete, "/"+id, nil)
	return err
}

// sessionsOf are the sessions of a user, as the owner of them sees at Seam.
func (f fakeSeam) sessionsOf(ctx context.Context, user string) ([]session, error) {
	answered, err := f.control(ctx, http.MethodGet, "", nil)
	if err != nil {
		return nil, err
	}
	var answer struct {
		ClientSessions []session `json:"client_sessions"`
	}
	err = json.Unmarshal(answered, &answer)
	return slices.DeleteFunc(answer.ClientSessions, func(s session) bool { return s.UserIdentifierKey != user }), err
}

// control calls the fake's route for the owners of sessions, and returns what it answers.
func (f fakeSeam) control(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, f.address+"/_test/client_sessions"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("change a session at the fake: status %d", resp.StatusCode)
	}
	return io.ReadAll(resp.Body)
}

func (f fakeSeam) play(ctx context.Context, s *stage) error {
	say("Applying the samples: credentials, sessions and a workspace. Waiting until the sessions are Ready")
	if err := s.kubectl(ctx, "apply", "-k", "config/samples"); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "wait", "--for=condition=Ready", "scs", "--all", "--timeout=60s"); err != nil {
		return err
	}
	say("What the operator says, and what is in the Secrets")
	if err := s.kubectl(ctx, "get", "scs", "-o", "wide"); err != nil {
		return err
	}
	for _, secret := range []string{"john", "john-app"} {
		decoded := `go-template={{range $key, $value := .data}}{{$key}}: {{base64decode $value}}{{"\n"}}{{end}}`
		if err := s.kubectl(ctx, "get", "secret", secret, "-o", decoded); err != nil {
			return err
		}
	}
	if err := s.expectToken(ctx, "john", "seam_cst1_token"); err != nil {
		return err
	}
	s.hints = append(s.hints,
		"kubectl get scs -o wide",
		"# give a session another token at the fake, and have it looked at now:",
		`curl -d '{"client_session_id": "cst1", "token": "seam_cst1_changed"}' `+f.address+"/_test/client_sessions",
		`kubectl annotate scs john --overwrite connect.seam.co/refresh-requested-at="$(date +%s)"`)
	if err := f.playRotation(ctx, s); err != nil {
		return err
	}
	if err := f.playProvision(ctx, s); err != nil {
		return err
	}
	return f.playWorkspace(ctx, s)
}

// playRotation lets a session come near its end, extends it at Seam, and waits for the operator to notice in time.
func (f fakeSeam) playRotation(ctx context.Context, s *stage) error {
	const life, oldToken, newToken = 30 * time.Second, "seam_cst1_before", "seam_cst1_after"
	say(fmt.Sprintf("A session that ends in %s: the operator looks more often, and says Expiring", life))
	before, err := f.owner(ctx, "rotating", map[string]any{"token": oldToken, "expires_in_seconds": life.Seconds()})
	if err != nil {
		return err
	}
	if err := s.kubectl(ctx, "apply", "-f", "hack/demo/rotating.yaml"); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "wait", "--for=condition=Ready", "scs/rotating", "--timeout=20s"); err != nil {
		return err
	}
	if err := s.expectToken(ctx, "rotating", oldToken); err != nil {
		return err
	}
	stopWatch, err := s.watch("scs", "rotating")
	if err != nil {
		return err
	}
	defer stopWatch()
	if err := s.kubectl(ctx, "wait", "--for=condition=Expiring", "scs/rotating", "--timeout=30s"); err != nil {
		return err
	}

	say("Its owner extends it at Seam, with another token; the operator picks that up before the end")
	if _, err := f.owner(ctx, "rotating", map[string]any{"token": newToken, "expires_in_seconds": time.Hour.Seconds()}); err != nil {
		return err
	}
	written := "--for=jsonpath={.data.token}=" + base64.StdEncoding.EncodeToString([]byte(newToken))
	if err := s.kubectl(ctx, "wait", written, "secret/rotating", "--timeout=30s"); err != nil {
		return err
	}
	reported := "--for=jsonpath={.status.tokenFingerprint}=" + fingerprint(newToken)
	if err := s.kubectl(ctx, "wait", reported, "scs/rotating", "--timeout=10s"); err != nil {
		return err
	}
	return s.expectRotatedBefore(ctx, "rotating", before.ExpiresAt)
}
