package http1

import (
	"fmt"
	"slices"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// MarshalBinary implements parse.Parser.
func (p *parser) MarshalBinary() ([]byte, error) {
	b := make(parse.State, 0, 128+128*len(p.open))
	b.Uint(uint64(len(p.open)))
	for _, x := range p.open {
		x.append(&b)
	}
	for i := range p.sides {
		side := &p.sides[i]
		side.append(&b)
		switch x := side.Exchange; {
		case x == nil:
			b.Uint(0)
		case x.Forgotten:
			b.Uint(uint64(len(p.open)) + 1)
			b.Uint(x.Call.N)
		default:
			b.Uint(uint64(slices.Index(p.open, x) + 1)) //nolint:gosec // it is at least 0
		}
		b.Uint(p.offsets[i])
	}
	b.Uint(uint64(p.unsure))
	b.Uint(uint64(p.torn))
	b.Flags(p.coming, p.late, p.asked, p.unasked, p.pipelined)
	return b, nil
}

// UnmarshalBinary implements parse.Parser.
func (p *parser) UnmarshalBinary(b []byte) error {
	q := parser{env: p.env}
	r := parse.NewStateReader(b)
	for n := r.Int(); len(q.open) < n && !r.Failed(); {
		x := &exchange{}
		x.read(r)
		q.open = append(q.open, x)
		q.size += x.size()
	}
	for i := range q.sides {
		side := &q.sides[i]
		side.read(r)
		switch at := r.Int(); {
		case at == len(q.open)+1:
			side.Exchange = &exchange{Call: call.Call{N: r.Uint()}, Forgotten: true}
		case at > len(q.open):
			return fmt.Errorf("state of http/1.1: %w", parse.ErrState)
		case at > 0:
			side.Exchange = q.open[at-1]
		}
		q.offsets[i] = r.Uint()
	}
	q.unsure, q.torn = r.Incomplete(), r.Incomplete()
	r.Flags(&q.coming, &q.late, &q.asked, &q.unasked, &q.pipelined)
	if err := r.Err(); err != nil {
		return fmt.Errorf("state of http/1.1: %w", err)
	}
	if !q.isSound() {
		return fmt.Errorf("state of http/1.1: %w", parse.ErrState)
	}
	*p = q
	return nil
}

// isSound reports whether the state is one that a parser can have, as far as its code stands on it.
func (p *parser) isSound() bool {
	for i := range p.sides {
		side := &p.sides[i]
		switch side.Phase {
		case atHead:
		case waiting:
			if record.Direction(i) == record.Out || len(p.open) == 0 { //nolint:gosec // 0 or 1
				return false
			}
		case unsureBody:
			if record.Direction(i) == record.In || side.Exchange == nil { //nolint:gosec // 0 or 1
				return false
			}
		default:
			if side.Phase > waiting || side.Exchange == nil {
				return false
			}
		}
	}
	return true
}

// append appends all of an exchange that is not forgotten.
func (x *exchange) append(b *parse.State) {
	b.Call(&x.Call)
	b.Flags(x.Asked, x.Begun, x.Answered, x.Head, x.Connect, x.Early, x.Clean, x.Lost)
	b.String(x.Upgrade)
}

// read reads what append has appended.
func (x *exchange) read(r *parse.StateReader) {
	r.Call(&x.Call)
	r.Flags(&x.Asked, &x.Begun, &x.Answered, &x.Head, &x.Connect, &x.Early, &x.Clean, &x.Lost)
	x.Upgrade = r.String()
}

// append appends all of a direction but its exchange.
func (s *side) append(b *parse.State) {
	u := &s.Unsure
	b.Uint(uint64(s.Phase))
	b.Flags(s.Endless, s.Line, u.Known, u.Invalid, u.Coded, u.Chunked, u.Upgrade)
	b.Uint(u.Length)
	b.Uint(uint64(s.Looked)) //nolint:gosec // it is not negative
}

// read reads what append has appended.
func (s *side) read(r *parse.StateReader) {
	u := &s.Unsure
	s.Phase = phase(min(r.Uint(), uint64(waiting)+1)) //nolint:gosec // isSound refuses more
	r.Flags(&s.Endless, &s.Line, &u.Known, &u.Invalid, &u.Coded, &u.Chunked, &u.Upgrade)
	u.Length = r.Uint()
	s.Looked = r.Int()
}
