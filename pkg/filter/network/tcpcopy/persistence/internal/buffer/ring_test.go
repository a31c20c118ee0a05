package buffer

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/record"
)

// newRetaining returns a shard that retains what is read, in plain memory.
func newRetaining(t *testing.T, batches int) *Shard {
	t.Helper()
	const batch = 16 << 10
	dump := safedir.New(t.TempDir())
	t.Cleanup(dump.Close)
	s, _, err := NewSpool("", dump, SpoolHeader{Dir: dump.Path(), Run: "r", Window: "w", Workers: 1, Batch: batch, Batches: batches, Sessions: 4}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Remove)
	g := Geometry{Shards: 1, Batches: batches, Batch: batch, Record: batch / 2, Piece: batch / 2, Retain: true}
	sh := NewShards(g, s, time.Now())[0]
	sh.Begin()
	return sh
}

// speaker is a connection with how many bytes it has said.
type speaker struct {
	Conn
	said record.PerDirection
}

func newSpeaker(id int) *speaker {
	return &speaker{Conn: Conn{ID: uint64(id), Describe: func() record.Endpoint {
		return record.Endpoint{Identity: record.Identity{Conn: fmt.Sprintf("k3v9qa-%d", id), Port: "80", Network: "tcp", Peer: "192.0.2.1:1", Listener: "192.0.2.2:80"}}
	}}}
}

func (s *speaker) say(sh *Shard, dir record.Direction, n int) {
	sh.Data(&s.Conn, dir, s.said, [][]byte{make([]byte, n)}, n)
	s.said.Add(dir, uint64(n))
}

// stretch is what a reader has found of a stream.
type stretch struct {
	from, to uint64
	data     uint64 // bytes of data among them
}

// follower reads as a pipeline does, and fails where a stream has a hole.
type follower struct {
	t       *testing.T
	reader  *Reader
	slots   map[uint32]string // connections
	streams map[string]*stretch
	closed  map[string]bool
	seen    uint64 // bytes
}

func follow(t *testing.T, r *Reader) *follower {
	return &follower{t: t, reader: r, slots: map[uint32]string{}, streams: map[string]*stretch{}, closed: map[string]bool{}}
}

// read reads all that there is.
func (f *follower) read(since int64) {
	for b := f.reader.Next(); b != nil; b = f.reader.Next() {
		f.view(b, since)
		f.reader.Done()
	}
}

func (f *follower) view(b *Batch, since int64) {
	f.t.Helper()
	var e Entry
	from := b.Start()
	if b.Joined() {
		from = 0
	}
	for at := from; at < b.Len(); {
		next, ok := b.Entry(at, &e)
		if !ok {
			f.t.Fatalf("no entry at %d of %d", at, b.Len())
		}
		isNew := at >= b.Start()
		at = next
		if e.Kind == KindHeader {
			var endpoint record.Endpoint
			e.Endpoint(&endpoint)
			if endpoint.Conn != f.slots[e.Slot] && f.closed[endpoint.Conn] {
				f.t.Errorf("%s comes again after its end", endpoint.Conn)
			}
			f.slots[e.Slot] = endpoint.Conn
			continue
		}
		conn := f.slots[e.Slot]
		if conn == "" {
			f.t.Fatalf("an entry of kind %d in a slot without a header", e.Kind)
		}
		if !isNew || e.Time < since {
			continue
		}
		if e.Kind == KindClose {
			f.closed[conn] = true
			continue
		}
		f.seen += e.Length()
		key := fmt.Sprint(conn, e.Dir)
		s := f.streams[key]
		if s == nil {
			s = &stretch{from: e.Offset, to: e.Offset}
			f.streams[key] = s
		}
		if s.to != e.Offset {
			f.t.Errorf("%s: an entry at %d after %d", key, e.Offset, s.to)
		}
		s.to = e.Offset + e.Length()
		if e.Kind == KindData {
			s.data += e.Length()
		}
	}
}

