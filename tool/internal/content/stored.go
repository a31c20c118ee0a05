package content

import (
	"fmt"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

var _ calls.Keeper = (*Collector)(nil)

// The sizes of what a Content consists of, in bytes of memory.
const (
	contentSize = 512
	valueSize   = 64
	partSize    = 24
)

// stays reports whether c cannot be stored: there are not many with a file, or with a body that was too long.
func (c *Content) stays() bool {
	for i := range c.bodies {
		if c.bodies[i].file != nil || c.bodies[i].err != nil {
			return true
		}
	}
	return false
}

// memory returns how many bytes of memory c has, if it can be stored.
func (c *Content) memory() int {
	if c.stays() {
		return 0
	}
	n := contentSize + c.size + valueSize*len(c.values)
	for i := range c.bodies {
		n += len(c.bodies[i].memory) + partSize*len(c.bodies[i].parts)
	}
	return n
}

// Size implements calls.Keeper.
func (k *Collector) Size(c *dump.Connection) int {
	if in := k.find(c); in != nil {
		return in.size
	}
	return 0
}

// Store implements calls.Keeper.
func (k *Collector) Store(dst []byte, c *dump.Connection) []byte {
	in := k.find(c)
	if in == nil {
		return dst
	}
	b := parse.State(dst)
	for n, of := range in.calls {
		if of.stays() {
			continue
		}
		b.Uint(n)
		of.append(&b)
		k.remove(in, n)
		_ = of.Close() // it has no file
	}
	return b
}

// Restore implements calls.Keeper.
func (k *Collector) Restore(c *dump.Connection, b []byte) error {
	in := k.find(c)
	if in == nil {
		in = k.add(c)
	}
	r := parse.NewStateReader(b)
	for r.Rest() {
		n, of := r.Uint(), &Content{collector: k}
		of.read(r)
		in.calls[n] = of
		in.size += of.memory()
		k.held += len(of.bodies[record.In].memory) + len(of.bodies[record.Out].memory)
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("values in the temporary file: %w", err)
	}
	return nil
}

// Forget implements calls.Keeper.
func (k *Collector) Forget(c *dump.Connection) {
	in := k.find(c)
	if in == nil {
		return
	}
	for n, of := range in.calls {
		k.remove(in, n)
		_ = of.Close() // it was never anybody's
	}
}

// append appends all of c.
func (c *Content) append(b *parse.State) {
	b.Uint(uint64(c.size)) //nolint:gosec // it is not negative
	b.Bool(c.cut)
	b.Uint(uint64(len(c.values)))
	for i := range c.values {
		v := &c.values[i]
		b.Uint(uint64(v.Direction))
		b.Uint(uint64(v.Kind))
		b.String(v.Name)
		b.String(v.Text)
		b.Flags(v.More, v.Cut)
	}
	for i := range c.bodies {
		body := &c.bodies[i]
		b.Bytes(body.memory)
		b.String(body.encoding)
		b.Flags(body.goesOn, body.cut)
		b.Uint(uint64(len(body.parts)))
		for _, p := range body.parts {
			b.String(p.Name)
			b.Uint(uint64(p.Length)) //nolint:gosec // it is not negative
		}
	}
}

// read reads what append has appended.
func (c *Content) read(r *parse.StateReader) {
	c.size, c.cut = r.Int(), r.Bool()
	for n := r.Int(); len(c.values) < n && !r.Failed(); {
		v := Value{Direction: record.Direction(r.Uint() & 1), Kind: call.Kind(r.Uint()), Name: r.String(), Text: r.String()} //nolint:gosec // they were such
		r.Flags(&v.More, &v.Cut)
		c.values = append(c.values, v)
	}
	for i := range c.bodies {
		body := &c.bodies[i]
		body.memory, body.encoding = r.Bytes(), r.String()
		r.Flags(&body.goesOn, &body.cut)
		for n := r.Int(); len(body.parts) < n && !r.Failed(); {
			body.parts = append(body.parts, Part{Name: r.String(), Length: int64(r.Int())})
		}
	}
}
