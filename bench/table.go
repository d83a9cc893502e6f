package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// results are what a bench found, in the form that -json prints.
type results struct {
	Machine string
	Runs    int
	Seconds float64
	Memory  int64
	Evhub   string // the binary, or that it was the engine alone
	Cases   []caseRow
	Figures []figureRow
}

type caseRow struct {
	Name, Title, Reach, Yardstick string
	Servers                       []serverRow
}

// serverRow holds medians. The ratios are medians of the ratios to the yardstick within a run.
type serverRow struct {
	Server string
	sample
	RatioPerSecond, RatioPerCore, RatioP50, RatioP99 float64
	Runs                                             []sample
	Failed                                           string // why it was left out, from some run on
}

type figureRow struct{ Name, Title, Value, Reach string }

func newResults(l *lab) *results {
	r := &results{Machine: machine(), Runs: l.o.runs, Seconds: l.o.run.Seconds(), Memory: l.o.memory, Evhub: "evhub serve"}
	if l.evhub == "" || l.o.profiles != "" {
		r.Evhub = "the engine alone"
	}
	return r
}

func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(b), "model name"); ok {
			line, _, _ := strings.Cut(after, "\n")
			model = strings.TrimLeft(line, "\t: ")
		}
	}
	return fmt.Sprintf("%d x %s, %s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.Version())
}

func summarize(name string, own, yardstick []sample, failed error) serverRow {
	row := serverRow{Server: name, Runs: own}
	if failed != nil {
		row.Failed = strings.Join(strings.Fields(failed.Error()), " ")
	}
	row.sample = sample{
		PerCoreSecond: medianOf(own, func(s sample) float64 { return s.PerCoreSecond }),
		PerSecond:     medianOf(own, func(s sample) float64 { return s.PerSecond }),
		P50:           medianOf(own, func(s sample) time.Duration { return s.P50 }),
		P99:           medianOf(own, func(s sample) time.Duration { return s.P99 }),
		ServerCores:   medianOf(own, func(s sample) float64 { return s.ServerCores }),
		ClientCores:   medianOf(own, func(s sample) float64 { return s.ClientCores }),
		OtherCores:    medianOf(own, func(s sample) float64 { return s.OtherCores }),
		RSSBytes:      medianOf(own, func(s sample) int64 { return s.RSSBytes }),
	}
	ratio := func(of func(sample) float64) float64 {
		var ratios []float64
		for i := range min(len(own), len(yardstick)) {
			if base := of(yardstick[i]); base > 0 {
				ratios = append(ratios, of(own[i])/base)
			}
		}
		return median(ratios)
	}
	row.RatioPerSecond = ratio(func(s sample) float64 { return s.PerSecond })
	row.RatioPerCore = ratio(func(s sample) float64 { return s.PerCoreSecond })
	row.RatioP50 = ratio(func(s sample) float64 { return float64(s.P50) })
	row.RatioP99 = ratio(func(s sample) float64 { return float64(s.P99) })
	return row
}

func medianOf[T cmp.Ordered](list []sample, of func(sample) T) T {
	values := make([]T, len(list))
	for i, s := range list {
		values[i] = of(s)
	}
	return median(values)
}

// median is the upper one of the two in the middle, and zero of nothing.
func median[T cmp.Ordered](values []T) (m T) {
	if len(values) == 0 {
		return m
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (r *results) writeMarkdown(w io.Writer) {
	fmt.Fprintf(w, "%s; evhub is %s; %d runs of %g s each, %d MiB of events.\n", r.Machine, r.Evhub, r.Runs, r.Seconds, r.Memory>>20)
	if len(r.Cases) > 0 {
		fmt.Fprint(w, "\n| case | server | events/core-s | events/s | p50 | p99 | x yardstick: per core, events/s, p50, p99 | server, client, other cores | RSS |\n"+
			"|---|---|--:|--:|--:|--:|---|---|--:|\n")
	}
	for _, c := range r.Cases {
		for i, s := range c.Servers {
			title := ""
			if i == 0 {
				title = c.Title + " (reach: " + c.Reach + ")"
			}
			fmt.Fprintf(w, "| %s | %s |\n", title, s.markdown(s.Server == c.Yardstick))
		}
	}
	if len(r.Figures) > 0 {
		fmt.Fprint(w, "\n| figure | value | reach |\n|---|---|---|\n")
	}
	for _, f := range r.Figures {
		fmt.Fprintf(w, "| %s | %s | %s |\n", f.Title, f.Value, f.Reach)
	}
}

func (s *serverRow) markdown(isYardstick bool) string {
	if len(s.Runs) == 0 {
		return fmt.Sprintf("%s | - | - | - | - | not run: %s | - | -", s.Server, s.Failed)
	}
	ratios := "1"
	if !isYardstick {
		ratios = fmt.Sprintf("%.2f, %.2f", s.RatioPerCore, s.RatioPerSecond)
		if s.P50 > 0 {
			ratios += fmt.Sprintf(", %.2f, %.2f", s.RatioP50, s.RatioP99)
		}
	}
	return fmt.Sprintf("%s | %s | %s | %s | %s | %s | %.2f, %.2f, %.2f | %d MB", s.Server, thousands(s.PerCoreSecond), thousands(s.PerSecond),
		millis(s.P50), millis(s.P99), ratios, s.ServerCores, s.ClientCores, s.OtherCores, s.RSSBytes/1e6)
}

func thousands(n float64) string {
	switch {
	case n == 0:
		return "-"
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", n/1e6)
	}
	return fmt.Sprintf("%.1f k", n/1e3)
}

func millis(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
}
