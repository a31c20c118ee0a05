package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// maxBuffered is how much of a packet is waited for. Of a statement that is longer, the
// target has no more than that.
const maxBuffered = 64 << 10

// cutMark is at the end of a target that was cut.
const cutMark = "…"

// Parse implements parse.Parser.
func (p *parser) Parse(s *parse.Stream) error {
	p.streams[s.Dir()] = s
	run := p.client
	if s.Dir() == record.Out {
		run = p.server
	}
	var err error
	if p.Inflated[s.Dir()] == nil {
		err = run(source{s: s})
	}
	if err == nil && p.Inflated[s.Dir()] != nil && !s.Skipping() {
		err = p.inflate(s, run)
	}
	p.Next[s.Dir()] = s.Offset()
	return err
}

// client consumes packets of the client.
func (p *parser) client(c source) error {
	if !p.begun(c) {
		return nil
	}
	for {
		if c.skipping() {
			return nil
		}
		if p.Command && !p.More[record.In] {
			p.Command = false
			p.asked()
		}
		b := c.bytes()
		if len(b) < header {
			return nil
		}
		n := length(b)
		before := p.Number[record.In]
		p.Number[record.In] = b[3]
		var err error
		var more bool
		switch {
		case p.More[record.In]:
			p.More[record.In] = n == maxPacket
			c.advance(header)
			more = p.skip(c, n, p.MoreAs)
			p.extend(c)
		case p.Phase != commands:
			more, err = p.login(c, b, n)
		case b[3] != 0, p.Step == stepFile && len(p.Queue) > 0, p.Torn && before == 0xff && p.asking() != nil:
			more, err = p.data(c, b, n)
		default:
			more, err = p.command(c, b, n)
		}
		if err != nil || !more {
			return err
		}
		if p.Inflated[record.In] != nil && c.z == nil {
			return nil // it is compressed from here on
		}
	}
}

// begun is called first of all with a source. It reports whether there is a packet.
func (p *parser) begun(c source) bool {
	if c.z != nil {
		if c.z.Skip > 0 {
			c.z.skipData(c.dir(), p.sink())
			if c.z.Skip > 0 {
				return false
			}
		}
		if !c.z.Synced {
			n, _, found := find(c.dir(), c.z.Data, weightSync)
			c.z.consume(n)
			c.z.Synced = found
			if !found {
				return false
			}
		}
	}
	p.passed(c)
	return true
}

// data consumes a packet that goes on with a command: a file, or more of a login.
func (p *parser) data(c source, b []byte, n int) (bool, error) {
	u := p.asking()
	if u == nil {
		if !p.Torn {
			return false, fmt.Errorf("a client's packet has the number %d", b[3])
		}
		return p.skip(c, header+n, parse.Value{}), nil
	}
	u.Interleaved = true
	v := parse.Value{Call: u.N, Kind: call.KindBody}
	if u.Login || u.Command == comChangeUser {
		v.Kind = call.KindPassword
	}
	if n == 0 && p.Step == stepFile {
		p.Step = stepFirst // the file has ended
	}
	p.More[record.In], p.MoreAs = n == maxPacket, v
	c.advance(header)
	more := p.skip(c, n, v)
	u.Request.extend(c)
	return more, nil
}

