package postgresql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// maxBuffered is how much of a message is waited for. Of a statement that is longer, the
// target has no more than that.
const maxBuffered = 64 << 10

// cutMark is at the end of a target that was cut.
const cutMark = "…"

// Parse implements parse.Parser.
func (p *parser) Parse(s *parse.Stream) error {
	p.passed(s)
	var err error
	if s.Dir() == record.In {
		err = p.client(s)
		if at := nanos(s.LastTime()); at != 0 {
			p.Doubt.Asked = at
		}
	} else {
		err = p.server(s)
	}
	p.Next[s.Dir()] = s.Offset()
	return err
}

// client consumes messages of the client.
func (p *parser) client(s *parse.Stream) error {
	for {
		if p.Long.Type != 0 {
			if !p.goOn(s) {
				return nil
			}
			continue
		}
		b := s.Bytes()
		if p.Negotiating {
			if !p.Unsure || len(b) == 0 {
				return nil // the server says what comes
			}
			p.Negotiating, p.Unsure = false, false
			if b[0] == 0x16 {
				return &parse.Upgrade{To: call.TLS, Other: p.Next[record.Out]}
			}
		}
		if len(b) == 0 {
			return nil
		}
		if !p.Started && (b[0] == 0 || s.FromStart()) {
			if done, err := p.startup(s, b); err != nil || !done {
				return err
			}
			continue
		}
		if !clientType(b[0]) {
			return fmt.Errorf("a client's message has the type %q", b[0])
		}
		if len(b) < header {
			return nil
		}
		n := int64(binary.BigEndian.Uint32(b[1:]))
		if n < 4 || n > maxMessage {
			return fmt.Errorf("a client's message of type %c has %d bytes", b[0], n)
		}
		p.Started = true
		if !p.message(s, b, 1+int(n)) {
			return nil
		}
	}
}

// startup consumes a message without a type. done is false where more bytes are needed.
func (p *parser) startup(s *parse.Stream, b []byte) (done bool, err error) {
	v := startupVerdict(b)
	if v == parse.No {
		return false, errors.New("a connection does not begin as one of PostgreSQL")
	}
	n := 8
	if len(b) >= 8 {
		n = int(binary.BigEndian.Uint32(b))
	}
	if len(b) < n {
		return false, nil
	}
	switch code := binary.BigEndian.Uint32(b[4:]); code {
	case codeSSL, codeGSS:
		s.Advance(n)
		p.Negotiating = true
		return true, nil
	case codeCancel:
		u := unit{Kind: connect}
		u.Request.begin(s)
		s.Advance(n)
		u.Request.extend(s)
		u.Request.Ended = true
		p.call(&u)
		u.Kind, u.Method = 0, "CANCEL"
		p.emit(&u)
		p.Started = true
		return true, nil
	}
	p.Started = true
	p.group(s)
	u := p.push(unit{Kind: connect})
	u.Request.begin(s)
	p.call(u)
	fields := b[8:n]
	user := raw("")
	for at := 8; ; {
		name, rest, ok := cutString(fields)
		if !ok || len(name) == 0 {
			break
		}
		at += len(name) + 1
		value, rest, ok := cutString(rest)
		if !ok {
			break
		}
		switch string(name) {
		case "user":
			user = raw(value)
		case "database":
			u.Target = raw(value)
		}
		p.span(s, u.N, at, value, call.KindHeader, string(name))
		at += len(value) + 1
		fields = rest
	}
	if u.Target == "" {
		u.Target = user
	}
	s.Advance(n)
	u.Request.extend(s)
	u.Request.Ended = true
	return true, nil
}

// cutString returns the bytes before a NUL and those after it.
func cutString(b []byte) (before, after []byte, ok bool) {
	return bytes.Cut(b, []byte{0})
}

// span reports a value that begins at s.Bytes()[at].
func (p *parser) span(s *parse.Stream, n uint64, at int, value []byte, kind call.Kind, name string) {
	if p.env.Spans {
		p.env.Sink.Span(call.Span{
			Call: n, Direction: s.Dir(), Range: call.Range{Offset: s.Offset() + uint64(at), Length: uint64(len(value))},
			Kind: kind, Name: name, Value: value,
		})
	}
}

