package persistence

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// flood has the crowd's talkers say some times the ring's size, and then something small each
// that the ring has room for: newest is when that began.
func (c *crowd) flood(size, times int, talkers []*talker) (newest time.Time) {
	r := rand.New(rand.NewPCG(1, 12))
	for passed := 0; passed < size*times; {
		n := 1 + r.IntN(20_000)
		talkers[r.IntN(len(talkers))].talk(c.ring, r, record.Direction(r.IntN(2)), n, false)
		if passed += n; r.IntN(8) == 0 {
			<-time.After(200 * time.Microsecond) // the keepers need a processor now and then
		}
	}
	for lost := true; lost; { // until the keeper has made room, and each has no gap any more
		newest, lost = time.Now(), false
		for _, t := range talkers {
			t.talk(c.ring, r, record.In, 10, false)
			gapped, _, _ := c.ring.shard(&t.Conn).Waiting()
			lost = lost || gapped > 0
		}
		runtime.Gosched()
	}
	for _, t := range talkers {
		t.talk(c.ring, r, record.Out, 10, false)
	}
	return newest
}

// While no session gets anywhere, many times the ring's size passes: the ring goes on to hold
// the newest, and the sessions lose what it needs the room for, which is counted for each. A
// capture that is made when the disk is back has all that the ring holds.
func TestTheRingGoesOnWhileTheDiskHangs(t *testing.T) {
	for _, sessions := range []int{1, 4} { // more, and one batch each would be all there is
		t.Run(fmt.Sprint(sessions), func(t *testing.T) {
			const size = 2 << 20
			r := newHarness(t, func(c *Config) { c.Workers = 1 }, nil)
			f := r.openFlight(size)
			c := &crowd{ring: f.Ring, run: r.run}
			talkers := []*talker{c.add(), c.add(), c.add(), c.add()}
			began := time.Now()
			c.flood(size, 1, talkers)
			resume := hang(r)
			var all []*observed
			for n := range sessions {
				o := &observed{n: n + 1, lossy: true, asked: began}
				switch n {
				case 0:
					o.scope.Conn = talkers[0].id
				case 1:
					o.scope.Listener = "odd"
				case 2:
					o.asked = time.Now()
					o.Session = r.sharing(n + 1)
				}
				if o.Session == nil {
					o.Session = r.capture(f, n+1, began, o.scope)
				}
				o.began = time.Now()
				all = append(all, o)
				c.flood(size, 1, talkers) // each hangs with another batch
			}
			before := f.Stats()
			newest := c.flood(size, 10, talkers)
			after := f.Stats()
			for i := range after.Holds {
				if after.Holds[i] <= 0 || after.Evicted-before.Evicted < 5*size || after.Used > size {
					t.Errorf("before %+v, after %+v", before, after)
				}
			}
			late := &observed{n: 100, asked: began}
			late.Session = r.capture(f, 100, began, Scope{}) // which does not wait for the disk
			all = append(all, late)
			resume()
			for _, o := range all {
				o.close()
			}
			for _, o := range all { // what is read is not being written any more
				r.judge(o, talkers)
			}
			for _, o := range all[:sessions] {
				if w := r.indexed(o.n); w.LostBy["buffer_full"] != w.Lost.In+w.Lost.Out || w.Lost.In == 0 {
					t.Errorf("window %d: %+v", o.n, w)
				}
			}
			if w := r.indexed(100); w.Opened.After(newest) || w.Written.In == 0 || w.Written.In < w.Lost.In {
				t.Errorf("the capture of what the ring holds has %+v, the newest is of %v", w, newest)
			}
			r.judgeTotals(all)
			f.Shut()
			f.Close()
			r.quiet()
		})
	}
}

// There are as many captures as a ring can do with that all hang, and a window.
func TestASmallRingHasFewCaptures(t *testing.T) {
	const workers, batches = 8, 8 // of each worker, the smallest that there are
	r := newHarness(t, func(c *Config) { c.Workers = workers }, nil)
	f := r.openFlight(1 << 20)
	var open []*Session
	for n := 1; ; n++ {
		s, err := f.OpenCapture(record.Window{ID: windowID(n), Trigger: record.TriggerFlight, Opened: time.Now()}, Scope{})
		if err != nil {
			break
		}
		open = append(open, s)
	}
	if len(open) != batches/2-1 {
		t.Errorf("%d captures", len(open))
	}
	open = append(open, r.sharing(50))
	for _, s := range open {
		s.Close(time.Now())
	}
	r.capture(f, 60, time.Now(), Scope{}).Close(time.Now())
	f.Shut()
	f.Close()
}

