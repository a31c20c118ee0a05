package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"mosn.io/tcpcopy/internal/wiretap"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// talkers are clients that send until their connections break.
type talkers struct {
	taps     []*wiretap.Conn
	answered []atomic.Int64 // bytes written of each whose answers have come back whole
	running  sync.WaitGroup
}

func startTalkers(t *testing.T, address string, n int, seed int64) *talkers {
	t.Helper()
	all := &talkers{answered: make([]atomic.Int64, n)}
	for i := range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		tap := wiretap.New(conn)
		all.taps = append(all.taps, tap)
		all.running.Add(1)
		go func() { // ends when the proxy is killed
			defer all.running.Done()
			defer conn.Close()
			random := rand.New(rand.NewSource(seed<<16 + int64(i)))
			for {
				request, answer := random.Int63n(20000), 1+random.Int63n(20000)
				message := append(encodeAnnouncement(request, answer, random.Int63()), randomBytes(random.Int63(), request)...)
				if _, err := tap.Write(message); err != nil {
					return
				}
				if _, err := io.ReadFull(tap, make([]byte, answer)); err != nil {
					return
				}
				all.answered[i].Store(int64(len(tap.Written())))
			}
		}()
	}
	return all
}

// bytes returns how many bytes of all connections have been answered.
func (a *talkers) bytes() (n int64) {
	for i := range a.answered {
		n += a.answered[i].Load()
	}
	return n
}

func (a *talkers) wait() { a.running.Wait() }

// compare checks that the recording of each connection is a prefix of what passed
// that reaches as far as the client knows that the proxy has got.
func (a *talkers) compare(t *testing.T, recorded map[string]*[2]bytes.Buffer) {
	t.Helper()
	for i, tap := range a.taps {
		streams := recorded[tap.LocalAddr().String()]
		if streams == nil {
			if a.answered[i].Load() > 0 {
				t.Errorf("connection of %s is not recorded", tap.LocalAddr())
			}
			continue
		}
		in, out, written, read := streams[record.In].Bytes(), streams[record.Out].Bytes(), tap.Written(), tap.WasRead()
		if int64(len(in)) < a.answered[i].Load() || !bytes.HasPrefix(written, in) {
			t.Errorf("in: %d bytes recorded of %d that were sent and %d that were answered, a prefix: %t",
				len(in), len(written), a.answered[i].Load(), bytes.HasPrefix(written, in))
		}
		if !bytes.HasPrefix(out, read) {
			t.Errorf("out: %d bytes recorded do not begin with the %d that were received", len(out), len(read))
		}
	}
}

// recordedStreams joins a window's records by client. It refuses records that are
// torn, doubled or out of order.
func recordedStreams(t *testing.T, dir, window string) map[string]*[2]bytes.Buffer {
	t.Helper()
	d, err := dump.Open([]string{dir}, dump.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	streams := map[string]*[2]bytes.Buffer{}
	clients := map[string]string{}
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			return streams
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Window != window {
			continue
		}
		switch r.Kind {
		case record.KindOpen:
			clients[r.Conn] = r.Peer
			if streams[r.Peer] == nil {
				streams[r.Peer] = &[2]bytes.Buffer{}
			}
		case record.KindData:
			s := streams[clients[r.Conn]]
			if s == nil || r.Offset != uint64(s[r.Direction].Len()) {
				t.Fatal(fmt.Errorf("connection %s %v: record at %d, expected elsewhere", r.Conn, r.Direction, r.Offset))
			}
			s[r.Direction].Write(r.Data)
		case record.KindGap:
			t.Errorf("connection %s has a gap at %d: %s", r.Conn, r.Offset, r.Reason)
		}
	}
}