// After many times the ring's size, the ring has everything since the moment it says, and
// nothing is missing behind that; what was given up and what is held are what has passed.
func TestARingHasEverythingSinceItSays(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		sh := newRetaining(t, 4+r.IntN(10))
		type said struct {
			time     int64
			key      string
			from, to uint64
		}
		var all []said
		var passed uint64
		var speakers []*speaker
		for id := range 1 + r.IntN(20) {
			speakers = append(speakers, newSpeaker(id))
		}
		for range 3000 {
			i := r.IntN(len(speakers))
			dir := record.Direction(r.IntN(2))
			n := 1 + r.IntN([]int{20, 600, 30_000}[r.IntN(3)])
			s := speakers[i]
			from := s.said.Of(dir)
			s.say(sh, dir, n)
			sh.mu.Lock()
			all = append(all, said{sh.clock.latest, fmt.Sprintf("k3v9qa-%d%v", s.ID, dir), from, from + uint64(n)})
			sh.mu.Unlock()
			if passed += uint64(n); r.IntN(100) == 0 {
				sh.End(&s.Conn, record.CloseRemote, s.said)
				speakers[i] = newSpeaker(len(all) + 100)
			}
		}
		since, evicted := sh.Holds()
		held := uint64(0)
		for _, b := range sh.held {
			held += b.seen.In + b.seen.Out
		}
		if passed != evicted+held || evicted == 0 {
			t.Errorf("%d bytes have passed, %d were given up, %d are held", passed, evicted, held)
		}
		reader, from := sh.NewReaderSince(0, 0, nil)
		reader.Begin(from)
		if from != since {
			t.Errorf("since %d, the reader has it since %d", since, from)
		}
		f := follow(t, reader)
		f.read(since)
		for _, s := range all {
			stream := f.streams[s.key]
			there := stream != nil && stream.from <= s.from && s.to <= stream.to
			if some := stream != nil && s.to > stream.from && s.from < stream.to; some != there || there != (s.time >= since) {
				t.Errorf("seed %d, %s: bytes %d to %d, said %d ns after the beginning: any of it is there: %t, all: %t", seed, s.key, s.from, s.to, s.time-since, some, there)
			}
		}
		if f.seen > held {
			t.Errorf("%d bytes are there of %d", f.seen, held)
		}
		reader.Close()
	}
}

// A reader that does not read has outlines, which become one when they get long. Streams of
// connections that go on have no hole; those that have ended are counted.
func TestOutlinesStaySmall(t *testing.T) {
	for _, churn := range []bool{false, true} {
		for _, limit := range []int{0, 10_000, 40_000, maxOutlined} {
			t.Run(fmt.Sprint(churn, limit), func(t *testing.T) {
				sh := newRetaining(t, 6)
				sh.outlineLimit = limit
				reader := sh.NewReader(0)
				selective, _ := sh.NewReaderSince(1, 0, func(e *record.Endpoint) bool { return e.Conn == "k3v9qa-1" })
				selective.Begin(1)
				before := newSpeaker(0)
				before.say(sh, record.In, 100)
				if b := reader.Next(); b == nil { // it hangs with this one
					t.Fatal("nothing")
				}
				speakers := []*speaker{before, newSpeaker(1), newSpeaker(2)}
				r := rand.New(rand.NewPCG(1, 2))
				passed, next := uint64(100), 3
				var of record.PerDirection
				for range 4000 {
					sh.Relieve()
					i := r.IntN(len(speakers))
					n, dir := 1+r.IntN(500), record.Direction(r.IntN(2))
					speakers[i].say(sh, dir, n)
					if passed += uint64(n); i == 1 {
						of.Add(dir, uint64(n))
					}
					if churn && i == 2 {
						sh.End(&speakers[i].Conn, record.CloseRemote, speakers[i].said)
						speakers[i] = newSpeaker(next)
						next++
					}
					if got, bound := reader.outlined, limit/2+1500; got > max(limit, bound) {
						t.Fatalf("%d bytes of outlines", got)
					}
				}
				if limit < maxOutlined && len(reader.outlines) > 200 {
					t.Errorf("%d outlines", len(reader.outlines))
				}
				f := follow(t, reader)
				f.view(&reader.view.Batch, 0)
				reader.Done()
				f.read(0)
				var beside Tally
				reader.Unread(&beside)
				if f.seen+beside.Seen.In+beside.Seen.Out != passed || beside.Seen != (record.PerDirection{}) && (limit == maxOutlined || !churn) {
					t.Errorf("%d bytes are there and %+v beside of %d", f.seen, beside.Seen, passed)
				}
				if n := len(f.closed) + int(beside.Connections); churn && (n < next-3 || n > next-3+1) {
					t.Errorf("%d connections have ended and %d are counted, of %d", len(f.closed), beside.Connections, next-3)
				}
				for id, s := range speakers {
					for _, dir := range record.Directions() {
						if got := f.streams[fmt.Sprintf("k3v9qa-%d%v", s.ID, dir)]; s.said.Of(dir) > 0 && (got == nil || got.to != s.said.Of(dir)) {
							t.Errorf("connection %d has %+v of %d", id, got, s.said.Of(dir))
						}
					}
				}
				// Who wants one connection has that alone.
				f = follow(t, selective)
				f.read(1)
				var none Tally
				selective.Unread(&none)
				for _, dir := range record.Directions() {
					if got := f.streams["k3v9qa-1"+dir.String()]; got == nil || got.from != 0 || got.to != of.Of(dir) || none.Seen != (record.PerDirection{}) {
						t.Errorf("the connection has %+v and %+v beside, of %+v", got, none, of)
					}
				}
			})
		}
	}
}

