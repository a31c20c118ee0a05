package oracle

import (
	"errors"
	"fmt"
	"slices"
)

// Connection is what the log has of one connection in one window.
type Connection struct {
	Window, Conn, Port string
	Client, Server     string
	In, Out            Stream
	State              *Line // its state line, whose totals are the offsets where it holds; nil if there is none
	Closed             *Line // its close line; nil if there is none
}

// Stream is one direction of a connection, in the order of the log.
type Stream struct {
	Pieces []Line // Data and Gap
}

// Connections sorts a hex_meta log's lines by connection and window, in the
// order of their open lines. It refuses a log in which a connection's lines do
// not begin with the one open line, go on after its close line, leave out or
// repeat a byte, or do not add up to the totals of the close line.
func Connections(lines []Line) ([]*Connection, error) {
	type key struct{ window, conn string }
	byKey := map[key]*Connection{}
	var all []*Connection
	for _, l := range lines {
		k := key{l.Window, l.Conn}
		c := byKey[k]
		switch {
		case l.Kind == Open && c != nil:
			return nil, fmt.Errorf("connection %s opens twice in window %s", l.Conn, l.Window)
		case l.Kind == Open:
			c = &Connection{Window: l.Window, Conn: l.Conn, Port: l.Port, Client: l.Client, Server: l.Server}
			byKey[k] = c
			all = append(all, c)
			continue
		case c == nil:
			return nil, fmt.Errorf("connection %s does not begin with an open line in window %s", l.Conn, l.Window)
		case c.Closed != nil:
			return nil, fmt.Errorf("connection %s goes on after its close line in window %s", l.Conn, l.Window)
		case l.Port != c.Port:
			return nil, fmt.Errorf("connection %s is on ports %s and %s", l.Conn, c.Port, l.Port)
		case l.Kind == State && (c.State != nil || len(c.In.Pieces)+len(c.Out.Pieces) > 0):
			return nil, fmt.Errorf("connection %s has a state line that does not follow its open line", l.Conn)
		case l.Kind == State:
			c.State = &l
		case l.Kind == Close:
			c.Closed = &l
		case l.Direction == In:
			c.In.Pieces = append(c.In.Pieces, l)
		default:
			c.Out.Pieces = append(c.Out.Pieces, l)
		}
	}
	var errs []error
	for _, c := range all {
		if err := errors.Join(c.In.check(), c.Out.check()); err != nil {
			errs = append(errs, fmt.Errorf("connection %s: %w", c.Conn, err))
		}
		if l := c.Closed; l != nil && (!c.In.endsAt(l.TotalIn) || !c.Out.endsAt(l.TotalOut) && !(l.Reason == "moved" && c.Out.End() >= l.TotalOut)) {
			errs = append(errs, fmt.Errorf("connection %s: its streams end at %d and %d, its close line says %d and %d",
				c.Conn, c.In.End(), c.Out.End(), l.TotalIn, l.TotalOut))
		}
	}
	return all, errors.Join(errs...)
}

// check returns an error if bytes are in the stream twice or missing without a gap.
func (s Stream) check() error {
	for i, p := range s.Pieces {
		if p.Length == 0 {
			return fmt.Errorf("empty piece at offset %d %s", p.Offset, p.Direction)
		}
		if i > 0 {
			before := s.Pieces[i-1]
			if end := before.Offset + before.Length; end != p.Offset {
				return fmt.Errorf("a piece ends at offset %d, the next begins at %d %s", end, p.Offset, p.Direction)
			}
		}
	}
	return nil
}

// End returns the offset after the last byte of the stream, gaps included.
func (s Stream) End() uint64 {
	if len(s.Pieces) == 0 {
		return 0
	}
	last := s.Pieces[len(s.Pieces)-1]
	return last.Offset + last.Length
}

// endsAt reports whether the stream ends at total, or has nothing in the window.
func (s Stream) endsAt(total uint64) bool { return len(s.Pieces) == 0 || s.End() == total }

// Begin returns the offset of the first byte of the stream, gaps included.
func (s Stream) Begin() uint64 {
	if len(s.Pieces) == 0 {
		return 0
	}
	return s.Pieces[0].Offset
}

// Kept returns the number of bytes in Data lines.
func (s Stream) Kept() uint64 { return s.sum(Data) }

// Lost returns the number of bytes in Gap lines.
func (s Stream) Lost() uint64 { return s.sum(Gap) }

func (s Stream) sum(k Kind) (n uint64) {
	for _, p := range s.Pieces {
		if p.Kind == k {
			n += p.Length
		}
	}
	return n
}

// Bytes returns the whole stream, which must have no gap. It belongs to the caller.
func (s Stream) Bytes() ([]byte, error) {
	all := make([]byte, 0, s.End()-s.Begin())
	for _, p := range s.Pieces {
		if p.Kind == Gap {
			return nil, fmt.Errorf("gap of %d bytes at offset %d %s: %s", p.Length, p.Offset, p.Direction, p.Reason)
		}
		all = append(all, p.Payload...)
	}
	return all, nil
}

// Agrees returns an error unless each byte of the stream's Data lines is the one that
// original has at its offset. original begins with the connection's first byte.
func (s Stream) Agrees(original []byte) error {
	for _, p := range s.Pieces {
		end := p.Offset + p.Length
		if end > uint64(len(original)) {
			return fmt.Errorf("a piece ends at offset %d %s, the original has %d bytes", end, p.Direction, len(original))
		}
		if p.Kind == Data && !slices.Equal(p.Payload, original[p.Offset:end]) {
			return fmt.Errorf("%d bytes at offset %d %s differ from the original", p.Length, p.Offset, p.Direction)
		}
	}
	return nil
}
