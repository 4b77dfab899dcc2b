package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is everything that was measured.
type report struct {
	options
	machine    string
	server     string
	sockets    *compared
	throughput []comparison
	latency    []latencies
	pending    []claimed
	acceptance []acceptances
	fanOut     []flooded
	crowded    *crowded
	sets       *comparison // of people with preferences, and of people without
	sizes      []feedTimes
}

// comparison is all rounds of one load: Belfry's and river's sample of each.
type comparison struct {
	load
	pairs [][2]sample
}

// table is a title, a head and rows of as many cells.
type table struct {
	title string
	note  string
	rows  [][]string // the first is the head
}

func (r *report) tables() []table {
	var out []table
	if len(r.throughput) > 0 {
		out = append(out, r.rates(), r.costs())
	}
	if len(r.latency) > 0 {
		out = append(out, r.times())
	}
	if len(r.pending) > 0 {
		out = append(out, r.claims())
	}
	if len(r.acceptance) > 0 {
		out = append(out, r.accepts())
	}
	if len(r.fanOut) > 0 {
		out = append(out, r.besides(), r.fanOuts())
	}
	if r.crowded != nil {
		out = append(out, r.crowds()...)
	}
	if r.sockets != nil {
		out = append(out, r.socketCosts(), r.socketTimes(), r.slowSockets(), r.stormSockets())
	}
	if r.sets != nil {
		out = append(out, r.preferences())
	}
	if len(r.sizes) > 0 {
		out = append(out, r.feedTimes())
	}
	return out
}

// rates compares how many a second.
func (r *report) rates() table {
	t := table{title: "Throughput: whole workflow runs beside empty jobs",
		note: fmt.Sprintf("Per second, from the first call to the last commit, without the time in which all of them only waited for the delay; median of %d rounds (lowest to highest).", r.rounds),
		rows: [][]string{{"workflow", "handed over", "callers", "in all", "Belfry runs/s", "river jobs/s", "ratio"}}}
	for _, c := range r.throughput {
		ours := c.each(func(p [2]sample) float64 { return p[0].rate() })
		theirs := c.each(func(p [2]sample) float64 { return p[1].rate() })
		ratio := c.each(func(p [2]sample) float64 { return p[0].rate() / p[1].rate() })
		t.rows = append(t.rows, []string{c.task.name, c.name, fmt.Sprint(c.callers), fmt.Sprint(c.units),
			spread("%.0f", ours), spread("%.0f", theirs), spread("%.2f", ratio)})
	}
	return t
}

// preferences compares runs whose recipients have preferences with runs of people who have none.
func (r *report) preferences() table {
	c := r.sets
	row := func(what, format string, of func(sample) float64) []string {
		values := []string{what}
		for i := range 2 {
			values = append(values, spread(format, c.each(func(p [2]sample) float64 { return of(p[i]) })))
		}
		return append(values, spread("%.2f", c.each(func(p [2]sample) float64 { return of(p[0]) / of(p[1]) })))
	}
	return table{title: "Preferences: five sets each, and those of the tenant and the environment",
		note: fmt.Sprintf("%d runs of %q, %s, for a tenant; the sides take turns, median of %d rounds (lowest to highest).", c.units, c.task.name, c.name, r.rounds),
		rows: [][]string{{"", "with", "without", "ratio"},
			row("runs/s", "%.0f", sample.rate),
			row("CPU µs", "%.1f", func(s sample) float64 { return s.per((s.cpu + s.server).Nanoseconds()) / 1000 })}}
}

// costs compares what was written.
func (r *report) costs() table {
	t := table{title: "What one run, or one job, costs",
		note: "Medians. CPU is processor time, of the program and of PostgreSQL. Rows are those inserted, updated and deleted in tables, indexes apart.",
		rows: [][]string{{"workflow", "handed over", "side", "CPU µs", "of PostgreSQL", "together", "WAL bytes", "rows inserted", "updated", "deleted"}}}
	for _, c := range r.throughput {
		for i, side := range []string{"Belfry run", "river job"} {
			per := func(total func(sample) int64) string {
				return fmt.Sprintf("%.3g", median(c.each(func(p [2]sample) float64 { return p[i].per(total(p[i])) })))
			}
			whole := func(total func(sample) int64) string {
				return fmt.Sprintf("%.0f", median(c.each(func(p [2]sample) float64 { return p[i].per(total(p[i])) })))
			}
			t.rows = append(t.rows, []string{c.task.name, c.name, side,
				whole(func(s sample) int64 { return s.cpu.Microseconds() }),
				whole(func(s sample) int64 { return s.server.Microseconds() }),
				whole(func(s sample) int64 { return (s.cpu + s.server).Microseconds() }),
				whole(func(s sample) int64 { return s.wal }),
				per(func(s sample) int64 { return s.tuples.inserted }),
				per(func(s sample) int64 { return s.tuples.updated }),
				per(func(s sample) int64 { return s.tuples.deleted })})
		}
	}
	return t
}

