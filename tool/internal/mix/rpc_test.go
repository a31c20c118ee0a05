package mix

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/loopback"
	"mosn.io/tcpcopy/internal/witness"
	"mosn.io/tcpcopy/pkg/record"
)

// framing says how to cut a stream of an RPC protocol into frames.
type framing struct {
	header int                   // bytes that length and id need
	length func(head []byte) int // of the frame
	id     func(f []byte) uint64 // of the call
	codec  string                // MOSN's name of the protocol; "" where MOSN has no codec
}

var framings = map[string]framing{
	"dubbo": {16, func(b []byte) int { return 16 + int(binary.BigEndian.Uint32(b[12:])) }, func(b []byte) uint64 { return binary.BigEndian.Uint64(b[4:]) }, "dubbo"},
	"bolt": {24, func(b []byte) int {
		v2, at := 0, b[1]
		if b[0] == 2 {
			v2, at = 1, b[2]
		}
		if at == 0 {
			return 20 + 2*v2 + int(binary.BigEndian.Uint16(b[12+2*v2:])) + int(binary.BigEndian.Uint16(b[14+2*v2:])) + int(binary.BigEndian.Uint32(b[16+2*v2:]))
		}
		return 22 + 2*v2 + int(binary.BigEndian.Uint16(b[14+2*v2:])) + int(binary.BigEndian.Uint16(b[16+2*v2:])) + int(binary.BigEndian.Uint32(b[18+2*v2:]))
	}, func(b []byte) uint64 { return uint64(binary.BigEndian.Uint32(b[4+int(b[0]):])) }, "bolt"},
	"tars":   {4, func(b []byte) int { return int(binary.BigEndian.Uint32(b)) }, nil, "tars"},
	"thrift": {4, func(b []byte) int { return 4 + int(binary.BigEndian.Uint32(b)) }, nil, "dubbo-thrift"},
}

// exchange is a request of an RPC protocol with what the server answers.
type exchange struct {
	note     witness.Call
	request  []byte
	answer   []byte // nil for a request without an answer
	id       uint64 // of both
	hesitate bool   // the server answers it after the next one
}

// rpcServer answers requests as their exchanges say.
type rpcServer struct {
	framing framing
	mosn    *mosnCodec

	mu   sync.Mutex // guards the rest
	next uint64
	jobs map[uint64]exchange
}

// ids returns the id of the next call.
func (s *rpcServer) nextID() uint64 { return atomic.AddUint64(&s.next, 1) }

func (s *rpcServer) prepare(e exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[e.id] = e
}

func (s *rpcServer) job(id uint64) exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.jobs[id]
	delete(s.jobs, id)
	return e
}

