package protocol_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// The calls that wait at a moment are those that would have no answer if the recording
// ended then, wherever that is in a session of any protocol.
func TestWaitingCalls(t *testing.T) {
	t.Parallel()
	for name, s := range sessions(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			waited := 0
			d := protocol.New(&parsetest.Recorder{}, protocol.Limits{})
			never := neverAnswered(s.session)
			var next [2]uint64
			for i, p := range s.session {
				for data := p.Data; len(data) > 0; {
					n := min(len(data), 1+len(p.Data)/3)
					d.Data(p.Dir, next[p.Dir], p.At, data[:n])
					next[p.Dir] += uint64(n)
					data = data[n:]
					got := waiting(d)
					want := wouldHaveNoAnswer(t, d, p.At)
					maps.DeleteFunc(want, func(n uint64, _ call.Call) bool { return never[n] && got[n].N == 0 })
					waited += len(got)
					if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
						t.Fatalf("piece %d, after %v: %v wait, want %v", i, next, got, want)
					}
					for n, c := range got {
						w := want[n]
						if c.Method != w.Method || c.Target != w.Target || c.Protocol != w.Protocol && w.Protocol != call.GRPC || c.Request.Last.IsZero() || !c.Request.Last.Equal(w.Request.Last) {
							t.Fatalf("piece %d: %+v waits, want %+v", i, c, w)
						}
					}
					if size := d.Size(); size <= 0 || size > 4<<20 {
						t.Fatalf("it has %d bytes", size)
					}
				}
			}
			if waited == 0 && !slices.Contains(unaskedSessions, name) {
				t.Error("no call has waited at any time")
			}
		})
	}
}

// unaskedSessions are those in which nobody waits for an answer.
var unaskedSessions = []string{"mysql: toomany", "postgresql: cancel"}

// neverAnswered returns the calls of a session that get no answer although none failed for
// it: the parser may know that early, such as of what PostgreSQL passes over after an error.
func neverAnswered(s parsetest.Session) map[uint64]bool {
	r := &parsetest.Recorder{}
	d := protocol.New(r, protocol.Limits{})
	var next [2]uint64
	for _, p := range s {
		d.Data(p.Dir, next[p.Dir], p.At, p.Data)
		next[p.Dir] += uint64(len(p.Data))
	}
	d.Close(s[len(s)-1].At, record.CloseRemote, record.PerDirection{In: next[record.In], Out: next[record.Out]})
	d.End(s[len(s)-1].At)
	all := map[uint64]bool{}
	for _, c := range r.Calls {
		all[c.N] = !c.Response.Present && !c.Failed
	}
	return all
}

func waiting(d protocol.Decoder) map[uint64]call.Call {
	all := map[uint64]call.Call{}
	d.Waiting(func(c *call.Call) { all[c.N] = *c })
	return all
}

func wouldHaveNoAnswer(t *testing.T, d protocol.Decoder, at time.Time) map[uint64]call.Call {
	t.Helper()
	r := &parsetest.Recorder{}
	ended, err := protocol.Resume(r, d.Checkpoint())
	if err != nil {
		t.Fatal(err)
	}
	ended.End(at)
	all := map[uint64]call.Call{}
	for _, c := range r.Calls {
		if c.Request.Present && (c.Request.Ended || c.Protocol == call.TCP) && !c.Response.Present && c.Incomplete&call.Gap == 0 {
			all[c.N] = c
		}
	}
	return all
}

// A call whose answer may have been lost does not wait: nobody knows.
func TestCallsWithALostAnswerDoNotWait(t *testing.T) {
	t.Parallel()
	for name, s := range sessions(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := protocol.New(&parsetest.Recorder{}, protocol.Limits{})
			var next [2]uint64
			for _, p := range s.session {
				if p.Dir == record.Out {
					d.Gap(p.Dir, next[p.Dir], uint64(len(p.Data)), record.ReasonBufferFull)
					if got := waiting(d); len(got) > 0 && d.Protocol() != call.TLS {
						t.Fatalf("after a gap at %v of the answers %s wait", next, fmt.Sprint(got))
					}
				} else {
					d.Data(p.Dir, next[p.Dir], p.At, p.Data)
				}
				next[p.Dir] += uint64(len(p.Data))
			}
		})
	}
}
