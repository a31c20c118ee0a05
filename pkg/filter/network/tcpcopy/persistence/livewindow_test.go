package persistence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

func (r *harness) openLive(n int) *LiveWindow {
	r.t.Helper()
	l, err := r.store.OpenLive(record.Window{ID: windowID(n), Trigger: record.TriggerLive})
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// offer offers data to the ring in force, as the filter does.
func (r *harness) offer(p *peer, dir record.Direction, data []byte) {
	if ring := r.store.host.Gate.Load(); ring != nil {
		p.sayTo(ring, dir, data)
	} else {
		p.pass(nil, dir, data)
	}
}

// start opens a window and starts it, as the recorder does.
func (r *harness) start(n int) *Session {
	r.t.Helper()
	s := r.open(n)
	s.Start()
	return s
}

// received reads a live-only window's stream to its end, and returns its records by
// connection. The end of the stream comes after End.
func (r *harness) received(l *LiveWindow) map[string][]record.Record {
	r.t.Helper()
	var all []byte
	for {
		chunk, err := l.Next(context.Background())
		all = append(all, chunk...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	path := filepath.Join(r.t.TempDir(), "live.pcapng")
	if err := os.WriteFile(path, all, 0o600); err != nil {
		r.t.Fatal(err)
	}
	d, err := dump.Open([]string{path}, dump.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer d.Close()
	records := map[string][]record.Record{}
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if rec.Window != l.Window().ID {
			r.t.Fatalf("a record of window %s", rec.Window)
		}
		rec.Data = slices.Clone(rec.Data)
		records[rec.Conn] = append(records[rec.Conn], *rec)
	}
}

// contiguous checks that records have all that passed on p from a position on, each byte once
// and in order.
func contiguous(t *testing.T, p *peer, records []record.Record, from [2]int) {
	t.Helper()
	var got [2][]byte
	for _, rec := range records {
		if rec.Kind == record.KindGap {
			t.Errorf("connection %s: a gap at %d", p.id, rec.Offset)
		}
		if rec.Kind != record.KindData {
			continue
		}
		if at := uint64(from[rec.Direction] + len(got[rec.Direction])); rec.Offset != at {
			t.Errorf("connection %s %v: a record at %d, want %d", p.id, rec.Direction, rec.Offset, at)
			return
		}
		got[rec.Direction] = append(got[rec.Direction], rec.Data...)
	}
	for dir := range got {
		if want := p.passed[dir][from[dir]:]; string(got[dir]) != string(want) {
			t.Errorf("connection %s, direction %d: %d bytes, want %d", p.id, dir, len(got[dir]), len(want))
		}
	}
}

func size(p oracle.PerDirection) int { return int(p.In + p.Out) }

// liveLine returns the index line of a live-only window, which has neither files nor losses.
func (r *harness) liveLine(n int) oracle.Window {
	r.t.Helper()
	w := r.indexed(n)
	text, err := os.ReadFile(filepath.Join(r.dir, layout.Index))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.Contains(line, windowID(n)) {
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			r.t.Fatal(err)
		}
		if files, ok := fields["files"].([]any); fields["trigger"] != "live" || !ok || len(files) > 0 {
			r.t.Errorf("line %s", line)
		}
	}
	return w
}

// A live-only window has what passes from its beginning to its end, whatever windows come
// and go and whatever ring is in force; the windows have theirs.
func TestALiveOnlyWindowGoesOnBesideAllElse(t *testing.T) {
	for name, steps := range map[string][]string{
		"alone":                             {},
		"a window comes":                    {"open", "close"},
		"two windows come":                  {"open", "close", "open", "close"},
		"a window is open":                  {"open", "live", "close"},
		"windows before and after":          {"open", "live", "close", "open", "close"},
		"it ends in a window of before":     {"open", "live", "end", "close"},
		"it ends in a window":               {"live", "open", "end", "close"},
		"the window goes on, another comes": {"open", "live", "end", "close", "open", "close"},
		"the recorder comes":                {"live", "flight", "unflight"},
		"the recorder is there":             {"flight", "live", "unflight"},
		"the recorder goes and comes":       {"flight", "live", "unflight", "flight", "end", "unflight"},
		"windows and the recorder":          {"open", "live", "close", "flight", "open", "close", "unflight", "open", "close"},
		"the recorder goes in a window":     {"flight", "open", "live", "shut", "close", "free", "open", "close"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, nil, nil)
			peers := []*peer{newPeer(r.run, 1), newPeer(r.run, 2), newPeer(r.run, 3)}
			n := 0
			talk := func() {
				for _, p := range peers {
					n++
					r.offer(p, record.In, fmt.Appendf(nil, "request %d. ", n))
					r.offer(p, record.Out, fmt.Appendf(nil, "answer %d. ", n))
				}
			}
			passed := func() (all [3][2]int) {
				for i, p := range peers {
					all[i] = [2]int{len(p.passed[0]), len(p.passed[1])}
				}
				return all
			}
			total := func(from, to [3][2]int) (n int) {
				for i := range from {
					n += to[i][0] - from[i][0] + to[i][1] - from[i][1]
				}
				return n
			}
			var live *LiveWindow
			var window *Session
			var flight *Flight
			var from, opened, to [3][2]int
			windows := 0
			begin := func() {
				live = r.openLive(900)
				from = passed()
			}
			if !slices.Contains(steps, "live") {
				begin()
			}
			talk()
			freed := make(chan struct{})
			for _, step := range append(slices.Clone(steps), "end") {
				switch step {
				case "live":
					begin()
				case "end":
					if to == [3][2]int{} {
						to = passed()
						live.End()
					}
				case "open":
					windows++
					window = r.start(windows)
					opened = passed()
				case "close":
					window.Close(time.Now())
					if w := r.indexed(windows); w.Seen != w.Written || size(w.Seen) != total(opened, passed()) || w.Connections != 3 {
						t.Errorf("window %d: %+v, want %d bytes", windows, w, total(opened, passed()))
					}
				case "flight":
					flight = r.openFlight(2 << 20)
				case "unflight":
					flight.Shut()
					flight.Close()
				case "shut":
					flight.Shut()
					go func() {
						defer close(freed)
						flight.Close()
					}()
				case "free":
					<-freed
				}
				talk()
			}
			records := r.received(live)
			live.Close()
			for i, p := range peers {
				q := &peer{id: p.id, passed: [2][]byte{p.passed[0][:to[i][0]], p.passed[1][:to[i][1]]}}
				contiguous(t, q, records[p.id], from[i])
			}
			w := r.liveLine(900)
			if w.Seen != w.Written || size(w.Seen) != total(from, to) || w.Connections != 3 || live.Lost() != 0 {
				t.Errorf("line %+v, want %d bytes", w, total(from, to))
			}
			if !slices.Contains(steps, "flight") || slices.Contains(steps, "unflight") || slices.Contains(steps, "free") {
				if ring := r.store.host.Gate.Load(); ring != nil {
					t.Error("a ring is in force at the end")
				}
			}
			r.agreesWithWindows()
			r.quiet()
			r.store.Close()
			if r.store.shared != nil || len(r.store.lives) > 0 {
				t.Error("something is left")
			}
		})
	}
}

