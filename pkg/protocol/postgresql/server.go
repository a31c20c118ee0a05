package postgresql

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// readySize is the length that a ReadyForQuery says it has: of the length itself, and a status.
const readySize = 4 + 1

// server consumes messages of the server.
func (p *parser) server(s *parse.Stream) error {
	for {
		b := s.Bytes()
		if len(b) == 0 {
			return nil
		}
		if p.Negotiating || p.Fresh && (b[0] == 'N' || b[0] == 'S') {
			done, err := p.negotiated(s, b)
			if err != nil || !done {
				return err
			}
			continue
		}
		if !serverType(b[0]) {
			return fmt.Errorf("a server's message has the type %q", b[0])
		}
		if len(b) < header {
			return nil
		}
		n := int64(binary.BigEndian.Uint32(b[1:]))
		if n < 4 || n > maxMessage {
			return fmt.Errorf("a server's message of type %c has %d bytes", b[0], n)
		}
		if b[0] == 'Z' && n != readySize {
			return fmt.Errorf("a server's message of type Z has %d bytes", n)
		}
		p.Fresh = false
		if b[0] == 'D' {
			if !p.rows(s, b) {
				return nil
			}
			continue
		}
		if !p.answer(s, b, 1+int(n)) {
			return nil
		}
	}
}

// negotiated consumes the answer to a request for encryption.
func (p *parser) negotiated(s *parse.Stream, b []byte) (done bool, err error) {
	if !p.Negotiating {
		// The request was not recorded. A message goes on with a length.
		if len(b) < 2 {
			return false, nil
		}
		if b[1] == 0 {
			p.Fresh = false
			return true, nil
		}
	}
	switch b[0] {
	case 'N':
		s.Advance(1)
		p.Negotiating = false
		return true, nil
	case 'S':
		s.Advance(1)
		return false, &parse.Upgrade{To: call.TLS, Other: p.Next[record.In]}
	case 'G':
		s.Advance(1)
		return false, &parse.Upgrade{To: call.TCP, Other: p.Next[record.In]}
	case 'E':
		p.Negotiating = false
		return true, nil
	}
	return false, fmt.Errorf("a server answers %q to a request for encryption", b[0])
}

// head returns the unit that an answer belongs to, whose first byte is that of s.
func (p *parser) head(s *parse.Stream) *unit {
	if len(p.Queue) == 0 {
		p.Queue = append(p.Queue, unit{Kind: unknown})
	}
	if !p.Doubt.On {
		return &p.Queue[0]
	}
	// What passed before a request is no answer to it.
	if at := nanos(s.TimeAt(s.Offset())); p.Queue[0].Request.First > at && at != 0 {
		p.Queue = append([]unit{{Kind: unknown}}, p.Queue...)
	}
	return &p.Queue[0]
}

// pass consumes n bytes of an answer of u.
func (p *parser) pass(s *parse.Stream, u *unit, n int, v parse.Value) bool {
	u.Response.begin(s)
	whole := p.skip(s, uint64(n), v)
	u.Response.extend(s)
	return whole
}

// rows consumes rows of an answer: all that are there, and the beginning of one.
func (p *parser) rows(s *parse.Stream, b []byte) bool {
	u := p.head(s)
	if p.env.Spans {
		return p.rowValues(s, u, b)
	}
	n := 0
	for len(b)-n >= header && b[n] == 'D' {
		length := binary.BigEndian.Uint32(b[n+1:])
		if length < 4 || length > maxMessage {
			break
		}
		n += 1 + int(length)
		if n >= len(b) {
			break
		}
	}
	p.wanted(u, wantExecute, false)
	return p.pass(s, u, n, parse.Value{})
}

// suffixNull is what the name of a column has behind it whose value is NULL, which has no bytes.
const suffixNull = " null"

// rowValues consumes one row, with spans of its values.
func (p *parser) rowValues(s *parse.Stream, u *unit, b []byte) bool {
	total := 1 + int(binary.BigEndian.Uint32(b[1:]))
	p.wanted(u, wantExecute, false)
	p.name(u)
	if total > maxBuffered {
		return p.pass(s, u, total, parse.Value{Call: u.N, Kind: call.KindBody})
	}
	if len(b) < total {
		return p.wait(s, total)
	}
	for at, column := header+2, 1; at+4 <= total; column++ {
		size := int(int32(binary.BigEndian.Uint32(b[at:])))
		at += 4
		switch {
		case size < 0:
			p.span(s, u.N, at, nil, call.KindBody, strconv.Itoa(column)+suffixNull)
		case at+size <= total:
			p.span(s, u.N, at, b[at:at+size], call.KindBody, strconv.Itoa(column))
		}
		at += max(size, 0)
	}
	return p.pass(s, u, total, parse.Value{})
}

