package persistence

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// Streams of all kinds of connections, as a reader of captures joins them, are what
// passed, when the blocks are written from the batches.
func TestPacketsAreExact(t *testing.T) {
	const connections, rounds = 8, 60
	r := newHarness(t, func(c *Config) {
		c.Formats, c.BufferSize, c.Spool, c.Roll.Size = []Format{FormatPcapng}, 64<<20, t.TempDir(), 6<<20
	}, nil)
	var peers []*peer
	for id := range connections {
		peers = append(peers, newPeer(r.run, id))
		describe := peers[id].Describe
		peers[id].Describe = func() record.Endpoint {
			e := describe()
			switch id % 4 {
			case 1:
				e.ClientAddr = netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), e.ClientAddr.Port())
			case 2:
				e.Network, e.Peer, e.Listener = "unix", "@", "/run/a.sock"
				e.ClientAddr, e.ServerAddr = netip.AddrPort{}, netip.AddrPort{}
			}
			return e
		}
	}
	w := r.window(1, func(s *Session) {
		var talk sync.WaitGroup
		for id, p := range peers {
			talk.Add(1)
			go func() {
				defer talk.Done()
				random := rand.New(rand.NewPCG(uint64(id), 3))
				for range rounds {
					data := make([]byte, 1+random.IntN([]int{100, 20_000, 200_000}[random.IntN(3)]))
					for i := range data {
						data[i] = byte(random.Uint32())
					}
					p.say(s, record.Direction(random.IntN(2)), data)
					for float64(s.Buffered()) > 8<<20 {
						runtime.Gosched() // nothing is to be lost here
					}
				}
				if id%2 == 0 {
					p.hangUp(s)
				}
			}()
		}
		talk.Wait()
	})
	if w.Lost.In+w.Lost.Out > 0 || w.Records.In+w.Records.Out != connections*rounds {
		t.Errorf("the index has %+v lost, %+v records, want none and %d", w.Lost, w.Records, connections*rounds)
	}
	files, err := filepath.Glob(filepath.Join(r.dir, "*.pcapng"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d segments, %v; want some", len(files), err)
	}
	streams := map[string][]byte{}
	var padding int
	for _, name := range files {
		padding += joinPackets(t, name, streams)
	}
	if padding == 0 {
		t.Error("no padding block: no run was written from where it lies")
	}
	for id, p := range peers {
		for dir, passed := range p.passed {
			found := false
			for _, stream := range streams {
				found = found || bytes.Equal(stream, passed)
			}
			if !found {
				t.Errorf("connection %d, direction %d: no stream has its %d bytes", id, dir, len(passed))
			}
		}
	}
	if len(streams) != 2*connections {
		t.Errorf("%d streams, want %d", len(streams), 2*connections)
	}
	r.quiet()
}

// joinPackets appends the payloads in a capture to the streams that they are of, by
// sequence number, and returns how many padding blocks there are.
func joinPackets(t *testing.T, name string, streams map[string][]byte) (padding int) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for rest := content; len(rest) > 0; rest = rest[binary.LittleEndian.Uint32(rest[4:]):] {
		if kind := pcapng.AppendPaddingBlock(nil, pcapng.MinPaddingBlock)[:4]; bytes.HasPrefix(rest, kind) {
			padding++
		}
	}
	packets, err := oracle.Packets(content)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		if p.UDP {
			t.Fatal("no TCP packet")
		}
		if len(p.Payload) == 0 {
			continue
		}
		key := fmt.Sprint(p.Source, p.Target)
		if want := uint32(len(streams[key])) + 1; p.Seq != want {
			t.Fatalf("%s: sequence number %d, want %d", key, p.Seq, want)
		}
		streams[key] = append(streams[key], p.Payload...)
	}
	return padding
}
