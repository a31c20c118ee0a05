package http2_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/protocol"
	h2 "mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// literal is a field that is not put into the table, or is.
func literal(insert bool, name, value string) string {
	b := []byte{0}
	if insert {
		b[0] = 0x40
	}
	for _, s := range []string{name, value} {
		n := len(s)
		if n < 0x7f {
			b = append(b, byte(n))
		} else {
			b = append(b, 0x7f)
			b = binary.AppendUvarint(b, uint64(n-0x7f))
		}
		b = append(b, s...)
	}
	return string(b)
}

// A peer that means harm does not make a parser hold more than it may, nor work more than in proportion to the bytes.
func TestMemoryIsBounded(t *testing.T) {
	const memory, total = 256 << 10, 3 << 20
	settings := frame(protocol.HTTP2Settings, 0, 0, "\x00\x01\xff\xff\xff\xff")
	hostile := []struct {
		name string
		gap  bool
		next func(i int) string
	}{
		{"streams that never end", false, func(i int) string {
			return frame(protocol.HTTP2Headers, 4, uint32(2*i+1), "\x82\x84\x86")
		}},
		{"streams with long paths", false, func(i int) string {
			return frame(protocol.HTTP2Headers, 4, uint32(2*i+1), "\x82\x86"+literal(false, ":path", strings.Repeat("/a", 5000)))
		}},
		{"one block of empty continuations", false, func(i int) string {
			if i == 0 {
				return frame(protocol.HTTP2Headers, 0, 1, "")
			}
			return frame(protocol.HTTP2Continuation, 0, 1, "")
		}},
		{"one block of short continuations", false, func(i int) string {
			if i == 0 {
				return frame(protocol.HTTP2Headers, 0, 1, "\x82")
			}
			return frame(protocol.HTTP2Continuation, 0, 1, "\x82")
		}},
		{"one block of long continuations", false, func(i int) string {
			if i == 0 {
				return frame(protocol.HTTP2Headers, 0, 1, "\x82")
			}
			return frame(protocol.HTTP2Continuation, 0, 1, strings.Repeat("\x82", 1<<20))
		}},
		{"a table of 4 GiB", false, func(i int) string {
			return frame(protocol.HTTP2Headers, 5, uint32(2*i+1), "\x3f\xe0\xff\xff\xff\x0f\x82\x84\x86"+literal(true, fmt.Sprint("x-", i), strings.Repeat("v", 3000)))
		}},
		{"blocks that refer to long entries", false, func(i int) string {
			if i == 0 {
				return frame(protocol.HTTP2Headers, 5, 1, "\x82\x84\x86"+literal(true, "x", strings.Repeat("v", 3000)))
			}
			return frame(protocol.HTTP2Headers, 5, uint32(2*i+1), "\x82\x84\x86"+strings.Repeat("\xbe", 4000))
		}},
		{"settings without end", false, func(int) string {
			return frame(protocol.HTTP2Settings, 0, 0, strings.Repeat("\x00\x01\x00\x00\x00\x00", 1000))
		}},
		{"empty data", false, func(int) string { return frame(protocol.HTTP2Data, 0, 1, "") }},
		{"resets of unknown streams", false, func(i int) string { return frame(protocol.HTTP2Reset, 0, uint32(2*i+1), "\x00\x00\x00\x08") }},
		{"what looks like frames after a gap", true, func(int) string { return "\x00\x20\x00\x01\x05\x00\x00\x00\x01" }},
		{"frames within frames after a gap", true, func(i int) string {
			return frame(protocol.HTTP2Headers, 4, uint32(2*i+1), strings.Repeat("\x82", 4000))[:100]
		}},
		{"pings that are cut short after a gap", true, func(int) string { return "\x00\x00\x08\x06\x00\x00\x00\x00\x00" }},
	}
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			n := uint64(0)
			r := parse.NewRunner(&h2.Protocol, parse.Env{
				Sink: &counter{}, Spans: true, Memory: memory, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n },
			})
			before := heap()
			offset := uint64(0)
			give := func(data string) {
				if err := r.Data(record.In, offset, parsetest.Start, []byte(data)); err != nil {
					t.Fatal(err)
				}
				offset += uint64(len(data))
			}
			give(protocol.HTTP2Preface + settings)
			if c.gap {
				_ = r.Gap(record.In, offset, 100)
				offset += 100
			}
			began, most := time.Now(), int64(0)
			var next int64 = 1 << 19
			for i := 0; offset < total; i++ {
				frame := c.next(i)
				give(frame[:len(frame)/2])
				give(frame[len(frame)/2:])
				if offset > uint64(next) {
					next += 1 << 20
					most = max(most, heap()-before)
				}
			}
			t.Logf("%.0f MB/s, %d KiB held", float64(total)/1e6/time.Since(began).Seconds(), most>>10)
			if most > 2*memory {
				t.Errorf("%d bytes held, of which a parser may have %d", most, memory)
			}
			runtime.KeepAlive(r)
		})
	}
}

// heap returns how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
