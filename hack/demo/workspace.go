package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"
)

// pollInterval is that of hack/demo/workspace.yaml.
const pollInterval = 10 * time.Second

// playWorkspace lets a namespace use the credential of another, for its own users alone, and deletes a session at Seam.
func (f fakeSeam) playWorkspace(ctx context.Context, s *stage) error {
	say("One credential, many namespaces: the key stays in namespace platform, which grants namespace shop the users whose key begins with shop-")
	for _, user := range []string{"shop-jane", "garage-joe"} {
		if _, err := f.owner(ctx, user, map[string]any{"user_identifier_key": user}); err != nil {
			return err
		}
	}
	if err := s.kubectl(ctx, "apply", "-f", "hack/demo/workspace.yaml"); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "-n", "platform", "wait", "--for=condition=Ready", "sws/production", "--timeout=20s"); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "-n", "shop", "wait", "--for=condition=Ready", "scs/jane", "--timeout=20s"); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "-n", "platform", "get", "sws"); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "-n", "shop", "get", "secrets"); err != nil {
		return err
	}

	say("A user of the garage is none of the shop's: it is as if there were no such workspace, and Seam is not called")
	refused := `--for=jsonpath={.status.conditions[?(@.type=="Synced")].reason}=NotGranted`
	if err := s.kubectl(ctx, "-n", "shop", "wait", refused, "scs/joe", "--timeout=20s"); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "-n", "shop", "get", "scs", "-o", "wide"); err != nil {
		return err
	}
	return f.playDeletion(ctx, s)
}

// playDeletion deletes a session at Seam, and waits until the object says so.
func (f fakeSeam) playDeletion(ctx context.Context, s *stage) error {
	const longest = pollInterval + 5*time.Second
	say(fmt.Sprintf("The session of shop-jane is deleted at Seam, whose events are read every %s: her object says so within seconds", pollInterval))
	if err := f.deletes(ctx, "shop-jane"); err != nil {
		return err
	}
	began := clock.RealClock{}.Now()
	gone := `--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=SessionNotFound`
	if err := s.kubectl(ctx, "-n", "shop", "wait", gone, "scs/jane", "--timeout=30s"); err != nil {
		return err
	}
	took := clock.RealClock{}.Since(began)
	if took > longest {
		return fmt.Errorf("the deletion showed after %s, expected %s at most", took.Round(time.Second), longest)
	}
	fmt.Printf("It showed after %.1f s.\n", took.Seconds())
	s.hints = append(s.hints, "kubectl -n platform describe sws production", "kubectl -n shop describe scs")
	return s.kubectl(ctx, "-n", "shop", "get", "scs")
}