func (s *rpcServer) serve(conn net.Conn) {
	var late []byte
	for {
		f, err := readFrame(conn, s.framing)
		if err != nil {
			return
		}
		e := s.job(s.framing.id(f))
		if e.hesitate {
			late = append(late, e.answer...)
			continue
		}
		answer := append(append([]byte{}, e.answer...), late...)
		late = nil
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// readFrame reads a frame.
func readFrame(from io.Reader, f framing) ([]byte, error) {
	b := make([]byte, f.header)
	if _, err := io.ReadFull(from, b[:min(4, f.header)]); err != nil {
		return nil, err
	}
	if f.header > 4 {
		short := 20 // the shortest header there is
		if f.header < short {
			short = f.header
		}
		if _, err := io.ReadFull(from, b[4:short]); err != nil {
			return nil, err
		}
		if f.header > short && b[0] == 1 && b[1] == 0 { // a response of Bolt v1
			b = b[:short]
		} else if f.header > short {
			need := 22
			if b[0] == 2 && b[2] != 0 {
				need = 24
			}
			if _, err := io.ReadFull(from, b[short:need]); err != nil {
				return nil, err
			}
			b = b[:need]
		}
	}
	n := f.length(b)
	all := append(make([]byte, 0, n), b...)[:n]
	_, err := io.ReadFull(from, all[len(b):])
	return all, err
}

func startRPC(t testing.TB, name string) server {
	t.Helper()
	f := framings[name]
	switch name {
	case "tars":
		f.id = tarsID
	case "thrift":
		f.id = thriftID
	}
	s := &rpcServer{framing: f, jobs: map[uint64]exchange{}, mosn: startCodec(t)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loopback.Serve(listener, s.serve))
	return server{address: listener.Addr().String(), name: "Go", rpc: s}
}

// exchanges makes calls on one connection, as many at a time as pipeline says, and notes them.
func (r *run) exchanges(name string, pipeline int, calls []exchange) {
	r.Helper()
	s := r.on.rpc
	conn := r.dial()
	defer conn.Close()
	r.check(conn.SetDeadline(time.Now().Add(30 * time.Second)))
	for len(calls) > 0 {
		batch := calls[:min(pipeline, len(calls))]
		calls = calls[len(batch):]
		at := conn.Mark()
		waiting := map[uint64]*exchange{}
		var all []byte
		for i := range batch {
			e := &batch[i]
			e.note.Request = &witness.Range{Offset: at.In + uint64(len(all)), Length: uint64(len(e.request))}
			all = append(all, e.request...)
			s.prepare(*e)
			if e.answer == nil {
				e.note.NoAnswer = true
			} else {
				waiting[e.id] = e
			}
		}
		r.write(conn, string(all))
		for len(waiting) > 0 {
			f, err := readFrame(conn, s.framing)
			r.check(err)
			e := waiting[s.framing.id(f)]
			if e == nil || string(e.answer) != string(f) {
				r.Fatalf("%s: answer %q", name, f)
			}
			delete(waiting, e.id)
			e.note.Response = &witness.Range{Offset: at.Out, Length: uint64(len(f))}
			at.Out += uint64(len(f))
		}
		for _, e := range batch {
			r.note(conn, e.note)
		}
	}
	if codec := s.framing.codec; codec != "" {
		r.checkFrames(codec, conn)
	}
}

// checkFrames checks what was noted of conn with MOSN's codec.
func (r *run) checkFrames(codec string, conn *witness.Conn) {
	r.Helper()
	in, out := conn.Link.Bytes(record.In), conn.Link.Bytes(record.Out)
	if codec == "bolt" && in[0] == 2 {
		codec = "boltv2"
	}
	if codec == "dubbo-thrift" && binary.BigEndian.Uint16(in[4:]) != 0xdabc {
		return // MOSN knows Thrift only as Dubbo has it
	}
	if codec == "tars" && r.mosnCannotDecodeTars(conn) {
		return
	}
	mosn := r.on.rpc.mosn
	requests, answers := mosn.decode(r, codec, in), mosn.decode(r, codec, out)
	r.mu.Lock()
	defer r.mu.Unlock()
	i := 0
	for _, c := range r.calls {
		if c.Conn != conn.Link.ID {
			continue
		}
		if i >= len(requests) || requests[i].Range != *c.Request || c.Service != requests[i].Headers["service"] {
			r.Fatalf("MOSN's codec sees request %d as %+v, noted is %+v", i, requests[i], c)
		}
		i++
		if c.Response == nil {
			continue
		}
		found := false
		for _, a := range answers {
			found = found || a.Range == *c.Response && a.ID == requests[i-1].ID && (c.Code == int(a.Status) || c.Protocol != "bolt" && c.Protocol != "dubbo")
		}
		if !found {
			r.Fatalf("MOSN's codec sees no such answer: %+v", c)
		}
	}
	if i != len(requests) {
		r.Fatalf("%d calls are noted, MOSN's codec sees %d", i, len(requests))
	}
}

// mosnCannotDecodeTars reports whether there is something in the calls of conn that MOSN v1.5
// refuses: it reads the length in front as fields, which works for short frames, and knows
// return codes as zero or as 32-bit numbers alone (pkg/protocol/xprotocol/tars).
func (r *run) mosnCannotDecodeTars(conn *witness.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		if c.Conn == conn.Link.ID && (c.Code != 0 || c.Request.Length > 0xff || c.Response != nil && c.Response.Length > 0xff) {
			return true
		}
	}
	return false
}

// mosnCodec is a running test/mosncodec.
type mosnCodec struct {
	mu  sync.Mutex // one request at a time
	in  *json.Encoder
	out *json.Decoder
}

// startCodec starts a codec, which ends with the test.
func startCodec(t testing.TB) *mosnCodec {
	t.Helper()
	program, err := codecBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // it ends with its input
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	return &mosnCodec{in: json.NewEncoder(in), out: json.NewDecoder(out)}
}

func (m *mosnCodec) ask(t testing.TB, request witness.CodecRequest) witness.CodecResponse {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var response witness.CodecResponse
	if err := m.in.Encode(request); err != nil {
		t.Fatal(err)
	}
	if err := m.out.Decode(&response); err != nil {
		t.Fatal(err)
	}
	if response.Error != "" {
		t.Fatalf("MOSN's codec: %s", response.Error)
	}
	return response
}

func (m *mosnCodec) decode(t testing.TB, protocol string, data []byte) []witness.Frame {
	t.Helper()
	return m.ask(t, witness.CodecRequest{Protocol: protocol, Decode: data}).Decoded
}

func (m *mosnCodec) encode(t testing.TB, protocol string, frames ...witness.Frame) [][]byte {
	t.Helper()
	return m.ask(t, witness.CodecRequest{Protocol: protocol, Encode: frames}).Encoded
}
