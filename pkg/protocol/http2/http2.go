// Package http2 parses HTTP/2 (RFC 9113) and gRPC, which is HTTP/2 with a content type
// of its own. A call is a stream.
//
// The payload of data frames is passed over, whatever its length. Header blocks are
// decoded with tables that know what they do not know (see table): after a gap, fields that refer
// to what was not recorded are unknown, never guessed.
//
// A gap within a frame whose header was there harms that frame alone. After any
// other one the parser looks for frames again, and every stream that was open is marked.
package http2

import (
	"encoding/binary"
	"errors"
	"fmt"

	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol recognises and parses HTTP/2, gRPC included.
var Protocol = parse.Protocol{Name: call.HTTP2, New: newParser, Begins: begins, Within: within}

// begins reports whether data are the client's preface, or the settings that a server
// sends first.
func begins(dir record.Direction, data []byte) parse.Verdict {
	if dir == record.In {
		n := min(len(data), len(protocol.HTTP2Preface))
		switch {
		case protocol.BeginsHTTP2(data):
			return parse.Yes
		case string(data) == protocol.HTTP2Preface[:n]:
			return parse.Maybe
		}
		return parse.No
	}
	// A length below 256, the type of settings, no flags, no stream.
	header := [protocol.HTTP2FrameHeader]byte{3: protocol.HTTP2Settings}
	for i, c := range data[:min(len(data), len(header))] {
		if i == 2 && c%settingSize == 0 {
			continue
		}
		if c != header[i] {
			return parse.No
		}
	}
	if len(data) < len(header) {
		return parse.Maybe
	}
	f := protocol.ReadHTTP2Frame(data)
	settings := data[len(header):min(len(header)+f.Length, len(data))]
	switch {
	case !isPlausiblePayload(f, settings):
		return parse.No
	case len(settings) < f.Length:
		return parse.Maybe
	}
	return parse.Yes
}

// settingSize is how many bytes a setting has: an identifier of 2 and a value of 4.
const settingSize = 6

// parser is the Parser of a connection.
type parser struct {
	env   parse.Env
	sides [2]side
	calls calls

	reader blockReader

	// limit is how long a header block may be of which the fields are known, and how far
	// Sync looks.
	limit int
}

// side is one direction.
type side struct {
	table table

	late     bool   // it is not there from its beginning
	preface  bool   // the client's preface has to come
	torn     bool   // not all was recorded so far
	unsynced bool   // it is not known where a frame begins
	passed   bool   // since it is not known, bytes were missed or given up
	gapped   bool   // bytes were missed since its recording began
	lost     uint64 // counts the stretches of which it is not known what was in them

	from     uint64 // offset of the frame or header block that is parsed, as far as no message has it yet
	maxFrame int    // the longest frame that the other side has said it accepts; 0 if it has said nothing

	data    dataFrame
	block   headerBlock
	waiting partFrame // the frame whose payload is waited for
	harmed  partFrame // the frame that has a gap in its payload, whose end is not there yet
	search  search
}

const (
	// maxFrame is how long a frame may be if the other side has said nothing else (RFC 9113,
	// section 6.5.2).
	maxFrame = 16 << 10
	// longestFrame is how long a frame can be at all.
	longestFrame = 1<<24 - 1
	// maxSettings is how long settings may be that are looked at.
	maxSettings = 6 << 10
	// maxIdle is how much memory is kept for the next block.
	maxIdle = 4 << 10
)

func newParser(env parse.Env) parse.Parser {
	p := &parser{env: env, limit: env.Memory / 4}
	p.reader = newBlockReader(p.limit)
	for dir := range p.sides {
		d := &p.sides[dir]
		d.table = newTable(env.Memory/8, env.FromStart[dir])
		d.late = !env.FromStart[dir]
		d.torn, d.unsynced = d.late, d.late
	}
	p.sides[record.In].preface = env.FromStart[record.In]
	p.calls = newCalls(env.Memory / 4 * 3)
	if env.Request != nil {
		p.calls.upgrade(env.Request)
	}
	return p
}

// preface stands for the preface where frames are waited for: its length is a frame's, its type none.
var preface = protocol.HTTP2Frame{Type: 0xff, Length: len(protocol.HTTP2Preface) - protocol.HTTP2FrameHeader}

// frameError is why bytes are not HTTP/2.
type frameError struct {
	protocol.HTTP2Frame
	why string
}

func (e *frameError) Error() string {
	return fmt.Sprintf("a frame of type %d, stream %d, %d bytes: %s", e.Type, e.Stream, e.Length, e.why)
}

var errPreface = errors.New("the client's first bytes are not the preface of HTTP/2")

func (p *parser) Parse(s *parse.Stream) error {
	d := &p.sides[s.Dir()]
	if d.unsynced {
		d.unsynced = false
		if d.passed { // else the frames begin where what was known ended
			d.lost++
		}
		if s.Dir() == record.In {
			defer p.finishAnswered()
		}
	}
	if d.harmed.is {
		p.endHarmed(s, d)
	}
	p.endData(s, d)
	p.endBlock(s, d)
	for !s.Skipping() {
		p.evict()
		ok, err := p.frame(s, d)
		if !ok {
			return err
		}
	}
	return nil
}

// frame consumes a frame, or begins to pass over its payload. ok is false if there is
// none.
func (p *parser) frame(s *parse.Stream, d *side) (ok bool, err error) {
	b := s.Bytes()
	d.waiting.is = false
	if d.preface {
		n := min(len(b), len(protocol.HTTP2Preface))
		switch {
		case string(b[:n]) != protocol.HTTP2Preface[:n]:
			return false, errPreface
		case n < len(protocol.HTTP2Preface):
			d.waiting = partFrame{true, preface, s.Offset(), s.TimeAt(s.Offset())}
			return false, nil
		}
		s.Advance(n)
		d.preface = false
		return true, nil
	}
	if len(b) < protocol.HTTP2FrameHeader {
		s.Need(protocol.HTTP2FrameHeader)
		return false, nil
	}
	f := protocol.ReadHTTP2Frame(b)
	if err := p.check(s, d, f); err != nil {
		return false, err
	}
	if !d.block.open {
		d.from = s.Offset()
	}
	switch f.Type {
	case protocol.HTTP2Data:
		return p.beginData(s, d, f)
	case protocol.HTTP2Headers, protocol.HTTP2PushPromise, protocol.HTTP2Continuation:
		if f.Length > p.limit {
			p.passOverBlock(s, d, f)
			return true, nil
		}
		if !d.has(s, f, f.Length) {
			return false, nil
		}
		err = p.headers(s, d, f)
		return err == nil, err
	case protocol.HTTP2Settings:
		if f.Length <= maxSettings {
			if !d.has(s, f, f.Length) {
				return false, nil
			}
			p.settings(s.Dir(), payload(s, f.Length))
		}
	case protocol.HTTP2Reset:
		if !d.has(s, f, f.Length) {
			return false, nil
		}
		p.reset(s.Dir(), f.Stream, payload(s, f.Length))
	case protocol.HTTP2GoAway:
		const lastStream = 4 // bytes, before the code and what it says in words
		if !d.has(s, f, lastStream) {
			return false, nil
		}
		p.goAway(s.Dir(), payload(s, lastStream))
	}
	s.Advance(protocol.HTTP2FrameHeader)
	s.Skip(uint64(f.Length), parse.Value{})
	return true, nil
}

// has reports whether so many bytes of a frame's payload are there, and waits for them
// if not.
func (d *side) has(s *parse.Stream, f protocol.HTTP2Frame, n int) bool {
	if n += protocol.HTTP2FrameHeader; len(s.Bytes()) < n {
		s.Need(n)
		d.waiting = partFrame{true, f, s.Offset(), s.TimeAt(s.Offset())}
		return false
	}
	return true
}

// payload returns the first n bytes of the payload of the frame that s begins with.
func payload(s *parse.Stream, n int) []byte {
	return s.Bytes()[protocol.HTTP2FrameHeader : protocol.HTTP2FrameHeader+n]
}

// check returns what is wrong with a frame's header. What a peer may answer with the
// end of one stream is not wrong.
func (p *parser) check(s *parse.Stream, d *side, f protocol.HTTP2Frame) error {
	switch {
	case !f.IsValid():
		return &frameError{f, "no such frame is valid"}
	case d.torn && f.Reserved:
		return &frameError{f, "its first bit is reserved"}
	case d.block.open && (f.Type != protocol.HTTP2Continuation || f.Stream != d.block.stream):
		return &frameError{f, "a header block goes on in another frame"}
	case f.Type == protocol.HTTP2Continuation && !d.block.open && !d.torn:
		return &frameError{f, "there is no header block that goes on"}
	case f.Type == protocol.HTTP2PushPromise && s.Dir() == record.In:
		return &frameError{f, "a client promises nothing"}
	case f.Type > protocol.HTTP2Continuation && f.Length > max(maxFrame, d.maxFrame):
		return &frameError{f, "it is longer than the other side accepts"}
	}
	return nil
}

// settings reads settings, of which some are about what the other side sends.
func (p *parser) settings(dir record.Direction, b []byte) {
	const idMaxFrame = 5
	for ; len(b) >= settingSize; b = b[settingSize:] {
		if value := binary.BigEndian.Uint32(b[2:]); binary.BigEndian.Uint16(b) == idMaxFrame {
			p.sides[1-dir].maxFrame = max(p.sides[1-dir].maxFrame, int(min(value, longestFrame)))
		}
	}
}
