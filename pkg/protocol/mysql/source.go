package mysql

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// source is where the packets of a direction come from: the stream itself, or what its
// compressed packets have.
type source struct {
	s *parse.Stream
	z *inflated // nil: the stream is not compressed
}

// inflated is what the compressed packets of a direction have. Of a call it is known in
// which of them its bytes were, no more.
type inflated struct {
	Data   []byte // what is not consumed
	Parts  []part // of Data; the first one has what remains of it
	End    uint64 // offset up to which the stream was consumed
	Last   int64  // when the byte before End passed
	Synced bool   // Data begins with a packet

	Plain uint64 // bytes that are still to come of a packet that is not compressed
	From  uint64 // where that one begins
	First bool   // nothing of it has come

	Skip    uint64
	Value   parse.Value
	Missing uint64
}

// part is a stretch of the decompressed bytes.
type part struct {
	Length      int
	From, To    uint64 // where it is in the stream
	Plain       bool   // it is as it is in the stream, but for a head before it
	First, Last int64
}

func (c source) dir() record.Direction { return c.s.Dir() }

// bytes returns what is there and not consumed.
func (c source) bytes() []byte {
	if c.z != nil {
		return c.z.Data
	}
	return c.s.Bytes()
}

func (c source) need(n int) {
	if c.z == nil {
		c.s.Need(n)
	}
}

func (c source) advance(n int) {
	if c.z != nil {
		c.z.consume(n)
		return
	}
	c.s.Advance(n)
}

// skip passes over n bytes, and reports whether they are all there.
func (c source) skip(n uint64, v parse.Value, sink call.Sink) bool {
	if c.z != nil {
		c.z.Skip, c.z.Value, c.z.Missing = n, v, 0
		c.z.skipData(c.s.Dir(), sink)
		return c.z.Skip == 0
	}
	c.s.Skip(n, v)
	return !c.s.Skipping()
}

func (c source) skipping() bool {
	if c.z != nil {
		return c.z.Skip > 0
	}
	return c.s.Skipping()
}

func (c source) missing() uint64 {
	if c.z != nil {
		return c.z.Missing
	}
	return c.s.Missing()
}

// from returns the offset in the stream of the first of bytes.
func (c source) from() uint64 {
	if c.z == nil {
		return c.s.Offset()
	}
	if len(c.z.Parts) == 0 {
		return c.z.End
	}
	return c.z.Parts[0].From
}

// to returns the offset in the stream behind what was consumed.
func (c source) to() uint64 {
	if c.z == nil {
		return c.s.Offset()
	}
	return c.z.End
}

// first returns when the first of bytes passed.
func (c source) first() int64 {
	if c.z == nil {
		return nanos(c.s.TimeAt(c.s.Offset()))
	}
	if len(c.z.Parts) == 0 {
		return 0
	}
	return c.z.Parts[0].First
}

// last returns when the last byte that was consumed passed.
func (c source) last() int64 {
	if c.z == nil {
		return nanos(c.s.LastTime())
	}
	return c.z.Last
}

// span returns the position of n bytes from at on, and how they are encoded.
func (c source) span(at, n int) (r call.Range, encoding string) {
	if c.z == nil {
		return call.Range{Offset: c.s.Offset() + uint64(at), Length: uint64(n)}, ""
	}
	return c.z.span(n)
}

const encodingZlib = "zlib"

// span returns where the first bytes of z are. They can be decoded with all of their
// compressed packets alone.
func (z *inflated) span(n int) (r call.Range, encoding string) {
	if len(z.Parts) == 0 {
		return call.Range{}, encodingZlib
	}
	r = call.Range{Offset: z.Parts[0].From}
	to := r.Offset
	for _, p := range z.Parts {
		to = p.To
		if n -= p.Length; n <= 0 {
			break
		}
	}
	r.Length = to - r.Offset
	return r, encodingZlib
}

func (z *inflated) add(b []byte, p part) {
	p.Length = len(b)
	z.Data = append(z.Data, b...)
	z.Parts = append(z.Parts, p)
}

func (z *inflated) consume(n int) {
	z.Data = z.Data[n:]
	for n > 0 {
		p := &z.Parts[0]
		k := min(n, p.Length)
		n -= k
		p.Length -= k
		z.End, z.Last = p.To, p.Last
		if p.Plain {
			z.End = p.To - uint64(p.Length)
			p.From = z.End
		}
		if p.Length == 0 {
			z.Parts = z.Parts[1:]
		}
	}
	if len(z.Data) == 0 {
		z.Data, z.Parts = nil, nil
	}
}

