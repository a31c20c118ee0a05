package main

import (
	"fmt"
	"strings"
)

// target is something that the project aims at, with 8 connections.
type target struct {
	what     string
	variant  string
	size     int // bytes of a message
	of       func(t *comparison) float64
	aim      float64
	at, form string // ">=" or "<=", and how its figures are printed

	besideTcpdump bool // compares with tcpdump
}

// comparison is what a cell has of one variant and of those it is measured against.
type comparison struct{ variant, base, tcpdump []measurement }

// rounds compares the variant with the base round by round.
func (t *comparison) rounds(f func(m, base measurement) float64) []float64 {
	values := make([]float64, len(t.variant))
	for i, m := range t.variant {
		values[i] = f(m, t.base[i])
	}
	return values
}

// rates is the requests per second of m to those of base.
func rates(m, base measurement) float64 { return m.rate / base.rate }

// targets are what the table ends with.
func targets() []target {
	return []target{
		{what: "throughput left", variant: "switch off", size: 1 << 10, of: ratio, aim: 0.99, at: ">=", form: "%.3f"},
		{what: "throughput left", variant: "pcapng", size: 1 << 10, of: ratio, aim: 0.95, at: ">=", form: "%.3f"},
		{what: "throughput left", variant: "pcapng", size: 16 << 10, of: ratio, aim: 0.85, at: ">=", form: "%.3f"},
		{what: "throughput left", variant: "hex_meta", size: 1 << 10, of: ratio, aim: 0.88, at: ">=", form: "%.3f"},
		{what: "share of the bytes lost", variant: "pcapng", size: 1 << 10, of: lostShare, aim: 0, at: "<=", form: "%.4f"},
		{what: "p99, to that without a filter", variant: "pcapng", size: 1 << 10, of: tail, aim: 1.25, at: "<=", form: "%.2f"},
		{what: "p99, to that without a filter", variant: "hex_meta", size: 1 << 10, of: tail, aim: 1.25, at: "<=", form: "%.2f"},
		{what: "p99, to that without a filter", variant: "pcapng", size: 16 << 10, of: tail, aim: 1.25, at: "<=", form: "%.2f"},
		{what: "processor time above no filter, to tcpdump's", variant: "pcapng", size: 1 << 10, of: costToTcpdump, aim: 0.5, at: "<=", form: "%.2f", besideTcpdump: true},
		{what: "processor time above no filter, to tcpdump's", variant: "pcapng", size: 16 << 10, of: costToTcpdump, aim: 0.5, at: "<=", form: "%.2f", besideTcpdump: true},
	}
}

// ratio is the median over the rounds.
func ratio(t *comparison) float64 {
	return median(t.rounds(rates))
}

// tail is the same of the p99.
func tail(t *comparison) float64 {
	return median(t.rounds(func(m, base measurement) float64 { return float64(m.p99) / float64(base.p99) }))
}

func lostShare(t *comparison) float64 {
	var seen, lost uint64
	for _, m := range t.variant {
		seen, lost = seen+m.seen, lost+m.lost
	}
	return float64(lost) / float64(max(seen, 1))
}

// costToTcpdump compares the medians of what is above the base's processor time.
func costToTcpdump(t *comparison) float64 {
	cost := func(runs []measurement) float64 {
		return median(each(runs, func(m measurement) float64 { return m.cpuPerGB }))
	}
	base := cost(t.base)
	return (cost(t.variant) - base) / (cost(t.tcpdump) - base)
}

// verdict returns the cells' results for the targets, as text. Targets that were not
// measured are left out.
func verdict(cells []cell) string {
	var b strings.Builder
	for _, g := range targets() {
		for _, c := range cells {
			if c.connections != 8 || c.size != g.size {
				continue
			}
			t := &comparison{variant: c.runs[g.variant], base: c.runs[noFilter], tcpdump: c.runs["tcpdump"]}
			if t.variant == nil || g.besideTcpdump && t.tcpdump == nil {
				continue
			}
			seen := g.of(t)
			met := "**missed**" // also where the figures make no sense
			if g.at == ">=" && seen >= g.aim || g.at == "<=" && seen >= 0 && seen <= g.aim {
				met = "met"
			}
			fmt.Fprintf(&b, "| %s | %s, %s | %s "+g.form+" | "+g.form+" | %s |\n", g.what, g.variant, size(g.size), g.at, g.aim, seen, met)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n## What was aimed at, with 8 connections\n\n| what | variant and message | aim | seen | |\n| --- | --- | ---: | ---: | --- |\n" + b.String()
}