// agreesWithWindows checks what the flow log has, if there is one.
func (r *harness) agreesWithWindows() {
	r.t.Helper()
	if _, err := os.Stat(filepath.Join(r.dir, layout.FlowLog)); err == nil {
		r.connections()
	}
}

// While connections talk, nothing is lost or doubled where rings are replaced.
func TestNothingIsLostWhereRingsAreReplaced(t *testing.T) {
	for _, format := range []Format{FormatHexMeta, FormatPcapng} {
		t.Run(string(format), func(t *testing.T) { ringsAreReplaced(t, format) })
	}
}

func ringsAreReplaced(t *testing.T, format Format) {
	r := newHarness(t, func(c *Config) { c.BufferSize, c.Formats = 16<<20, []Format{format} }, nil)
	var talking sync.WaitGroup
	var passed atomic.Int64 // records that a ring has had
	stop := make(chan struct{})
	var peers []*peer
	for i := range 8 {
		p := newPeer(r.run, i+1)
		peers = append(peers, p)
		for _, dir := range record.Directions() {
			talking.Add(1)
			go func() {
				defer talking.Done()
				random := rand.New(rand.NewPCG(uint64(i), uint64(dir)))
				for {
					select {
					case <-stop:
						return
					default:
					}
					data := make([]byte, 1+random.IntN(300))
					for k := range data {
						data[k] = byte(random.Uint32())
					}
					// As a filter: the offset is of the direction's own goroutine.
					ring := r.store.host.Gate.Load()
					p.mu.Lock()
					before := p.pass(nil, dir, data)
					p.mu.Unlock()
					if ring != nil {
						ring.Data(&p.Conn, dir, before, [][]byte{data}, len(data))
						passed.Add(1)
					}
					runtime.Gosched()
				}
			}()
		}
	}
	for round := range 5 {
		window := r.start(10*round + 1)
		live := r.openLive(900 + round)
		read := make(chan map[string][]record.Record)
		go func() { read <- r.received(live) }()
		pause := func() {
			for from := passed.Load(); passed.Load() < from+256; {
				runtime.Gosched()
			}
		}
		pause()
		window.Close(time.Now()) // from its ring to the one of live-only windows
		pause()
		flight := r.openFlight(16 << 20)
		pause()
		second := r.start(10*round + 2)
		pause()
		second.Close(time.Now())
		flight.Shut()
		flight.Close()
		pause()
		live.End()
		records := <-read
		live.Close()
		w := r.liveLine(900 + round)
		var got uint64
		for _, p := range peers {
			next := [2]uint64{}
			p.mu.Lock()
			for _, rec := range records[p.id] {
				if rec.Kind == record.KindGap {
					t.Fatalf("a gap of %s: %+v", p.id, rec)
				}
				if rec.Kind != record.KindData {
					continue
				}
				if next[rec.Direction] != 0 && rec.Offset != next[rec.Direction] {
					t.Fatalf("connection %s: a record at %d, want %d", p.id, rec.Offset, next[rec.Direction])
				}
				next[rec.Direction] = rec.Offset + uint64(len(rec.Data))
				if want := p.passed[rec.Direction][rec.Offset:next[rec.Direction]]; string(rec.Data) != string(want) {
					t.Fatalf("connection %s: other bytes at %d", p.id, rec.Offset)
				}
				got += uint64(len(rec.Data))
			}
			p.mu.Unlock()
		}
		if w.Seen != w.Written || uint64(size(w.Seen)) != got || w.Connections != 8 || got == 0 {
			t.Errorf("line %+v, %d bytes received", w, got)
		}
		for k := 1; k <= 2; k++ {
			if w := r.indexed(10*round + k); w.Seen != w.Written || w.Seen == (oracle.PerDirection{}) {
				t.Errorf("window %d: %+v", k, w)
			}
		}
	}
	close(stop)
	talking.Wait()
	r.agreesWithWindows()
	r.quiet()
}

