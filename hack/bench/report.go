package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// figure is one thing that was measured.
type figure struct {
	Sessions int `json:"sessions,omitempty"`
	// Seam is how long Seam took to answer.
	Seam   string  `json:"seam"`
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit,omitempty"`
	Target string  `json:"target,omitempty"`
	Met    *bool   `json:"met,omitempty"`
	// counted says that the value does not vary from run to run.
	counted bool
}

// target is what a figure should be.
type target struct {
	atLeast bool
	value   float64
	counted bool
}

// atMost, atLeast and exactly are targets; exactly is of a count.
func atMost(value float64) target  { return target{value: value} }
func atLeast(value float64) target { return target{value: value, atLeast: true} }

// countAtMost is a target of a count, which fails the run if it is missed.
func countAtMost(value float64) target { return target{value: value, counted: true} }

func (t target) met(value float64) bool {
	if t.atLeast {
		return value >= t.value
	}
	return value <= t.value
}

func (t target) String() string {
	if t.atLeast {
		return fmt.Sprintf(">= %g", t.value)
	}
	return fmt.Sprintf("<= %g", t.value)
}

// report collects figures, and shows each as it comes.
type report struct {
	// away is how long Seam takes to answer in what is measured now.
	away    time.Duration
	figures []figure
}

// at measures with Seam as far away as that.
func (r *report) at(away time.Duration, measure func() error) error {
	before := r.away
	defer func() { r.away = before }()
	r.away = away
	return measure()
}

// add notes a figure that has no target, or one.
func (r *report) add(sessions int, name string, value float64, unit string, targets ...target) {
	f := figure{Sessions: sessions, Seam: r.away.String(), Name: name, Value: value, Unit: unit}
	for _, t := range targets {
		met := t.met(value)
		f.Target, f.Met, f.counted = t.String(), &met, t.counted
	}
	r.figures = append(r.figures, f)
	fmt.Printf("%6d  %5s  %-64s %10.3f %-3s %s\n", f.Sessions, f.Seam, f.Name, f.Value, f.Unit, f.verdict())
}

// valuesOf are the values of a figure, one for each number of sessions, with Seam as far away as it is now.
func (r *report) valuesOf(name string) []float64 {
	var values []float64
	for _, f := range r.figures {
		if f.Name == name && f.Seam == r.away.String() {
			values = append(values, f.Value)
		}
	}
	return values
}

func (f figure) verdict() string {
	switch {
	case f.Met == nil:
		return ""
	case *f.Met:
		return f.Target
	}
	return f.Target + " MISSED"
}

// finish shows all figures as a table and writes them as JSON. Its error names the counts that missed their target.
func (r *report) finish(out io.Writer, path string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nsessions\tSeam\tfigure\tvalue\tunit\ttarget")
	missed := ""
	for _, f := range r.figures {
		fmt.Fprintf(table, "%d\t%s\t%s\t%.3f\t%s\t%s\n", f.Sessions, f.Seam, f.Name, f.Value, f.Unit, f.verdict())
		if f.counted && !*f.Met {
			missed += fmt.Sprintf("; %s with %d sessions and Seam at %s: %g, target %s", f.Name, f.Sessions, f.Seam, f.Value, f.Target)
		}
	}
	_ = table.Flush()
	encoded, err := json.MarshalIndent(r.figures, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(encoded, '\n'), 0o600); err != nil {
		return err
	}
	if missed != "" {
		return fmt.Errorf("counts that missed their target%s", missed)
	}
	return nil
}