// message consumes a message of the client, whose head is there, and reports whether
// the next one can begin.
func (p *parser) message(s *parse.Stream, b []byte, total int) bool {
	switch b[0] {
	case 'H': // Flush
		if p.Grouped {
			p.closeOpen()
		}
		return p.skip(s, uint64(total), parse.Value{})
	case 'X': // Terminate
		return p.skip(s, uint64(total), parse.Value{})
	case 'S':
		if len(b) < total {
			return p.wait(s, total)
		}
		p.sync(s, total)
		return true
	case 'd', 'c', 'f':
		return p.copyData(s, b[0], total)
	case 'p':
		return p.password(s, total)
	}
	needed := min(total, maxBuffered)
	if len(b) < needed {
		return p.wait(s, needed)
	}
	body := b[header:needed]
	switch b[0] {
	case 'Q':
		return p.query(s, body, total)
	case 'P':
		return p.parse(s, body, total)
	case 'B':
		return p.bind(s, body, total)
	case 'E':
		return p.execute(s, body, total)
	case 'F':
		return p.function(s, body, total)
	}
	return p.describe(s, b[0], body, total) // or Close
}

func (p *parser) wait(s *parse.Stream, n int) bool {
	s.Need(n)
	return false
}

// rest passes over n bytes, with which a request ends, or may end.
func (p *parser) rest(s *parse.Stream, n int) bool {
	whole := p.skip(s, uint64(n), parse.Value{})
	p.extend(record.In, s)
	return whole
}

// closeOpen says that the open unit is not continued.
func (p *parser) closeOpen() {
	if len(p.Queue) == 0 || !p.tail().Open {
		return
	}
	u := p.tail()
	u.Open = false
	u.Request.Ended = true
	if u.Expect == 0 && !u.Lax {
		u.Answered = true
	}
	p.release()
}

// sync consumes a Sync, with which a group ends.
func (p *parser) sync(s *parse.Stream, total int) {
	p.group(s)
	p.closeOpen()
	last := (*unit)(nil)
	if len(p.Queue) > 0 && p.tail().Kind == extended {
		last = p.tail()
	}
	start := s.Offset()
	s.Advance(total)
	if last != nil && last.Request.To == start && !last.Response.Present {
		last.Request.extend(s)
	}
	if p.Aborted {
		p.passOver(1)
	}
	p.Grouped, p.Aborted = false, false
	u := p.push(unit{Kind: sync})
	u.Request = part{Present: true, From: start, To: s.Offset(), Ended: true, First: nanos(s.LastTime()), Last: nanos(s.LastTime())}
}

// open returns the unit that a message of the extended query protocol belongs to, which
// begins at s. again says that it has such a message already, so that another one begins.
func (p *parser) open(s *parse.Stream, again func(*unit) bool) *unit {
	p.group(s)
	p.Grouped = true
	if len(p.Queue) > 0 && p.tail().Open {
		if u := p.tail(); !again(u) {
			return u
		}
		p.closeOpen()
	}
	u := p.push(unit{Kind: extended, Open: true})
	u.Request.begin(s)
	return u
}

func (p *parser) query(s *parse.Stream, body []byte, total int) bool {
	p.group(s)
	p.closeOpen()
	u := p.push(unit{Kind: query})
	p.call(u)
	u.Request.begin(s)
	statement, _, ok := cutString(body)
	u.Target = target(statement, ok)
	p.Texts += len(u.Target)
	p.forget(statement)
	if total <= maxBuffered {
		p.span(s, u.N, header, statement, call.KindTarget, "")
		u.Request.Ended = true
		return p.rest(s, total)
	}
	s.Advance(header)
	u.Request.extend(s)
	p.Long = long{Type: 'Q', Left: uint64(total - header), N: u.N}
	return p.goOn(s)
}

// target returns the text of a statement that is whole or not.
func target(statement []byte, whole bool) raw {
	if whole {
		return raw(statement)
	}
	return raw(statement) + cutMark
}

// forget forgets the prepared statements if a statement in SQL may change them.
func (p *parser) forget(statement []byte) {
	word, _, _ := bytes.Cut(bytes.TrimSpace(statement[:min(len(statement), 64)]), []byte(" "))
	switch strings.ToUpper(strings.TrimRight(string(word), ";")) {
	case "DEALLOCATE", "DISCARD", "PREPARE":
		for name, statement := range p.Statements {
			statement.Lost = true
			p.Statements[name] = statement
		}
	}
}

func (p *parser) parse(s *parse.Stream, body []byte, total int) bool {
	u := p.open(s, func(u *unit) bool { return u.Parsed || u.Bound })
	p.call(u)
	u.Parsed = true
	u.expect(wantParse)
	name, rest, ok := cutString(body)
	if !ok {
		u.Incomplete |= call.UnknownFields
		return p.endsWith(s, u, total)
	}
	statement, _, whole := cutString(rest)
	u.Target, u.Statement, u.Named = target(statement, whole), raw(name), true
	p.Texts += len(u.Target) + len(u.Statement)
	p.define(u.Statement, u.Target)
	if whole {
		p.span(s, u.N, header+len(name)+1, statement, call.KindTarget, "")
		return p.endsWith(s, u, total)
	}
	n := header + len(name) + 1
	s.Advance(n)
	u.Request.extend(s)
	p.Long = long{Type: 'P', Left: uint64(total - n), N: u.N}
	return p.goOn(s)
}

