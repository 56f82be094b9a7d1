package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	release         = "seam-session-operator"
	secondRelease   = "again"
	systemNamespace = "seam-e2e-system"
	namespace       = "seam-e2e"
	crd             = "crd/seamclientsessions.connect.seam.co"
	workspaceCRD    = "crd/seamworkspaces.connect.seam.co"
)

// protect fails on a cluster where the operator is used: the suite removes the CRDs, and with them every session.
func (s *suite) protect(ctx context.Context) error {
	const owner = `jsonpath={.metadata.name} {.metadata.annotations.meta\.helm\.sh/release-namespace}`
	found, err := s.kubectl(ctx, "get", "--ignore-not-found", crd, "-o", owner)
	if err == nil && found != "" && !strings.HasSuffix(found, " "+systemNamespace) {
		err = fmt.Errorf("somebody uses this cluster: it has %s", crd)
	}
	return err
}

func (s *suite) clean(ctx context.Context) error {
	for _, name := range []string{release, secondRelease} {
		if _, err := s.helm(ctx, "uninstall", name, "--ignore-not-found", "--wait"); err != nil {
			return err
		}
	}
	if err := s.dropFinalizers(ctx); err != nil {
		return err
	}
	_, err := s.kubectl(ctx, "delete", "--ignore-not-found", "--wait", crd, workspaceCRD, "ns/"+namespace, "ns/"+systemNamespace,
		"ns/seam-e2e-seam", "ns/"+platform, "ns/"+shop, "ns/"+garage, "ns/"+attic)
	return err
}

func (s *suite) startSeam(ctx context.Context) error {
	if err := s.apply(ctx, "hack/e2e/objects.yaml"); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "-n", "seam-e2e-seam", "rollout", "status", "deployment/seam", "--timeout=60s"); err != nil {
		return err
	}
	address, err := s.kubectl(ctx, "-n", "seam-e2e-seam", "get", "service", "seam", "-o", "jsonpath={.spec.clusterIP}")
	s.endpoint = "http://" + address + ":8080" // by address: not every cluster has DNS
	return err
}

func (s *suite) install(ctx context.Context) error {
	return s.helmInstall(ctx, release, "config/chart")
}

func (s *suite) helmInstall(ctx context.Context, name, chart string, more ...string) error {
	cut := strings.LastIndex(s.image, ":")
	if cut < 0 {
		return fmt.Errorf("IMG=%s: give it a tag", s.image)
	}
	args := append([]string{"upgrade", "--install", name, chart, "--wait", "--timeout=120s", "--set=replicas=2",
		"--set=image.repository=" + s.image[:cut], "--set=image.tag=" + s.image[cut+1:],
		"--set=seam.endpoint=" + s.endpoint, "--set=seam.allowHTTP=true"}, more...)
	printed, err := s.helm(ctx, args...)
	if err == nil && strings.Contains(strings.ToLower(printed), "warning") {
		return fmt.Errorf("helm warns: %s", printed)
	}
	return err
}

func (s *suite) check(ctx context.Context) error {
	_, err := s.helm(ctx, "test", release)
	return err
}

func (s *suite) useInPod(ctx context.Context) error {
	if err := s.apply(ctx, "hack/e2e/workload.yaml"); err != nil {
		return err
	}
	if err := s.wait(ctx, "condition=Ready", "scs/by-key", "scs/by-id", "pod/consumer"); err != nil {
		return err
	}
	return s.expectInPod(ctx, "seam_cst1_token", "seam_cst1_token", "seam_cst1_token")
}

func (s *suite) rotate(ctx context.Context) error {
	const token = "seam_cst1_rotated"
	if _, err := s.seam(ctx, "/_test/client_sessions", `{"client_session_id": "cst1", "token": "`+token+`"}`); err != nil {
		return err
	}
	if err := s.refresh(ctx, "by-id", "rotated"); err != nil {
		return err
	}
	err := s.until(ctx, "the file in the pod holds the new token", func() bool {
		now, err := s.inPod(ctx, namespace, "cat", "/var/run/seam/token")
		return err == nil && now == token
	})
	if err != nil {
		return err
	}
	return s.expectInPod(ctx, token, "seam_cst1_token", "seam_cst1_token")
}

// expectInPod fails unless the running pod has these tokens in its file, its subPath and its environment.
func (s *suite) expectInPod(ctx context.Context, file, subPath, env string) error {
	for _, one := range []struct{ want, command, argument string }{
		{file, "cat", "/var/run/seam/token"},
		{subPath, "cat", "/var/run/token"},
		{env, "env", "SEAM_CLIENT_SESSION_TOKEN"},
	} {
		if got, err := s.inPod(ctx, namespace, one.command, one.argument); err != nil || got != one.want {
			return fmt.Errorf("%s in the pod: %q, expected %q: %w", one.argument, got, one.want, err)
		}
	}
	return nil
}