// A pause of one is no pause of the other, and outlives the ring.
func TestPausesOfALiveOnlyWindowAreItsOwn(t *testing.T) {
	r := newHarness(t, nil, nil)
	p := newPeer(r.run, 1)
	live, window := r.openLive(900), r.start(1)
	live.Pause(record.ReasonGuard)
	r.offer(p, record.In, []byte("window alone"))
	window.Close(time.Now())
	f := r.openFlight(2 << 20)
	r.offer(p, record.In, []byte("nobody"))
	live.Resume(record.ReasonGuard)
	window = r.start(2)
	window.Pause(record.ReasonGuard)
	r.offer(p, record.In, []byte("live alone"))
	window.Close(time.Now())
	live.End()
	records := r.received(live)[p.id]
	live.Close()
	f.Shut()
	f.Close()
	var text []byte
	lost := uint64(0)
	for _, rec := range records {
		text = append(text, rec.Data...)
		if rec.Kind == record.KindGap {
			lost += rec.Length
		}
	}
	if string(text) != "live alone" || lost != uint64(len("window alonenobody")) {
		t.Errorf("the stream has %q, %d lost: %+v", text, lost, records)
	}
	w := r.liveLine(900)
	if w.Seen.In != 28 || w.Written.In != 10 {
		t.Errorf("line %+v", w)
	}
	if w := r.indexed(1); w.Written.In != 12 || w.Seen.In != 12 {
		t.Errorf("window 1 %+v", w)
	}
	if w := r.indexed(2); w.Written.In != 0 || w.Seen.In != 10 {
		t.Errorf("window 2 %+v", w)
	}
}

