package replay

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// The drawing's size, in the units of its view box.
const (
	chartWidth  = 640
	chartHeight = 200
	chartFoot   = 28 // for the times below the curves
	chartBins   = 48
)

// chart is two latency distributions over one logarithmic axis of time, drawn as
// an SVG's paths.
type chart struct {
	Width, Height, Base int
	Recorded, Replayed  string // paths
	Ticks               []tick
}

// tick is a time on the axis.
type tick struct {
	X     float64
	Label string
}

// newChart draws the distributions, or returns nil where there is nothing to draw.
func newChart(recorded, replayed *Histogram) *chart {
	if recorded.Count == 0 || replayed.Count == 0 {
		return nil
	}
	low, high := math.Inf(1), 0.0
	for _, h := range []*Histogram{recorded, replayed} {
		h.each(func(upTo time.Duration, _ uint64) {
			low, high = min(low, micros(upTo)), max(high, micros(upTo))
		})
	}
	// At least a decade, so that equal latencies do not fill the drawing.
	from, to := math.Log10(low), math.Log10(high)
	if to-from < 1 {
		middle := (from + to) / 2
		from, to = middle-0.5, middle+0.5
	}
	from, to = from-0.05, to+0.05
	c := &chart{Width: chartWidth, Height: chartHeight, Base: chartHeight - chartFoot}
	bins := [2][]float64{binned(recorded, from, to), binned(replayed, from, to)}
	top := 0.0
	for _, b := range bins {
		for _, share := range b {
			top = max(top, share)
		}
	}
	c.Recorded, c.Replayed = c.path(bins[0], top), c.path(bins[1], top)
	for decade := math.Ceil(from); decade <= to; decade++ {
		x := (decade - from) / (to - from) * chartWidth
		c.Ticks = append(c.Ticks, tick{X: math.Round(x), Label: brief(time.Duration(math.Pow(10, decade)) * time.Microsecond)})
	}
	return c
}

// micros returns d in microseconds, a half at least.
func micros(d time.Duration) float64 {
	return max(float64(d)/float64(time.Microsecond), 0.5)
}

// binned returns the shares of a histogram's values in equal steps of their
// logarithms.
func binned(h *Histogram, from, to float64) []float64 {
	bins := make([]float64, chartBins)
	h.each(func(upTo time.Duration, n uint64) {
		i := int((math.Log10(micros(upTo)) - from) / (to - from) * chartBins)
		bins[min(max(i, 0), chartBins-1)] += float64(n) / float64(h.Count)
	})
	return bins
}

// path draws bins as steps that stand on the axis.
func (c *chart) path(bins []float64, top float64) string {
	var b strings.Builder
	step := float64(chartWidth) / float64(len(bins))
	fmt.Fprintf(&b, "M0 %d", c.Base)
	for i, share := range bins {
		y := float64(c.Base) - share/top*float64(c.Base-8)
		fmt.Fprintf(&b, "V%.1fH%.1f", y, float64(i+1)*step)
	}
	fmt.Fprintf(&b, "V%dZ", c.Base)
	return b.String()
}

// brief returns a length of time for people, in three digits.
func brief(d time.Duration) string {
	value, unit := float64(d)/float64(time.Microsecond), "µs"
	switch {
	case d >= time.Second:
		value, unit = d.Seconds(), "s"
	case d >= time.Millisecond:
		value, unit = float64(d)/float64(time.Millisecond), "ms"
	}
	return fmt.Sprintf("%.3g %s", value, unit)
}
