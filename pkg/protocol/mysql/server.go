package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Bytes that packets of the server begin with.
const (
	packetOK     = 0x00
	packetMore   = 0x01 // of a login
	packetFile   = 0xfb
	packetEnd    = 0xfe
	packetError  = 0xff
	progressCode = 0xffff
)

// minOK is how long an OK is at least, since MySQL 4.1.
const minOK = 7

// maxEnd is how long an end packet may be that is the only one of an answer.
const maxEnd = 11

// maxHead is how much of a packet is needed to know what it says, if no answer can end with it.
const maxHead = 64

// server consumes packets of the server.
func (p *parser) server(c source) error {
	if !p.begun(c) {
		return nil
	}
	for {
		if c.skipping() {
			return nil
		}
		b := c.bytes()
		if len(b) < header {
			return nil
		}
		n := length(b)
		if p.More[record.Out] {
			p.More[record.Out] = n == maxPacket
			if !p.pass(c, header+n) {
				return nil
			}
			continue
		}
		if p.Step == stepRows && !p.env.Spans && len(p.Queue) > 0 && !p.Queue[0].Lax && p.Doubt == 0 {
			if n := rows(b); n > 0 {
				n, last := n, length(b[lastPacket(b, n):])
				p.More[record.Out] = last == maxPacket
				if !p.pass(c, n) {
					return nil
				}
				continue
			}
		}
		if needed := p.needed(b, n); len(b) < needed {
			c.need(needed)
			return nil
		}
		if n == 0 && (p.Phase == greeting || !p.Torn) {
			return errors.New("an empty packet of the server")
		}
		more, err := p.packet(c, b, n)
		if err != nil || !more {
			return err
		}
		if p.Inflated[record.Out] != nil && c.z == nil {
			return nil // it is compressed from here on
		}
	}
}

// needed returns how much of a packet must be there: enough to know what it says, and all
// of a packet with which an answer may end.
func (p *parser) needed(b []byte, n int) int {
	whole := header + min(n, maxBuffered)
	switch p.Step {
	case stepRows, stepEvents, stepColumns, stepFields:
		if len(b) == header {
			return header + min(n, 1)
		}
		if p.Phase == commands && b[header] < packetEnd && (len(p.Queue) == 0 || !p.Queue[0].Lax) {
			return header + min(n, maxHead)
		}
	}
	return whole
}

// rows returns how many bytes the rows have with which b begins. The last one may go on
// behind b.
func rows(b []byte) int {
	at := 0
	for len(b)-at > header {
		n := length(b[at:])
		if n == 0 || b[at+header] >= packetEnd && (n < maxPacket || b[at+header] == packetError) {
			break
		}
		at += header + n
		if n == maxPacket {
			break
		}
	}
	return at
}

// lastPacket returns where the last of the packets begins with n bytes in all.
func lastPacket(b []byte, n int) int {
	at := 0
	for {
		next := at + header + length(b[at:])
		if next >= n {
			return at
		}
		at = next
	}
}

// pass consumes n bytes of the answer at the head, and reports whether they are all there.
func (p *parser) pass(c source, n int) bool { return p.passAs(c, n, parse.Value{}) }

func (p *parser) passAs(c source, n int, v parse.Value) bool {
	if len(p.Queue) == 0 {
		return p.skip(c, n, v)
	}
	u := &p.Queue[0]
	u.Response.begin(c)
	whole := p.skip(c, n, v)
	u.Response.extend(c)
	p.Answered = u.Response.Last
	return whole
}

