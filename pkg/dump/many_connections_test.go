package dump_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/record"
)

// heapInUse returns how many bytes are in use after a collection.
func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// manyRecords returns a record of the i-th of many connections, at a time.
func manyRecords(i, at int, kind record.Kind, dir record.Direction, offset, length uint64) *record.Record {
	r := &record.Record{Kind: kind, Time: time.Unix(0, dumptest.Time+int64(at)*1000), Direction: dir, Offset: offset, Length: length}
	r.Identity = record.Identity{Window: windowA, Conn: fmt.Sprintf("k3v9qa-%d", i), Peer: fmt.Sprintf("10.0.0.1:%d", i)}
	if kind == record.KindData {
		r.Data = make([]byte, length)
	}
	return r
}

// Connections that have ended need no memory, those that are open a little, and nothing
// of them is forgotten.
func TestManyConnectionsNeedLittleMemory(t *testing.T) {
	const few, many = 30_000, 70_000
	for name, c := range map[string]struct {
		feed  func(n int, put func(*record.Record))
		check func(i, n int, c *dump.Connection) bool
		most  int64 // bytes of a connection
	}{
		"ended": {func(n int, put func(*record.Record)) {
			const apart = 10 // that are open at once
			for i := range n + apart {
				if i < n {
					put(manyRecords(i, i, record.KindData, record.In, 0, uint64(1+i%7)))
				}
				if i >= apart {
					r := manyRecords(i-apart, i, record.KindClose, record.In, 0, 0)
					r.Reason, r.Totals.In = "RemoteClose", uint64(1+(i-apart)%7)
					put(r)
				}
			}
		}, func(i, _ int, c *dump.Connection) bool {
			return c.Complete() && c.Reason == "RemoteClose" && c.Bytes.In == uint64(1+i%7) && c.Last.Sub(c.First) == 10*time.Microsecond
		}, 24},
		"open": {func(n int, put func(*record.Record)) {
			for i := range n {
				put(manyRecords(i, i, record.KindData, record.In, 0, 3))
				put(manyRecords(i, i, record.KindData, record.Out, 0, uint64(i%5)))
			}
			for i := range n { // all of them go on
				put(manyRecords(i, n+i, record.KindData, record.In, 5, uint64(1+i%7)))
			}
		}, func(i, n int, c *dump.Connection) bool {
			return !c.Closed && c.Bytes == record.PerDirection{In: uint64(4 + i%7), Out: uint64(i % 5)} && c.Lost.In == 2 && len(c.Gaps) == 1 &&
				c.Gaps[0] == record.Gap{Direction: record.In, Offset: 3, Length: 2, Reason: record.ReasonMissing} && c.Last.Sub(c.First) == time.Duration(n)*time.Microsecond
		}, 48},
		"the first one is open": {func(n int, put func(*record.Record)) {
			put(manyRecords(0, 0, record.KindData, record.In, 0, 1))
			for i := 1; i < n; i++ {
				put(manyRecords(i, i, record.KindData, record.In, 0, 1))
				put(manyRecords(i, i, record.KindClose, record.In, 0, 0))
			}
		}, func(i, _ int, c *dump.Connection) bool { return c.Closed == (i > 0) && c.Bytes.In == 1 }, 24},
	} {
		run := func(n int) int64 {
			next, wrong := 0, 0
			streams := dump.NewStreams(nil, func(got *dump.Connection) error {
				if got.Conn != fmt.Sprintf("k3v9qa-%d", next) || got.Peer != fmt.Sprintf("10.0.0.1:%d", next) || !c.check(next, n, got) {
					if wrong++; wrong < 5 {
						t.Errorf("%s: connection %d of %d is %+v", name, next, n, got)
					}
				}
				next++
				return nil
			})
			c.feed(n, func(r *record.Record) { add(t, streams, r) })
			inUse := heapInUse()
			if err := streams.Finish(); err != nil {
				t.Fatal(err)
			}
			if next != n {
				t.Errorf("%s: %d connections, want %d", name, next, n)
			}
			return inUse
		}
		if each := (run(many) - run(few)) / (many - few); each > c.most {
			t.Errorf("%s: %d bytes of each connection, want %d at most", name, each, c.most)
		} else {
			t.Logf("%s: %d bytes of each connection", name, each)
		}
	}
}

// Where there is no place for a temporary file, everything stays in memory.
func TestManyConnectionsWithoutATemporaryFile(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/null/none")
	const n = 40_000
	done := 0
	streams := dump.NewStreams(nil, func(*dump.Connection) error { done++; return nil })
	for i := range n {
		add(t, streams, manyRecords(i, i, record.KindData, record.In, 0, 3))
	}
	if err := streams.Finish(); err != nil || done != n {
		t.Errorf("%d connections, want %d, %v", done, n, err)
	}
}

// manyPackets is a pcapng file of n connections, each of which has a packet again after
// those of all others.
type manyPackets struct {
	n, i int
	rest []byte
	file func(i int) []byte
}

func (m *manyPackets) Read(p []byte) (int, error) {
	for len(m.rest) == 0 {
		if m.i == m.n {
			return 0, io.EOF
		}
		m.rest = m.file(m.i)
		m.i++
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

// A capture of many open connections keeps who they are.
func TestManyConnectionsOfACaptureKeepTheirIdentity(t *testing.T) {
	const n = 50_000
	file, encoder := dumptest.NewFile()
	flows := make([]*record.Flow, n)
	src := &manyPackets{n: 2 * n, file: func(i int) []byte {
		b := file
		file = nil
		if i < n {
			flows[i] = dumptest.NewFlow("tcp", i, fmt.Sprintf("10.%d.%d.%d:50000", i>>16, i>>8&255, i&255), "10.9.9.9:8080")
			b = encoder.Open(b, dumptest.Time, flows[i])
			return encoder.Data(b, dumptest.Time, flows[i], record.In, 0, []byte("x"))
		}
		return encoder.Data(b, dumptest.Time, flows[i-n], record.In, 1, []byte("y"))
	}}
	d, err := dump.Open([]string{"-"}, dump.Options{Stdin: src})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	records := 0
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		i := records / 2
		if records >= 2*n {
			i = records - 2*n
		}
		if want := flows[i].Identity; r.Identity != want {
			t.Fatalf("record %d is of %+v, want %+v", records, r.Identity, want)
		}
		records++
	}
	if records != 3*n {
		t.Errorf("%d records, want %d", records, 3*n)
	}
}

// Bytes that come after later ones of their stream are counted, and not left out in
// silence.
func TestBytesThatComeTooLateAreCounted(t *testing.T) {
	streams := dump.NewStreams(nil, nil)
	for _, part := range [][2]uint64{{10, 5}, {20, 5}, {0, 5}, {12, 5}, {15, 5}, {20, 5}, {25, 5}} {
		add(t, streams, recordOf(record.KindData, record.In, part[0], part[1]))
	}
	if got := streams.Late(); got != 5+2+5 {
		t.Errorf("%d bytes, want 12", got)
	}
}
