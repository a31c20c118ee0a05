package protocol_test

import (
	"bytes"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// A time that no checkpoint can have is not known.
func TestImpossibleTimes(t *testing.T) {
	for _, at := range []time.Time{time.Unix(1<<40, 0), time.Unix(-1<<40, 0), time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -3600))} {
		r := &parsetest.Recorder{}
		d := protocol.New(r, protocol.Limits{})
		d.Open(record.PerDirection{})
		d.Data(record.In, 0, at, []byte(get))
		d, err := protocol.Resume(r, d.Checkpoint())
		if err != nil {
			t.Fatal(err)
		}
		d.Data(record.Out, 0, parsetest.Start, []byte(ok))
		d.End(parsetest.Start)
		if len(r.Calls) != 1 || !r.Calls[0].Request.First.IsZero() || !r.Calls[0].Response.First.Equal(parsetest.Start) {
			t.Errorf("at %v: calls\n%s", at, parsetest.Text(r.Calls))
		}
	}
}

// A checkpoint with any byte changed or missing is refused, or the decoder goes on with it.
func TestDamagedCheckpoints(t *testing.T) {
	for name, c := range map[string]struct {
		limits  protocol.Limits
		in, out string
	}{
		"detection": {protocol.Limits{}, "GE", ""},
		"http/1.1":  {protocol.Limits{}, get + get[:10], ok[:len(ok)/2]},
		"tcp":       {protocol.Limits{Protocol: call.TCP}, "a", "b"},
	} {
		d := protocol.New(&parsetest.Recorder{}, c.limits)
		d.Open(record.PerDirection{})
		d.Data(record.In, 0, parsetest.Start, []byte(c.in))
		d.Data(record.Out, 0, parsetest.Start, []byte(c.out))
		state := d.Checkpoint()
		try := func(b []byte) bool {
			d, err := protocol.Resume(&parsetest.Recorder{}, b)
			if err != nil {
				return false
			}
			d.Data(record.In, uint64(len(c.in)), parsetest.Start, []byte(get))
			d.Data(record.Out, uint64(len(c.out)), parsetest.Start, []byte(ok))
			d.Gap(record.Out, uint64(len(c.out)+len(ok)), 10, record.ReasonLimit)
			d.Checkpoint()
			d.Close(parsetest.Start, record.CloseRemote, record.PerDirection{})
			d.End(parsetest.Start)
			return true
		}
		if !try(state) {
			t.Fatalf("%s: refused as it is", name)
		}
		refused := 0
		for at := range state {
			for _, value := range []byte{0, 1, '-', '9', 0x7f, 0x80, 0xff, state[at] ^ 1} {
				b := bytes.Clone(state)
				b[at] = value
				if !try(b) {
					refused++
				}
			}
			if try(state[:at]) {
				t.Errorf("%s: %d bytes of %d are enough", name, at, len(state))
			}
			try(append(bytes.Clone(state[:at]), state[at+1:]...))
		}
		if refused == 0 {
			t.Errorf("%s: nothing was refused", name)
		}
	}
}