// packet consumes a packet of the server, and reports whether the next one can begin.
func (p *parser) packet(c source, b []byte, n int) (bool, error) {
	body := b[header : header+min(n, len(b)-header)]
	number := p.Number[record.Out]
	p.Number[record.Out] = b[3]
	if p.Phase == greeting {
		if b[3] == 0 || !p.Torn {
			return p.greet(c, body, n)
		}
		p.Phase = login
	}
	p.More[record.Out] = n == maxPacket
	if len(p.Queue) == 0 {
		p.Queue = append(p.Queue, unit{})
	}
	if at := c.first(); p.Doubt > 0 && p.Queue[0].Request.First > at && at != 0 {
		// What passed before a command is no answer to it.
		p.Queue = append([]unit{{}}, p.Queue...)
		p.Step = stepFirst
	}
	u := &p.Queue[0]
	if u.N == 0 && u.Response.Present && b[3] == 1 && number != 0 {
		p.orphan(u) // another answer begins
	}
	if code, ok := errorCode(body); ok {
		if code == progressCode {
			return p.skip(c, header+n, parse.Value{}), nil // how far the server has got
		}
		return p.failure(c, u, code, body, n), nil
	}
	if u.N == 0 {
		return p.unexpected(c, u, body, n), nil
	}
	if u.Lax {
		return p.continued(c, u, body, n), nil
	}
	return p.answer(c, u, body, n)
}

// greet consumes the first packet of the server.
func (p *parser) greet(c source, body []byte, n int) (bool, error) {
	if greetingVerdict(body, n) == parse.No {
		return false, errors.New("a server does not begin as one of MySQL")
	}
	p.Phase = login
	if code, ok := errorCode(body); ok {
		u := unit{N: p.env.Next(), Login: true}
		p.Queue = append(p.Queue, u)
		return p.failure(c, &p.Queue[0], code, body, n), nil
	}
	_, rest, _ := cutString(body[1:])
	const fixed = 4 + 8 + 1
	if len(rest) >= fixed+2 {
		p.Server = uint64(binary.LittleEndian.Uint16(rest[fixed:]))
	}
	if len(rest) >= fixed+2+1+2+2+1+10 {
		p.Server |= uint64(binary.LittleEndian.Uint16(rest[fixed+5:])) << 16
		if p.Server&capMySQL == 0 {
			p.Server |= uint64(binary.LittleEndian.Uint32(rest[fixed+14:])) << 32
		}
	}
	return p.skip(c, header+n, parse.Value{}), nil
}

// errorCode returns the code of an error. ok is false if body is no error, or has no code: it may be shorter than
// an error is.
func errorCode(body []byte) (code int, ok bool) {
	if len(body) < 3 || body[0] != packetError {
		return 0, false
	}
	return int(binary.LittleEndian.Uint16(body[1:])), true
}

// failure consumes an error of u, of which errorCode gave the code.
func (p *parser) failure(c source, u *unit, code int, body []byte, n int) bool {
	if u.Lax && unasked(code) {
		// It may have been sent of the server's own accord, after an answer that was lost.
		p.flush()
		p.Queue = append(p.Queue, unit{})
		u = &p.Queue[0]
	}
	if u.N == 0 {
		u.N = p.env.Next()
		if (p.Doubt > 0 || !unasked(code)) && u.Incomplete == 0 {
			u.Incomplete = call.Gap
		}
	}
	p.span(c, u.N, header+1, body[1:3], call.KindStatus, "code")
	text := 3
	if len(body) > 9 && body[3] == '#' {
		p.span(c, u.N, header+4, body[4:9], call.KindStatus, "sqlstate")
		text = 9
	}
	p.span(c, u.N, header+text, body[text:], call.KindStatus, "message")
	if !u.Failed {
		u.Status, u.Code, u.Failed = strconv.Itoa(code), code, true
	}
	whole := p.pass(c, header+n)
	p.finish()
	return whole
}

// unasked reports whether a server sends an error of its own accord: because the client was silent
// for too long, or the connection was ended by somebody else.
func unasked(code int) bool { return code == 4031 || code == 1053 || code == 1927 || code == 3169 }

