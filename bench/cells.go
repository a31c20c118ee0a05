package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// bench measures the variants of running proxies.
type bench struct {
	options options
	proxies []*proxy
	order   *rand.Rand
}

// cell measures all variants with a load, whose times are those of the options. what says
// what is special about the load, "" for nothing.
func (b *bench) cell(ctx context.Context, what string, l load, rounds int) (cell, error) {
	c := cell{what: what, connections: l.connections, size: l.size, rate: l.rate, runs: map[string][]measurement{}}
	l.warmup, l.length = b.options.warmup, b.options.length
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "%s, round %d of %d\n", c.title(), round+1, rounds)
		// The order of the variants has an influence: each round has an order of its
		// own, the same in every run of the benchmark.
		for _, i := range b.order.Perm(len(b.proxies)) {
			p := b.proxies[i]
			m, err := p.measure(ctx, l)
			if err != nil {
				return c, fmt.Errorf("%q with %s: %w", p.variant.name, c.title(), err)
			}
			c.runs[p.variant.name] = append(c.runs[p.variant.name], m)
		}
	}
	return c, nil
}

// The loads of the rows that are no closed loop over all sizes.
const (
	openConnections = 64
	openSize        = 1 << 10
	openShare       = 3 // the rate is the capacity, divided by this
	manyConnections = 10_000
	manySize        = 1 << 10
)

// special adds the cells at a fixed rate, a third of what the proxy can do without a filter,
// and with many connections.
func (b *bench) special(ctx context.Context, t *table) error {
	base := b.proxies[0] // without a filter
	var rates []float64
	for range b.options.rounds {
		m, err := base.measure(ctx, load{connections: openConnections, size: openSize, warmup: b.options.warmup, length: b.options.length})
		if err != nil {
			return fmt.Errorf("the capacity: %w", err)
		}
		rates = append(rates, m.rate)
	}
	c, err := b.cell(ctx, openLoop, load{connections: openConnections, size: openSize, rate: median(rates) / openShare}, 4*b.options.rounds)
	if err != nil {
		return err
	}
	t.add(c)
	n := fileLimit(manyConnections)
	if n < manyConnections {
		fmt.Fprintf(os.Stderr, "%d connections instead of %d: a process may not have more files open (ulimit -n)\n", n, manyConnections)
	}
	c, err = b.cell(ctx, many, load{connections: n, size: manySize}, b.options.rounds)
	if err != nil {
		return err
	}
	t.add(c)
	return nil
}

// spareFiles is how many files a process has open beside connections, at most.
const spareFiles = 1000

// fileLimit has this process and its children have as many files open as n connections
// need, which are two each in the bench and in MOSN. It returns how many connections there
// can be: n, or fewer where it may not.
func fileLimit(n int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return n
	}
	if need := uint64(2*n + spareFiles); limit.Cur < need {
		raised := unix.Rlimit{Cur: need, Max: max(need, limit.Max)}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) != nil {
			n = (int(limit.Cur) - spareFiles) / 2
		}
	}
	return n
}

// What is special about the loads of cells.
const (
	openLoop = "fixed rate"
	many     = "many connections"
)

// find returns the cell of a load, nil where it was not measured. For a special load,
// connections does not matter.
func find(cells []cell, what string, connections, size int) *cell {
	i := slices.IndexFunc(cells, func(c cell) bool {
		return c.what == what && (what != "" || c.connections == connections) && c.size == size
	})
	if i < 0 {
		return nil
	}
	return &cells[i]
}