// endsWith passes over a message that is u's last one so far.
func (p *parser) endsWith(s *parse.Stream, u *unit, total int) bool {
	whole := p.skip(s, uint64(total), parse.Value{})
	u.Request.extend(s)
	return whole
}

// define gives a prepared statement a name. The oldest ones are given up if there are too many.
func (p *parser) define(name, statement raw) {
	p.undefine(name)
	const overhead = 100
	size := func(name, statement raw) int { return len(name) + len(statement) + overhead }
	p.Statements[string(name)] = prepared{Text: statement}
	p.Order = append(p.Order, name)
	p.Size += size(name, statement)
	for p.Size > p.env.Memory/4 && len(p.Order) > 1 {
		p.undefine(p.Order[0])
	}
}

func (p *parser) undefine(name raw) {
	statement, ok := p.Statements[string(name)]
	if !ok {
		return
	}
	const overhead = 100
	p.Size -= len(name) + len(statement.Text) + overhead
	delete(p.Statements, string(name))
	for i, other := range p.Order {
		if other == name {
			p.Order = append(p.Order[:i], p.Order[i+1:]...)
			break
		}
	}
}

// refer makes a statement that was prepared before u's target.
func refer(u *unit, statements map[string]prepared, name []byte) {
	statement, ok := statements[string(name)]
	switch {
	case !ok:
		u.Incomplete |= call.UnknownFields
	case statement.Lost:
		u.Incomplete |= call.UnknownFields | call.Gap
	}
	u.Target = statement.Text
}

// maxPortals is how many portals are remembered.
const maxPortals = 128

// limitPortals gives up all portals if there would be too many, or too much of them, with
// one of that name and statement.
func (p *parser) limitPortals(name []byte, statement raw) {
	size := len(name) + len(statement)
	for name, portal := range p.Portals {
		size += len(name) + len(portal.Text)
	}
	if _, there := p.Portals[string(name)]; size > p.env.Memory/8 || !there && len(p.Portals) >= maxPortals {
		clear(p.Portals)
	}
}

func (p *parser) bind(s *parse.Stream, body []byte, total int) bool {
	u := p.open(s, func(u *unit) bool { return u.Bound })
	p.call(u)
	u.Bound = true
	u.expect(wantBind)
	portal, rest, ok := cutString(body)
	name, rest, ok2 := cutString(rest)
	if !ok || !ok2 {
		u.Incomplete |= call.UnknownFields
		return p.endsWith(s, u, total)
	}
	if !u.Parsed || u.Statement != raw(name) {
		refer(u, p.Statements, name)
	}
	p.limitPortals(portal, u.Target)
	p.Portals[string(portal)] = prepared{u.Target, u.Incomplete&call.UnknownFields != 0}
	if !p.env.Spans || len(rest) < 2 {
		return p.endsWith(s, u, total)
	}
	return p.values(s, u, rest, total)
}

// values consumes a message whose rest, as far as it is there, is formats and values.
func (p *parser) values(s *parse.Stream, u *unit, rest []byte, total int) bool {
	formats := 2 + 2*int(binary.BigEndian.Uint16(rest))
	if len(rest) < formats+2 {
		return p.endsWith(s, u, total)
	}
	needed := min(total, maxBuffered)
	n := needed - len(rest) + formats + 2
	s.Advance(n)
	u.Request.extend(s)
	p.Long = long{Type: 'B', Left: uint64(total - n), Params: int(binary.BigEndian.Uint16(rest[formats:])), N: u.N}
	return p.goOn(s)
}

// goOn consumes what it can of a message in steps, and reports whether it was all of
// it.
func (p *parser) goOn(s *parse.Stream) bool {
	l := &p.Long
	for !s.Skipping() {
		switch {
		case l.Left == 0:
			p.extend(record.In, s)
			if u := p.asking(); u != nil && !u.Open {
				u.Request.Ended = true
			}
			*l = long{}
			return true
		case l.Type == 'Q' && l.Left > 1:
			// All but the NUL at its end.
			p.step(s, l.Left-1, parse.Value{Call: l.N, Kind: call.KindTarget})
		case l.Type == 'P':
			// The statement ends with a NUL, which need not be the message's last byte.
			b := s.Bytes()
			b = b[:min(uint64(len(b)), l.Left)]
			if len(b) == 0 {
				return false
			}
			end := bytes.IndexByte(b, 0)
			if end < 0 {
				p.statement(s, b, true)
				continue
			}
			p.statement(s, b[:end], false)
			l.Type = 0xff
		case l.Type == 'B' && l.Params > 0:
			b := s.Bytes()
			if len(b) < 4 && l.Left >= 4 {
				return p.wait(s, 4)
			}
			l.Params--
			l.Param++
			if l.Left < 4 {
				l.Params = 0
				continue
			}
			size := int32(binary.BigEndian.Uint32(b))
			s.Advance(4)
			l.Left -= 4
			if size > 0 {
				p.step(s, min(uint64(size), l.Left), parse.Value{Call: l.N, Kind: call.KindArgument, Name: strconv.Itoa(l.Param)})
			}
		default:
			p.step(s, l.Left, parse.Value{})
		}
	}
	p.extend(record.In, s)
	return false
}

