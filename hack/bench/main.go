// Command bench measures the operator from outside, as a process, against a real API server and a Seam that takes 30 ms to
// answer, and prints each figure beside the floor measured in the same run: what a bare client reaches that does nothing
// but the writes. make bench builds what it needs and runs it from the top of the repository.
//
// Seconds are noisy, ratios within one run and counts are not.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	sizes := flag.String("sessions", "1000,5000", "numbers of sessions to measure with")
	others := flag.Int("others", 20_000, "number of Secrets that are not the operator's")
	steady := flag.Duration("steady", time.Minute, "how long to watch sessions that are refreshed every 30s")
	operator := flag.String("operator", ".cache/bin/seam-session-operator", "the operator's binary")
	out := flag.String("json", ".cache/bench.json", "where the figures go as JSON")
	flag.Parse()

	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *sizes, *others, *steady, *operator, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, sizes string, others int, steady time.Duration, operator, out string) (err error) {
	results := &report{}
	for _, size := range strings.Split(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("-sessions: %w", err)
		}
		if err := measureSize(ctx, results, n, operator); err != nil {
			return fmt.Errorf("with %d sessions: %w", n, err)
		}
	}
	if err := measureSteady(ctx, results, steady, operator); err != nil {
		return fmt.Errorf("steady: %w", err)
	}
	if err := measureOne(ctx, results, operator); err != nil {
		return fmt.Errorf("one session: %w", err)
	}
	if err := measureOthers(ctx, results, others, operator); err != nil {
		return fmt.Errorf("others' Secrets: %w", err)
	}
	encoded, err := json.MarshalIndent(results.Figures, "", "  ")
	if err != nil {
		return err
	}
	results.print(os.Stdout)
	return os.WriteFile(out, append(encoded, '\n'), 0o600)
}
