package replay

import (
	"math"
	"testing"
	"time"
)

func TestQuantilesAreWithinAThirtieth(t *testing.T) {
	for _, unit := range []time.Duration{time.Microsecond, 37 * time.Microsecond, time.Millisecond, time.Second} {
		var h, half Histogram
		for i := 1; i <= 1000; i++ {
			h.add(time.Duration(i) * unit)
			half.add(time.Duration(i) * unit)
		}
		h.addAll(&half)
		for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 1} {
			want := math.Round(q*1000) * float64(unit)
			if got := float64(h.Quantile(q)); got < want-float64(time.Microsecond) || got > want*(1+1.0/30)+float64(time.Microsecond) {
				t.Errorf("unit %v: quantile %v is %v, want %v", unit, q, time.Duration(got), time.Duration(want))
			}
		}
		if h.Count != 2000 || h.Max != 1000*unit {
			t.Errorf("%d, %v", h.Count, h.Max)
		}
	}
}

func TestHistogramCountsAnyLength(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("the median of nothing")
	}
	for _, d := range []time.Duration{-1, 0, 1, math.MaxInt64, time.Hour} {
		h.add(d)
	}
	var n uint64
	last := time.Duration(-1)
	h.each(func(upTo time.Duration, count uint64) {
		if upTo <= last {
			t.Errorf("%v after %v", upTo, last)
		}
		n, last = n+count, upTo
	})
	if n != 5 || h.Quantile(1) < time.Hour {
		t.Errorf("%d counted, most %v", n, h.Quantile(1))
	}
}
