package test

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// A protocol filter takes a message out of MOSN's read buffer only when it is
// whole; until then every read shows the filters before it the same bytes again.
// They are recorded once.
func TestAMessageInThreeReadsIsRecordedOnce(t *testing.T) {
	t.Parallel()
	request := boltRequest("com.example.Tower", []byte("request to land"))
	for name, c := range map[string]struct {
		protocol string
		upstream string
		message  []byte
		answer   []byte // bytes that the answer ends with
	}{
		"bolt": {"bolt", upstream(t, answerBolt), request, []byte("cleared to land")},
		"http": {"Http1", httpUpstream(t), []byte("POST /tower HTTP/1.1\r\nHost: tower\r\nContent-Length: 15\r\n\r\nrequest to land"), []byte("request to land")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, address := newBase(t), freeAddress(t)
			m := start(t, base, configOf(c.upstream,
				mosnproc.NewListener(name, address, recorder(base), mosnproc.Proxy(c.protocol))))
			id := m.open()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ends := []int{7, len(c.message) - 4, len(c.message)}
			begin := 0
			for _, end := range ends {
				if _, err := conn.Write(c.message[begin:end]); err != nil {
					t.Fatal(err)
				}
				// The next piece follows when this one is in the log, so that
				// it is a read of its own.
				line := fmt.Sprintf(" > %d]% x\n", begin, c.message[begin:end])
				eventually(t, "a piece is in the log", func() bool { return bytes.Contains(flowLog(m), []byte(line)) })
				begin = end
			}
			var got []byte
			for buf := make([]byte, 4096); !bytes.HasSuffix(got, c.answer); {
				n, err := conn.Read(buf)
				if err != nil {
					t.Fatalf("the answer ends after %q: %v", got, err)
				}
				got = append(got, buf[:n]...)
			}
			w := m.close(id)

			complete(t, w)
			all := m.connections(w)
			if len(all) != 1 {
				t.Fatalf("%d connections", len(all))
			}
			if sent, err := all[0].In.Bytes(); err != nil || !bytes.Equal(sent, c.message) || len(all[0].In.Pieces) != len(ends) {
				t.Errorf("recorded %d bytes in %d records, %v; want %d in %d", len(sent), len(all[0].In.Pieces), err, len(c.message), len(ends))
			}
			if answer, err := all[0].Out.Bytes(); err != nil || !bytes.Equal(answer, got) {
				t.Errorf("recorded answer %q, %v; want %q", answer, err, got)
			}
		})
	}
}
