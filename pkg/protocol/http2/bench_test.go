package http2_test

import (
	"fmt"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	h2 "mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
)

type counter struct {
	calls, failed, spans int
}

func (c *counter) Call(x *call.Call) {
	c.calls++
	if x.Failed {
		c.failed++
	}
}

func (c *counter) Span(call.Span) { c.spans++ }

// BenchmarkGRPC parses unary calls of gRPC with messages of 1 KiB, eight at a time.
func BenchmarkGRPC(b *testing.B) {
	const calls, beside = 4000, 8
	talk := newTalk()
	text := message(strings.Repeat("x", 1<<10))
	for i := 0; i < calls; i += beside {
		for k := i; k < i+beside; k++ {
			id := uint32(2*k + 1)
			talk.rpc(id, "Get", "user-agent: grpc-go/1.38.0", fmt.Sprintf("grpc-timeout: %du", 900000+i%1000))
			talk.data(in, id, true, text)
		}
		for k := i; k < i+beside; k++ {
			id := uint32(2*k + 1)
			talk.answer(id, false, "200", "content-type: application/grpc")
			talk.data(out, id, false, text)
			talk.head(out, id, true, "grpc-status: 0", "grpc-message: ")
		}
	}
	for _, spans := range []bool{false, true} {
		b.Run(fmt.Sprintf("spans=%v", spans), func(b *testing.B) { bench(b, talk.session, spans, calls) })
	}
}

func bench(b *testing.B, s parsetest.Session, spans bool, calls int) {
	size := 0
	for _, p := range s {
		size += len(p.Data)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for range b.N {
		c := &counter{}
		n := uint64(0)
		r := parse.NewRunner(&h2.Protocol, parse.Env{
			Sink: c, Spans: spans, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n },
		})
		var offset [2]uint64
		for _, p := range s {
			if err := r.Data(p.Dir, offset[p.Dir], p.At, p.Data); err != nil {
				b.Fatal(err)
			}
			offset[p.Dir] += uint64(len(p.Data))
		}
		r.End(parse.End{Closed: true})
		if c.calls != calls {
			b.Fatal(c)
		}
	}
	b.ReportMetric(float64(calls)*float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
