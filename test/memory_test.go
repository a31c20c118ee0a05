package test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// In a window, under a load of a thousand connections that is too much for the
// recorder, a process holds at most 1.25 times the buffer more than one that has
// no filter and the same load.
//
// The garbage collector makes two runs of the same process differ by some MiB,
// so this compares medians, and looks again before it complains.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("a load of a thousand connections, many times")
	}
	if _, err := os.Stat("/proc/self/clear_refs"); err != nil {
		t.Skipf("the system does not report peaks of memory: %v", err)
	}
	t.Parallel()
	const enough, most = 3, 5 // rounds
	binary := plainBinary(t)
	variants := [][]string{nil, {"pcapng"}, {"hex_meta", "pcapng"}} // formats; nil is without the filter
	peaks := make([][]int64, len(variants))
	grown := make([]int64, len(variants)) // over the first variant, in bytes
	for round := 1; round <= enough || round <= most && slices.Max(grown) > buffer*5/4; round++ {
		for i, formats := range variants {
			peaks[i] = append(peaks[i], peakUnderLoad(t, binary, formats))
		}
		for i := range variants {
			grown[i] = median(peaks[i]) - median(peaks[0])
		}
	}
	for i, formats := range variants[1:] {
		what := strings.Join(formats, " and ")
		t.Logf("%s: grows by %d MiB over %d MiB without the filter", what, grown[i+1]>>20, median(peaks[0])>>20)
		if grown[i+1] > buffer*5/4 {
			t.Errorf("%s: grows by %.2f times the buffer; peaks %v, without the filter %v", what, float64(grown[i+1])/buffer, peaks[i+1], peaks[0])
		}
	}
}
