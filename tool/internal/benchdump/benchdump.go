// Package benchdump makes the dumps that the benchmarks of the commands read, and measures
// what a benchmark uses. It is for tests.
package benchdump

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// Size is about how many bytes a dump has.
const Size = 64 << 20

const connections = 64

// writer writes the records of sessions, a microsecond apart, to a segment.
type writer struct {
	b       *testing.B
	f       *os.File
	encoder *pcapng.Encoder
	flows   []*record.Flow
	offsets [connections][2]uint64
	file    []byte // not written yet
	written int
	at      int64
}

func newWriter(b *testing.B) *writer {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "b.pcapng"))
	if err != nil {
		b.Fatal(err)
	}
	w := &writer{b: b, f: f, encoder: pcapng.NewEncoder(), at: time.Unix(1_700_000_000, 0).UnixNano()}
	w.file = pcapng.AppendHead(nil, "mosn tcpcopy")
	for i := range connections {
		of := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{
			Window: "5f3c9a52-7f4e-4b5e-9d7b-0c8f3f1e2a44", Conn: fmt.Sprintf("k3v9qa-%d", i+1), Port: "8080", ListenerName: "ingress", Network: "tcp",
			Peer: fmt.Sprintf("10.0.0.%d:50000", i+1), Listener: "10.9.9.9:8080",
		}}, FromStart: true}
		of.ClientAddr, of.ServerAddr = netip.MustParseAddrPort(of.Peer), netip.MustParseAddrPort(of.Listener)
		w.file = w.encoder.Open(w.file, w.at, of)
		w.flows = append(w.flows, of)
	}
	return w
}

// full reports whether the dump is as large as it should be.
func (w *writer) full() bool { return w.written+len(w.file) >= Size }

// data writes a record of a connection.
func (w *writer) data(connection int, dir record.Direction, data []byte) {
	w.at += 1000
	offset := &w.offsets[connection][dir]
	w.file = w.encoder.Data(w.file, w.at, w.flows[connection], dir, *offset, data)
	*offset += uint64(len(data))
	if len(w.file) > 1<<20 {
		w.flush()
	}
}

func (w *writer) flush() {
	if _, err := w.f.Write(w.file); err != nil {
		w.b.Fatal(err)
	}
	w.written += len(w.file)
	w.file = w.file[:0]
}

// end returns the path of the dump.
func (w *writer) end() string {
	w.flush()
	if err := w.f.Close(); err != nil {
		w.b.Fatal(err)
	}
	return w.f.Name()
}

// HTTP1 writes a dump of requests and answers of HTTP/1.1 of size bytes each, a record
// each, and returns its path. One of some thousands fails.
func HTTP1(b *testing.B, size int) (path string) {
	b.Helper()
	w := newWriter(b)
	for i := 0; !w.full(); i++ {
		dir := record.Direction(i % 2)
		head := fmt.Sprintf("POST /api/v1/items/%d HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: load/1.0\r\nX-Request-Id: %d\r\nContent-Type: application/json\r\n", i%1000, i)
		if dir == record.Out {
			status := "200 OK"
			if i%10_001 == 0 {
				status = "503 Service Unavailable"
			}
			head = fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/json\r\nServer: shop\r\n", status)
		}
		const last = "Content-Length: %05d\r\n\r\n"
		data := append(make([]byte, 0, size+64), head...)
		data = fmt.Appendf(data, last, size-len(head)-len(fmt.Sprintf(last, 0)))
		for len(data) < size {
			data = append(data, `{"sku":"4711","name":"a small thing","price":12.50,"tags":["one","two","three"]},`...)
		}
		w.data(i/2%connections, dir, data[:size])
	}
	return w.end()
}

// session is what a connection of HTTP/2 needs to encode its frames.
type session struct {
	out    bytes.Buffer
	framer *http2.Framer
	fields bytes.Buffer
	hpack  [2]*hpack.Encoder
	stream uint32
}

func newSession() *session {
	s := &session{}
	s.framer = http2.NewFramer(&s.out, nil)
	s.hpack = [2]*hpack.Encoder{hpack.NewEncoder(&s.fields), hpack.NewEncoder(&s.fields)}
	return s
}

func (s *session) headers(b *testing.B, dir record.Direction, end bool, fields ...string) {
	s.fields.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := s.hpack[dir].WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.stream, BlockFragment: s.fields.Bytes(), EndHeaders: true, EndStream: end}); err != nil {
		b.Fatal(err)
	}
}

func (s *session) message(b *testing.B, end bool, message []byte) {
	data := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	if err := s.framer.WriteData(s.stream, end, append(data, message...)); err != nil {
		b.Fatal(err)
	}
}

// take returns what was framed since the last call.
func (s *session) take() []byte {
	data := bytes.Clone(s.out.Bytes())
	s.out.Reset()
	return data
}

// GRPC writes a dump of unary calls with messages of size bytes, a record for each
// request and each answer, and returns its path. One of a thousand fails.
func GRPC(b *testing.B, size int) (path string) {
	b.Helper()
	w := newWriter(b)
	var sessions [connections]*session
	for i := range sessions {
		s := newSession()
		s.out.WriteString(http2.ClientPreface)
		if err := s.framer.WriteSettings(); err != nil {
			b.Fatal(err)
		}
		w.data(i, record.In, s.take())
		if err := s.framer.WriteSettings(); err != nil {
			b.Fatal(err)
		}
		w.data(i, record.Out, s.take())
		sessions[i] = s
	}
	message := bytes.Repeat([]byte("a field of a message, "), size/22+1)[:size]
	for i := 0; !w.full(); i++ {
		c := i % connections
		s := sessions[c]
		s.stream = uint32(2*(i/connections) + 1)
		s.headers(b, record.In, false, ":method", "POST", ":scheme", "http", ":path", "/shop.Cart/Add", ":authority", "shop:8080",
			"content-type", "application/grpc", "user-agent", "grpc-go/1.80", "te", "trailers", "x-request-id", strconv.Itoa(i))
		s.message(b, true, message)
		w.data(c, record.In, s.take())
		s.headers(b, record.Out, false, ":status", "200", "content-type", "application/grpc")
		s.message(b, false, message)
		status := "0"
		if i%1000 == 0 {
			status = "14"
		}
		s.headers(b, record.Out, true, "grpc-status", status, "grpc-message", "")
		w.data(c, record.Out, s.take())
	}
	return w.end()
}

// ProcessorTime returns what the process has used: beside other load it says more than the
// time that has passed.
func ProcessorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
