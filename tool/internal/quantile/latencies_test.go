package quantile

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// nearestRank is the definition, over all values.
func nearestRank(values []time.Duration, share float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(int(math.Ceil(share*float64(len(sorted)))), 1)-1]
}

var shares = []float64{0, 0.01, 0.5, 0.9, 0.99, 1}

func TestFewLatenciesAreExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 10, 99, 100, 101, 5000} {
		l := NewPool().New()
		var values []time.Duration
		for range n {
			d := time.Duration(random.Int64N(int64(time.Hour)))
			values = append(values, d)
			l.Add(d)
		}
		for _, share := range shares {
			if got, want := l.At(share), nearestRank(values, share); got != want {
				t.Errorf("%d latencies, share %v: %v, want %v", n, share, got, want)
			}
		}
		if l.Count() != uint64(n) {
			t.Errorf("%d latencies count as %d", n, l.Count())
		}
	}
}

// Beyond what the pool may keep, all are within the accuracy, and the largest is exact.
func TestManyLatenciesAreNearlyExact(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	p := NewPool()
	few, many := p.New(), p.New()
	var values []time.Duration
	for _, d := range []time.Duration{time.Millisecond, 2 * time.Millisecond, time.Second} {
		few.Add(d)
	}
	for range maxExact + 1000 {
		d := time.Duration(math.Exp(random.Float64()*20)) * time.Microsecond
		values = append(values, d)
		many.Add(d)
	}
	for _, share := range shares[1:] {
		got, want := many.At(share), nearestRank(values, share)
		if math.Abs(float64(got-want)) > 2*accuracy*float64(want) {
			t.Errorf("share %v: %v, want about %v", share, got, want)
		}
	}
	if many.At(1) != slices.Max(values) || few.At(1) != time.Second || few.Count() != 3 {
		t.Errorf("the largest: %v and %v", many.At(1), few.At(1))
	}
	if got := few.At(0.5); math.Abs(float64(got-2*time.Millisecond)) > 2*accuracy*float64(2*time.Millisecond) {
		t.Errorf("of few: %v", got)
	}
}

func TestNoLatencies(t *testing.T) {
	if l := NewPool().New(); l.At(0.5) != 0 || l.Count() != 0 {
		t.Errorf("%v, %d", l.At(0.5), l.Count())
	}
}
