package persistence

import (
	"fmt"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/record"
)

// A capture has what its connection has exchanged since it was asked to begin, and nothing
// else.
func TestACaptureHasWhatCameBefore(t *testing.T) {
	for _, formats := range [][]Format{{FormatHexMeta}, {FormatPcapng}, {FormatHexMeta, FormatPcapng}} {
		t.Run(fmt.Sprint(formats), func(t *testing.T) {
			r := newHarness(t, func(c *Config) { c.Formats = formats }, nil)
			f := r.openFlight(4 << 20)
			one, other := newPeer(r.run, 1), newPeer(r.run, 2)
			one.sayTo(f.Ring, record.In, []byte("long ago"))
			other.sayTo(f.Ring, record.In, []byte("somebody else"))
			<-time.After(20 * time.Millisecond)
			since := time.Now()
			<-time.After(20 * time.Millisecond)
			one.sayTo(f.Ring, record.In, []byte("before"))
			other.sayTo(f.Ring, record.Out, []byte("somebody else"))
			s, err := f.OpenCapture(record.Window{ID: windowID(1), Trigger: record.TriggerFlight, Opened: since}, Scope{Conn: one.id})
			if err != nil {
				t.Fatal(err)
			}
			one.sayTo(f.Ring, record.Out, []byte("after"))
			other.sayTo(f.Ring, record.Out, []byte("somebody else"))
			s.Close(time.Now())
			one.sayTo(f.Ring, record.Out, []byte("too late"))
			f.Shut()
			f.Close()
			w := r.indexed(1)
			if w.Connections != 1 || w.Seen != (oracle.PerDirection{In: 6, Out: 5}) || w.Seen != w.Written {
				t.Errorf("index %+v", w)
			}
			if formats[0] == FormatPcapng {
				return
			}
			r.agrees(w)
			for _, c := range r.connections() {
				if c.Conn != one.id || text(c.In) != "before" || text(c.Out) != "after" || c.In.Begin() != 8 {
					t.Errorf("%s: %q, %q", c.Conn, text(c.In), text(c.Out))
				}
			}
		})
	}
}
