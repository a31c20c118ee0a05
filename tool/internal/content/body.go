package content

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// errLong says that a body is longer than the limit.
var errLong = errors.New("the body is too long to be kept")

// stored is a body as it was recorded, without its transfer coding.
type stored struct {
	memory   []byte
	file     *os.File // has what comes before memory; nil if there was never too much
	written  int64    // bytes in file
	encoding string   // of the spans
	err      error    // why it is not kept

	parts  []Part
	goesOn bool // the last one of parts does
	cut    bool // there were more than maxParts
}

// Part is a value of a body: a value of Redis, a column of a row. Their bytes are one behind the other in the body.
type Part struct {
	Name   string // see call.Span
	Length int64
}

const maxParts = 16 << 10

func (b *stored) size() int64 { return b.written + int64(len(b.memory)) }

// add appends a span.
func (b *stored) add(k *Collector, s *call.Span) {
	if b.err != nil {
		return
	}
	b.encoding = s.Encoding
	if b.size()+int64(len(s.Value)) > k.limits.Body {
		b.free(k)
		b.err = fmt.Errorf("%w: it has more than %d bytes", errLong, k.limits.Body)
		return
	}
	b.part(s)
	b.memory = append(b.memory, s.Value...)
	k.held += len(s.Value)
	if len(b.memory) > maxBody || k.held > maxHeld && len(b.memory) > 4<<10 {
		b.spill(k)
	}
}

// part adds a span to the parts.
func (b *stored) part(s *call.Span) {
	switch {
	case b.cut:
	case b.goesOn:
		b.parts[len(b.parts)-1].Length += int64(len(s.Value))
	case len(b.parts) == maxParts:
		b.cut = true
		return
	default:
		b.parts = append(b.parts, Part{s.Name, int64(len(s.Value))})
	}
	b.goesOn = s.More
}

// spill writes what is in memory to a temporary file.
func (b *stored) spill(k *Collector) {
	if b.file == nil {
		if k.files >= maxFiles {
			b.free(k)
			b.err = fmt.Errorf("%w: too many long bodies at the same time", errLong)
			return
		}
		f, err := os.CreateTemp("", "tcpcopyctl-body-")
		if err == nil {
			// It has no name any more, so that nothing stays whatever becomes of the program.
			err = os.Remove(f.Name())
		}
		if err != nil {
			b.free(k)
			b.err = fmt.Errorf("keep a body: %w", err)
			return
		}
		b.file = f
		k.files++
	}
	n, err := b.file.Write(b.memory)
	b.written += int64(n)
	k.held -= len(b.memory)
	b.memory = nil
	if err != nil {
		b.free(k)
		b.err = fmt.Errorf("keep a body: %w", err)
	}
}

// reader returns the bytes.
func (b *stored) reader() io.Reader {
	if b.file == nil {
		return bytes.NewReader(b.memory)
	}
	return io.MultiReader(io.NewSectionReader(b.file, 0, b.written), bytes.NewReader(b.memory))
}

// free forgets the bytes.
func (b *stored) free(k *Collector) {
	k.held -= len(b.memory)
	b.memory = nil
	if b.file != nil {
		_ = b.file.Close() // it was never anybody's
		b.file, b.written = nil, 0
		k.files--
	}
}
