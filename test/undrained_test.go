package test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
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
			all := m.conversations(w)
			if len(all) != 1 {
				t.Fatalf("%d conversations", len(all))
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

// boltRequest is a request frame of SOFA's bolt protocol, version 1: a head of 22
// bytes, the class's name, the headers, the content.
func boltRequest(service string, content []byte) []byte {
	const class = "com.example.Request"
	var headers []byte
	for _, text := range []string{"service", service} {
		headers = binary.BigEndian.AppendUint32(headers, uint32(len(text)))
		headers = append(headers, text...)
	}
	frame, err := hex.DecodeString("01" + "01" + "0001" + "01" + "00000007" + "01" + "00001388") // protocol, request, command, version, number, codec, timeout in ms
	if err != nil {
		panic(err)
	}
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(class)))
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(headers)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(content)))
	frame = append(frame, class...)
	frame = append(frame, headers...)
	return append(frame, content...)
}

// answerBolt answers each bolt request with the same response, under the
// request's number.
func answerBolt(conn net.Conn) {
	const content = "cleared to land"
	for {
		var head [22]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		rest := int64(binary.BigEndian.Uint16(head[14:])) + int64(binary.BigEndian.Uint16(head[16:])) + int64(binary.BigEndian.Uint32(head[18:]))
		if _, err := io.CopyN(io.Discard, conn, rest); err != nil {
			return
		}
		response := []byte{1, 0, 0, 2, 1} // protocol, response, command, version
		response = append(response, head[5:9]...)
		response = append(response, head[9], 0, 0, 0, 0, 0, 0) // codec, status, no class, no headers
		response = binary.BigEndian.AppendUint32(response, uint32(len(content)))
		if _, err := conn.Write(append(response, content...)); err != nil {
			return
		}
	}
}