// name gives an answer without a request a number, so that spans can refer to it.
func (p *parser) name(u *unit) {
	if u.N == 0 && u.Kind == unknown {
		p.call(u)
	}
}

// wanted says that an answer of u has come, and reports whether it was the one that was
// expected. It is not expected any more if it was the last one of its kind.
func (p *parser) wanted(u *unit, want uint32, last bool) bool {
	switch {
	case u.Kind != extended:
		return true
	case u.Lax:
		u.Executed = u.Executed || want == wantExecute && u.Incomplete&call.UnknownFields != 0
		return false
	case u.Expect&0xf != want:
		// This is not what the messages before it have asked for.
		u.Lax = true
		u.Incomplete |= call.Gap
		return false
	case last:
		u.Expect >>= 4
	}
	return true
}

// complete says that u has its answer if there is nothing more to come.
func (p *parser) complete(u *unit) {
	if u.Kind == extended && u.Expect == 0 && !u.Open {
		u.Answered = true
		p.release()
	}
}

// answer consumes a message of the server that is no row, and reports whether the next
// one can begin.
func (p *parser) answer(s *parse.Stream, b []byte, total int) bool {
	switch b[0] {
	case 'N', 'A', 'S': // sent of the server's own accord
		return p.skip(s, uint64(total), parse.Value{})
	case 'E', 'Z', 'C', 'R', 'I', 's', '1', '2', '3', 'n':
		if needed := min(total, maxBuffered); len(b) < needed {
			return p.wait(s, needed)
		}
	}
	u := p.head(s)
	if u.Kind == unknown && u.Status != "" && (b[0] == '1' || b[0] == '2') {
		p.orphan() // of the extended query protocol; another answer begins
	}
	switch b[0] {
	case 'E':
		return p.failure(s, u, b[:min(total, maxBuffered)], total)
	case 'Z':
		p.readyForQuery(s, total)
		return true
	case 'R':
		if u.Kind == connect && total >= header+4 && binary.BigEndian.Uint32(b[header:]) == 0 {
			u.Status = "OK"
		}
	case 'C', 'I', 's':
		if u.Status == "" {
			u.Status = "OK"
		}
		p.name(u)
		if b[0] == 'C' && total > header && total <= maxBuffered {
			p.span(s, u.N, header, b[header:total-1], call.KindStatus, "tag")
		}
		if p.wanted(u, wantExecute, true) || u.Lax && u.Kind == extended {
			whole := p.pass(s, u, total, parse.Value{})
			if u.Lax {
				u.Answered = true
			}
			p.complete(u)
			return whole
		}
	case 'd':
		p.name(u)
		if p.env.Spans && u.N != 0 {
			p.pass(s, u, header, parse.Value{})
			return total == header || p.pass(s, u, total-header, parse.Value{Call: u.N, Kind: call.KindBody})
		}
	case '1':
		p.wanted(u, wantParse, true)
	case '2':
		p.wanted(u, wantBind, true)
	case '3':
		p.wanted(u, wantClose, true)
	case 't':
		p.wanted(u, wantStatement, true)
	case 'T', 'n':
		if u.Kind == extended {
			p.wanted(u, wantRows, true)
		}
	case 'G', 'W':
		u.Interleaved, u.Endless = true, b[0] == 'W'
		if b[0] == 'G' && u.Kind == extended && len(p.Queue) > 1 && p.Queue[1].Kind == sync {
			// The server ignores a Sync that came before the data.
			p.Queue = append(p.Queue[:1], p.Queue[2:]...)
			p.Grouped = true
		}
	}
	whole := p.pass(s, u, total, parse.Value{})
	if u.Kind == unknown && b[0] == 's' {
		p.orphan()
	}
	p.complete(u)
	return whole
}

// readyForQuery consumes a ReadyForQuery, with which the answers to a group end.
func (p *parser) readyForQuery(s *parse.Stream, total int) {
	for len(p.Queue) > 0 {
		u := &p.Queue[0]
		switch u.Kind {
		case unknown:
			if u.Response.Present {
				p.passEnd(s, u, &total)
				p.orphan()
			}
			p.passEnd(s, nil, &total)
			if len(p.Queue) > 1 {
				p.pop()
			}
			for len(p.Queue) > 0 && p.Queue[0].Astray {
				end := p.Queue[0].Kind == sync
				p.emit(&p.Queue[0])
				p.pop()
				if end {
					break
				}
			}
			p.ready(s)
			return
		case sync, extended:
			p.groupReady(s, total)
			return
		default:
			if u.Status == "" {
				u.Status = "OK"
				if u.Lax {
					u.Status = "" // what said it was lost
				}
			}
			p.passEnd(s, u, &total)
			p.finish(u)
			p.pop()
			p.ready(s)
			return
		}
	}
	p.passEnd(s, nil, &total)
	p.ready(s)
}

