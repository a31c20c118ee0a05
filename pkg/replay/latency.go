package replay

import (
	"math/bits"
	"time"
)

// A histogram's buckets are a microsecond wide up to finest, and from there on
// each octave has finest/2 of them, so that a bucket is at most 1/32 of its value.
const (
	finest  = 64
	octaves = 26 // 64 µs × 2^26 is more than an hour
)

// Histogram counts lengths of time. Its zero value is ready; it is not safe for
// concurrent use.
type Histogram struct {
	Count   uint64
	Max     time.Duration
	buckets [finest + octaves*finest/2]uint64
}

// add counts d once; what is negative counts as nothing.
func (h *Histogram) add(d time.Duration) {
	d = max(d, 0)
	h.Count++
	h.Max = max(h.Max, d)
	h.buckets[bucketOf(d)]++
}

// addAll counts all that other has counted.
func (h *Histogram) addAll(other *Histogram) {
	h.Count += other.Count
	h.Max = max(h.Max, other.Max)
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
}

func bucketOf(d time.Duration) int {
	v := uint64(d / time.Microsecond)
	if v < finest {
		return int(v)
	}
	octave := bits.Len64(v) - bits.Len64(finest) // from 0 on
	if octave >= octaves {
		return len(Histogram{}.buckets) - 1
	}
	return finest + octave*finest/2 + int(v>>(octave+1)) - finest/2
}

// upper returns the length of time that bucket i ends with.
func upper(i int) time.Duration {
	if i < finest {
		return time.Duration(i) * time.Microsecond
	}
	octave, part := (i-finest)/(finest/2), (i-finest)%(finest/2)
	return time.Duration((uint64(part+finest/2)+1)<<(octave+1)-1) * time.Microsecond
}

// Quantile returns the length of time that the share q of those counted did not
// exceed, such as the median for 0.5, to within a thirtieth.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.Count == 0 {
		return 0
	}
	rank := uint64(q*float64(h.Count) + 0.5)
	rank = min(max(rank, 1), h.Count)
	var counted uint64
	for i, n := range h.buckets {
		if counted += n; counted >= rank {
			return min(upper(i), h.Max)
		}
	}
	return h.Max
}

// each calls f with every bucket that is not empty: how long its lengths of time
// are at most, and how many they are.
func (h *Histogram) each(f func(upTo time.Duration, n uint64)) {
	for i, n := range h.buckets {
		if n > 0 {
			f(upper(i), n)
		}
	}
}

// Quantiles are what reports show of a Histogram.
type Quantiles struct {
	Count              uint64
	P50, P90, P99, Max time.Duration
}

// Quantiles returns the usual ones.
func (h *Histogram) Quantiles() Quantiles {
	return Quantiles{Count: h.Count, P50: h.Quantile(0.5), P90: h.Quantile(0.9), P99: h.Quantile(0.99), Max: h.Max}
}
