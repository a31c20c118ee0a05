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
	description string              // in its headers
	base        record.PerDirection // offsets of the first bytes that the window has
	next        record.PerDirection // offsets after the batches that are done
	begun       [2]bool             // an entry of the direction has come
	known       bool                // it has had an entry, here or in a batch that a killed process has done
	earlier     bool                // it has had one there
	inScope     bool                // the session has it
	limit       uint64              // bytes of each direction that the session keeps; 0 for all
	kept        [2]uint64           // bytes that it has kept, where there is a limit
	traffic     *pcapng.Traffic     // of its listener
}

// flowTable is the connections of a source by slot. It is the first stage: it enters
// the connections whose header a batch has.
type flowTable struct {
	window   string
	resumed  bool         // a killed process has done the batches before
	began    buffer.Place // where the session began; zero where it has its ring alone
	flows    []*flow
	selector *selector         // nil for all entries
	selected spans             // entries of the batch that the session has
	ended    []uint32          // slots of the connections that have ended in the batch
	known    uint64            // connections that the batches so far have introduced
	ports    func(port string) // called for each connection with an entry
	counted  map[string]bool   // identities of connections that are counted already; not changed
	traffic  map[logdir.Listener]*pcapng.Traffic
}

// process implements stage.
func (t *flowTable) process(b *buffer.Batch) {
	if b.Joined() {
		t.join(b)
	}
	t.selected, t.ended = t.selected[:0], t.ended[:0]
	t.selector.begin()
	var e buffer.Entry
	for at := b.Start(); at < b.Len(); {
		next, ok := b.Entry(at, &e)
		if !ok {
			return // a shard writes whole entries only; a dead spool's are checked before
		}
		if e.Kind == buffer.KindHeader {
			t.enter(&e)
		}
		f := t.flows[e.Slot]
		keep, lost, in := t.selector.choose(f, &e, b.Place(at))
		switch e.Kind {
		case buffer.KindHeader:
			in = in && (t.selector == nil || f.known) // who has nothing in the session does not open
		case buffer.KindData, buffer.KindGap:
			if in {
				t.know(f)
				f.begin(e.Dir, e.Offset)
			} else {
				f.pass(e.Dir, e.Offset+e.Length(), false)
			}
		case buffer.KindClose:
			t.ended = append(t.ended, e.Slot)
			in = in && f.known // what had nothing in the session is not mentioned
		default:
			panic(buffer.ErrDamaged) // somebody has written to the spool
		}
		if in {
			t.selected = t.selected.add(at, next, lost, keep)
		}
		at = next
	}
}

// join enters the connections of a batch whose first entries the source does not hand
// out.
func (t *flowTable) join(b *buffer.Batch) {
	var e buffer.Entry
	for at := 0; at < b.Start(); {
		next, ok := b.Entry(at, &e)
		if !ok {
			return
		}
		begun := !b.Place(at).Before(t.began)
		at = next
		switch e.Kind {
		case buffer.KindHeader:
			t.enter(&e)
		case buffer.KindData, buffer.KindGap:
			t.flows[e.Slot].pass(e.Dir, e.Offset+e.Length(), t.resumed && begun)
		case buffer.KindClose:
			t.flows[e.Slot] = nil
		}
	}
}

// pass says that a direction has got to offset, in what a killed process has done if
// earlier is set, and before the window otherwise.
func (f *flow) pass(dir record.Direction, offset uint64, earlier bool) {
	f.next.Set(dir, offset)
	if earlier {
		f.known, f.earlier, f.begun[dir] = true, true, true
		return
	}
	f.base.Set(dir, offset)
}

// know counts a connection that has its first entry.
func (t *flowTable) know(f *flow) {
	if f.known {
		return
	}
	f.known = true
	t.known++
	t.ports(f.Port)
}

// enter adds the connection of a header, unless the table has it. It is another one than the
// slot had, whose close event is not there, if its description is, or if its header is no
// repeated one.
func (t *flowTable) enter(e *buffer.Entry) {
	for int(e.Slot) >= len(t.flows) {
		t.flows = append(t.flows, nil)
	}
	description := e.Description()
	if f := t.flows[e.Slot]; f != nil && e.Flags&buffer.FlagRepeat != 0 && f.description == string(description) {
		return
	}
	f := &flow{base: e.Base(), next: e.Base(), description: string(description)}
	f.earlier = t.resumed && e.Flags&buffer.FlagRepeat != 0 && (t.began == buffer.Place{} || e.Previous() >= t.began.Batch)
	f.known = f.earlier
	limit, ok := e.Endpoint(&f.Endpoint)
	if !ok {
		f.Conn = "?"
	}
	f.known = f.known || t.counted[f.Conn]
	if t.selector != nil {
		f.limit = limit
	}
	f.Window = t.window
	f.inScope = t.selector == nil || t.selector.scope.includes(&f.Endpoint)
	f.traffic = t.trafficOf(f)
	t.flows[e.Slot] = f
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
func (f *flow) fromStart() bool { return !f.earlier && f.base == record.PerDirection{} }

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
