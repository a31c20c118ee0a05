package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// table is what the run has found, for people.
type table struct {
	options options
	cells   []cell
}

// cell is one combination of connections and message size, with the runs of
// each variant in the order of the rounds.
type cell struct {
	connections, size int
	runs              map[string][]measurement
}

func newTable(o options) *table { return &table{options: o} }

func (t *table) add(c cell) { t.cells = append(t.cells, c) }

// String renders the table in Markdown.
func (t *table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What recording costs\n\n")
	fmt.Fprintf(&b, "Machine: %s, %d processors, %s. Commit: %s. Date: %s.\n", processor(), runtime.NumCPU(), runtime.Version(), commit(), time.Now().UTC().Format("2006-01-02"))
	fmt.Fprintf(&b, "Closed loop through a MOSN TCP proxy, rounds of %v; the ratio is to \"no filter\" of the same round, median (minimum … maximum).\n", t.options.length)
	fmt.Fprintf(&b, "Both directions are recorded, but for \"hex, requests\". The buffer has %d MiB, the guard is off. docs/performance.md tells how to read this.\n", bufferSize>>20)
	for _, c := range t.cells {
		fmt.Fprintf(&b, "\n## %d connections, %s messages, %d rounds\n\n", c.connections, size(c.size), len(c.runs[noFilter]))
		fmt.Fprintf(&b, "| variant | requests/s | ratio | p50 | p99 | p99 ratio | CPU s/GB | machine CPU s/GB | lost | peak memory |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
		for _, v := range variants() {
			runs := c.runs[v.name]
			if runs == nil {
				continue
			}
			column := func(f func(m measurement) float64) float64 { return median(each(runs, f)) }
			var seen, lost uint64
			var peak int64
			for _, m := range runs {
				seen, lost, peak = seen+m.seen, lost+m.lost, max(peak, m.peak)
			}
			against := &comparison{variant: runs, base: c.runs[noFilter]}
			ratios := against.rounds(rates)
			cpu := fmt.Sprintf("%.2f", column(func(m measurement) float64 { return m.cpuPerGB }))
			if v.tcpdump || v.disk {
				cpu = fmt.Sprintf("%s (beside %.2f)", cpu, column(func(m measurement) float64 { return m.beside }))
			}
			fmt.Fprintf(&b, "| %s | %.0f | %.3f (%.3f … %.3f) | %v | %v | %.2f | %s | %.2f | %s | %d MiB |\n",
				v.name, column(func(m measurement) float64 { return m.rate }),
				median(ratios), slices.Min(ratios), slices.Max(ratios),
				time.Duration(column(func(m measurement) float64 { return float64(m.p50) })).Round(time.Microsecond),
				time.Duration(column(func(m measurement) float64 { return float64(m.p99) })).Round(time.Microsecond),
				tail(against), cpu, column(func(m measurement) float64 { return m.totalPerGB }),
				share(v, seen, lost), peak>>20)
		}
	}
	b.WriteString(verdict(t.cells))
	return b.String()
}

// share returns what was lost: bytes of the filter, packets of tcpdump.
func share(v variant, seen, lost uint64) string {
	switch {
	case !v.window && !v.tcpdump && !v.disk:
		return "–"
	case lost == 0:
		return "0"
	case v.tcpdump:
		return fmt.Sprintf("%.1f %% of packets", 100*float64(lost)/float64(seen))
	default:
		return fmt.Sprintf("%.2f %% of bytes", 100*float64(lost)/float64(seen))
	}
}

func each(runs []measurement, f func(measurement) float64) []float64 {
	values := make([]float64, len(runs))
	for i, m := range runs {
		values[i] = f(m)
	}
	return values
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

func size(n int) string {
	if n >= 1024 && n%1024 == 0 {
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d B", n)
}

// processor returns the processor's name.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for _, line := range strings.Split(string(text), "\n") {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
		}
	}
	return runtime.GOARCH
}

// commit returns the commit that was measured.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