// status returns the flags of the server's status in an OK or end packet.
func status(body []byte) int {
	if len(body) < 7 {
		if len(body) == 5 {
			return int(binary.LittleEndian.Uint16(body[3:]))
		}
		return 0
	}
	_, k := lenEnc(body[1:])
	_, l := lenEnc(body[1+k:])
	if k == 0 || l == 0 || len(body) < 1+k+l+2 {
		return 0
	}
	return int(binary.LittleEndian.Uint16(body[1+k+l:]))
}

// end consumes a packet with which an answer ends, or one of several.
func (p *parser) end(c source, u *unit, body []byte, n int) bool {
	if u.Status == "" {
		u.Status = "OK"
	}
	whole := p.pass(c, header+n)
	if status(body)&statusMoreResults != 0 && (u.Command != comPrepare) {
		p.Step = stepFirst
		return whole
	}
	p.finish()
	return whole
}

// answer consumes a packet of the answer of u.
func (p *parser) answer(c source, u *unit, body []byte, n int) (bool, error) {
	isEnd := n > 0 && body[0] == packetEnd && n < maxPacket
	switch p.Step {
	case stepFirst:
		return p.first(c, u, body, n)
	case stepColumns:
		if p.Left--; p.Left == 0 {
			p.Step = stepColumnEnd
			if p.DeprecateEOF == yes {
				p.Step = stepRows
			}
		}
	case stepColumnEnd:
		p.Step = stepRows
		if isEnd && n <= 5 {
			p.DeprecateEOF = no
			if status(body)&statusCursor != 0 {
				return p.end(c, u, body, n), nil // the rows will be fetched
			}
			return p.pass(c, header+n), nil
		}
		if p.DeprecateEOF == notKnown {
			p.DeprecateEOF = yes
		}
		return p.answer(c, u, body, n)
	case stepRows, stepEvents, stepFields:
		if isEnd {
			return p.end(c, u, body, n), nil
		}
		if p.Step == stepRows {
			return p.row(c, u, n), nil
		}
	case stepParams:
		if p.Left--; p.Left == 0 {
			p.Step = stepParamEnd
			switch {
			case p.DeprecateEOF == yes:
				return p.prepared(c, header+n), nil
			case p.DeprecateEOF == notKnown && p.Later == 0:
				p.Step = stepPreparedEnd
			}
		}
	case stepParamEnd:
		if isEnd && n <= 5 {
			p.DeprecateEOF = no
			return p.prepared(c, header+n), nil
		}
		p.DeprecateEOF = yes
		if p.Left = p.Later; p.Left == 0 {
			return p.astray(c, u, body, n)
		}
		p.Step = stepPrepared
		return p.answer(c, u, body, n)
	case stepPrepared:
		if p.Left--; p.Left == 0 {
			whole := p.pass(c, header+n)
			if p.DeprecateEOF == yes {
				p.finish()
			} else {
				p.Step = stepPreparedEnd
			}
			return whole, nil
		}
	case stepPreparedEnd:
		if isEnd && n <= 5 {
			whole := p.pass(c, header+n)
			p.finish()
			return whole, nil
		}
		p.finish() // of another answer
		return true, nil
	case stepFile:
		// The client has not ended its file, but the server has answered.
		p.Step = stepFirst
		return p.first(c, u, body, n)
	}
	return p.pass(c, header+n), nil
}

// prepared consumes the packet after which the columns of a prepared statement come, if
// it has any.
func (p *parser) prepared(c source, total int) bool {
	whole := p.pass(c, total)
	p.Step, p.Left = stepPrepared, p.Later
	if p.Left > 0 {
		return whole
	}
	p.finish()
	return whole
}

