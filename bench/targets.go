package main

import (
	"fmt"
	"strings"
)

// target is something that the project aims at.
type target struct {
	what        string
	variant     string
	load        string // what is special about the cell, see cell.what
	connections int    // where nothing is special; 0 means 8
	size        int    // bytes of a message
	of          func(t *comparison) float64
	aim         float64
	at, form    string // ">=" or "<=", and how its figures are printed

	beside string // the variant that it also compares with; "" for none
}

// comparison is what a cell has of one variant and of those it is measured against. beside
// is target.beside's.
type comparison struct {
	variant, base, beside []measurement
	connections           int
}

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
		{what: "throughput left", variant: "pcapng", size: 1 << 10, of: ratio, aim: 0.98, at: ">=", form: "%.3f"},
		{what: "throughput left, to that beside the disk alone", variant: "pcapng", size: 16 << 10, of: ratioToBeside, aim: 0.95, at: ">=", form: "%.3f", beside: diskAlone},
		{what: "throughput left", variant: "hex_meta", size: 1 << 10, of: ratio, aim: 0.92, at: ">=", form: "%.3f"},
		{what: "share of the bytes lost", variant: "pcapng", size: 1 << 10, of: lostShare, aim: 0, at: "<=", form: "%.4f"},
		{what: "p99, to that without a filter", variant: "pcapng", size: 1 << 10, of: tail, aim: 1.15, at: "<=", form: "%.2f"},
		{what: "p99, to that without a filter", variant: "hex_meta", size: 1 << 10, of: tail, aim: 1.15, at: "<=", form: "%.2f"},
		{what: "p99, to that without a filter", variant: "pcapng", size: 16 << 10, of: tail, aim: 1.15, at: "<=", form: "%.2f"},
		{what: "processor time above no filter, to tcpdump's", variant: "pcapng", size: 1 << 10, of: costToTcpdump, aim: 0.5, at: "<=", form: "%.2f", beside: "tcpdump"},
		{what: "processor time above no filter, to tcpdump's", variant: "pcapng", size: 16 << 10, of: costToTcpdump, aim: 0.5, at: "<=", form: "%.2f", beside: "tcpdump"},
		{what: "bytes recorded, to those of the disk alone", variant: "pcapng", connections: 256, size: 16 << 10, of: recordedToBeside, aim: 0.8, at: ">=", form: "%.2f", beside: diskAlone},
		{what: "bytes recorded, to those of the disk alone", variant: "pcapng", connections: 256, size: 256 << 10, of: recordedToBeside, aim: 0.8, at: ">=", form: "%.2f", beside: diskAlone},
		{what: "p99, to that without a filter", variant: "pcapng", load: openLoop, size: openSize, of: tail, aim: 1.05, at: "<=", form: "%.2f"},
		{what: "processor time, to that without a filter", variant: "pcapng", load: openLoop, size: openSize, of: costRatio, aim: 1.04, at: "<=", form: "%.3f"},
		{what: "throughput left", variant: "pcapng", load: many, size: manySize, of: ratio, aim: 0.98, at: ">=", form: "%.3f"},
		{what: "memory above no filter, to 1.25 × the buffer and 2 KiB a connection", variant: "pcapng", load: many, size: manySize, of: memoryToPromise, aim: 1, at: "<=", form: "%.2f"},
	}
}

// ratioToBeside is the ratio to that of the variant beside.
func ratioToBeside(t *comparison) float64 {
	return ratio(t) / ratio(&comparison{variant: t.beside, base: t.base})
}

// recordedToBeside is the bytes in the files to those of the variant beside.
func recordedToBeside(t *comparison) float64 {
	return median(each(t.variant, measurement.recorded)) / median(each(t.beside, measurement.recorded))
}

// costRatio is the median of the processor time to that of the base.
func costRatio(t *comparison) float64 {
	return median(t.rounds(func(m, base measurement) float64 { return m.cpuPerGB / base.cpuPerGB }))
}

// memoryToPromise is the median of the peak memory above that of the base, to what is
// promised.
func memoryToPromise(t *comparison) float64 {
	promised := float64(bufferSize)*5/4 + float64(t.connections)*(2<<10)
	return median(t.rounds(func(m, base measurement) float64 { return float64(m.peak-base.peak) / promised }))
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
	return (cost(t.variant) - base) / (cost(t.beside) - base)
}

// verdict returns the cells' results for the targets, as text. Targets that were not
// measured are left out.
func verdict(cells []cell) string {
	var b strings.Builder
	for _, g := range targets() {
		if g.connections == 0 && g.load == "" {
			g.connections = 8
		}
		c := find(cells, g.load, g.connections, g.size)
		if c == nil {
			continue
		}
		t := &comparison{variant: c.runs[g.variant], base: c.runs[noFilter], beside: c.runs[g.beside], connections: c.connections}
		if t.variant == nil || g.beside != "" && t.beside == nil {
			continue
		}
		seen := g.of(t)
		met := "**missed**" // also where the figures make no sense
		if g.at == ">=" && seen >= g.aim || g.at == "<=" && seen >= 0 && seen <= g.aim {
			met = "met"
		}
		fmt.Fprintf(&b, "| %s | %s, %d connections, %s | %s "+g.form+" | "+g.form+" | %s |\n", g.what, g.variant, c.connections, size(g.size), g.at, g.aim, seen, met)
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n## What was aimed at\n\n| what | variant and load | aim | seen | |\n| --- | --- | ---: | ---: | --- |\n" + b.String()
}
