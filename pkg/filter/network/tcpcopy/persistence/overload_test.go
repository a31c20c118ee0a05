package persistence

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// hang makes the flow log's file hang, as a disk does that has gone away, until
// resume is called.
func hang(r *harness) (resume func()) {
	return r.store.flowLog.Pause()
}

// While no worker gets anywhere, a hundred times the buffer passes: that this test
// ends is its first result, because Data is called with the disk still away.
func TestOverloadNeverBlocks(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.BufferSize, c.Workers = MinBufferSize, 2 }, nil)
	const connections, each = 16, 100 * MinBufferSize / 16
	var peers []*peer
	s := r.open(1)
	resume := hang(r)
	var talk sync.WaitGroup
	for i := range connections {
		p := newPeer(r.run, i+1)
		peers = append(peers, p)
		talk.Add(1)
		go func() {
			defer talk.Done()
			data := make([]byte, 1+i*700)
			for passed := 0; passed < each; passed += len(data) {
				for k := range data {
					data[k] = byte(passed + k)
				}
				p.say(s, record.Direction(passed/7%2), data)
			}
			if i%2 == 0 {
				p.hangUp(s)
			}
		}()
	}
	talk.Wait()
	if n := s.Buffered(); n > MinBufferSize {
		t.Errorf("%d bytes are buffered", n)
	}
	a := s.Accounts()
	if a.Written.In+a.Written.Out > 0 || a.LostBy["buffer_full"] != a.Lost.In+a.Lost.Out || a.Lost.In == 0 {
		t.Errorf("while the disk is away: %+v", a)
	}
	resume()
	s.Close(time.Now())
	w := r.indexed(1)
	if w.Written == (oracle.PerDirection{}) {
		t.Error("nothing is written")
	}
	r.agrees(w)
	all := r.connections()
	if len(all) != connections {
		t.Errorf("the log has %d connections of %d", len(all), connections)
	}
	for _, c := range all {
		for _, p := range peers {
			if p.id == c.Conn {
				p.compare(t, c)
			}
		}
	}
	r.quiet()
}

// The memory of a session is 1.25 times the buffer at most, however small that is.
func TestMemoryIsBounded(t *testing.T) {
	for _, size := range []int64{MinBufferSize, MinBufferSize + 1, 100_000, 130 << 10, 1 << 20, DefaultBufferSize, 1 << 30} {
		for _, workers := range []int{0, 1, 2, 3, 7, maxWorkers} {
			for _, formats := range [][]Format{{FormatHex}, {FormatHexMeta}, {FormatPcapng}, {FormatHexMeta, FormatPcapng}} {
				c := Config{BufferSize: size, Workers: workers, Formats: formats, MaxTotal: DefaultMaxTotal}
				l := c.sizes()
				total := l.Shards*2*l.Batch + len(formats)*l.encoded
				name := fmt.Sprintf("%d bytes, %d workers, %v: %+v", size, workers, formats, l)
				if total > int(size)/4*5 {
					t.Errorf("%s: %d bytes", name, total)
				}
				if l.Shards < 1 || l.Batch < minBatch || l.Batch%buffer.PageSize != 0 || l.encoded%buffer.PageSize != 0 {
					t.Errorf("%s: bad layout", name)
				}
				// The longest record finds room in empty memory.
				e := &buffer.Entry{Header: buffer.Header{Kind: buffer.KindData}, Payload: make([]byte, l.Record)}
				if l.Record < 100 || buffer.RecordSize(l.Record) > l.Batch || buffer.PageSize+max(boundText(e), boundPackets(e)) > l.encoded {
					t.Errorf("%s: a record of %d bytes does not fit", name, l.Record)
				}
			}
		}
	}
}

// Connections that come and go while nothing can be written leave nothing behind
// but a bounded number of ends that wait.
func TestConnectionsOfAnOverloadAreForgotten(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.BufferSize, c.Workers = MinBufferSize, 1 }, nil)
	s := r.open(1)
	resume := hang(r)
	const connections = buffer.MaxUnclosed + 5000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range connections {
		p := newPeer(r.run, i+1)
		p.say(s, record.In, []byte("a record of some length, so that the batches are soon full"))
		p.hangUp(s)
	}
	gapped, unclosed, _ := s.shards[0].Waiting()
	if unclosed > buffer.MaxUnclosed {
		t.Errorf("%d close events wait", unclosed)
	}
	if gapped > 0 {
		t.Errorf("%d connections that have ended are remembered for their gaps", gapped)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	resume()
	s.Close(time.Now())
	w := r.indexed(1)
	if w.Connections != connections || w.Seen.In != w.Written.In+w.Lost.In {
		t.Errorf("index %+v", w)
	}
}

// A gap that is written down in time does not keep the connection.
func TestConnectionsWithGapsAreForgotten(t *testing.T) {
	r := newHarness(t, nil, nil)
	s := r.open(1)
	for i := range 100 {
		p := newPeer(r.run, i+1)
		p.Limit = 3
		p.say(s, record.In, []byte("beyond the limit"))
		p.slip(s, record.Out, []byte("and unseen"))
		if i%2 == 0 {
			p.hangUp(s)
		}
	}
	remembered := 0
	for _, sh := range s.shards {
		gapped, unclosed, _ := sh.Waiting()
		remembered += gapped + unclosed
	}
	if remembered != 50 {
		t.Errorf("%d connections are remembered, of 50 that go on", remembered)
	}
	s.Close(time.Now())
	r.agrees(r.indexed(1))
}
