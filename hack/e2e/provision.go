package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	attic = "seam-e2e-attic"
	// grantedLife is how long Seam lets a session live that the operator asks for, so that an extension is seen here.
	grantedLife = 45 * time.Second
)

// userAtSeam is what Seam has of a user, by its own clock.
type userAtSeam struct {
	Now      time.Time `json:"now"`
	Sessions []struct {
		ID        string    `json:"client_session_id"`
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	} `json:"sessions"`
}

func (s *suite) atSeam(ctx context.Context, user string) (userAtSeam, error) {
	printed, err := s.seam(ctx, "/_e2e/sessions", fmt.Sprintf(`{"user": %q}`, user))
	if err != nil {
		return userAtSeam{}, err
	}
	var found userAtSeam
	err = json.Unmarshal([]byte(printed), &found)
	return found, err
}

func (s *suite) provision(ctx context.Context) error {
	if _, err := s.seam(ctx, "/_e2e", fmt.Sprintf(`{"lifetimeSeconds": %.0f}`, grantedLife.Seconds())); err != nil {
		return err
	}
	if err := s.apply(ctx, "hack/e2e/provision.yaml"); err != nil {
		return err
	}
	if err := s.waitIn(ctx, attic, "condition=Ready", "scs/own", "pod/consumer"); err != nil {
		return err
	}
	made, err := s.atSeam(ctx, "attic-ann")
	if err != nil || len(made.Sessions) != 1 {
		return errors.Join(err, fmt.Errorf("seam has %d sessions of the user, expected the one that was made", len(made.Sessions)))
	}
	if err := s.expectNoKey(ctx, attic); err != nil {
		return err
	}
	return s.expectExtended(ctx, made)
}

// expectExtended waits until the session is extended, and fails if that was not before its end, or if the pod can't go on with its token.
func (s *suite) expectExtended(ctx context.Context, made userAtSeam) error {
	session, now := made.Sessions[0], made
	var asked error
	if err := s.until(ctx, "the session is extended", func() bool {
		now, asked = s.atSeam(ctx, "attic-ann")
		return asked != nil || len(now.Sessions) != 1 || now.Sessions[0].ExpiresAt.After(session.ExpiresAt)
	}); err != nil {
		return err
	}
	if asked != nil || len(now.Sessions) != 1 || now.Sessions[0].ID != session.ID {
		return errors.Join(asked, fmt.Errorf("seam has other sessions of the user than the one that was made: %d", len(now.Sessions)))
	}
	if !now.Now.Before(session.ExpiresAt) {
		return fmt.Errorf("the session ended at %s, and was extended after that", session.ExpiresAt)
	}
	fmt.Printf("    it was extended %.0f s before its end\n", session.ExpiresAt.Sub(now.Now).Seconds())
	if err := s.waitIn(ctx, attic, "condition=Ready", "scs/own"); err != nil {
		return err
	}
	token, err := s.inPod(ctx, attic, "cat", "/var/run/seam/token")
	if err != nil || token != now.Sessions[0].Token {
		return errors.Join(err, errors.New("the pod does not read the token that Seam has"))
	}
	return nil
}

func (s *suite) deleteProvisioned(ctx context.Context) error {
	if _, err := s.kubectl(ctx, "-n", attic, "delete", "scs/own", "--timeout=60s"); err != nil {
		return err
	}
	return s.expectNoneAtSeam(ctx, "attic-ann")
}

func (s *suite) deleteProvisionedNamespace(ctx context.Context) error {
	if _, err := s.seam(ctx, "/_e2e", `{"lifetimeSeconds": 0}`); err != nil {
		return err
	}
	if err := s.apply(ctx, "hack/e2e/provision.yaml"); err != nil {
		return err
	}
	if err := s.waitIn(ctx, attic, "condition=Ready", "scs/own"); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "delete", "ns/"+attic, "--timeout=60s"); err != nil {
		return err
	}
	return s.expectNoneAtSeam(ctx, "attic-ann")
}

func (s *suite) expectNoneAtSeam(ctx context.Context, user string) error {
	left, err := s.atSeam(ctx, user)
	if err == nil && len(left.Sessions) > 0 {
		err = fmt.Errorf("seam still has %d sessions of the user", len(left.Sessions))
	}
	return err
}

// dropFinalizers takes off what nobody is there to take off: docs/operations.md has it as a command.
func (s *suite) dropFinalizers(ctx context.Context) error {
	if found, err := s.kubectl(ctx, "get", "--ignore-not-found", crd, "-o", "name"); err != nil || found == "" {
		return err
	}
	held, err := s.kubectl(ctx, "get", "scs", "-A", "-o", `jsonpath={range .items[?(@.metadata.finalizers)]}{.metadata.namespace} {.metadata.name}{"\n"}{end}`)
	if err != nil {
		return err
	}
	for line := range strings.Lines(held) {
		where, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := s.kubectl(ctx, "-n", where, "patch", "scs", name, "--type=merge", "-p", `{"metadata": {"finalizers": null}}`); err != nil {
			return err
		}
	}
	return nil
}
