package http1

import (
	"bytes"
	"errors"
	"fmt"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
)

// framing is what the fields of a head say of where the body ends (RFC 9112, section
// 6.3).
type framing struct {
	Known   bool // there is a Content-Length
	Length  uint64
	Invalid bool // a Content-Length is no number, or there are two different ones
	Coded   bool // there is a transfer coding
	Chunked bool // the last one is chunked
	Upgrade bool // Connection has the option upgrade
}

// field adds what a field says.
func (b *framing) field(f *field) {
	if len(f.name) == 0 {
		return
	}
	switch f.name[0] | 0x20 {
	case 'c':
		switch {
		case f.is("content-length"):
			n, ok := parseLength(f.value)
			b.Invalid = b.Invalid || !ok || b.Known && n != b.Length
			b.Known, b.Length = true, n
		case f.is("connection"):
			b.Upgrade = b.Upgrade || hasToken(f.value, "upgrade")
		}
	case 't':
		if f.is("transfer-encoding") {
			b.codings(f.value)
		}
	}
}

// codings adds a list of transfer codings. Identity, which there once was (RFC 2616, section 3.6), is none.
func (b *framing) codings(list []byte) {
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte(","))
		item, _, _ = bytes.Cut(item, []byte(";"))
		if f := (field{name: trim(item)}); len(f.name) > 0 && !f.is("identity") {
			b.Coded, b.Chunked = true, f.is("chunked")
		}
	}
}

// empty reports whether there is no body, whatever the method is.
func (b *framing) empty() bool { return b.Known && b.Length == 0 && !b.Invalid && !b.Coded }

// endless reports whether the body of an answer ends with the connection.
func (b *framing) endless() bool { return !b.Chunked && (!b.Known || b.Invalid || b.Coded) }

// beginBody says that the message's body begins at s.
func (p *parser) beginBody(s *parse.Stream, side *side, m *call.Message, at phase) {
	m.HasBody = true
	m.Body = call.Range{Offset: s.Offset()}
	side.Phase, side.Endless = at, false
}

// body consumes what it can of a body. done reports that it has ended.
func (p *parser) body(s *parse.Stream, side *side, m *call.Message) (done bool, err error) {
	for {
		switch side.Phase {
		case inBody:
			if s.Skipping() {
				return false, nil
			}
			m.Missing += s.Missing()
			m.Body.Length = s.Offset() - m.Body.Offset
			return true, nil
		case atChunk:
			line, n, err := chunkLine(s)
			if line == nil || err != nil {
				return false, err
			}
			size, err := parseChunkSize(line)
			if err != nil {
				return false, err
			}
			s.Advance(n)
			if size == 0 {
				side.Phase = atTrailer
				continue
			}
			side.Phase = inChunk
			s.Skip(size, parse.Value{Call: side.Exchange.Call.N, Kind: call.KindBody, More: true})
		case inChunk:
			if s.Skipping() {
				return false, nil
			}
			m.Missing += s.Missing()
			side.Phase = afterChunk
		case afterChunk:
			data := s.Bytes()
			switch {
			case len(data) == 0 || data[0] == '\r' && len(data) == 1:
				return false, nil
			case data[0] == '\n':
				s.Advance(1)
			case data[0] == '\r' && data[1] == '\n':
				s.Advance(2)
			default:
				return false, errors.New("no line end behind a chunk")
			}
			side.Phase = atChunk
		case atTrailer:
			line, n, err := chunkLine(s)
			if line == nil || err != nil {
				return false, err
			}
			if len(line) > 0 {
				if f, _, ok := nextField(line); ok {
					if isSpace(line[0]) {
						f = field{value: line} // it continues the line before
					}
					p.field(&side.Exchange.Call, s.Dir(), s.Offset(), line, &f)
				}
				s.Advance(n)
				continue
			}
			if p.env.Spans {
				p.env.Sink.Span(call.Span{Call: side.Exchange.Call.N, Direction: s.Dir(), Range: call.Range{Offset: s.Offset()}, Kind: call.KindBody})
			}
			s.Advance(n)
			m.Body.Length = s.Offset() - m.Body.Offset
			return true, nil
		}
	}
}

// chunkLine returns the line at the beginning of s, of at most maxLine bytes, and how
// many bytes it has with its end. line is nil if it is not all there.
func chunkLine(s *parse.Stream) (line []byte, n int, err error) {
	data := s.Bytes()
	n = bytes.IndexByte(data, '\n') + 1
	switch {
	case n > maxLine || n == 0 && len(data) > maxLine:
		return nil, 0, fmt.Errorf("a line of more than %d bytes in a chunked body", maxLine)
	case n == 0:
		return nil, 0, nil
	}
	line, _ = cutLine(data[:n])
	return line[:len(line):len(line)], n, nil
}

// parseChunkSize returns the size in the line before a chunk, whose extensions it does
// not look at (RFC 9112, section 7.1).
func parseChunkSize(line []byte) (uint64, error) {
	var size uint64
	digits := 0
	for _, c := range line {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		case digits > 0 && (c == ';' || c == ' ' || c == '\t'):
			return size, nil
		default:
			return 0, fmt.Errorf("%.40q is no size of a chunk", line)
		}
		size = size<<4 | uint64(c)
		if digits++; size >= 1<<60 {
			return 0, fmt.Errorf("%.40q is no size of a chunk", line)
		}
	}
	if digits == 0 {
		return 0, errors.New("an empty line is no size of a chunk")
	}
	return size, nil
}