// login consumes a packet of the client before the first command.
func (p *parser) login(c source, b []byte, n int) (bool, error) {
	if len(b) < header+min(n, maxBuffered) {
		c.need(header + min(n, maxBuffered))
		return false, nil
	}
	body := b[header : header+min(n, maxBuffered)]
	if b[3] == 0 && p.Torn {
		// The end of the login was lost.
		p.loggedInNow(true)
		return true, nil
	}
	if p.asking() != nil {
		return p.data(c, b, n)
	}
	if n < 4 {
		return false, errors.New("a login is too short")
	}
	caps := uint64(binary.LittleEndian.Uint32(body))
	const fixed = 4 + 4 + 1 + 23
	if caps&capProtocol41 == 0 {
		return p.oldLogin(c, body, n)
	}
	if n < fixed {
		return false, errors.New("a login is too short")
	}
	if caps&capMySQL == 0 {
		caps |= uint64(binary.LittleEndian.Uint32(body[fixed-4:])) << 32
	}
	if caps&capTLS != 0 && n == fixed {
		c.advance(header + n)
		return false, &parse.Upgrade{To: call.TLS, Other: p.Next[record.Out]}
	}
	p.agree(caps)
	u := p.push(unit{N: p.env.Next(), Login: true})
	u.Request.begin(c)
	rest := body[fixed:]
	at := func() int { return header + len(body) - len(rest) }
	user, rest, ok := cutString(rest)
	if !ok {
		return false, errors.New("a login has no user")
	}
	p.span(c, u.N, header+fixed, user, call.KindHeader, "user")
	var password []byte
	switch {
	case caps&capAuthLenEnc != 0:
		size, k := lenEnc(rest)
		if k > 0 && size <= uint64(len(rest)-k) {
			password, rest = rest[k:k+int(size)], rest[k+int(size):]
		}
	case caps&capSecure != 0:
		if len(rest) > 0 && int(rest[0]) < len(rest) {
			password, rest = rest[1:1+int(rest[0])], rest[1+int(rest[0]):]
		}
	default:
		password, rest, _ = cutString(rest)
		if len(password) > 0 {
			p.span(c, u.N, at()-len(password)-1, password, call.KindPassword, "")
			password = nil
		}
	}
	if len(password) > 0 {
		p.span(c, u.N, at()-len(password), password, call.KindPassword, "")
	}
	if caps&capWithDB != 0 {
		from := at()
		if db, _, ok := cutString(rest); ok {
			u.Target = raw(db)
			p.span(c, u.N, from, db, call.KindTarget, "")
		}
	}
	more := p.skip(c, header+n, parse.Value{})
	u.Request.extend(c)
	u.Request.Ended = true
	return more, nil
}

// oldLogin consumes the login of a client that is older than MySQL 4.1.
func (p *parser) oldLogin(c source, body []byte, n int) (bool, error) {
	const fixed = 2 + 3
	if n < fixed {
		return false, errors.New("a login is too short")
	}
	caps := uint64(binary.LittleEndian.Uint16(body))
	if caps&capTLS != 0 && n == fixed {
		c.advance(header + n)
		return false, &parse.Upgrade{To: call.TLS, Other: p.Next[record.Out]}
	}
	p.agree(caps)
	u := p.push(unit{N: p.env.Next(), Login: true})
	u.Request.begin(c)
	user, rest, ok := cutString(body[fixed:])
	p.span(c, u.N, header+fixed, user, call.KindHeader, "user")
	if ok {
		password, rest, ok := cutString(rest)
		if len(password) > 0 {
			p.span(c, u.N, header+fixed+len(user)+1, password, call.KindPassword, "")
		}
		if ok && caps&capWithDB != 0 {
			db, _, _ := cutString(rest)
			u.Target = raw(db)
		}
	}
	more := p.skip(c, header+n, parse.Value{})
	u.Request.extend(c)
	u.Request.Ended = true
	return more, nil
}

// agree keeps what both sides can do.
func (p *parser) agree(client uint64) {
	p.Agreed = client
	if p.Server != 0 {
		p.Agreed &= p.Server
	}
	p.HasCaps = true
	p.DeprecateEOF = no
	if p.Agreed&capDeprecateEOF != 0 {
		p.DeprecateEOF = yes
	}
}

// cutString returns the bytes before a NUL and those after it.
func cutString(b []byte) (before, after []byte, ok bool) { return bytes.Cut(b, []byte{0}) }