// step passes over n bytes of a message.
func (p *parser) step(s *parse.Stream, n uint64, v parse.Value) {
	p.Long.Left -= n
	p.skip(s, n, v)
	if !s.Skipping() {
		p.extend(record.In, s)
	}
}

// statement consumes a part of the text of a statement.
func (p *parser) statement(s *parse.Stream, b []byte, more bool) {
	if p.env.Spans {
		p.env.Sink.Span(call.Span{
			Call: p.Long.N, Direction: record.In, Range: call.Range{Offset: s.Offset(), Length: uint64(len(b))},
			Kind: call.KindTarget, More: more, Value: b,
		})
	}
	p.Long.Left -= uint64(len(b))
	s.Advance(len(b))
	p.extend(record.In, s)
}

func (p *parser) execute(s *parse.Stream, body []byte, total int) bool {
	u := p.open(s, func(*unit) bool { return false })
	p.call(u)
	portal, _, ok := cutString(body)
	switch {
	case !ok:
		u.Incomplete |= call.UnknownFields
	case !u.Bound:
		refer(u, p.Portals, portal)
	}
	u.Executed = true
	u.expect(wantExecute)
	whole := p.endsWith(s, u, total)
	p.closeOpen()
	return whole
}

func (p *parser) describe(s *parse.Stream, typ byte, body []byte, total int) bool {
	u := p.open(s, func(*unit) bool { return false })
	statement := len(body) > 0 && body[0] == 'S'
	name, _, _ := cutString(body[min(1, len(body)):])
	if u.N == 0 && u.Target == "" {
		if statement {
			u.Target = p.Statements[string(name)].Text
		} else {
			u.Target = p.Portals[string(name)].Text
		}
	}
	if typ == 'D' {
		if u.Method == "" {
			u.Method = "DESCRIBE"
		}
		if statement {
			u.expect(wantStatement)
		}
		u.expect(wantRows)
	} else {
		if u.Method == "" {
			u.Method = "CLOSE"
		}
		if statement {
			p.undefine(raw(name))
		} else {
			delete(p.Portals, string(name))
		}
		u.expect(wantClose)
	}
	return p.endsWith(s, u, total)
}

func (p *parser) function(s *parse.Stream, body []byte, total int) bool {
	p.group(s)
	p.closeOpen()
	u := p.push(unit{Kind: function})
	p.call(u)
	u.Request.begin(s)
	if len(body) >= 4 {
		u.Target = raw(strconv.FormatUint(uint64(binary.BigEndian.Uint32(body)), 10))
	}
	u.Request.Ended = total <= maxBuffered
	if !p.env.Spans || len(body) < 6 {
		u.Request.Ended = true
		return p.rest(s, total)
	}
	return p.values(s, u, body[4:], total)
}

// copyData consumes a message of a COPY of the client's.
func (p *parser) copyData(s *parse.Stream, typ byte, total int) bool {
	u := p.asking()
	var v parse.Value
	if u != nil && u.N != 0 {
		u.Interleaved = true
		if typ == 'd' && p.env.Spans {
			if len(s.Bytes()) < header {
				return p.wait(s, header)
			}
			s.Advance(header)
			total -= header
			v = parse.Value{Call: u.N, Kind: call.KindBody}
		}
	}
	whole := p.skip(s, uint64(total), v)
	if u != nil && u.Kind != connect {
		u.Request.extend(s)
	}
	return whole
}

// password consumes a message of the authentication.
func (p *parser) password(s *parse.Stream, total int) bool {
	n := uint64(0)
	u := p.asking()
	if u != nil && u.Kind == connect {
		n = u.N
		u.Interleaved = true
	} else {
		u = nil
	}
	s.Advance(header)
	whole := p.skip(s, uint64(total-header), parse.Value{Call: n, Kind: call.KindPassword})
	if u != nil {
		u.Request.extend(s)
	}
	return whole
}
