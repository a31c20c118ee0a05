package buffer

import (
	"os"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/record"
)

// newFaultyShard returns a shard whose spool can be damaged.
func newFaultyShard(t *testing.T) (*Shard, *Spool) {
	t.Helper()
	dump := safedir.New(t.TempDir())
	t.Cleanup(dump.Close)
	s, fault, err := NewSpool(t.TempDir(), dump, SpoolHeader{Dir: dump.Path(), Run: "r", Window: "w", Workers: 1, Batch: 1 << 20}, nil)
	if err != nil || fault != nil {
		t.Fatal(err, fault)
	}
	t.Cleanup(s.Remove)
	g := Geometry{Shards: 1, Batch: 1 << 20, Record: 64 << 10, Piece: 64 << 10}
	sh := NewShards(g, s, time.Now())[0]
	sh.Begin()
	return sh, s
}

// A fault of each method that touches the mapping fails the shard, and nothing else: the
// method returns, the lock is free, and every byte is counted.
func TestAFaultFailsTheShard(t *testing.T) {
	const before, after = 1000, 500
	for name, touch := range map[string]func(sh *Shard, c *Conn){
		"Data": func(sh *Shard, c *Conn) {
			sh.Data(c, record.In, record.PerDirection{In: before}, [][]byte{make([]byte, after)}, after)
		},
		"Data beyond the caches": func(sh *Shard, c *Conn) {
			sh.geometry.InPlace = true
			sh.Data(c, record.In, record.PerDirection{In: before}, [][]byte{make([]byte, 16<<10)}, 16<<10)
		},
		"Skip": func(sh *Shard, c *Conn) {
			sh.Skip(c, record.In, record.PerDirection{In: before}, after, record.ReasonUnseen)
		},
		"End":    func(sh *Shard, c *Conn) { sh.End(c, record.CloseRemote, record.PerDirection{In: before}) },
		"EndAll": func(sh *Shard, _ *Conn) { sh.EndAll(record.CloseMoved) },
		"Swap":   func(sh *Shard, _ *Conn) { sh.Swap() },
		"WritePending": func(sh *Shard, c *Conn) {
			sh.gapped = append(sh.gapped, c)
			c.gapped = 1
			c.streams[0].gap = 1
			sh.WritePending()
		},
	} {
		t.Run(name, func(t *testing.T) {
			sh, s := newFaultyShard(t)
			c := &Conn{Describe: func() record.Endpoint { return record.Endpoint{Identity: record.Identity{Conn: "k3v9qa-1"}} }}
			sh.Data(c, record.In, record.PerDirection{}, [][]byte{make([]byte, before)}, before)
			if err := os.Truncate(s.Path(), 0); err != nil {
				t.Fatal(err)
			}
			touch(sh, c)
			if debug.SetPanicOnFault(false) {
				t.Error("faults are still panics")
			}
			if sh.Failed() == nil {
				t.Fatal("the shard has not failed")
			}
			other := &Conn{Describe: c.Describe}
			sh.Data(other, record.Out, record.PerDirection{}, [][]byte{make([]byte, after)}, after)
			sh.End(c, record.CloseRemote, record.PerDirection{In: 1 << 20})
			if b := sh.Swap(); b != nil || !sh.WritePending() || sh.Used() != 0 {
				t.Error("the shard has a batch")
			}
			sh.LoseRest()
			sh.LoseRest() // nothing more
			tally := sh.Tally()
			a := tally.Accounts()
			if a.Seen != a.Lost || a.Seen.In < before || a.Seen.Out != after || a.Written != (record.PerDirection{}) {
				t.Errorf("accounts %+v", a)
			}
		})
	}
}

// A panic that is no fault of the spool goes on, and the lock is free.
func TestAnotherPanicGoesOn(t *testing.T) {
	sh, _ := newFaultyShard(t)
	for range 2 {
		func() {
			defer func() {
				if p := recover(); p != "a test" {
					t.Errorf("panic %v", p)
				}
			}()
			sh.mu.Lock()
			defer sh.leave(debug.SetPanicOnFault(true))
			panic("a test")
		}()
	}
	if sh.Failed() != nil || debug.SetPanicOnFault(false) {
		t.Error("the shard has failed")
	}
}

func TestFaultKnowsItsOwn(t *testing.T) {
	_, s := newFaultyShard(t)
	if f := s.Fault(&os.PathError{Op: "write", Err: syscall.EFAULT}); f == nil || s.Fault(f) != f {
		t.Error("EFAULT is none of its faults")
	}
	for _, p := range []any{nil, "text", syscall.EIO, os.ErrClosed} {
		if s.Fault(p) != nil {
			t.Errorf("%v is one of its faults", p)
		}
	}
	var none *Spool
	if none.Fault(syscall.EFAULT) != nil {
		t.Error("no spool has faults")
	}
}
