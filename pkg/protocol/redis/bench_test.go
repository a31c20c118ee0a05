package redis_test

import (
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/redis"
	"mosn.io/tcpcopy/pkg/record"
)

type discard struct{}

func (discard) Call(*call.Call) {}
func (discard) Span(call.Span)  {}

// BenchmarkParser parses commands with their answers: one at a time, a pipeline of
// hundred, and one with long values.
func BenchmarkParser(b *testing.B) {
	small := [2]string{cmd("GET", "user:1234567:session"), "$32\r\n" + strings.Repeat("v", 32) + "\r\n"}
	set := [2]string{cmd("SET", "user:1234567:session", strings.Repeat("v", 32)), "+OK\r\n"}
	large := [2]string{cmd("GET", "user:1234567:page"), "$16384\r\n" + strings.Repeat("v", 16384) + "\r\n"}
	for _, bench := range []struct {
		name     string
		exchange [2]string
		calls    int
		spans    bool
	}{
		{"get", small, 1, false}, {"set", set, 1, false}, {"pipeline", [2]string{strings.Repeat(small[0], 100), strings.Repeat(small[1], 100)}, 100, false},
		{"large", large, 1, false}, {"get-spans", small, 1, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			n, offsets := uint64(0), [2]uint64{}
			r := parse.NewRunner(&redis.Protocol, parse.Env{
				Sink: discard{}, Spans: bench.spans, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n },
			})
			data := [2][]byte{[]byte(bench.exchange[0]), []byte(bench.exchange[1])}
			b.SetBytes(int64(len(data[0]) + len(data[1])))
			b.ReportAllocs()
			for range b.N {
				for _, dir := range record.Directions() {
					if err := r.Data(dir, offsets[dir], parsetest.Start, data[dir]); err != nil {
						b.Fatal(err)
					}
					offsets[dir] += uint64(len(data[dir]))
				}
			}
			if n != uint64(b.N*bench.calls) {
				b.Fatalf("%d calls of %d", n, b.N)
			}
		})
	}
}