// times compares the way from trigger to frame with what it consists of.
func (r *report) times() table {
	t := table{title: "Latency: from the trigger to the frame at the client",
		note: fmt.Sprintf("Milliseconds from the scheduled instant; %d rounds of %s at %d/s, %d subscribers, all rounds together (p99 also of the best and the worst round).",
			r.rounds, r.pace.duration, r.pace.rate, r.pace.subscribers),
		rows: [][]string{{"what", "count", "p50", "p90", "p99", "max", "p50 in commits", "p99 in commits"}}}
	kinds := []struct {
		name string
		of   func(latencies) []time.Duration
	}{
		{"floor: one row committed", func(l latencies) []time.Duration { return l.commit }},
		{"floor: HTTP round trip", func(l latencies) []time.Duration { return l.http }},
		{"triggerWorkflow, to its answer", func(l latencies) []time.Duration { return l.mutation }},
		{"triggerWorkflow, to the frame", func(l latencies) []time.Duration { return l.frame }},
	}
	var floor []time.Duration
	for i, k := range kinds {
		var rounds [][]time.Duration
		for _, l := range r.latency {
			rounds = append(rounds, k.of(l))
		}
		all := slices.Concat(rounds...)
		if i == 0 {
			floor = all
		}
		in := func(q float64) string {
			return fmt.Sprintf("%.1f", quantile(all, q).Seconds()/quantile(floor, q).Seconds())
		}
		t.rows = append(t.rows, append(append([]string{k.name}, quantilesOf(rounds)...), in(0.5), in(0.99)))
	}
	return t
}

// quantiles is the cells for times: count, p50, p90, p99, max.
func quantiles(times []time.Duration) []string {
	return []string{fmt.Sprint(len(times)), milliseconds(quantile(times, 0.5)), milliseconds(quantile(times, 0.9)),
		milliseconds(quantile(times, 0.99)), milliseconds(quantile(times, 1))}
}

// quantilesOf is those of all rounds together, with the p99 of the best and the worst round.
func quantilesOf(rounds [][]time.Duration) []string {
	cells := quantiles(slices.Concat(rounds...))
	var p99 []float64
	for _, times := range rounds {
		p99 = append(p99, quantile(times, 0.99).Seconds()*1000)
	}
	cells[3] += fmt.Sprintf(" (%.2f to %.2f)", slices.Min(p99), slices.Max(p99))
	return cells
}

func (c comparison) each(f func([2]sample) float64) []float64 {
	var out []float64
	for _, p := range c.pairs {
		out = append(out, f(p))
	}
	return out
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// spread is a median with the least and the greatest.
func spread(format string, values []float64) string {
	return fmt.Sprintf(format+" ("+format+" to "+format+")", median(values), slices.Min(values), slices.Max(values))
}

// quantile is the least time that a share of all times does not exceed.
func quantile(times []time.Duration, share float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	rank := int(math.Ceil(share * float64(len(sorted)))) // the nearest rank, from 1
	return sorted[max(rank, 1)-1]
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1000) }

// text writes the tables for a terminal.
func (r *report) text(out io.Writer) error {
	for _, t := range r.tables() {
		w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
		fmt.Fprintf(w, "\n%s\n%s\n\n", t.title, t.note) // errors are kept until Flush
		for _, row := range t.rows {
			fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// markdown writes the tables for README.md.
func (r *report) markdown(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Taken on %s: %s. %s.\n", time.Now().Format(time.DateOnly), r.machine, r.server)
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n**%s.** %s\n\n", t.title, t.note)
		for i, row := range t.rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(row)))
			}
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
