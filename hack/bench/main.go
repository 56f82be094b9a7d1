// Command bench measures the operator from outside, as a process, against a real API server and a Seam that is as far
// away as each line says, and prints each figure beside its target; the speed of a first sync beside the floor measured in the same run, which
// is what a bare client reaches that does nothing but the writes. make bench builds what it needs and runs it from the top of
// the repository.
//
// Seconds are noisy; ratios within one run and counts are not. It fails if a count misses its target.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// bench is what was asked for, and what was measured.
type bench struct {
	report
	operator string
	profiles string
	others   int
	steady   time.Duration
}

func main() {
	b := &bench{}
	sizes := flag.String("sessions", "1000,5000", "numbers of sessions for first sync, restart and drift")
	measures := flag.String("measures", "sizes,steady,one,neighbours,others", "what to measure: of these, workspace (10 minutes), farewell (4 minutes), abuse (5 minutes), and idle, spread, outage (half an hour)")
	out := flag.String("json", ".cache/bench.json", "where the figures go as JSON")
	flag.StringVar(&b.operator, "operator", ".cache/bin/seam-session-operator", "the operator's binary")
	flag.StringVar(&b.profiles, "profiles", "", "folder for profiles of the first sync; empty is none")
	flag.IntVar(&b.others, "others", 10_000, "number of Secrets that are not the operator's")
	flag.DurationVar(&b.steady, "steady", time.Minute, "how long to watch sessions that are refreshed every 30s")
	flag.Parse()

	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := b.run(ctx, strings.Split(*measures, ","), strings.Split(*sizes, ","))
	if err = errors.Join(err, b.finish(os.Stdout, *out)); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, measures, sizes []string) error {
	all := map[string]func(context.Context) error{
		"sizes":      func(ctx context.Context) error { return b.measureSizes(ctx, sizes) },
		"steady":     b.measureSteady,
		"one":        b.measureOne,
		"neighbours": b.measureNeighbours,
		"others":     b.measureOthers,
		"workspace":  b.measureWorkspace,
		"farewell":   b.measureFarewell,
		"idle":       b.measureIdle,
		"spread":     b.measureSpread,
		"outage":     b.measureOutage,
		"abuse":      b.measureAbuse,
		// and what abuse has, one by one:
		"port":        b.measurePort,
		"credentials": b.measureLargeCredentials,
		"missing":     b.measureMissing,
		"metadata":    b.measureMetadata,
		"restless":    b.measureRestless,
		"refused":     b.measureRefused,
	}
	for _, name := range measures {
		measure, ok := all[name]
		if !ok {
			return fmt.Errorf("-measures: there is no %q", name)
		}
		if err := b.at(near, func() error { return measure(ctx) }); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