// groupReady consumes the ReadyForQuery of a group of the extended query protocol.
func (p *parser) groupReady(s *parse.Stream, total int) {
	n := 0
	var last *unit
	for n < len(p.Queue) && p.Queue[n].Kind != unknown {
		u := &p.Queue[n]
		n++
		if u.Response.Present && u.N != 0 {
			last = u
		}
		if u.Kind == sync {
			break
		}
	}
	p.passEnd(s, last, &total)
	for i := range n {
		u := &p.Queue[i]
		if u.Kind != sync && !u.Answered {
			u.Incomplete |= call.Gap // not all of its answers were there
		}
		p.finish(u)
	}
	p.Queue = p.Queue[n:]
	p.ready(s)
}

// passEnd consumes the last message of an answer of u, once.
func (p *parser) passEnd(s *parse.Stream, u *unit, total *int) {
	if u != nil {
		u.Response.begin(s)
	}
	s.Advance(*total)
	*total = 0
	if u != nil {
		u.Response.extend(s)
	}
}

// orphan gives the sink the answer at the head, whose request is not known.
func (p *parser) orphan() {
	u := &p.Queue[0]
	if u.Status != "" {
		p.call(u)
		if u.Incomplete == 0 {
			u.Incomplete = call.Gap
		}
		p.finish(u)
		p.surplus()
	}
	*u = unit{Kind: unknown}
}

// failure consumes an ErrorResponse, of which b is there.
func (p *parser) failure(s *parse.Stream, u *unit, b []byte, total int) bool {
	if u.Kind == extended && u.Answered && len(p.Queue) > 1 && p.Queue[1].Kind == extended {
		p.finish(u)
		p.pop()
		u = &p.Queue[0]
	}
	if u.Kind == sync {
		// What the Sync had to do has failed, such as a commit.
		u.Method = "SYNC"
	}
	state, message, fatal := errorFields(b)
	if fatal && u.Lax {
		// It may have been sent of the server's own accord, after an answer that was lost.
		p.flush()
		u = p.head(s)
	}
	p.call(u)
	p.span(s, u.N, state.at, b[state.at:state.end], call.KindStatus, "code")
	p.span(s, u.N, message.at, b[message.at:message.end], call.KindStatus, "message")
	if !u.Failed {
		u.Status, u.Failed = string(b[state.at:state.end]), true
	}
	whole := p.pass(s, u, total, parse.Value{})
	p.dropParsed(u)
	if fatal {
		p.ends(u)
		return whole
	}
	if u.Kind == extended {
		p.abort()
	}
	return whole
}

// field is where a field of a message is.
type field struct{ at, end int }

// errorFields returns the SQLSTATE and the text of an ErrorResponse, and whether the
// connection ends with it.
func errorFields(b []byte) (state, message field, fatal bool) {
	for at := header; at < len(b) && b[at] != 0; {
		value, _, ok := cutString(b[at+1:])
		if !ok {
			break
		}
		f := field{at + 1, at + 1 + len(value)}
		switch b[at] {
		case 'V', 'S':
			fatal = fatal || string(value) == "FATAL" || string(value) == "PANIC"
		case 'C':
			state = f
		case 'M':
			message = f
		}
		at = f.end + 1
	}
	return state, message, fatal
}

// ends gives u's call, with which the connection or its answers end, to the sink.
func (p *parser) ends(u *unit) {
	u.Open = false
	if u.Kind == unknown && (p.Doubt.On || !p.Started) && u.Incomplete == 0 {
		u.Incomplete = call.Gap
	}
	p.finish(u)
	p.pop()
}

// dropParsed forgets a name that a Parse of u has not been able to give.
func (p *parser) dropParsed(u *unit) {
	if u.Named && u.Expect&0xf == wantParse && u.Statement != "" {
		p.undefine(u.Statement)
	}
}

// abort marks what the server passes over after an error of the unit at the head: all up to the next Sync.
func (p *parser) abort() {
	u := &p.Queue[0]
	u.Open, u.Answered, u.Expect = false, true, 0
	u.Request.Ended = true
	p.Aborted = p.passOver(1) && p.Grouped
}

// passOver marks the units from the one with index from on up to the next Sync as passed over. It reports whether there is no Sync.
func (p *parser) passOver(from int) bool {
	for i := from; i < len(p.Queue); i++ {
		u := &p.Queue[i]
		if u.Kind == sync {
			return false
		}
		if u.Kind != unknown {
			u.Open, u.Answered, u.PassedOver, u.Request.Ended = false, true, true, true
			p.dropParsed(u)
		}
	}
	return true
}

// Sync implements parse.Parser.
func (p *parser) Sync(s *parse.Stream) (n int, found bool) {
	b := s.Bytes()
	n, _, found = find(s.Dir(), b, weightSync)
	return n, found
}
