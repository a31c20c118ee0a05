package persistence

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/record"
)

// Pauses, limits and gaps of a window that shares the ring are those of a window that has its
// own, and a capture beside it has all of it.
func TestAWindowOfASharedRingHasTheSameGaps(t *testing.T) {
	for name, c := range map[string]struct {
		limit     uint64
		datagrams bool
		talk      func(s *Session, say func(record.Direction, string))
		in, out   string // of the window
		capture   string // what a capture has in; "" is all
	}{
		"a pause": {talk: func(s *Session, say func(record.Direction, string)) {
			say(record.In, "one")
			s.Pause(record.ReasonGuard)
			say(record.In, "two")
			say(record.Out, "TWO")
			s.Resume(record.ReasonGuard)
			say(record.In, "three")
		}, in: "one[--- guard]three", out: "[--- guard]"},
		"two pauses at once": {talk: func(s *Session, say func(record.Direction, string)) {
			s.Pause(record.ReasonDisk)
			say(record.In, "1")
			s.Pause(record.ReasonGuard)
			say(record.In, "22")
			s.Resume(record.ReasonDisk)
			say(record.In, "333")
			s.Resume(record.ReasonGuard)
			say(record.In, "4")
		}, in: "[--- disk][--- guard]4"},
		"many pauses": {talk: func(s *Session, say func(record.Direction, string)) {
			for range 50 {
				s.Pause(record.ReasonGuard)
				s.Resume(record.ReasonGuard)
			}
			say(record.In, "1")
			s.Pause(record.ReasonGuard)
			s.Pause(record.ReasonGuard)
			say(record.In, "2")
			s.Resume(record.ReasonGuard)
			say(record.In, "3")
		}, in: "1[- guard]3"},
		"a limit": {limit: 5, talk: func(_ *Session, say func(record.Direction, string)) {
			say(record.In, "12")
			say(record.In, "3456")
			say(record.In, "78")
			say(record.Out, "12345")
		}, in: "12345[--- limit]", out: "12345", capture: "12345[--- limit]"},
		"a limit for datagrams": {limit: 5, datagrams: true, talk: func(_ *Session, say func(record.Direction, string)) {
			say(record.In, "12")
			say(record.In, "3456")
			say(record.In, "789")
		}, in: "12[---- limit]789", capture: "12[---- limit]789"},
		"a pause in a limit": {limit: 2, talk: func(s *Session, say func(record.Direction, string)) {
			say(record.In, "1234")
			s.Pause(record.ReasonGuard)
			say(record.In, "5")
			s.Resume(record.ReasonGuard)
			say(record.In, "6")
		}, in: "12[-- limit][- guard][- limit]", capture: "12[---- limit]"},
	} {
		for _, formats := range [][]Format{{FormatHexMeta}, {FormatPcapng}, {FormatHexMeta, FormatPcapng}} {
			t.Run(fmt.Sprint(name, formats), func(t *testing.T) {
				r := newHarness(t, func(c *Config) { c.Formats = formats }, nil)
				f := r.openFlight(4 << 20)
				p := newPeer(r.run, 1)
				p.Limit, p.Datagrams = c.limit, c.datagrams
				if c.datagrams {
					describe := p.Describe
					p.Describe = func() record.Endpoint {
						e := describe()
						e.Network = "udp"
						return e
					}
				}
				began := time.Now()
				s := r.sharing(1)
				c.talk(s, func(dir record.Direction, text string) { p.sayTo(f.Ring, dir, []byte(text)) })
				capture := r.capture(f, 2, began.Add(-time.Minute), Scope{Conn: p.id})
				s.Close(time.Now())
				capture.Close(time.Now())
				all := string(p.passed[record.In])
				want := c.capture
				if want == "" {
					want = all
				}
				for n, want := range map[int]string{1: c.in, 2: want} {
					w := r.indexed(n)
					if got := r.textOf(n, p.id, record.In); got != want {
						t.Errorf("window %d: in %q, want %q", n, got, want)
					}
					if n == 1 {
						if got := r.textOf(n, p.id, record.Out); got != c.out {
							t.Errorf("window %d: out %q, want %q", n, got, c.out)
						}
					}
					if formats[0] == FormatHexMeta {
						r.agrees(w)
					}
					lost := uint64(0)
					for _, bytes := range w.LostBy {
						lost += bytes
					}
					if gaps := uint64(strings.Count(want, "-")); w.Seen.In != uint64(len(all)) || w.Lost.In != gaps {
						t.Errorf("window %d: index %+v, want %d lost of %d", n, w, gaps, len(all))
					}
				}
				if a := r.store.Stats().Accounts; a.Seen.In+a.Seen.Out != uint64(len(all)+len(p.passed[record.Out])) {
					t.Errorf("totals %+v", a)
				}
				f.Shut()
				f.Close()
				r.quiet()
			})
		}
	}
}

// textOf returns a stream of a window as text does.
func (r *harness) textOf(window int, conn string, dir record.Direction) string {
	var s oracle.Stream
	c := r.read(windowID(window))[conn]
	if c == nil {
		return ""
	}
	for _, p := range c.streams[dir] {
		l := oracle.Line{Kind: oracle.Data, Payload: p.data, Length: p.to - p.from, Reason: p.reason}
		if p.data == nil {
			l.Kind = oracle.Gap
		}
		s.Pieces = append(s.Pieces, l)
	}
	return text(s)
}

