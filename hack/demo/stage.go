package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	systemNamespace = "seam-session-operator-system"
	serviceAccount  = "seam-session-operator"
	stopTimeout     = 10 * time.Second
)

// stage is what the demo runs on: a control plane, processes, and a folder for their files.
type stage struct {
	fail    context.CancelCauseFunc // ends the demo when a process ends that should not
	dir     string
	env     envtest.Environment
	stops   []func() error // in the order of the starts
	hints   []string
	logPath string
}

func (s *stage) startControlPlane() error {
	if err := s.makeDir(); err != nil {
		return err
	}
	s.env = envtest.Environment{
		UseExistingCluster:       ptr.To(false),
		ControlPlaneStartTimeout: time.Minute,
		ControlPlaneStopTimeout:  stopTimeout,
	}
	s.stops = append(s.stops, s.env.Stop) // Start may fail with one of the two up
	if _, err := s.env.Start(); err != nil {
		return fmt.Errorf("start the control plane: %w", err)
	}
	return os.WriteFile(s.kubeconfig(), s.env.KubeConfig, 0o600)
}

func (s *stage) makeDir() error {
	if err := os.MkdirAll(".cache", 0o750); err != nil {
		return err
	}
	cache, err := filepath.Abs(".cache")
	if err != nil {
		return err
	}
	s.dir, err = os.MkdirTemp(cache, "demo-")
	return err
}

func (s *stage) kubeconfig() string { return filepath.Join(s.dir, "kubeconfig") }
func (s *stage) kubectlPath() string {
	return filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
}

// startOperator runs the operator as its service account, so that RBAC rules which lack something fail the demo.
func (s *stage) startOperator(binary, endpoint string) error {
	user, err := s.env.AddUser(envtest.User{
		Name:   "system:serviceaccount:" + systemNamespace + ":" + serviceAccount,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + systemNamespace},
	}, nil)
	if err != nil {
		return err
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, "operator.kubeconfig")
	if err := os.WriteFile(path, kubeconfig, 0o600); err != nil {
		return err
	}
	s.logPath = filepath.Join(s.dir, "operator.log")
	log, err := os.Create(s.logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	_, err = s.start(command{
		name: "the operator",
		args: []string{binary, "--seam-endpoint=" + endpoint, "--metrics-bind-address=0", "--health-probe-bind-address=0"},
		// It has to find the credential in its Secret, not here.
		env:    []string{"KUBECONFIG=" + path, "SEAM_API_KEY="},
		stdout: log,
		stderr: log,
	})
	return err
}

// command is a process to start; env goes on top of the demo's own.
type command struct {
	name           string
	args, env      []string
	stdout, stderr io.Writer
}

// start runs a command until stop is called or the stage is cleared; if it ends before, so does the demo. It gets a process
// group of its own, so that Ctrl-C in the terminal reaches the demo alone, which then ends things in order. Its standard
// input closes when the demo dies, however it dies.
func (s *stage) start(c command) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = c.stdout, c.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	if _, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
		if ctx.Err() == nil {
			s.fail(fmt.Errorf("%s ended by itself: %s", c.name, cmd.ProcessState))
		}
	}()
	stop = func() { cancel(); <-ended }
	s.stops = append(s.stops, func() error { stop(); return nil })
	return stop, nil
}

// clear ends what was started, last first. showLog shows the end of the operator's log.
func (s *stage) clear(showLog bool) error {
	var errs []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		errs = append(errs, s.stops[i]())
	}
	if log, err := os.ReadFile(s.logPath); showLog && err == nil {
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		fmt.Printf("\nThe end of the operator's log:\n%s\n", strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// kubectl shows a command and its output.
func (s *stage) kubectl(ctx context.Context, args ...string) error {
	shown := make([]string, len(args))
	for i, arg := range args {
		shown[i] = arg
		if strings.ContainsAny(arg, " ${}[]()\"") {
			shown[i] = "'" + arg + "'"
		}
	}
	fmt.Println("$ kubectl", strings.Join(shown, " "))
	return s.kubectlTo(ctx, os.Stdout, nil, args...)
}

// kubectlGet returns the output of a command that is not shown.
func (s *stage) kubectlGet(ctx context.Context, args ...string) (string, error) {
	var out strings.Builder
	err := s.kubectlTo(ctx, &out, nil, args...)
	return strings.TrimSpace(out.String()), err
}

func (s *stage) kubectlTo(ctx context.Context, stdout io.Writer, stdin io.Reader, args ...string) error {
	cmd := exec.CommandContext(ctx, s.kubectlPath(), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// watch shows how an object changes until stop is called.
func (s *stage) watch(kind, name string) (stop func(), err error) {
	columns := `custom-columns=NAME:.metadata.name,READY:.status.conditions[?(@.type=="Ready")].status,` +
		`EXPIRING:.status.conditions[?(@.type=="Expiring")].status,TOKEN:.status.tokenFingerprint,` +
		`EXPIRES:.status.expiresAt,NEXT:.status.nextFetchTime`
	return s.start(command{
		name:   "kubectl get --watch",
		args:   []string{s.kubectlPath(), "get", kind, name, "--watch", "-o", columns},
		env:    []string{"KUBECONFIG=" + s.kubeconfig()},
		stdout: os.Stdout,
		stderr: os.Stderr,
	})
}

func (s *stage) printHints() {
	say("It stays up until Ctrl-C. In another terminal:")
	fmt.Printf("export KUBECONFIG=%s PATH=%s:$PATH\n", s.kubeconfig(), filepath.Dir(s.kubectlPath()))
	fmt.Printf("tail -f %s\n", s.logPath)
	for _, hint := range s.hints {
		fmt.Println(hint)
	}
}