// first consumes the first packet of an answer.
func (p *parser) first(c source, u *unit, body []byte, n int) (bool, error) {
	if n == 0 {
		return p.pass(c, header), nil
	}
	switch {
	case u.Login || u.Command == comChangeUser:
		return p.loggedIn(c, u, body, n), nil
	case u.Command == comPrepare:
		return p.prepare(c, u, body, n)
	case u.Command == comStatistics:
		u.Status = "OK"
		whole := p.pass(c, header+n)
		p.finish()
		return whole, nil
	case u.Command == comBinlogDump || u.Command == comBinlogDumpGTID || u.Command == comTableDump:
		p.Step = stepEvents
		return p.answer(c, u, body, n)
	case u.Command == comFieldList:
		p.Step = stepFields
		return p.answer(c, u, body, n)
	case u.Command == comFetch:
		p.Step = stepRows
		return p.answer(c, u, body, n)
	case body[0] == packetOK && n < minOK && p.optionalMeta() && (u.Command == comQuery || u.Command == comExecute):
		// Columns that are not described.
	case body[0] == packetOK, body[0] == packetEnd && n <= maxEnd:
		return p.end(c, u, body, n), nil
	case body[0] == packetEnd:
		return p.astray(c, u, body, n)
	}
	switch u.Command {
	case comQuery, comExecute, comBulkExecute, comProcessInfo:
	default:
		return p.end(c, u, nil, n), nil
	}
	if body[0] == packetFile {
		p.Step = stepFile
		u.Interleaved = true
		return p.pass(c, header+n), nil
	}
	columns, described := p.columns(body)
	if columns == 0 || n > 10 {
		return p.astray(c, u, body, n)
	}
	p.Step, p.Left = stepColumns, columns
	if !described {
		p.Step = stepColumnEnd
		if p.DeprecateEOF == yes {
			p.Step = stepRows
		}
	}
	return p.pass(c, header+n), nil
}

// astray consumes a packet that cannot be where it is in u's answer.
func (p *parser) astray(c source, u *unit, body []byte, n int) (bool, error) {
	if !p.Torn {
		return false, fmt.Errorf("an answer to %s has a packet that begins with %x", names[u.Command], body[:min(len(body), 16)])
	}
	u.Lax = true
	u.Incomplete |= call.Gap
	u.Status = ""
	p.Doubt, p.Rows = 1, true
	return p.pass(c, header+n), nil
}

// columns returns how many columns a result has, 0 if that is not what body says, and
// whether their descriptions follow.
func (p *parser) columns(body []byte) (n int, described bool) {
	described = true
	if p.optionalMeta() && len(body) > 1 {
		described = body[0] != 0
		body = body[1:]
	}
	v, k := lenEnc(body)
	if k == 0 || v > 1<<16 {
		return 0, false
	}
	rest := body[k:]
	if len(rest) == 1 && (p.Agreed&capCacheMetadata != 0 || !p.HasCaps) && rest[0] <= 1 {
		described = rest[0] == 1
		rest = nil
	}
	if len(rest) > 0 {
		return 0, false
	}
	return int(v), described
}

// optionalMeta reports whether the server says if it describes columns.
func (p *parser) optionalMeta() bool {
	const both = capMySQL | capOptionalMeta
	return p.HasCaps && p.Agreed&both == both
}

// prepare consumes the first packet of the answer to a PREPARE.
func (p *parser) prepare(c source, u *unit, body []byte, n int) (bool, error) {
	const least = 1 + 4 + 2 + 2
	if body[0] != packetOK || len(body) < least {
		return p.astray(c, u, body, n)
	}
	columns, params := int(binary.LittleEndian.Uint16(body[5:])), int(binary.LittleEndian.Uint16(body[7:]))
	p.define(binary.LittleEndian.Uint32(body[1:]), u.Target, params)
	u.Status = "OK"
	if p.optionalMeta() && len(body) > 12 && body[12] == 0 {
		params, columns = 0, 0 // they are not described
	}
	p.Left, p.Later = params, columns
	if params > 0 {
		p.Step = stepParams
		return p.pass(c, header+n), nil
	}
	return p.prepared(c, header+n), nil
}

