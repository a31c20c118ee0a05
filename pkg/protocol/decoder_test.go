package protocol_test

import (
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// A connection of no protocol has a call for each turn.
func TestTurns(t *testing.T) {
	var r parsetest.Recorder
	d := protocol.New(&r, protocol.Limits{Protocol: call.TCP})
	at := parsetest.Start
	step := func(dir record.Direction, offset uint64, text string) {
		d.Data(dir, offset, at, []byte(text))
		at = at.Add(time.Millisecond)
	}
	step(record.Out, 0, "welcome")
	step(record.In, 0, "a")
	step(record.In, 1, "b")
	step(record.Out, 7, "A")
	d.Gap(record.Out, 8, 3, record.ReasonLimit)
	step(record.In, 2, "c")
	d.Close(at, record.CloseRemote, record.PerDirection{In: 3, Out: 11})
	d.End(at)
	if len(r.Calls) != 3 {
		t.Fatalf("calls:\n%s", parsetest.Text(r.Calls))
	}
	greeting, ab, c := r.Calls[0], r.Calls[1], r.Calls[2]
	if greeting.Incomplete != call.NoRequest || greeting.Response.Length != 7 {
		t.Errorf("greeting: %+v", greeting)
	}
	if latency, ok := ab.Latency(); !ok || latency != time.Millisecond || ab.Incomplete != call.Gap || ab.Response.Length != 4 || ab.Response.Missing != 3 {
		t.Errorf("ab: %v %v %+v", latency, ok, ab)
	}
	if c.Incomplete != call.NoAnswer || c.Failed || c.Request.Offset != 2 {
		t.Errorf("c: %+v", c)
	}
}
