package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// figure is one thing that was measured.
type figure struct {
	Sessions int     `json:"sessions,omitempty"`
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
}

// report collects figures, and shows each as it comes.
type report struct {
	Figures []figure
}

func (r *report) add(sessions int, name string, value float64, unit string) {
	r.Figures = append(r.Figures, figure{sessions, name, value, unit})
	fmt.Printf("%6d  %-45s %10.3f %s\n", sessions, name, value, unit)
}

func (r *report) print(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nsessions\tfigure\tvalue\tunit\t")
	for _, f := range r.Figures {
		fmt.Fprintf(table, "%d\t%s\t%.3f\t%s\t\n", f.Sessions, f.Name, f.Value, f.Unit)
	}
	_ = table.Flush()
}
