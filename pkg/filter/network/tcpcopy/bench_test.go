package tcpcopy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/api"
	"mosn.io/pkg/buffer"
)

// steady is a connection whose filter has the same record again and again, in a buffer
// that is used again, as in a proxy's loop.
type steady struct {
	*filter
	harness *harness
	data    buffer.IoBuffer
	out     []api.IoBuffer
}

// newSteady returns one with records of size bytes, in a window or outside of windows.
// The records go to real files of a bounded size.
func newSteady(tb testing.TB, size int, window bool) *steady {
	tb.Helper()
	h := &harness{dir: tb.TempDir(), recorder: newRecorder("aaaaaa", host{log: silentLog{}, roller: func() string { return "" }, meter: idleMeter{}})}
	tb.Cleanup(func() { h.recorder.close(false) })
	config := h.into(object{"capture": object{"direction": "both"}, "guard": "off", "output": object{"max_total": "256MiB"}})
	f, err := h.tryBind("test", config)
	if err != nil {
		tb.Fatal(err)
	}
	if window {
		if _, err := h.recorder.controller.OpenManual(time.Hour); err != nil {
			tb.Fatal(err)
		}
	}
	c := h.connect(f)
	text := strings.Repeat("x", size)
	return &steady{
		filter:  c.readers[0].(*filter),
		harness: h,
		data:    buffer.NewIoBufferString(text),
		out:     []api.IoBuffer{buffer.NewIoBufferString(text[:size/4]), buffer.NewIoBufferString(text[size/4:])},
	}
}

// receive has one record arrive.
func (s *steady) receive() {
	s.read.Add(uint64(s.data.Len()))
	s.OnData(s.data)
}

// send has one record written.
func (s *steady) send() { s.OnWrite(s.out) }

// drain waits until the files have what has been recorded.
func (s *steady) drain() {
	for s.harness.recorder.stats().Buffered > 0 {
		<-time.After(time.Millisecond) // leaves the processors to the workers
	}
}

// run measures f, which lets one record of size bytes pass. The files get the time
// that they need, which does not count: what is measured is the copy that the
// proxy's loops wait for. Besides the mean it reports the tenth, the half and nine
// tenths of short runs: some pass while a worker or another guest of the host uses
// the same memory, and the mean is of all.
func (s *steady) run(b *testing.B, size int, f func()) {
	b.ReportAllocs()
	b.SetBytes(int64(size))
	const short = 64 // calls that are measured together
	room := max(1, (8<<20)/size/short)
	var runs []time.Duration
	b.ResetTimer()
	for left := b.N; left > 0; left -= short {
		begin := time.Now()
		for range min(left, short) {
			f()
		}
		if left >= short {
			runs = append(runs, time.Since(begin)/short)
		}
		if len(runs)%room == room-1 {
			b.StopTimer()
			s.drain()
			b.StartTimer()
		}
	}
	b.StopTimer()
	if slices.Sort(runs); len(runs) > 0 {
		for _, percent := range []int{10, 50, 90} {
			b.ReportMetric(float64(runs[len(runs)*percent/100]), fmt.Sprintf("p%d-ns", percent))
		}
	}
	stats := s.harness.recorder.stats().Accounts
	if seen := stats.Seen.In + stats.Seen.Out; seen > 0 {
		b.ReportMetric(100*float64(stats.Lost.In+stats.Lost.Out)/float64(seen), "%lost")
	}
}

var sizes = []int{1 << 10, 16 << 10}

// Outside a window the filter costs the load of the gate.
func BenchmarkOnDataOutOfWindow(b *testing.B) {
	s := newSteady(b, 1<<10, false)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		s.OnData(s.data)
	}
}

func BenchmarkOnDataInWindow(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := newSteady(b, size, true)
			s.run(b, size, s.receive)
		})
	}
}

func BenchmarkOnWriteOutOfWindow(b *testing.B) {
	s := newSteady(b, 1<<10, false)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		s.OnWrite(s.out)
	}
}

func BenchmarkOnWriteInWindow(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := newSteady(b, size, true)
			s.run(b, size, s.send)
		})
	}
}

// In steady state nothing is allocated, in windows and outside of them.
func TestRecordingDoesNotAllocate(t *testing.T) {
	for _, window := range []bool{false, true} {
		for _, size := range sizes {
			s := newSteady(t, size, window)
			s.receive() // the first record of a connection describes it
			s.send()
			for name, f := range map[string]func(){"OnData": s.receive, "OnWrite": s.send} {
				if n := testing.AllocsPerRun(200, f); n > 0 {
					t.Errorf("%s of %d bytes, window %v: %v allocations", name, size, window, n)
				}
			}
			s.harness.recorder.close(false)
		}
	}
}