func (s *suite) revoke(ctx context.Context) error {
	const otherKey = `{"stringData": {"SEAM_API_KEY": "seam_at1_longtoken"}}`
	if _, err := s.seam(ctx, "/_e2e", `{"revoke": "seam_apikey1_token"}`); err != nil {
		return err
	}
	if err := s.refresh(ctx, "by-id", "revoked"); err != nil {
		return err
	}
	if err := s.wait(ctx, `jsonpath={.status.conditions[?(@.type=="Synced")].reason}=Unauthorized`, "scs/by-id"); err != nil {
		return err
	}
	if err := s.wait(ctx, "condition=Ready", "scs/by-id"); err != nil {
		return err
	}
	if err := s.expectInPod(ctx, "seam_cst1_rotated", "seam_cst1_token", "seam_cst1_token"); err != nil {
		return err
	}
	// A personal access token in its place: it needs the workspace.
	workspace := `{"spec": {"workspaceID": "seed_workspace_1"}}`
	if _, err := s.kubectl(ctx, "-n", namespace, "patch", "scs/by-id", "scs/by-key", "--type=merge", "-p", workspace); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "-n", namespace, "patch", "secret/seam", "-p", otherKey); err != nil {
		return err
	}
	return s.wait(ctx, "condition=Synced", "scs/by-id")
}

func (s *suite) loseLeader(ctx context.Context) error {
	before, err := s.seam(ctx, "/_e2e", `{"latencySeconds": 2}`)
	if err != nil {
		return err
	}
	var manifests strings.Builder
	for i := range 10 {
		id := fmt.Sprintf("many-%d", i)
		if _, err := s.seam(ctx, "/_test/client_sessions", `{"client_session_id": "`+id+`"}`); err != nil {
			return err
		}
		fmt.Fprintf(&manifests, "---\napiVersion: connect.seam.co/v1alpha1\nkind: SeamClientSession\nmetadata: {name: %s, namespace: %s}\n"+
			"spec: {clientSessionID: %s, workspaceID: seed_workspace_1, credentialSecretRef: {name: seam}}\n", id, namespace, id)
	}
	if err := s.applyText(ctx, manifests.String()); err != nil {
		return err
	}
	if err := s.until(ctx, "the leader asks Seam", func() bool {
		now, err := s.seam(ctx, "/_e2e", `{}`)
		return err == nil && now != before
	}); err != nil {
		return err
	}
	holder, err := s.kubectl(ctx, "-n", systemNamespace, "get", "lease", release+".connect.seam.co", "-o", "jsonpath={.spec.holderIdentity}")
	if err != nil {
		return err
	}
	leader, _, _ := strings.Cut(holder, "_")
	if _, err := s.kubectl(ctx, "-n", systemNamespace, "delete", "pod", leader, "--wait=false"); err != nil {
		return err
	}
	if err := s.wait(ctx, "condition=Ready", "scs", "--all"); err != nil {
		return err
	}
	_, err = s.seam(ctx, "/_e2e", `{"latencySeconds": 0}`)
	return err
}

func (s *suite) upgrade(ctx context.Context) error {
	const mark = "Where the token is, since the upgrade"
	chart := filepath.Join(s.work, "chart")
	if err := os.CopyFS(chart, os.DirFS("config/chart")); err != nil {
		return err
	}
	path := filepath.Join(chart, "files/crd/connect.seam.co_seamclientsessions.yaml")
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed := strings.Replace(string(content), "The Secret that holds the token", mark, 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		return err
	}
	return s.askingNothing(ctx, func() error {
		if err := s.helmInstall(ctx, release, chart, "--set=maxConcurrentReconciles=4"); err != nil {
			return err
		}
		if err := s.expect(ctx, mark, "get", crd, "-o", "jsonpath={..additionalPrinterColumns[*].description}"); err != nil {
			return err
		}
		return s.expect(ctx, "--max-concurrent-reconciles=4", "-n", systemNamespace, "get", "deployment/"+release, "-o", "jsonpath={..args}")
	})
}

func (s *suite) reinstall(ctx context.Context) error {
	return s.askingNothing(ctx, func() error {
		if _, err := s.helm(ctx, "uninstall", release, "--wait"); err != nil {
			return err
		}
		if err := s.expect(ctx, "secret/by-id", "-n", namespace, "get", "scs/by-id", "secret/by-id", "-o", "name"); err != nil {
			return err
		}
		return s.helmInstall(ctx, secondRelease, "config/chart", "--take-ownership")
	})
}

// askingNothing fails if Seam is asked about a session while something is done, or in the seconds after.
func (s *suite) askingNothing(ctx context.Context, do func() error) error {
	before, err := s.seam(ctx, "/_e2e", `{}`)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-clock.After(5 * time.Second):
	}
	after, err := s.seam(ctx, "/_e2e", `{}`)
	if err == nil && after != before {
		err = fmt.Errorf("seam was asked: %s calls before, %s after", before, after)
	}
	return err
}

func (s *suite) deleteSession(ctx context.Context) error {
	if _, err := s.kubectl(ctx, "-n", namespace, "delete", "scs/by-key"); err != nil {
		return err
	}
	return s.wait(ctx, "delete", "secret/by-key")
}

func (s *suite) deleteNamespace(ctx context.Context) error {
	if _, err := s.helm(ctx, "uninstall", secondRelease, "--wait"); err != nil {
		return err
	}
	_, err := s.kubectl(ctx, "delete", "ns/"+namespace, "--timeout=120s")
	return err
}
