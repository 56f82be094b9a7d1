package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	realclock "k8s.io/utils/clock"
)

// collected is where logs and objects go when something is not as it should be.
const collected = ".cache/e2e"

var clock = realclock.RealClock{}

// suite is what the steps share.
type suite struct {
	image, podImage, helmPath, kubectlPath string
	work                                   string
	endpoint                               string
}

func (s *suite) helm(ctx context.Context, args ...string) (string, error) {
	return s.command(ctx, "", s.helmPath, append(args, "--namespace="+systemNamespace)...)
}

func (s *suite) kubectl(ctx context.Context, args ...string) (string, error) {
	return s.command(ctx, "", s.kubectlPath, args...)
}

// command shows and runs a command, and returns what it prints; the error holds that as well.
func (s *suite) command(ctx context.Context, stdin, path string, args ...string) (string, error) {
	fmt.Println("$", filepath.Base(path), strings.Join(args, " "))
	return s.quietly(ctx, stdin, path, args...)
}

func (s *suite) quietly(ctx context.Context, stdin, path string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, path, args...)
	command.Stdin = strings.NewReader(stdin)
	var printed bytes.Buffer
	command.Stdout, command.Stderr = &printed, &printed
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(path), strings.Join(args, " "), err, &printed)
	}
	return strings.TrimSpace(printed.String()), nil
}

// apply applies a file, with the image of the pods in its place.
func (s *suite) apply(ctx context.Context, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return s.applyText(ctx, strings.ReplaceAll(string(content), "image: IMAGE", "image: "+s.podImage))
}

func (s *suite) applyText(ctx context.Context, manifests string) error {
	_, err := s.command(ctx, manifests, s.kubectlPath, "apply", "-f", "-")
	return err
}

// wait waits for objects of the sessions' namespace.
func (s *suite) wait(ctx context.Context, condition string, objects ...string) error {
	return s.waitIn(ctx, namespace, condition, objects...)
}

func (s *suite) waitIn(ctx context.Context, namespace, condition string, objects ...string) error {
	_, err := s.kubectl(ctx, append([]string{"-n", namespace, "wait", "--for=" + condition, "--timeout=60s"}, objects...)...)
	return err
}

// expect fails unless kubectl prints something.
func (s *suite) expect(ctx context.Context, want string, args ...string) error {
	printed, err := s.kubectl(ctx, args...)
	if err == nil && !strings.Contains(printed, want) {
		err = fmt.Errorf("%q is not in: %s", want, printed)
	}
	return err
}

func (s *suite) until(ctx context.Context, what string, done func() bool) error {
	fmt.Println("... until", what)
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not so: %s: %w", what, ctx.Err())
		case <-clock.After(500 * time.Millisecond):
		}
	}
	return nil
}

// refresh asks for a session to be looked at now.
func (s *suite) refresh(ctx context.Context, session, request string) error {
	_, err := s.kubectl(ctx, "-n", namespace, "annotate", "--overwrite", "scs/"+session, "connect.seam.co/refresh-requested-at="+request)
	return err
}

// inPod runs hack/e2e/pod in the running consumer of a namespace.
func (s *suite) inPod(ctx context.Context, namespace string, args ...string) (string, error) {
	return s.quietly(ctx, "", s.kubectlPath, append([]string{"-n", namespace, "exec", "consumer", "--", "/pod"}, args...)...)
}

// seam tells the Seam in the cluster something.
func (s *suite) seam(ctx context.Context, path, body string) (string, error) {
	return s.quietly(ctx, "", s.kubectlPath, "-n", "seam-e2e-seam", "exec", "deployment/seam", "--", "/pod", "post", path, body)
}

// collect writes down what there is, and shows the end of what the operator logged. Secrets stay where they are.
func (s *suite) collect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := os.MkdirAll(collected, 0o750); err != nil {
		fmt.Println(err)
		return
	}
	for name, args := range map[string][]string{
		"objects.yaml":  {"get", "scs,sws,pods,deployments,leases,roles,rolebindings", "-A", "-o", "yaml"},
		"described.txt": {"describe", "scs,sws,pods", "-A"},
		"events.txt":    {"get", "events", "-A", "--sort-by=.lastTimestamp"},
		"operator.log":  {"-n", systemNamespace, "logs", "-l", "app.kubernetes.io/name=seam-session-operator", "--tail=-1", "--prefix"},
		"previous.log":  {"-n", systemNamespace, "logs", "-l", "app.kubernetes.io/name=seam-session-operator", "--tail=-1", "--prefix", "--previous"},
	} {
		printed, err := s.quietly(ctx, "", s.kubectlPath, args...)
		if err != nil {
			printed = err.Error()
		}
		if err := os.WriteFile(filepath.Join(collected, name), []byte(printed+"\n"), 0o600); err != nil {
			fmt.Println(err)
		}
		if name == "operator.log" {
			lines := strings.Split(printed, "\n")
			fmt.Printf("\nThe end of what the operator logged:\n%s\n", strings.Join(lines[max(0, len(lines)-30):], "\n"))
		}
	}
	fmt.Println("Logs and objects are in", collected)
}
