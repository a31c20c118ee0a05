package persistence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

const fillerByte = 0xee

// lendingFile is a blockFile with what must be in it.
type lendingFile struct {
	*blockFile
	path      string
	put       []byte // what has been put and lent, without fillers
	committed int    // of it
}

func newLendingFile(t *testing.T, direct bool) *lendingFile {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := newMemory(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	b, err := openBlocks(f, mem.all.mem)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.closeDirect()
		mem.free()
		f.Close()
	})
	if !direct {
		b.closeDirect()
	} else if b.direct == nil {
		t.Skip("the file system of the temporary directory refuses direct I/O")
	}
	b.filler = func(dst []byte, n int) []byte {
		if n < minFiller || n%4 != 0 {
			t.Errorf("a filler of %d bytes", n)
		}
		return append(dst, bytes.Repeat([]byte{fillerByte}, n)...)
	}
	return &lendingFile{blockFile: b, path: f.Name()}
}

// agrees tells whether the file has what was committed.
func (l *lendingFile) agrees() error {
	content, err := os.ReadFile(l.path)
	if err != nil {
		return err
	}
	if got, want := int64(len(content)), l.blockFile.committed; got != want {
		return fmt.Errorf("the file has %d bytes, %d are committed", got, want)
	}
	if got := bytes.ReplaceAll(content, []byte{fillerByte}, nil); !bytes.Equal(got, l.put[:l.committed]) {
		return fmt.Errorf("the file has %d bytes without fillers, not the %d that were committed", len(got), l.committed)
	}
	return nil
}

// randomBlock fills block with bytes that are no filler's.
func randomBlock(r *rand.Rand, block []byte) {
	seed := r.Uint32()
	for i := range block {
		block[i] = byte(seed+uint32(i)*7) % fillerByte
	}
}

// Whatever is put, lent, committed and given up, from whatever places in memory: the
// file has what was committed, in order.
func TestLentBlocksAreWritten(t *testing.T) {
	for _, direct := range []bool{true, false} {
		t.Run(fmt.Sprint("direct ", direct), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			file := newLendingFile(t, direct)
			batch, err := newMemory(8 << 20)
			if err != nil {
				t.Fatal(err)
			}
			defer batch.free()
			runs := 0
			for range 40 {
				at := 4 * r.IntN(5000)
				for range 1 + r.IntN(4) {
					if r.IntN(3) == 0 { // as openings are
						n := 4 * (1 + r.IntN(300))
						dst, err := file.room(n)
						if err != nil {
							t.Fatal(err)
						}
						start := len(dst)
						dst = dst[:start+n]
						randomBlock(r, dst[start:])
						file.blockFile.put(dst)
						file.put = append(file.put, dst[start:]...)
					}
					for range r.IntN(80) {
						n := 4 * (1 + r.IntN(8000))
						if at+n > len(batch.all.mem) {
							break
						}
						block := batch.all.mem[at : at+n]
						randomBlock(r, block)
						if err := file.lend(block); err != nil {
							t.Fatal(err)
						}
						file.put = append(file.put, block...)
						at += n
						runs = max(runs, len(file.run))
					}
					at += 4 * r.IntN(3) // what does not adjoin
				}
				if r.IntN(5) == 0 {
					err = file.rollback()
					file.put = file.put[:file.committed]
				} else {
					err = file.commit()
					file.committed = len(file.put)
				}
				if err = errors.Join(err, file.agrees()); err != nil {
					t.Fatal(err)
				}
			}
			if runs < directMin {
				t.Errorf("the longest run has %d bytes: none was written from where it lies", runs)
			}
		})
	}
}

// Streams of all kinds of connections, as a reader of captures joins them, are what
// passed, when the blocks are written from the batches.
func TestPacketsAreExact(t *testing.T) {
	const connections, rounds = 8, 60
	r := newRig(t, func(c *Config) {
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
	var fillers int
	for _, name := range files {
		fillers += joinPackets(t, name, streams)
	}
	if fillers == 0 {
		t.Error("no filler: no run was written from where it lies")
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
// sequence number, and returns how many fillers there are.
func joinPackets(t *testing.T, name string, streams map[string][]byte) (fillers int) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for rest := content; len(rest) > 0; rest = rest[binary.LittleEndian.Uint32(rest[4:]):] {
		if kind := pcapng.AppendPaddingBlock(nil, minFiller)[:4]; bytes.HasPrefix(rest, kind) {
			fillers++
		}
	}
	reader, err := pcapgo.NewNgReader(bytes.NewReader(content), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, _, err := reader.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return fillers
		}
		if err != nil {
			t.Fatal(err)
		}
		first := gopacket.Decoder(layers.LayerTypeIPv4)
		if data[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
		p := gopacket.NewPacket(data, first, gopacket.Default)
		tcp, ok := p.TransportLayer().(*layers.TCP)
		if !ok {
			t.Fatal("no TCP packet")
		}
		_ = tcp.SetNetworkLayerForChecksum(p.NetworkLayer()) // fails for other layers only
		if err, bad := p.VerifyChecksums(); err != nil || len(bad) > 0 {
			t.Fatalf("checksums: %v %v", bad, err)
		}
		if len(tcp.Payload) == 0 {
			continue
		}
		key := fmt.Sprint(p.NetworkLayer().NetworkFlow(), p.TransportLayer().TransportFlow())
		if want := uint32(len(streams[key])) + 1; tcp.Seq != want {
			t.Fatalf("%s: sequence number %d, want %d", key, tcp.Seq, want)
		}
		streams[key] = append(streams[key], tcp.Payload...)
	}
}