// A directory that fails loses what a capture writes to it, and a capture after that has all
// that the ring holds.
func TestACaptureOfAFailingDirectory(t *testing.T) {
	for _, formats := range [][]Format{{FormatHexMeta}, {FormatPcapng}} {
		r := newHarness(t, func(c *Config) { c.Formats = formats }, nil)
		f := r.openFlight(4 << 20)
		c := &crowd{ring: f.Ring, run: r.run}
		talkers := []*talker{c.add(), c.add()}
		began := time.Now()
		random := rand.New(rand.NewPCG(1, 13))
		lost := newLostDirectory(t, r.dir)
		lost.swap()
		o := &observed{n: 1, asked: began}
		for _, p := range talkers {
			p.talk(f.Ring, random, record.In, 1000, false)
		}
		o.Session = r.capture(f, 1, began, Scope{})
		for _, p := range talkers {
			p.talk(f.Ring, random, record.Out, 1000, false)
		}
		o.close()
		lost.swap()
		next := &observed{n: 2, asked: began}
		next.Session = r.capture(f, 2, began, Scope{})
		next.close()
		r.judge(next, talkers)
		if w := r.indexed(2); w.Written.In != 2000 || w.Written.Out != 2000 {
			t.Errorf("%v: the second capture has %+v", formats, w)
		}
		if w := r.indexed(1); w.LostBy["write_error"] != 4000 {
			t.Errorf("%v: the first capture has %+v", formats, w)
		}
		if a := r.store.Stats().Accounts; a.Seen.In+a.Seen.Out != 4000 {
			t.Errorf("%v: totals %+v", formats, a)
		}
		f.Shut()
		f.Close()
	}
}

// Somebody cuts the spool off while the ring, a window and captures are open: what they have
// is written, the rest is counted, the proxy goes on, and captures to come have nothing.
func TestADamagedRingEndsItsSessions(t *testing.T) {
	for _, formats := range [][]Format{{FormatHexMeta}, {FormatPcapng}} {
		spools := sharedDir(t)
		r := newHarness(t, func(c *Config) { c.Formats, c.Spool, c.Workers = formats, spools, 1 }, nil)
		f := r.openFlight(2 << 20)
		p := newPeer(r.run, 1)
		began := time.Now()
		p.sayTo(f.Ring, record.In, make([]byte, 1000))
		window := r.sharing(1)
		capture := r.capture(f, 2, began, Scope{})
		narrow := r.capture(f, 3, began, Scope{Conn: p.id})
		p.sayTo(f.Ring, record.In, make([]byte, 2000))
		for _, s := range []*Session{window, capture, narrow} {
			for s.Accounts().Written.In < 2000 {
				runtime.Gosched()
			}
		}
		if err := os.Truncate(f.spool.Path(), 0); err != nil {
			t.Fatal(err)
		}
		p.sayTo(f.Ring, record.In, make([]byte, 4000))
		late := r.capture(f, 4, began, Scope{})
		window.Pause(record.ReasonGuard)
		window.Resume(record.ReasonGuard)
		p.sayTo(f.Ring, record.Out, make([]byte, 8000))
		f.Stats()
		f.End(&p.Conn, record.CloseRemote, p.before())
		for _, s := range []*Session{window, capture, narrow, late} {
			s.Close(time.Now())
		}
		for n, written := range map[int]uint64{1: 2000, 2: 3000, 3: 3000, 4: 0} {
			w := r.indexed(n)
			if w.Written.In != written || w.Written.Out != 0 || w.Lost.Out != 8000 || n < 4 && w.Lost.In != 4000 {
				t.Errorf("%v, window %d: %+v", formats, n, w)
			}
		}
		if a := r.store.Stats().Accounts; a.Seen != a.Written.Plus(a.Lost) || a.Written.In != 3000 || a.Lost.Out != 8000 || a.Lost.In != 4000 {
			t.Errorf("%v: totals %+v", formats, a)
		}
		f.Shut()
		f.Close()
		if a := r.alerted(); len(a) != 1 {
			t.Errorf("alerts: %q", a)
		}
	}
}

// A directory that is full loses what captures write, and the ring has it all the same.
func TestACaptureBeyondTheQuota(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.MaxTotal = minMaxTotal }, nil)
	if err := os.WriteFile(filepath.Join(r.dir, layout.PortraitLog), make([]byte, minMaxTotal), logdir.FileMode); err != nil {
		t.Fatal(err)
	}
	f := r.openFlight(1 << 20)
	began := time.Now()
	p := newPeer(r.run, 1)
	for n := 1; n <= 2; n++ {
		s := r.capture(f, n, began, Scope{})
		p.sayTo(f.Ring, record.In, []byte("no room"))
		s.Close(time.Now())
		if w := r.indexed(n); w.LostBy["write_error"] != uint64(7*n) || w.Seen.In != uint64(7*n) {
			t.Errorf("index %+v", w)
		}
	}
	if s := f.Stats(); s.Evicted != 0 || s.Used == 0 {
		t.Errorf("the ring has %+v", s)
	}
	if a := r.store.Stats().Accounts; a.Lost.In != 14 {
		t.Errorf("totals %+v", a)
	}
	f.Shut()
	f.Close()
}
