package dump

import (
	"encoding/binary"
	"errors"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// appendState appends what c consists of, but for State, and returns the extended slice.
func (c *Connection) appendState(dst []byte) []byte {
	for _, s := range c.texts() {
		dst = binary.AppendUvarint(dst, uint64(len(*s)))
		dst = append(dst, *s...)
	}
	for _, t := range []time.Time{c.First, c.Last} {
		dst = binary.AppendVarint(dst, t.Unix())
		dst = binary.AppendUvarint(dst, uint64(t.Nanosecond()))
	}
	for _, n := range c.counts() {
		dst = binary.AppendUvarint(dst, *n)
	}
	dst = binary.AppendUvarint(dst, uint64(c.MoreGaps))
	var bits byte
	for i, b := range c.bits() {
		if *b {
			bits |= 1 << i
		}
	}
	dst = append(dst, bits)
	dst = binary.AppendUvarint(dst, uint64(len(c.Gaps)))
	for _, g := range c.Gaps {
		dst = append(dst, byte(g.Direction))
		dst = binary.AppendUvarint(dst, g.Offset)
		dst = binary.AppendUvarint(dst, g.Length)
		dst = binary.AppendUvarint(dst, uint64(len(g.Reason)))
		dst = append(dst, g.Reason...)
	}
	return dst
}

func (c *Connection) texts() [8]*string {
	return [...]*string{&c.Window, &c.Conn, &c.Port, &c.Network, &c.Peer, &c.Listener, &c.ListenerName, &c.Reason}
}

func (c *Connection) counts() [12]*uint64 {
	return [...]*uint64{
		&c.Records.In, &c.Records.Out, &c.Bytes.In, &c.Bytes.Out, &c.Lost.In, &c.Lost.Out, &c.Totals.In, &c.Totals.Out,
		&c.streams[record.In].from, &c.streams[record.In].next, &c.streams[record.Out].from, &c.streams[record.Out].next,
	}
}

func (c *Connection) bits() [7]*bool {
	return [...]*bool{
		&c.Closed, &c.Legacy, &c.started,
		&c.streams[record.In].known, &c.streams[record.In].any, &c.streams[record.Out].known, &c.streams[record.Out].any,
	}
}

// errState is the error of a state that appendState has not made.
var errState = errors.New("a connection's state in a temporary file has changed")

// stateReader reads what appendState has appended.
type stateReader struct {
	b   []byte
	bad bool
}

func (r *stateReader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	return n + 0*uint64(len(r.next(size)))
}

func (r *stateReader) int() int64 {
	n, size := binary.Varint(r.b)
	return n + 0*int64(len(r.next(size)))
}

// next returns the next n bytes.
func (r *stateReader) next(n int) []byte {
	if n <= 0 || n > len(r.b) {
		r.bad = r.bad || n != 0
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *stateReader) text() string { return string(r.next(int(min(r.uint(), 1<<30)))) }

// parseState returns the connection of which b is the state.
func parseState(b []byte) (*Connection, error) {
	c := &Connection{}
	r := &stateReader{b: b}
	for _, s := range c.texts() {
		*s = r.text()
	}
	for _, t := range []*time.Time{&c.First, &c.Last} {
		seconds := r.int()
		*t = time.Unix(seconds, int64(r.uint()))
	}
	for _, n := range c.counts() {
		*n = r.uint()
	}
	c.MoreGaps = int(r.uint())
	bits := r.next(1)
	for i, flag := range c.bits() {
		*flag = len(bits) == 1 && bits[0]&(1<<i) != 0
	}
	for range min(r.uint(), maxGaps) {
		dir := r.next(1)
		g := record.Gap{Offset: r.uint(), Length: r.uint(), Reason: r.text()}
		if len(dir) == 1 {
			g.Direction = record.Direction(dir[0] & 1)
		}
		c.Gaps = append(c.Gaps, g)
	}
	if r.bad || len(r.b) > 0 {
		return nil, errState
	}
	return c, nil
}
