package kafka_test

import (
	"bytes"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/kafka"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

type discard struct{}

func (discard) Call(*call.Call) {}
func (discard) Span(call.Span)  {}

// BenchmarkParser parses Produce requests with 1 KiB of records and their answers.
func BenchmarkParser(b *testing.B) {
	request, answer := produceOld(1, -1, "orders", bytes.Repeat([]byte("x"), 1024), 0)
	n, offsets := uint64(0), [2]uint64{}
	r := parse.NewRunner(&kafka.Protocol, parse.Env{
		Sink: discard{}, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n },
	})
	data := [2][]byte{request, answer}
	b.SetBytes(int64(len(request) + len(answer)))
	b.ReportAllocs()
	for range b.N {
		for _, dir := range record.Directions() {
			if err := r.Data(dir, offsets[dir], parsetest.Start, data[dir]); err != nil {
				b.Fatal(err)
			}
			offsets[dir] += uint64(len(data[dir]))
		}
	}
	if n != uint64(b.N) {
		b.Fatalf("%d calls of %d", n, b.N)
	}
}
