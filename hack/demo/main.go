// Command demo shows the operator at work, on a control plane of its own: make demo builds all that it needs and runs it
// from the top of the repository. It starts everything as its own child, and leaves nothing running.
//
// Against Seam's own fake server, or the project's own where Node is missing, it goes through the whole story: sample
// sessions become Ready, their Secrets hold the tokens, and a session near its end is extended by its owner and picked up
// before it expires; the operator makes a session itself, extends it, and deletes it with its object; then one namespace
// uses the credential of another, for its own users alone, and a session that is deleted at Seam shows seconds later. With
// SEAM_API_KEY set it runs against the real service (or SEAM_ENDPOINT), and reads the session that SEAM_CLIENT_SESSION_ID or
// SEAM_USER_IDENTIFIER_KEY names; SEAM_WORKSPACE_ID is needed with a personal access token.
//
// It stays up until Ctrl-C. With DEMO_ONCE=1 it ends by itself, with exit code 0 only if all of the story was seen.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// storyTimeout bounds the whole story, which takes about a minute and a half.
const storyTimeout = 4 * time.Minute

var errInterrupted = errors.New("interrupted")

func main() {
	operator := flag.String("operator", ".cache/bin/seam-session-operator", "the operator's binary")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, *operator, os.Getenv("DEMO_ONCE") == "1"); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// run sets the stage, plays, and unless once is set, stays up until ctx is done. When it returns, all it started has ended.
func run(ctx context.Context, operator string, once bool) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &stage{fail: cancel}
	defer func() { err = errors.Join(err, s.clear(err != nil && !errors.Is(err, errInterrupted))) }()

	story, endStory := context.WithTimeout(ctx, storyTimeout)
	defer endStory()
	if err := play(story, s, operator); err != nil {
		return causeOf(story, err)
	}
	if once {
		say("All of it was seen.")
		return nil
	}
	s.printHints()
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func play(ctx context.Context, s *stage, operator string) error {
	seam, err := chooseSeam(ctx, s)
	if err != nil {
		return err
	}
	say("Starting a control plane: kube-apiserver and etcd")
	if err := s.startControlPlane(); err != nil {
		return err
	}
	if err := install(ctx, s); err != nil {
		return err
	}
	say("Starting the operator as a process of its own, with the rights of its service account and no others")
	if err := s.startOperator(operator, seam.url()); err != nil {
		return err
	}
	return seam.play(ctx, s)
}

func install(ctx context.Context, s *stage) error {
	say("Installing the operator by kubectl. Its Deployment stays idle: this control plane runs no pods")
	if err := s.kubectl(ctx, "apply", "-k", "config/default"); err != nil {
		return err
	}
	return s.kubectl(ctx, "wait", "--for=condition=Established", "crd/seamclientsessions.connect.seam.co",
		"crd/seamworkspaces.connect.seam.co", "--timeout=30s")
}

// causeOf names why ctx ended rather than what that did to a command, and err itself if ctx goes on.
func causeOf(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return err
	case errors.Is(cause, context.Canceled):
		return errInterrupted
	case errors.Is(cause, context.DeadlineExceeded):
		return fmt.Errorf("not done within %s: %w", storyTimeout, err)
	default:
		return cause
	}
}

func say(line string) {
	fmt.Printf("\n==> %s\n", line)
}