// What a reader of the stream is too slow for is no loss of a window's, nor of the live-only
// window's ring; readers are as many as may be.
func TestASlowReaderOfALiveOnlyWindowLosesAlone(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.BufferSize = 32 << 20 }, nil)
	live, window := r.openLive(900), r.start(1)
	p := newPeer(r.run, 1)
	data := make([]byte, 64<<10)
	for live.Lost() == 0 {
		r.offer(p, record.In, data)
		for live.Accounts().Written.In+4<<20 < uint64(len(p.passed[0])) && live.Lost() == 0 {
			runtime.Gosched()
		}
	}
	window.Close(time.Now())
	if w := r.indexed(1); w.Seen != w.Written {
		t.Errorf("the window loses: %+v", w)
	}
	var more []*LiveWindow
	for i := range maxLive - 2 {
		more = append(more, r.openLive(901+i))
	}
	stream, err := r.store.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.OpenLive(record.Window{ID: windowID(910), Trigger: record.TriggerLive}); !errors.Is(err, errTooManyLive) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := r.store.Subscribe(); !errors.Is(err, errTooManyLive) {
		t.Errorf("one too many: %v", err)
	}
	if s := r.store.Stats(); s.Live != maxLive || len(s.Lives) != maxLive-1 || s.Lives[0].Window.ID != windowID(900) {
		t.Errorf("stats %+v", s)
	}
	live.Close()
	if w := r.liveLine(900); w.Seen != w.Written || w.Written.In != uint64(len(p.passed[0])) {
		t.Errorf("line %+v", w)
	}
	for _, l := range more {
		l.Close()
	}
	stream.Close()
}

// Without room there is no live-only window, and nothing of it remains.
func TestWithoutRoomThereIsNoLiveOnlyWindow(t *testing.T) {
	var left []int64 // by readings; plenty after them
	room := func(*record.Window) Room {
		return func() (int64, string, error) {
			n := int64(1 << 30)
			if len(left) > 0 {
				n, left = left[0], left[1:]
			}
			return n, "a limit", nil
		}
	}
	r := newHarness(t, nil, func(h *Host) { h.Room = room })
	for _, left = range [][]int64{{0}, {18 << 20, 0}} { // not for the stream; not for the ring
		if _, err := r.store.OpenLive(record.Window{ID: windowID(900)}); !errors.Is(err, ErrNoRoom) {
			t.Errorf("%v", err)
		}
	}
	if s := r.store.Stats(); s.Live != 0 || s.NoRoom != 2 || r.store.host.Gate.Load() != nil {
		t.Errorf("stats %+v", s)
	}
	r.openLive(901).Close()
	r.liveLine(901)
}

// The end of a store is that of its live-only windows, and of their streams.
func TestAStoreThatClosesEndsItsLiveOnlyWindows(t *testing.T) {
	r := newHarness(t, nil, nil)
	live := r.openLive(900)
	p := newPeer(r.run, 1)
	r.offer(p, record.In, []byte("to the end"))
	r.store.EndLives()
	r.offer(p, record.In, []byte("too late"))
	if r.store.host.Gate.Load() != nil {
		t.Error("a ring is in force")
	}
	r.store.Close()
	if got := r.received(live)[p.id]; len(got) != 2 || string(got[1].Data) != "to the end" {
		t.Errorf("received %+v", got)
	}
	if w := r.liveLine(900); w.Written.In != 10 || w.Seen.In != 10 {
		t.Errorf("line %+v", w)
	}
	if _, err := r.store.OpenLive(record.Window{ID: windowID(901)}); err == nil {
		t.Error("a closed store opens a live-only window")
	}
}