// lenEnc returns a number whose first byte says how long it is, and how many bytes it
// has: 0 if they are not all there, or it is none.
func lenEnc(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	switch {
	case b[0] < 0xfb:
		return uint64(b[0]), 1
	case b[0] == 0xfc && len(b) >= 3:
		return uint64(binary.LittleEndian.Uint16(b[1:])), 3
	case b[0] == 0xfd && len(b) >= 4:
		return uint64(length(b[1:])), 4
	case b[0] == 0xfe && len(b) >= 9:
		return binary.LittleEndian.Uint64(b[1:]), 9
	}
	return 0, 0
}

// span reports a value that begins at bytes()[at].
func (p *parser) span(c source, n uint64, at int, value []byte, kind call.Kind, name string) {
	if !p.env.Spans {
		return
	}
	r, encoding := c.span(at, len(value))
	p.env.Sink.Span(call.Span{Call: n, Direction: c.dir(), Range: r, Kind: kind, Name: name, Encoding: encoding, Value: value})
}

// command consumes a command.
func (p *parser) command(c source, b []byte, n int) (bool, error) {
	if n == 0 {
		return false, errors.New("an empty command")
	}
	needed := header + min(n, maxBuffered)
	if len(b) < needed {
		c.need(needed)
		return false, nil
	}
	cmd := command(b[header])
	if _, ok := names[cmd]; !ok {
		if p.Torn {
			return p.data(c, b, n) // of a file, whose beginning was lost
		}
		return false, fmt.Errorf("a command has the number %#x", b[header])
	}
	body := b[header+1 : needed]
	u := unit{N: p.env.Next(), Command: cmd}
	u.Request.begin(c)
	if cmd.onStatement() {
		p.refer(&u, body)
	}
	if !cmd.answered() {
		return p.unanswered(c, &u, body, n), nil
	}
	kind, text := call.Kind(0), 0 // of what is passed over, and where it begins in body
	switch cmd {
	case comQuery:
		text = p.attributes(body)
		kind = call.KindTarget
		u.Target = target(body[text:], n <= maxBuffered)
	case comPrepare:
		kind = call.KindTarget
		u.Target = target(body, n <= maxBuffered)
	case comInitDB, comCreateDB, comDropDB:
		kind = call.KindTarget
		u.Target = raw(body)
	case comFieldList:
		table, _, _ := cutString(body)
		u.Target = raw(table)
	case comProcessKill:
		if len(body) >= 4 {
			u.Target = raw(strconv.FormatUint(uint64(binary.LittleEndian.Uint32(body)), 10))
		}
	case comExecute, comBulkExecute:
		text = min(len(body), 9) // number, flags, count
		if cmd == comBulkExecute {
			text = min(len(body), 6)
		}
		kind = call.KindArgument
	case comChangeUser:
		text = len(body)
	}
	asked := p.push(u)
	switch cmd {
	case comChangeUser:
		p.changeUser(c, asked, body)
	case comResetConnection:
		p.forget()
	case comExecute:
		if n <= maxBuffered && p.env.Spans && p.values(c, asked, body) {
			text = len(body)
		}
	}
	p.Command = true
	p.More[record.In], p.MoreAs = n == maxPacket, parse.Value{Call: asked.N, Kind: kind}
	return p.rest(c, asked, 1+text, n), nil
}

// rest consumes a packet of u's command, of n bytes: first bytes of no interest.
func (p *parser) rest(c source, u *unit, first, n int) bool {
	c.advance(header + first)
	u.Request.extend(c)
	if n > first {
		whole := p.skip(c, n-first, p.MoreAs)
		u.Request.extend(c)
		return whole
	}
	return true
}

// asked is called when all of a command has passed.
func (p *parser) asked() {
	if u := p.Sending; u != nil {
		u.Request.Ended = true
		p.emit(u)
		p.Sending = nil
	} else if u := p.asking(); u != nil {
		u.Request.Ended = true
	}
}

// target returns the text of a statement that is whole or not.
func target(text []byte, whole bool) raw {
	if whole {
		return raw(text)
	}
	return raw(text) + cutMark
}