// loggedIn consumes an answer to a login.
func (p *parser) loggedIn(c source, u *unit, body []byte, n int) bool {
	if body[0] != packetOK {
		return p.pass(c, header+n) // it wants more
	}
	u.Status = "OK"
	whole := p.pass(c, header+n)
	first := u.Login
	p.finish()
	if first {
		p.loggedInNow(true)
	}
	return whole
}

// loggedInNow says that commands follow. synced says that it is known where the next packets begin.
func (p *parser) loggedInNow(synced bool) {
	p.Phase = commands
	if p.HasCaps && p.Agreed&(capCompress|capZstd) != 0 {
		p.compressed(synced)
	}
}

// compressed says that from here on both directions are compressed.
func (p *parser) compressed(synced bool) {
	for dir := range p.Inflated {
		if p.Inflated[dir] == nil {
			p.Inflated[dir] = &inflated{Synced: synced}
		}
	}
}

// row consumes a row.
func (p *parser) row(c source, u *unit, n int) bool {
	if !p.env.Spans || n == 0 {
		return p.pass(c, header+n)
	}
	u.Response.begin(c)
	c.advance(header)
	return p.passAs(c, n, parse.Value{Call: u.N, Kind: call.KindBody})
}

// unexpected consumes a packet of an answer whose command is not known.
func (p *parser) unexpected(c source, u *unit, body []byte, n int) bool {
	p.shape(u, body, n, !u.Response.Present && p.Number[record.Out] == 1)
	return p.pass(c, header+n)
}

// shape says by the shape of a packet whether an answer ends well with it. begins says that it is the answer's first.
func (p *parser) shape(u *unit, body []byte, n int, begins bool) (ends bool) {
	switch {
	case n == 0:
	case body[0] == packetOK && begins:
		ends = true
	case body[0] == packetEnd && n < maxPacket:
		// An end that is short may be the one between columns and rows. A first packet that is long asks for more of a
		// login.
		ends = n >= 7 && !begins || p.Rows || begins && n <= maxEnd
	case isColumn(body):
	case !begins:
		p.Rows = true
	}
	if ends = ends && status(body)&statusMoreResults == 0; ends && u.Status == "" {
		u.Status = "OK"
	}
	return ends
}

// isColumn reports whether body is the beginning of the description of a column.
func isColumn(body []byte) bool {
	return len(body) > 3 && body[0] == 3 && body[1] == 'd' && body[2] == 'e' && body[3] == 'f'
}

// continued consumes a packet of u's answer, of which packets were lost.
func (p *parser) continued(c source, u *unit, body []byte, n int) bool {
	if !u.Response.Present && !p.Rows && p.Number[record.Out] == 1 {
		// It is the first one: too little was lost for the numbers to have begun anew.
		u.Lax = false
		return true
	}
	if u.Login && n > 0 && body[0] == packetOK {
		u.Lax = false
		return true
	}
	switch u.Command {
	case comQuery, comExecute, comBulkExecute, comProcessInfo, comFetch, comFieldList:
	default:
		// It is not known what these end with. The next command will say.
		return p.pass(c, header+n)
	}
	p.Rows = p.Rows || u.Command == comFetch
	ends := p.shape(u, body, n, false)
	whole := p.pass(c, header+n)
	if ends {
		p.finish()
	}
	return whole
}

// Sync implements parse.Parser.
func (p *parser) Sync(s *parse.Stream) (n int, found bool) {
	if p.Inflated[s.Dir()] == nil {
		n, _, found = find(s.Dir(), s.Bytes(), weightSync)
		if p.HasCaps && (p.Phase == commands || p.Agreed&capCompress == 0) {
			return n, found
		}
		// It is not known whether the connection is compressed.
		at, certain := findCompressed(s.Dir(), s.Bytes())
		if at > n || at == n && !certain {
			return n, found
		}
		if !certain {
			return at, false
		}
		p.compressed(false)
		return at, true
	}
	return findCompressed(s.Dir(), s.Bytes())
}
