package reading

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Place is a byte of a stream of which CallsAt finds the call.
type Place struct {
	Window, Conn string
	Direction    record.Direction
	Offset       uint64

	// Call is the call's identity, as calls.Call.ID returns it; empty where the byte is of
	// none, or where nobody can say of which.
	Call string

	calls  int    // whose range has the byte
	ranged string // the first of them
	exact  uint64 // number of the call, by a value that has the byte
}

// streamOf names a connection in a window.
type streamOf struct{ window, conn string }

// placesOf are the places in a connection, by direction and in the order of their offsets.
type placesOf [2][]*Place

// CallsAt sets the calls of places. It reads the dump again, and decodes the connections that
// have a place as o says, from their beginning on. It reports no damage: who has found the
// places did. It sets o.Span. The fallbacks are those of these connections, as far as they were decoded.
func (q *Query) CallsAt(ctx context.Context, o calls.Options, places []*Place) ([]calls.Fallback, error) {
	all := map[streamOf]*placesOf{}
	for _, p := range places {
		key := streamOf{p.Window, p.Conn}
		if all[key] == nil {
			all[key] = &placesOf{}
		}
		all[key][p.Direction] = append(all[key][p.Direction], p)
	}
	for _, of := range all {
		for _, dir := range record.Directions() {
			slices.SortStableFunc(of[dir], func(a, b *Place) int { return cmp.Compare(a.Offset, b.Offset) })
		}
	}
	again := *q
	again.Report = Report{}
	// Calls are counted from the connection's first one, and have two directions.
	again.Options.Filter = dump.Filter{Window: q.Options.Filter.Window, Conn: q.Options.Filter.Conn}
	missing := len(places)
	if missing == 0 {
		return nil, nil
	}
	o.Span = func(c *dump.Connection, s call.Span) {
		if of := all[streamOf{c.Window, c.Conn}]; of != nil {
			for _, p := range of.in(s.Direction, s.Range) {
				p.exact = s.Call
			}
		}
	}
	station := calls.New(o, func(c *calls.Call) error {
		of := all[streamOf{c.Window, c.Conn}]
		if of == nil {
			return nil
		}
		for dir, m := range [2]*call.Message{record.In: &c.Request, record.Out: &c.Response} {
			for _, p := range of.in(record.Direction(dir), m.Range) {
				if p.calls++; p.calls == 1 {
					p.ranged = c.ID()
				}
				if p.exact == c.N || p.exact == 0 && !interleaves(c.Protocol) {
					p.Call = c.ID()
					missing--
				}
			}
		}
		return nil
	})
	found := errors.New("all calls are found")
	err := again.Each(ctx, func(r *record.Record) error {
		if all[streamOf{r.Window, r.Conn}] == nil {
			return nil
		}
		if err := station.Add(r); err != nil || missing > 0 {
			return err
		}
		return found
	})
	if errors.Is(err, found) {
		err = nil
	}
	if last := station.Finish(); err == nil {
		err = last
	}
	for _, p := range places {
		if p.Call == "" && p.exact == 0 && p.calls == 1 {
			p.Call = p.ranged
		}
	}
	return station.Coverage().Fallbacks, err
}

// in returns the places that a range has.
func (of placesOf) in(dir record.Direction, r call.Range) []*Place {
	at := func(offset uint64) int {
		i, _ := slices.BinarySearchFunc(of[dir], offset, func(p *Place, offset uint64) int { return cmp.Compare(p.Offset, offset) })
		return i
	}
	return of[dir][at(r.Offset):at(r.End())]
}

// interleaves reports whether the messages of a protocol may lie between the parts of
// others.
func interleaves(protocol string) bool { return protocol == call.HTTP2 || protocol == call.GRPC }