// Connections that come and go for many times the ring's size leave nothing behind.
func TestARingDoesNotGrow(t *testing.T) {
	sh := newRetaining(t, 8)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var first uint64
	const rounds = 30_000
	for id := range rounds {
		if id == rounds/10 {
			first = heap()
		}
		s := newSpeaker(id)
		s.say(sh, record.In, 100)
		s.say(sh, record.Out, 100)
		sh.End(&s.Conn, record.CloseRemote, s.said)
	}
	if grown := int64(heap()) - int64(first); grown > 1<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	// Slots are given out again with the next batch.
	if gapped, unclosed, slots := sh.Waiting(); gapped != 0 || unclosed != 0 || slots > 300 || len(sh.joined) != 0 {
		t.Errorf("%d gaps and %d ends wait, there are %d slots and %d connections", gapped, unclosed, slots, len(sh.joined))
	}
	// Each batch can be read without the others.
	for _, b := range sh.held {
		named := map[uint32]bool{}
		var e Entry
		for at := 0; at < b.n; {
			next, ok := b.Entry(at, &e)
			if !ok || e.Kind != KindHeader && !named[e.Slot] {
				t.Fatalf("batch %d: entry at %d: %t, %+v", b.number, at, ok, e.Header)
			}
			named[e.Slot] = true
			at = next
		}
	}
}

// An outline does not join what came before its reader's beginning with what came after, and
// one that is made of several knows connections whose header the reader has had before.
func TestOutlinesKeepTheBeginning(t *testing.T) {
	for _, limit := range []int{0, maxOutlined} {
		sh := newRetaining(t, 6)
		sh.outlineLimit = limit
		s := newSpeaker(1)
		s.say(sh, record.In, 100)
		early := sh.NewReader(0)
		first := follow(t, early)
		first.read(0)
		s.say(sh, record.In, 200)
		first.read(0) // the header is in a part of the batch that it has read
		sh.mu.Lock()
		since := sh.clock.Now() + 1
		sh.mu.Unlock()
		for now := int64(0); now <= since; {
			sh.mu.Lock()
			now = sh.clock.Now()
			sh.mu.Unlock()
		}
		late, from := sh.NewReaderSince(1, since, nil)
		late.Begin(from)
		for range 1000 {
			sh.Relieve()
			s.say(sh, record.In, 300)
		}
		first.read(0)
		if got := first.streams["k3v9qa-1in"]; got == nil || got.from != 100 || got.to != s.said.In || from != since {
			t.Errorf("limit %d: the first reader has %+v of %d", limit, got, s.said.In)
		}
		f := follow(t, late)
		f.read(since)
		if got := f.streams["k3v9qa-1in"]; got == nil || got.from != 300 || got.to != s.said.In {
			t.Errorf("limit %d: the second reader has %+v of %d", limit, got, s.said.In)
		}
	}
}

// A reader goes on where an outline could not be made.
func TestAFaultOfAnOutlineDoesNotKeepItsReader(t *testing.T) {
	sh := newRetaining(t, 4)
	reader, _ := sh.NewReaderSince(0, 1, func(*record.Endpoint) bool { panic("a fault of ours") })
	reader.Begin(1)
	s := newSpeaker(1)
	for range 200 {
		s.say(sh, record.In, 1000)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		sh.Relieve()
	}()
	f := follow(t, reader)
	f.read(1)
	if f.seen == 0 {
		t.Error("the reader has nothing")
	}
}