// unanswered consumes a command that the server does not answer.
func (p *parser) unanswered(c source, u *unit, body []byte, n int) bool {
	var v parse.Value
	head := 0
	switch u.Command {
	case comLongData:
		head = min(len(body), 6) // number, parameter
		v = parse.Value{Call: u.N, Kind: call.KindArgument}
	case comClose:
		if len(body) >= 4 {
			p.drop(binary.LittleEndian.Uint32(body))
		}
	}
	p.Sending = u
	p.Command = true
	p.More[record.In], p.MoreAs = n == maxPacket, v
	return p.rest(c, u, 1+head, n)
}

// attributes returns where the statement of a QUERY begins, behind the attributes that
// the client may send with it.
func (p *parser) attributes(body []byte) int {
	if p.HasCaps && p.Agreed&capAttributes == 0 {
		return 0
	}
	if len(body) < 2 || !p.HasCaps && (body[0] >= ' ' || body[1] != 1) {
		return 0 // no statement begins so
	}
	params, k := lenEnc(body)
	sets, l := lenEnc(body[k:])
	at := k + l
	if k == 0 || l == 0 || sets != 1 || params == 0 {
		return at
	}
	n, ok := skipValues(body[at:], int(min(params, 1<<16)), true, nil, nil)
	if !ok {
		return at
	}
	return at + n
}

// refer makes the statement whose number is in body u's target.
func (p *parser) refer(u *unit, body []byte) {
	const last = 0xffffffff // of MariaDB: the statement that was prepared last
	if len(body) < 4 {
		u.Incomplete |= call.UnknownFields
		return
	}
	id := binary.LittleEndian.Uint32(body)
	if id == last {
		if p.Doubt > 0 {
			u.Incomplete |= call.UnknownFields // it may have been lost
			return
		}
		for i := len(p.Queue) - 1; i >= 0; i-- {
			if p.Queue[i].Command == comPrepare {
				u.Target = p.Queue[i].Target // its number is still to come
				return
			}
		}
		if p.HasLast {
			id = p.LastID
		}
	}
	s, ok := p.Statements[id]
	switch {
	case !ok:
		u.Incomplete |= call.UnknownFields
	case s.Lost:
		u.Incomplete |= call.UnknownFields | call.Gap
	}
	u.Target = s.Text
}

const statementOverhead = 100

// size returns what a statement costs, roughly.
func (s *statement) size() int { return len(s.Text) + 2*min(s.Params, maxTypes) + statementOverhead }

// define gives a prepared statement a number. The oldest ones are given up if there are too many.
func (p *parser) define(id uint32, text raw, params int) {
	p.drop(id)
	p.Order++
	p.Statements[id] = statement{Text: text, Params: params, Order: p.Order}
	p.LastID, p.HasLast = id, true
	s := p.Statements[id]
	p.Size += s.size()
	for p.Size > p.env.Memory/4 && len(p.Statements) > 1 {
		oldest, order := uint32(0), p.Order+1
		for id, s := range p.Statements {
			if s.Order < order {
				oldest, order = id, s.Order
			}
		}
		p.drop(oldest)
	}
}

func (p *parser) drop(id uint32) {
	if s, ok := p.Statements[id]; ok {
		p.Size -= s.size()
		delete(p.Statements, id)
	}
}

// forget forgets all prepared statements, as the server does.
func (p *parser) forget() {
	clear(p.Statements)
	p.Size, p.HasLast = 0, false
}

// changeUser reads a CHANGE_USER.
func (p *parser) changeUser(c source, u *unit, body []byte) {
	p.forget()
	user, rest, ok := cutString(body)
	p.span(c, u.N, header+1, user, call.KindHeader, "user")
	if !ok || len(rest) == 0 {
		return
	}
	at := header + 1 + len(user) + 1
	size, k := int(rest[0]), 1
	if size > len(rest)-k {
		return
	}
	if size > 0 {
		p.span(c, u.N, at+k, rest[k:k+size], call.KindPassword, "")
	}
	if db, _, ok := cutString(rest[k+size:]); ok {
		u.Target = raw(db)
		p.span(c, u.N, at+k+size, db, call.KindTarget, "")
	}
}
