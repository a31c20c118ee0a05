package persistence

import (
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// flow is a connection in a pipeline's table.
type flow struct {
	record.Endpoint
	base     record.PerDirection // offsets of the first bytes that the window has
	next     record.PerDirection // offsets after the batches that are done
	begun    [2]bool             // an entry of the direction has come
	repeated bool                // its first connection header is a repeated one: an earlier batch, of a killed process, has another
	traffic  *pcapng.Traffic     // of its listener
}

// flowTable is the connections of a source by slot. It is the first stage: it enters
// the connections whose header a batch has.
type flowTable struct {
	window  string
	flows   []*flow
	known   uint64            // connections that the batches so far have introduced
	ports   func(port string) // called for each connection
	traffic map[logdir.Listener]*pcapng.Traffic
}

// process implements stage.
func (t *flowTable) process(b *buffer.Batch) {
	var e buffer.Entry
	for at := 0; at < b.Len(); {
		next, ok := b.Entry(at, &e)
		if !ok {
			return // a shard writes whole entries only; a dead spool's are checked before
		}
		at = next
		switch e.Kind {
		case buffer.KindHeader:
			t.enter(&e)
		case buffer.KindData, buffer.KindGap:
			t.flows[e.Slot].begin(e.Dir, e.Offset)
		case buffer.KindClose:
		default:
			panic(buffer.ErrDamaged) // somebody has written to the spool
		}
	}
}

// enter adds the connection of a header, unless the table has it.
func (t *flowTable) enter(e *buffer.Entry) {
	for int(e.Slot) >= len(t.flows) {
		t.flows = append(t.flows, nil)
	}
	if t.flows[e.Slot] != nil {
		return
	}
	f := &flow{base: e.Base(), next: e.Base(), repeated: e.Flags&buffer.FlagRepeat != 0}
	if !f.repeated {
		t.known++
	}
	if !e.Endpoint(&f.Endpoint) {
		f.Conn = "?"
	}
	f.Window = t.window
	f.traffic = t.trafficOf(f)
	t.flows[e.Slot] = f
	t.ports(f.Port)
}

// begin says that the first entry of a direction is at offset. The connection header
// has that of one direction exactly: the other one's bytes may have been counted and
// not yet offered when it was written.
func (f *flow) begin(dir record.Direction, offset uint64) {
	if f.begun[dir] {
		return
	}
	f.begun[dir] = true
	f.base.Set(dir, offset)
	f.next.Set(dir, offset)
}

// fromStart reports whether the window has the connection from its first byte on.
func (f *flow) fromStart() bool { return !f.repeated && f.base == record.PerDirection{} }

// trafficOf returns the counts of f's listener.
func (t *flowTable) trafficOf(f *flow) *pcapng.Traffic {
	l := logdir.Listener{Name: f.ListenerName, Network: f.Network, Port: f.Port}
	c := t.traffic[l]
	if c == nil {
		if t.traffic == nil {
			t.traffic = map[logdir.Listener]*pcapng.Traffic{}
		}
		c = &pcapng.Traffic{}
		t.traffic[l] = c
	}
	return c
}

// count counts one record, or its loss of n bytes where reason says so.
func count(t *pcapng.Traffic, reason record.Reason, n uint64) {
	t.Received++
	if reason != record.ReasonNone {
		t.Dropped++
		t.LostBy[reason] += n
	}
}
