// Package quantile counts latencies and says which one a share of them does not exceed:
// exactly as long as there are few, and within one percent beyond. The commands that sum
// calls up use it.
package quantile

import (
	"math"
	"slices"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
)

const (
	maxExact = 1 << 20 // values that all Latencies of a Pool keep together
	accuracy = 0.01    // of what is beyond, as a share of the value
)

// Pool bounds the values that its Latencies keep together. It belongs to one goroutine.
type Pool struct {
	all   []*Latencies
	exact int
}

// NewPool returns a Pool without Latencies.
func NewPool() *Pool { return &Pool{} }

// New returns Latencies of the pool.
func (p *Pool) New() *Latencies {
	l := &Latencies{pool: p}
	p.all = append(p.all, l)
	return l
}

// shrink makes all Latencies of the pool inexact.
func (p *Pool) shrink() {
	for _, l := range p.all {
		if l.sketch == nil && len(l.values) > 0 {
			l.summarise()
		}
	}
	p.exact = 0
}

// Latencies are lengths of time. They belong to the goroutine of their pool.
type Latencies struct {
	pool   *Pool
	values []time.Duration // all of them, as long as there is no sketch
	sketch *ddsketch.DDSketch
	count  uint64
	max    time.Duration
}

// Add adds a latency. What is negative counts as nothing.
func (l *Latencies) Add(d time.Duration) {
	d = max(d, 0)
	l.count++
	l.max = max(l.max, d)
	if l.sketch != nil {
		l.addToSketch(d)
		return
	}
	l.values = append(l.values, d)
	if l.pool.exact++; l.pool.exact > maxExact {
		l.pool.shrink()
	}
}

// addToSketch adds a latency to the sketch, whose only error is for values that are
// negative or no numbers.
func (l *Latencies) addToSketch(d time.Duration) {
	if err := l.sketch.Add(float64(d)); err != nil {
		panic(err)
	}
}

// summarise makes a sketch of the values.
func (l *Latencies) summarise() {
	sketch, err := ddsketch.LogCollapsingLowestDenseDDSketch(accuracy, 2048)
	if err != nil {
		panic(err) // the accuracy is a constant that it accepts
	}
	l.sketch = sketch
	for _, d := range l.values {
		l.addToSketch(d)
	}
	l.values = nil
}

// Count returns how many latencies there are.
func (l *Latencies) Count() uint64 { return l.count }

// At returns the smallest latency that at least a share of them, from 0 to 1, does not
// exceed (the nearest rank); 0 if there are none.
func (l *Latencies) At(share float64) time.Duration {
	switch {
	case l.count == 0:
		return 0
	case share >= 1:
		return l.max
	case l.sketch != nil:
		v, err := l.sketch.GetValueAtQuantile(share)
		if err != nil {
			return l.max // it is not empty
		}
		return min(time.Duration(v), l.max)
	}
	slices.Sort(l.values)
	rank := int(math.Ceil(share * float64(len(l.values))))
	return l.values[max(rank, 1)-1]
}