func (z *inflated) skipData(dir record.Direction, sink call.Sink) {
	n := int(min(z.Skip, uint64(len(z.Data))))
	if n == 0 {
		return
	}
	z.Skip -= uint64(n)
	if sink != nil && z.Value.Kind != 0 {
		r, encoding := z.span(n)
		sink.Span(call.Span{
			Call: z.Value.Call, Direction: dir, Range: r, Kind: z.Value.Kind, Name: z.Value.Name, Encoding: encoding,
			More: z.Skip > 0, Value: z.Data[:n],
		})
	}
	z.consume(n)
}

// lose drops what is there, because bytes are missing behind it.
func (z *inflated) lose(end uint64) {
	*z = inflated{End: end}
}

const (
	compressedHeader = 7
	// maxCompressed is how long a compressed packet may be that is decompressed. Of longer ones it is known
	// only how many bytes they have.
	maxCompressed = 256 << 10
	inflateStep   = 32 << 10
)

// inflate consumes compressed packets of s, and lets run consume what they have.
func (p *parser) inflate(s *parse.Stream, consume func(source) error) error {
	z := p.Inflated[s.Dir()]
	c := source{s, z}
	run := func(c source) error { return p.tolerate(c, consume) }
	for {
		b := s.Bytes()
		if z.Plain > 0 {
			n := int(min(z.Plain, uint64(len(b))))
			if n == 0 {
				return nil
			}
			from := s.Offset()
			head := part{From: from, To: from + uint64(n), Plain: true, First: nanos(s.TimeAt(from)), Last: nanos(s.TimeAt(from + uint64(n) - 1))}
			if z.First {
				head.From, z.First = z.From, false
			}
			z.add(b[:n], head)
			z.Plain -= uint64(n)
			s.Advance(n)
			if err := run(c); err != nil {
				return err
			}
			continue
		}
		if len(b) < compressedHeader {
			return nil
		}
		n, size := length(b), length(b[4:])
		if n == 0 {
			return errors.New("an empty compressed packet")
		}
		total := compressedHeader + n
		switch {
		case size == 0:
			z.Plain, z.From, z.First = uint64(n), s.Offset(), true
			s.Advance(compressedHeader)
		case n > maxCompressed:
			s.Skip(uint64(total), parse.Value{})
			p.missed(c, uint64(size))
			if s.Skipping() {
				return nil
			}
		case len(b) < total:
			s.Need(total)
			return nil
		case p.HasCaps && p.Agreed&capCompress == 0:
			return errors.New("a packet is compressed by zstd")
		default:
			from := s.Offset()
			at := part{From: from, To: from + uint64(total), First: nanos(s.TimeAt(from)), Last: nanos(s.TimeAt(from + uint64(total) - 1))}
			if err := decompress(b[compressedHeader:total], size, func(step []byte) error {
				z.add(step, at)
				return run(c)
			}); err != nil {
				return err
			}
			s.Advance(total)
		}
	}
}

// maxMisled is how often in a row a packet may be found where there is none, before the
// connection counts as one of another protocol.
const maxMisled = 16

// tolerate lets run consume what there is of a compressed stream. Behind a gap, what
// looked like a packet need not have been one.
func (p *parser) tolerate(c source, run func(source) error) error {
	for misled := 0; ; misled++ {
		err := run(c)
		var upgrade *parse.Upgrade
		if err == nil || errors.As(err, &upgrade) || !p.Torn || misled >= maxMisled || len(c.z.Data) == 0 {
			return err
		}
		c.z.consume(1)
		c.z.Synced = false
		p.lost(c.dir(), 1)
	}
}

// decompress gives the size bytes that b has to each, in steps.
func decompress(b []byte, size int, each func([]byte) error) error {
	r, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("a compressed packet: %w", err)
	}
	step := make([]byte, min(size, inflateStep))
	for size > 0 {
		n, err := io.ReadFull(r, step[:min(size, len(step))])
		if err != nil {
			return fmt.Errorf("a compressed packet: %w", err)
		}
		size -= n
		if err := each(step[:n]); err != nil {
			return err
		}
	}
	return nil
}

// missed passes over n decompressed bytes that are not known.
func (p *parser) missed(c source, n uint64) {
	z := c.z
	if len(z.Data) == 0 && z.Skip > 0 {
		k := min(n, z.Skip)
		z.Skip -= k
		z.Missing += k
		z.Last = 0
		if n -= k; n == 0 {
			return
		}
	}
	z.lose(c.s.Offset())
	p.lost(c.dir(), n)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}
