package http2_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// between is a proxy that records what passes through it, one session a connection.
type between struct {
	listener net.Listener
	conns    sync.WaitGroup

	mu       sync.Mutex // guards the rest
	sessions []parsetest.Session
}

// newBetween starts a proxy in front of a server.
func newBetween(t *testing.T, server string) *between {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &between{listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			b.mu.Lock()
			n := len(b.sessions)
			b.sessions = append(b.sessions, nil)
			b.mu.Unlock()
			b.conns.Add(2)
			go b.copy(n, record.In, upstream, client)
			go b.copy(n, record.Out, client, upstream)
		}
	}()
	return b
}

func (b *between) addr() string { return b.listener.Addr().String() }

// copy passes on what comes in a direction, as a proxy does: it records what it has read from the client, and
// what it writes to it.
func (b *between) copy(n int, dir record.Direction, to, from net.Conn) {
	defer b.conns.Done()
	buf := make([]byte, 8<<10)
	for {
		k, err := from.Read(buf)
		if k > 0 {
			b.mu.Lock()
			b.sessions[n] = append(b.sessions[n], parsetest.Piece{Dir: dir, At: time.Now(), Data: append([]byte(nil), buf[:k]...)})
			b.mu.Unlock()
			if _, err := to.Write(buf[:k]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				_ = to.(*net.TCPConn).CloseWrite()
				return
			}
			_ = to.Close()
			return
		}
	}
}

// recorded returns the sessions, once all connections have ended.
func (b *between) recorded() []parsetest.Session {
	b.conns.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions
}

// writePcap writes sessions as a file of packets, one connection each, from port 40000 on to port
// 2046, and returns its path.
func writePcap(t *testing.T, sessions ...parsetest.Session) string {
	t.Helper()
	const mtu = 1400
	le, be := binary.LittleEndian, binary.BigEndian
	out := le.AppendUint32(nil, 0xa1b2c3d4)
	out = append(out, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0)
	out = le.AppendUint32(out, 101) // raw IP
	for i, s := range sessions {
		seq := [2]uint32{1, 1}
		packet := func(p parsetest.Piece, flags byte) {
			n := 40 + len(p.Data)
			out = le.AppendUint32(out, uint32(p.At.Unix()))
			out = le.AppendUint32(out, uint32(p.At.Nanosecond()/1000))
			out = le.AppendUint32(out, uint32(n))
			out = le.AppendUint32(out, uint32(n))
			ports := [2]uint16{uint16(40000 + i), 2046}
			addr := [2][4]byte{{10, 0, 0, 1}, {10, 0, 0, 2}}
			src, dst := p.Dir, 1-p.Dir
			out = append(out, 0x45, 0)
			out = be.AppendUint16(out, uint16(n))
			out = append(out, 0, 0, 0x40, 0, 64, 6, 0, 0)
			out = append(append(out, addr[src][:]...), addr[dst][:]...)
			out = be.AppendUint16(be.AppendUint16(out, ports[src]), ports[dst])
			out = be.AppendUint32(be.AppendUint32(out, seq[src]), seq[dst])
			out = append(out, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0)
			out = append(out, p.Data...)
			seq[src] += uint32(len(p.Data))
		}
		const ack, push = 0x10, 0x18
		for _, p := range s {
			for data := p.Data; len(data) > 0; {
				n := min(len(data), mtu)
				packet(parsetest.Piece{Dir: p.Dir, At: p.At, Data: data[:n]}, push)
				data = data[n:]
			}
			packet(parsetest.Piece{Dir: 1 - p.Dir, At: p.At}, ack)
		}
	}
	path := filepath.Join(t.TempDir(), "session.pcap")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
