package kafka_test

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/kafka"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// recognised returns the protocol that a decoder finds in a session.
func recognised(s parsetest.Session) string {
	d := protocol.New(&parsetest.Recorder{}, protocol.Limits{})
	var next record.PerDirection
	for _, p := range s {
		d.Data(p.Dir, next.Of(p.Dir), p.At, p.Data)
		next.Add(p.Dir, uint64(len(p.Data)))
	}
	d.Close(parsetest.Start, record.CloseRemote, next)
	d.End(parsetest.Start)
	return d.Protocol()
}

// Kafka is recognised from the beginning and from the middle, and other protocols are not recognised as it.
func TestRecognised(t *testing.T) {
	for name, s := range sessions(t) {
		if got := recognised(s); got != call.Kafka {
			t.Errorf("%s: %q", name, got)
		}
		if name == "login" {
			continue
		}
		for from := 1; from < len(s)-1; from++ {
			var rest []byte
			for _, p := range s[from:] {
				if p.Dir == in {
					rest = append(rest, p.Data...)
				}
			}
			if at, needed, found := kafka.Protocol.Within(in, append([]byte("rest"), rest...)); len(rest) > 0 && (!found || at != 4 || needed > len(rest)+4) {
				t.Errorf("%s from piece %d on: %d %d %v", name, from, at, needed, found)
			}
		}
	}
	for name, text := range map[string]string{
		"postgresql":     "\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00",
		"postgresql ssl": "\x00\x00\x00\x08\x04\xd2\x16\x2f",
		"thrift":         "\x00\x00\x00\x1d\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x00\x00",
		"tars":           "\x00\x00\x00\x20\x10\x01\x2c\x3c\x4c\x56\x03obj",
		"zeros":          strings.Repeat("\x00", 100),
		"text":           "hello world, this is text\r\n",
		"http2":          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		if got := recognised(talk(in, []byte(text))); got == call.Kafka {
			t.Errorf("%s is taken for kafka", name)
		}
	}
}

// namesRecorder is a sink that knows the names of topics.
type namesRecorder struct {
	parsetest.Recorder
	names map[[16]byte]string
}

func (r *namesRecorder) LearnTopic(id [16]byte, name string) { r.names[id] = name }
func (r *namesRecorder) TopicName(id [16]byte) string        { return r.names[id] }

// compact returns a short string of a flexible version.
func compact(s string) []byte { return append([]byte{byte(len(s) + 1)}, s...) }

// Topics that have numbers have the names that an answer gave them.
func TestTopicNames(t *testing.T) {
	id := []byte("0123456789abcdef")
	meta := message(int16(3), int16(12), int32(1), "app", int8(0), int8(0), int8(1), int8(0), int8(0))
	answer := message(int32(1), int8(0), int32(0), int8(1), int8(0), int32(1), int8(2), int16(0), compact("orders"), id, int8(0), int8(1), int32(0), int8(0), int8(0))
	fetch := message(int16(1), int16(13), int32(2), "app", int8(0), int32(-1), int32(0), int32(0), int32(0), int8(0), int32(0), int32(0),
		int8(3), id, int8(1), int8(0), []byte("unknown topic id"), int8(1), int8(0), int8(1), compact(""), int8(0))
	fetched := message(int32(2), int8(0), int32(0), int16(0), int32(0), int8(1), int8(0))
	got, err := parsetest.Decode(&kafka.Protocol, talk(in, meta, out, answer, in, fetch, out, fetched), true)
	const want = "Metadata \"\" 0\nFetch \"orders,dW5rbm93biB0b3BpYyBpZA\" 0\n"
	if err != nil || lines(got.Calls) != want {
		t.Errorf("%v, calls\n%swant\n%s", err, lines(got.Calls), want)
	}

	// On two connections.
	shared := &namesRecorder{names: map[[16]byte]string{}}
	for _, session := range []parsetest.Session{talk(in, meta, out, answer), talk(in, fetch, out, fetched)} {
		d := protocol.New(shared, protocol.Limits{Protocol: call.Kafka})
		for _, p := range session {
			d.Data(p.Dir, 0, p.At, p.Data)
		}
		d.End(parsetest.Start)
	}
	if lines(shared.Calls) != want {
		t.Errorf("calls\n%swant\n%s", lines(shared.Calls), want)
	}
}

// A gap within a message costs what is behind it in the message; the next ones are known.
func TestGapWithin(t *testing.T) {
	s := big()
	var r parsetest.Recorder
	d := protocol.New(&r, protocol.Limits{Protocol: call.Kafka})
	var next record.PerDirection
	for i, p := range s {
		if i == 3 { // what was fetched, without most of it
			d.Data(p.Dir, next.Of(p.Dir), p.At, p.Data[:200])
			d.Gap(p.Dir, next.Of(p.Dir)+200, uint64(len(p.Data)-400), record.ReasonNone)
			p.Data = p.Data[len(p.Data)-200:]
			next.Add(p.Dir, uint64(len(s[i].Data)-200))
		}
		d.Data(p.Dir, next.Of(p.Dir), p.At, p.Data)
		next.Add(p.Dir, uint64(len(p.Data)))
	}
	d.End(parsetest.Start)
	const want = "Produce \"orders\" 3 failed\nFetch \"orders\" 6 failed gap\nMetadata \"news\" 0\n"
	if lines(r.Calls) != want {
		t.Errorf("calls\n%swant\n%s", lines(r.Calls), want)
	}
	if missing := r.Calls[1].Response.Missing; missing != uint64(len(s[3].Data)-400) {
		t.Errorf("%d bytes are missing", missing)
	}
}

// However much a connection claims or sends, little of it is held.
func TestMemory(t *testing.T) {
	const mb = 1 << 20
	long := message(int16(0), int16(2), int32(1), "app", int16(1), int32(0), int32(1), "orders", int32(1), int32(0), int32(500<<20))
	binary.BigEndian.PutUint32(long, 500<<20+uint32(len(long)-4))
	many := message(int16(3), int16(0), int32(1), "app", int32(100<<20))
	binary.BigEndian.PutUint32(many, 900<<20)
	var unanswered, topics []byte
	for i := range 20000 {
		unanswered = append(unanswered, message(int16(12), int16(0), int32(i), "app", "group", int32(1), "member")...)
		topics = append(topics, message("topic-number-" + strings.Repeat("x", i%200))[4:]...)
	}
	for name, send := range map[string][2][]byte{
		"a long message":     {long, []byte(strings.Repeat("x", mb))},
		"many topics":        {many, topics},
		"unanswered":         {nil, unanswered},
		"a message of zeros": {[]byte{0x3f, 0xff, 0xff, 0xff, 0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff}, make([]byte, mb)},
	} {
		t.Run(name, func(t *testing.T) {
			n, offset := uint64(0), uint64(0)
			r := parse.NewRunner(&kafka.Protocol, parse.Env{Sink: discard{}, Spans: true, Memory: mb, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }})
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for i := range 12 {
				b := send[min(i, 1)]
				if r.Data(in, offset, parsetest.Start, b) != nil {
					break
				}
				offset += uint64(len(b))
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 4*mb {
				t.Errorf("%d bytes are held", held)
			}
			runtime.KeepAlive(r)
		})
	}
}

// FuzzParser gives a parser any bytes of both sides, with a gap.
func FuzzParser(f *testing.F) {
	var seeds []parsetest.Session
	for _, s := range sessions(f) {
		seeds = append(seeds, s)
	}
	parsetest.Fuzz(f, &kafka.Protocol, seeds...)
}
