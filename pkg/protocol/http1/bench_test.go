package http1_test

import (
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/http1"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

type discard struct{}

func (discard) Call(*call.Call) {}
func (discard) Span(call.Span)  {}

// BenchmarkParser parses exchanges of 1 KiB in each direction, each message in one piece.
func BenchmarkParser(b *testing.B) {
	request := []byte("POST /shop/cart/8?x=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nContent-Type: application/json\r\nX-Request-Id: 77\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024))
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Fri, 27 Nov 2026 10:32:00 GMT\r\nContent-Type: application/json\r\nServer: bench\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("y", 1024))
	for _, spans := range []bool{false, true} {
		name := "calls"
		if spans {
			name = "spans"
		}
		b.Run(name, func(b *testing.B) {
			n, offsets := uint64(0), [2]uint64{}
			r := parse.NewRunner(&http1.Protocol, parse.Env{
				Sink: discard{}, Spans: spans, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n },
			})
			b.SetBytes(int64(len(request) + len(answer)))
			b.ReportAllocs()
			for range b.N {
				if err := r.Data(record.In, offsets[0], parsetest.Start, request); err != nil {
					b.Fatal(err)
				}
				offsets[0] += uint64(len(request))
				if err := r.Data(record.Out, offsets[1], parsetest.Start, answer); err != nil {
					b.Fatal(err)
				}
				offsets[1] += uint64(len(answer))
			}
			if n != uint64(b.N) {
				b.Fatalf("%d calls of %d", n, b.N)
			}
		})
	}
}
