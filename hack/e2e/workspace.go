package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// moments are the times in a status.
var moments = regexp.MustCompile(`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z`)

const (
	platform = "seam-e2e-platform"
	shop     = "seam-e2e-shop"
	garage   = "seam-e2e-garage"

	// platformKey is the credential of hack/e2e/workspace.yaml, and pollInterval its SeamWorkspace's.
	platformKey  = "seam_at1_longtoken"
	pollInterval = 10 * time.Second
)

func (s *suite) useWorkspace(ctx context.Context) error {
	for _, user := range []string{"shop-jane", "garage-joe"} {
		body := fmt.Sprintf(`{"client_session_id": %[1]q, "user_identifier_key": %[1]q, "token": "seam_cst1%[1]s"}`, user)
		if _, err := s.seam(ctx, "/_test/client_sessions", body); err != nil {
			return err
		}
	}
	if err := s.apply(ctx, "hack/e2e/workspace.yaml"); err != nil {
		return err
	}
	if err := s.waitIn(ctx, platform, "condition=Ready", "sws/production"); err != nil {
		return err
	}
	for team, user := range map[string]string{shop: "shop-jane", garage: "garage-joe"} {
		if err := s.waitIn(ctx, team, "condition=Ready", "scs/own", "pod/consumer"); err != nil {
			return err
		}
		if token, err := s.inPod(ctx, team, "cat", "/var/run/seam/token"); err != nil || token != "seam_cst1"+user {
			return fmt.Errorf("the pod of %s reads %q: %w", team, token, err)
		}
		if err := s.expectNoKey(ctx, team); err != nil {
			return err
		}
	}
	return nil
}

// expectNoKey fails unless the only Secret of a namespace is that of its own session, and the platform's key is nowhere in it.
func (s *suite) expectNoKey(ctx context.Context, team string) error {
	names, err := s.kubectl(ctx, "-n", team, "get", "secrets", "-o", "name")
	if err != nil || names != "secret/own" {
		return fmt.Errorf("the Secrets of %s are %q: %w", team, names, err)
	}
	all, err := s.kubectl(ctx, "-n", team, "get", "secrets,configmaps,scs,pods", "-o", "yaml")
	if err == nil && (strings.Contains(all, platformKey) || strings.Contains(all, base64.StdEncoding.EncodeToString([]byte(platformKey)))) {
		err = fmt.Errorf("the platform's key is in namespace %s", team)
	}
	return err
}

// ungranted are sessions of the garage that it is not granted: of the shop's user, of a user that there is not, and of a
// workspace that there is not.
const ungranted = `
apiVersion: connect.seam.co/v1alpha1
kind: SeamClientSession
metadata: {name: others, namespace: seam-e2e-garage}
spec: {userIdentifierKey: shop-jane, workspaceRef: {name: production, namespace: seam-e2e-platform}}
---
apiVersion: connect.seam.co/v1alpha1
kind: SeamClientSession
metadata: {name: nobodys, namespace: seam-e2e-garage}
spec: {userIdentifierKey: shop-nobody, workspaceRef: {name: production, namespace: seam-e2e-platform}}
---
apiVersion: connect.seam.co/v1alpha1
kind: SeamClientSession
metadata: {name: nowhere, namespace: seam-e2e-garage}
spec: {userIdentifierKey: shop-jane, workspaceRef: {name: missing, namespace: seam-e2e-platform}}
`

func (s *suite) tryUngranted(ctx context.Context) error {
	return s.askingNothing(ctx, func() error {
		if err := s.applyText(ctx, ungranted); err != nil {
			return err
		}
		err := s.waitIn(ctx, garage, `jsonpath={.status.conditions[?(@.type=="Synced")].reason}=NotGranted`,
			"scs/others", "scs/nobodys", "scs/nowhere")
		if err != nil {
			return err
		}
		others, err := s.shown(ctx, "others", "production")
		if err != nil {
			return err
		}
		for session, workspace := range map[string]string{"nobodys": "production", "nowhere": "missing"} {
			other, err := s.shown(ctx, session, workspace)
			if err != nil {
				return err
			}
			if !reflect.DeepEqual(others, other) {
				return fmt.Errorf("what there is can be told from what there is not: %v, %v", others, other)
			}
		}
		return s.expectNoKey(ctx, garage)
	})
}

// shown is the status of a session of the garage, without its name and its workspace's, which the garage gave, and without
// times.
func (s *suite) shown(ctx context.Context, session, workspace string) (map[string]any, error) {
	printed, err := s.kubectl(ctx, "-n", garage, "get", "scs", session, "-o", "jsonpath={.status}")
	if err != nil {
		return nil, err
	}
	printed = strings.NewReplacer(workspace, "WORKSPACE", session, "SESSION").Replace(printed)
	printed = moments.ReplaceAllString(printed, "TIME")
	var status map[string]any
	err = json.Unmarshal([]byte(printed), &status)
	return status, err
}

func (s *suite) deleteAtSeam(ctx context.Context) error {
	const longest = pollInterval + 5*time.Second
	if _, err := s.seam(ctx, "/_e2e", `{"delete": "shop-jane"}`); err != nil {
		return err
	}
	began := clock.Now()
	if err := s.waitIn(ctx, shop, `jsonpath={.status.conditions[?(@.type=="Ready")].reason}=SessionNotFound`, "scs/own"); err != nil {
		return err
	}
	took := clock.Since(began)
	if took > longest {
		return fmt.Errorf("it showed after %s, expected %s at most", took.Round(time.Second), longest)
	}
	fmt.Printf("    it showed after %.1f s\n", took.Seconds())
	_, err := s.kubectl(ctx, "-n", shop, "delete", "scs/own") // it would be fetched now and then: somebody may make it again
	return err
}