// A limit cuts a record that is longer than a piece of a segment, in each session anew.
func TestALimitCutsALongRecord(t *testing.T) {
	for _, formats := range [][]Format{{FormatHexMeta}, {FormatPcapng}} {
		for _, limit := range []uint64{1, 1000, 65_000, 65_535, 131_000, 250_000} {
			r := newHarness(t, func(c *Config) { c.Formats = formats }, nil)
			f := r.openFlight(8 << 20)
			p := newPeer(r.run, 1)
			p.Limit = limit
			s := r.sharing(1)
			p.sayTo(f.Ring, record.In, make([]byte, 200_000))
			p.sayTo(f.Ring, record.In, make([]byte, 100_000))
			second := r.capture(f, 2, s.begun, Scope{})
			s.Close(time.Now())
			second.Close(time.Now())
			p.sayTo(f.Ring, record.In, make([]byte, 200_000))
			third := r.sharing(3)
			p.sayTo(f.Ring, record.In, make([]byte, 10_000))
			third.Close(time.Now())
			for n, want := range map[int]uint64{1: limit, 2: limit, 3: min(limit, 10_000)} {
				w := r.indexed(n)
				if w.Written.In != want || w.Lost.In != w.LostBy["limit"] || formats[0] == FormatPcapng && n < 3 && w.Records.In != 1+limit/200_001 {
					t.Errorf("%v, limit %d, window %d: %+v", formats, limit, n, w)
				}
			}
			f.Shut()
			f.Close()
			r.quiet()
		}
	}
}

// Where too little space is free, a capture loses what the ring has, and its losses are
// counted; the ring goes on, and a capture after that has all of it.
func TestACaptureKeepsMinFree(t *testing.T) {
	dir := t.TempDir()
	r := openHarness(t, dir, "aaaaaa", func(c *Config) { c.MinFree = MinFree{Bytes: 1 << 60} }, nil)
	f := r.openFlight(2 << 20)
	p := newPeer(r.run, 1)
	began := time.Now()
	p.sayTo(f.Ring, record.In, []byte("12345"))
	s := r.capture(f, 1, began, Scope{})
	p.sayTo(f.Ring, record.Out, []byte("678"))
	s.Close(time.Now())
	if w := r.indexed(1); w.Seen != (oracle.PerDirection{In: 5, Out: 3}) || w.Lost != w.Seen || w.LostBy["disk"] != 8 {
		t.Errorf("index %+v", w)
	}
	window := r.sharing(2)
	p.sayTo(f.Ring, record.In, []byte("9"))
	window.Close(time.Now())
	if w := r.indexed(2); w.Seen.In != 1 || w.LostBy["disk"] != 1 {
		t.Errorf("index %+v", w)
	}
	r.store.config.MinFree = MinFree{}
	s = r.capture(f, 3, began, Scope{})
	s.Close(time.Now())
	if w := r.indexed(3); w.Written != (oracle.PerDirection{In: 6, Out: 3}) {
		t.Errorf("index %+v", w)
	}
	f.Shut()
	f.Close()
	if a := r.alerted(); len(a) != 2 || !strings.HasPrefix(a[0], "disk: recording pauses") {
		t.Errorf("alerts: %q", a)
	}
}

// A window over the ring has nothing from before Start, and does not mention a connection
// that only ends in it, or whose header comes in it alone.
func TestAWindowOfASharedRingBeginsWithStart(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.Workers = 1 }, nil)
	f := r.openFlight(MinBufferSize)
	quiet, busy := newPeer(r.run, 1), newPeer(r.run, 2)
	quiet.sayTo(f.Ring, record.In, []byte("before"))
	s := r.open(1)
	quiet.sayTo(f.Ring, record.In, []byte("before Start"))
	s.Start()
	for range 30 { // through many batches
		busy.sayTo(f.Ring, record.In, make([]byte, 5000))
		<-time.After(time.Millisecond)
	}
	f.End(&quiet.Conn, record.CloseRemote, quiet.before())
	s.Close(time.Now())
	w := r.indexed(1)
	r.agrees(w)
	if w.Connections != 1 || w.Seen.In != 30*5000 {
		t.Errorf("index %+v", w)
	}
	f.Shut()
	f.Close()
}

// A line that the index cannot take is lost with a session of the flight recorder's ring,
// which no spool keeps.
func TestLostIndexLinesOfCapturesAreCounted(t *testing.T) {
	spools := sharedDir(t)
	r := newHarness(t, func(c *Config) { c.Spool = spools }, nil)
	f := r.openFlight(1 << 20)
	lost := newLostDirectory(t, r.dir)
	s := r.capture(f, 1, time.Now(), Scope{})
	window := r.sharing(2)
	lost.swap()
	s.Close(time.Now())
	window.Close(time.Now())
	f.Shut()
	f.Close()
	r.store.Close()
	if n := r.store.Stats().IndexLost; n != 2 {
		t.Errorf("%d lines are lost, of 2", n)
	}
	lost.swap()
	if left, err := os.ReadDir(spools); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}
