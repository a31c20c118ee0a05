package parsetest

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"mosn.io/tcpcopy/pkg/record"
)

// GRPC returns n calls of gRPC on one connection, whose header fields are in HPACK's
// tables from the second call on. Two calls are open at a time.
func GRPC(t testing.TB, n int) Session {
	t.Helper()
	var s Session
	var out [2]bytes.Buffer
	framers := [2]*http2.Framer{http2.NewFramer(&out[0], nil), http2.NewFramer(&out[1], nil)}
	var block bytes.Buffer
	encoders := [2]*hpack.Encoder{hpack.NewEncoder(&block), hpack.NewEncoder(&block)}
	head := func(dir record.Direction, stream uint32, end bool, fields ...string) {
		block.Reset()
		for i := 0; i < len(fields); i += 2 {
			if err := encoders[dir].WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
				t.Fatal(err)
			}
		}
		if err := framers[dir].WriteHeaders(http2.HeadersFrameParam{StreamID: stream, EndHeaders: true, EndStream: end, BlockFragment: block.Bytes()}); err != nil {
			t.Fatal(err)
		}
	}
	data := func(dir record.Direction, stream uint32, end bool) {
		if err := framers[dir].WriteData(stream, end, append([]byte{0, 0, 0, 0, 5}, "hello"...)); err != nil {
			t.Fatal(err)
		}
	}
	flush := func(dir record.Direction) {
		s = append(s, Piece{Dir: dir, At: Start.Add(time.Duration(len(s)) * time.Millisecond), Data: bytes.Clone(out[dir].Bytes())})
		out[dir].Reset()
	}
	out[record.In].WriteString(http2.ClientPreface)
	if err := framers[record.In].WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := framers[record.Out].WriteSettings(); err != nil {
		t.Fatal(err)
	}
	answer := func(i int) {
		stream := uint32(2*i + 1)
		head(record.Out, stream, false, ":status", "200", "content-type", "application/grpc")
		data(record.Out, stream, false)
		status := "0"
		if i%3 == 2 {
			status = "14"
		}
		head(record.Out, stream, true, "grpc-status", status, "grpc-message", fmt.Sprint("message of ", i%5))
		flush(record.Out)
	}
	for i := range n {
		stream := uint32(2*i + 1)
		head(record.In, stream, false, ":method", "POST", ":scheme", "http", ":path", fmt.Sprintf("/shop.Cart/Get%d", i%4), ":authority", "shop", "content-type", "application/grpc", "x-tenant", fmt.Sprint("tenant-", i%3))
		flush(record.In)
		data(record.In, stream, true)
		flush(record.In)
		if i > 0 {
			answer(i - 1)
		}
	}
	answer(n - 1)
	return s
}
