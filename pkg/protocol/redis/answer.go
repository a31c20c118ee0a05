package redis

import (
	"bytes"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// answer is what the server sends now: the answer to the first command of the queue, or
// something that it pushes.
type answer struct {
	open      bool // its first line was consumed
	push      bool
	noRequest bool // no command is known for it
	confirm   bool // it confirms a subscription

	sound   bool // nothing of the direction is missing, so that it is certain where answers begin
	lost    bool // where one begins has to be found
	waiting bool // some bytes could not be consumed

	n         uint64 // number of its call
	offset    uint64
	end       uint64
	first     int64
	last      int64
	body      call.Range
	hasBody   bool
	endless   bool // the body goes on until the answer's end
	missing   uint64
	status    string
	failed    bool
	kind      kinds
	method    string // of a push
	target    string
	mark      call.Incomplete // of a call without a command
	total     int64           // subscriptions, of a confirmation
	confirmed int64           // confirmations that the first command of the queue has so far

	frames  []frame
	element int64 // of the outermost aggregate: index of the next element

	tail bool // the end of a string comes next, whose value was skipped
	text bool // a long line goes on
}

// frame is an aggregate that is not complete.
type frame struct {
	Left int64 // elements that are to come
	Kind frameKind
}

type frameKind uint8

const (
	counted   frameKind = iota
	streamed            // elements come until "."
	chunks              // a streamed string: parts come until an empty one
	attribute           // its elements are in front of the value
)

// parseOut consumes what it can of the server's stream.
func (p *parser) parseOut(s *parse.Stream) error {
	o := &p.out
	data, base, pos := s.Bytes(), s.Offset(), 0
	for pos < len(data) {
		rest := data[pos:]
		at := base + uint64(pos)
		switch {
		case o.tail:
			if len(rest) < 2 {
				s.Advance(pos)
				return nil
			}
			if rest[0] != '\r' || rest[1] != '\n' {
				s.Advance(pos)
				return p.malformed("a string does not end where it should")
			}
			o.tail = false
			o.missing += s.Missing()
			pos += 2
			if p.done() {
				if err := p.complete(s, at+2); err != nil {
					s.Advance(pos)
					return err
				}
			}
			continue
		case o.text:
			n, complete := p.longLine(rest, at)
			pos += n
			if !complete {
				s.Advance(pos)
				return nil
			}
			if p.done() {
				if err := p.complete(s, base+uint64(pos)); err != nil {
					s.Advance(pos)
					return err
				}
			}
			continue
		case !o.open:
			if rest[0] == '\n' && p.replicating {
				pos++ // a server that prepares a snapshot shows that it lives
				continue
			}
			if p.queue.oldest() == nil {
				// What nobody has asked for is a call once it is known to be of the protocol.
				if _, n, err := nextUnit(rest); err != nil || n == 0 {
					s.Advance(pos)
					return err
				}
			}
			ready, err := p.beginAnswer(s, rest, at)
			if err != nil || !ready {
				s.Advance(pos)
				return err
			}
		}
		u, n, err := nextUnit(rest)
		if err != nil || n == 0 {
			s.Advance(pos)
			return err
		}
		if u.snapshot && !p.replicating || (u.kind == ';') != (o.top() == chunks) {
			s.Advance(pos)
			return errUnit
		}
		if oldest := p.queue.oldest(); p.replicating && u.kind == '$' && len(o.frames) == 0 && !o.push && oldest != nil && oldest.method == "SYNC" {
			// A snapshot, which has no end.
			pos += u.from
			o.status = "OK"
			err := p.complete(s, base+uint64(pos))
			s.Advance(pos)
			return err
		}
		value := rest[u.from : u.from+u.known]
		switch {
		case u.scalar && u.known < u.length: // more than what is there
			switch {
			case u.line: // a long line
				p.value(u, value, at)
				o.text = true
				pos += n
				continue
			case p.wantedValue(u) && u.length <= maxHeld:
				s.Advance(pos)
				s.Need(u.from + u.length + 2)
				return nil
			case p.wantedValue(u):
				if u.known < maxPrefix {
					s.Advance(pos)
					return nil
				}
				value = value[:maxPrefix]
			case u.length <= maxShort:
				s.Advance(pos)
				return nil
			default:
				value = value[:0]
			}
			p.skipValue(s, u, value, pos, at)
			if s.Skipping() {
				return nil
			}
			data, base, pos = s.Bytes(), s.Offset(), 0
			continue
		case u.scalar && u.length > maxHeld && !u.line && p.wantedValue(u):
			p.skipValue(s, u, value[:maxPrefix], pos, at)
			if s.Skipping() {
				return nil
			}
			data, base, pos = s.Bytes(), s.Offset(), 0
			continue
		}
		pos += n
		var complete bool
		if u.scalar {
			if !u.line && !u.null && (rest[n-2] != '\r' || rest[n-1] != '\n') {
				s.Advance(pos - n)
				return p.malformed("a string does not end where it should")
			}
			p.value(u, value, at)
			if u.kind == ';' && u.length == 0 {
				o.frames = o.frames[:len(o.frames)-1]
			}
			complete = p.done()
		} else if complete, err = p.aggregate(u, at+uint64(n)); err != nil {
			s.Advance(pos - n)
			return err
		}
		if complete {
			if err := p.complete(s, base+uint64(pos)); err != nil {
				s.Advance(pos)
				return err
			}
		}
	}
	s.Advance(pos)
	return nil
}

// level returns how many aggregates are open; -1 within an attribute.
func (o *answer) level() int {
	for i := range o.frames {
		if o.frames[i].Kind == attribute {
			return -1
		}
	}
	return len(o.frames)
}

// top returns the kind of the innermost aggregate.
func (o *answer) top() frameKind {
	if n := len(o.frames); n > 0 {
		return o.frames[n-1].Kind
	}
	return counted
}

// beginAnswer decides what an answer is that data begins with. ready is false if more
// bytes are needed for that.
func (p *parser) beginAnswer(s *parse.Stream, data []byte, offset uint64) (ready bool, err error) {
	o := &p.out
	oldest := p.queue.oldest()
	var push, confirm bool
	var method string
	switch c := data[0]; {
	case c == '+' && (p.monitor || p.doubt.On && oldest == nil):
		is, more := isMonitored(data)
		if more {
			return false, nil
		}
		if is {
			push, method = true, "MONITOR"
		}
	case c == '>', c == '*' && (oldest != nil && subscription(oldest.method) >= 0 || !p.resp3 && (p.subscribed.active() || p.doubt.On || oldest == nil)):
		if c == '>' {
			p.resp3 = true
		}
		name, count, more, err := peekName(data)
		if more || err != nil {
			return false, err
		}
		if oldest != nil && subscription(oldest.method) >= 0 && count == 3 && bytes.EqualFold(name, []byte(oldest.method)) {
			confirm = true
			break
		}
		push = c == '>' || p.isMessage(name, count, oldest)
		if push {
			if method = "PUSH"; isWord(name) {
				_, method, _ = lookup(name)
			}
		}
	}
	confirmed := o.confirmed
	sound, frames := o.sound, o.frames[:0]
	if confirmed > 0 && confirm {
		o.frames = frames
		o.confirm, o.open, o.element = true, true, 0
		return true, nil
	}
	if confirmed > 0 {
		// The confirmations that were to come have not come.
		o.confirmed = 0
		if err := p.give(); err != nil {
			return false, err
		}
		oldest = p.queue.oldest()
	}
	*o = answer{open: true, push: push, confirm: confirm, sound: sound, frames: frames, offset: offset, method: method}
	o.first = p.nanoseconds(s.TimeAt(offset))
	switch {
	case push:
		o.n = p.next()
	case oldest == nil, p.doubt.On && oldest.first != 0 && o.first != 0 && o.first < oldest.first:
		o.noRequest = true
		o.n = p.next()
		if p.doubt.On {
			o.mark = p.doubt.mark()
		}
		p.doubt.stray()
		p.replyOff = false
	case oldest.flags&bare != 0:
		o.n = p.next()
	default:
		o.n = oldest.n
	}
	return true, nil
}

// isMessage reports whether an array is one that the server pushes in RESP 2. There it
// looks like any other, but a connection that is subscribed gets few others.
func (p *parser) isMessage(name []byte, count int64, oldest *entry) bool {
	var is bool
	switch string(name) {
	case "message", "smessage", "sunsubscribe":
		is = count == 3
	case "subscribe", "psubscribe", "ssubscribe": // of a transaction, whose answer has only the first
		return count == 3 && oldest == nil
	case "pmessage":
		is = count == 4
	}
	if is && oldest == nil && !p.subscribed.active() {
		p.subscribed.Total[0], p.subscribed.Of[channels] = 1, 1 // it must be
	}
	return is
}

// peekName returns the first element of an aggregate, if it is a short string, and the
// number of all of them. more says that more bytes are needed for it.
func peekName(data []byte) (name []byte, count int64, more bool, err error) {
	u, n, err := nextUnit(data)
	if err != nil || n == 0 {
		return nil, 0, err == nil, err
	}
	if u.count <= 0 {
		return nil, u.count, false, nil
	}
	if n == len(data) {
		return nil, 0, true, nil
	}
	first, m, err := nextUnit(data[n:])
	switch {
	case err != nil:
		return nil, 0, false, err
	case m == 0 && (data[n] == '$' || data[n] == '+'):
		return nil, 0, true, nil
	case data[n] != '$' && data[n] != '+' || first.length > maxName:
		return nil, u.count, false, nil
	case first.known < first.length:
		return nil, 0, true, nil
	}
	return data[n+first.from : n+first.from+first.length], u.count, false, nil
}

// isMonitored reports whether data begin with what MONITOR shows of a command: the time
// and the database. more says that more bytes are needed for it.
func isMonitored(data []byte) (is, more bool) {
	i, dot := 1, 0
	for ; i < len(data) && i < 24; i++ {
		switch c := data[i]; {
		case c == '.' && dot == 0 && i > 1:
			dot = i
		case c == ' ' && dot > 0 && i == dot+7:
			if i+1 == len(data) {
				return false, true
			}
			return data[i+1] == '[', false
		case c < '0' || c > '9':
			return false, false
		}
	}
	return false, i < 24
}

// wantedValue reports whether the bytes of a value matter.
func (p *parser) wantedValue(u unit) bool {
	o := &p.out
	switch o.level() {
	case 0:
		return u.kind == '!'
	case 1:
		return u.kind == '!' || o.push || o.confirm
	}
	return false
}

// skipValue consumes the first line of a string, the beginning of it that matters, and
// skips the rest.
func (p *parser) skipValue(s *parse.Stream, u unit, prefix []byte, pos int, at uint64) {
	kind := p.value(u, prefix, at)
	s.Advance(pos + u.from + len(prefix))
	p.out.tail = true
	s.Skip(uint64(u.length-len(prefix)), parse.Value{Call: p.out.n, Kind: kind})
}

// nameNull is the name of the span of a value that is null. It has no bytes.
const nameNull = "null"

// value looks at a value, or at the beginning of a longer one, whose unit begins at an
// offset. It returns what kind of value it is.
func (p *parser) value(u unit, value []byte, at uint64) call.Kind {
	o := &p.out
	kind := call.KindBody
	offset := at + uint64(u.from)
	failed := u.kind == '-' || u.kind == '!'
	switch o.level() {
	case 0:
		o.kind = kindOf(u)
		if !u.null {
			o.hasBody = true
			o.body = call.Range{Offset: offset, Length: uint64(u.length)}
			if u.kind == '=' && u.length >= len("txt:") {
				o.body.Offset += 4
				o.body.Length -= 4
			}
		}
		o.status = "OK"
		if failed {
			kind = call.KindStatus
			o.fail(value)
		}
		if u.kind == '+' && string(value) == "QUEUED" {
			o.kind = 0 // whatever the command is
		}
	case 1:
		p.elementValue(u, value, failed)
	}
	switch {
	case !p.spans:
	case u.null:
		p.sink.Span(call.Span{Call: o.n, Direction: record.Out, Range: call.Range{Offset: offset}, Kind: kind, Name: nameNull})
	case len(value) > 0 || u.length == 0:
		p.sink.Span(call.Span{
			Call: o.n, Direction: record.Out, Range: call.Range{Offset: offset, Length: uint64(len(value))},
			Kind: kind, More: len(value) < u.length, Value: value,
		})
	}
	return kind
}

// kindOf returns the kind of an answer that is a value; 0 if it says nothing.
func kindOf(u unit) kinds {
	switch {
	case u.null:
		return 0
	case u.kind == '+':
		return simple
	case u.kind == ':':
		return integer
	case u.kind == '#':
		return boolean
	case u.kind == '$', u.kind == '=', u.kind == ',', u.kind == '(':
		return bulk
	}
	return 0
}

// elementValue looks at an element of the outermost aggregate.
func (p *parser) elementValue(u unit, value []byte, failed bool) {
	o := &p.out
	switch {
	case o.confirm, o.push && subscription(o.method) >= 0 && o.element == 2:
		if o.element == 2 && u.kind == ':' {
			if n, _, ok := number(append(append([]byte{':'}, value...), '\r', '\n'), ':'); ok {
				o.total = n
			}
		}
	case o.push:
		channel := int64(1)
		if o.method == "PMESSAGE" {
			channel = 2
		}
		if o.element == channel && !u.null {
			o.target = string(value)
		}
	case failed && o.status == "OK":
		o.fail(value) // of a command of a transaction
	}
}

// fail sets the status from the text of an error.
func (o *answer) fail(text []byte) {
	word, _, _ := bytes.Cut(text, []byte(" "))
	if len(word) == 0 {
		word = []byte("ERR")
	}
	o.status = string(word[:min(len(word), maxName)])
	o.failed = o.status != "MOVED" && o.status != "ASK"
}

// longLine consumes what it can of a line that goes on. complete says that it has ended.
func (p *parser) longLine(rest []byte, at uint64) (n int, complete bool) {
	o := &p.out
	end := bytes.Index(rest, []byte("\r\n"))
	n = end
	if end < 0 {
		if n = len(rest) - 2; n <= 0 {
			return 0, false
		}
	}
	kind := call.KindBody
	if o.level() == 0 {
		o.body.Length = at + uint64(n) - o.body.Offset
		if o.failed {
			kind = call.KindStatus
		}
	}
	if p.spans && n > 0 {
		p.sink.Span(call.Span{
			Call: o.n, Direction: record.Out, Range: call.Range{Offset: at, Length: uint64(n)},
			Kind: kind, More: end < 0, Value: rest[:n],
		})
	}
	if end < 0 {
		return n, false
	}
	o.text = false
	return n + 2, true
}

// aggregate begins or ends an aggregate, whose line ends at an offset. complete says that the answer is complete.
func (p *parser) aggregate(u unit, end uint64) (complete bool, err error) {
	o := &p.out
	if u.kind == '>' && len(o.frames) > 0 {
		return false, errUnit
	}
	switch {
	case u.kind == '.':
		n := len(o.frames)
		if n == 0 || o.frames[n-1].Kind != streamed {
			return false, errUnit
		}
		o.frames = o.frames[:n-1]
		return p.done(), nil
	case u.kind == '|':
		return false, p.push(frame{u.count, attribute})
	}
	if o.level() == 0 && o.confirmed == 0 {
		o.status, o.hasBody, o.endless = "OK", true, true
		o.body = call.Range{Offset: end}
		if o.kind = aggregate; u.kind == '$' {
			o.kind = bulk
		}
	}
	switch {
	case u.stream && u.kind == '$':
		return false, p.push(frame{0, chunks})
	case u.stream:
		return false, p.push(frame{0, streamed})
	case u.count == 0:
		return p.done(), nil
	}
	return false, p.push(frame{u.count, counted})
}

// push opens an aggregate.
func (p *parser) push(f frame) error {
	o := &p.out
	if f.Kind == attribute && f.Left == 0 {
		return nil
	}
	n := len(o.frames)
	if n < maxDepth {
		o.frames = append(o.frames, f)
		return nil
	}
	// Where the inner one ends does not matter, only where all end.
	top := &o.frames[n-1]
	if f.Kind != counted || top.Kind != counted || top.Left > maxCount-f.Left {
		return errUnit
	}
	top.Left += f.Left - 1
	return nil
}

// done ends a value, and the aggregates that end with it. It reports whether that
// completes the answer.
func (p *parser) done() bool {
	o := &p.out
	for {
		n := len(o.frames)
		if n == 0 {
			return true
		}
		f := &o.frames[n-1]
		if n == 1 && f.Kind != attribute {
			o.element++
		}
		switch f.Kind {
		case streamed, chunks:
			return false
		case attribute:
			if f.Left--; f.Left == 0 {
				o.frames = o.frames[:n-1]
			}
			return false
		}
		if f.Left--; f.Left > 0 {
			return false
		}
		o.frames = o.frames[:n-1]
	}
}

// complete ends the answer, which ends at an offset.
func (p *parser) complete(s *parse.Stream, end uint64) error {
	o := &p.out
	o.end, o.last = end, p.nanoseconds(s.TimeAt(end-1))
	p.doubt.LastOut = o.last
	o.open = false
	if o.confirm {
		oldest := p.queue.oldest()
		o.confirmed++
		want := p.confirmations(oldest)
		p.subscribed.confirmed(oldest.method, o.total)
		o.confirm = false
		if o.confirmed < want {
			return nil
		}
		o.confirmed = 0
	}
	return p.give()
}

// confirmations returns how many confirmations a command gets that subscribes or
// unsubscribes: one for each channel. Called for the first of them, and the later ones.
func (p *parser) confirmations(e *entry) int64 {
	if e.count > 0 {
		return int64(e.count)
	}
	left := p.subscribed.Of[subscription(e.method)]
	return max(p.out.confirmed-1+left, 1)
}

// give gives the call of an answer that is complete to the sink.
func (p *parser) give() error {
	o := &p.out
	if !o.push && !o.noRequest {
		p.contradicted(p.queue.oldest(), o.kind)
	}
	p.fill()
	c := &p.call
	c.Response.Ended = true
	c.Response.Last = p.timeOf(o.last)
	p.extend(o.end)
	if o.push || o.noRequest {
		p.sink.Call(c)
		if o.push && subscription(o.method) >= 0 {
			p.subscribed.confirmed(o.method, o.total)
		}
		return nil
	}
	e := p.queue.oldest()
	p.answered(e, o.kind, o.first)
	p.changed(e)
	replicates := e.method == "PSYNC" || e.method == "SYNC"
	p.popFront()
	p.sink.Call(c)
	if replicates {
		p.replicating = false
		if !o.failed {
			return &parse.Upgrade{To: call.TCP, Other: p.inEnd}
		}
	}
	return nil
}

// changed applies what a command has changed that succeeded.
func (p *parser) changed(e *entry) {
	if p.out.failed {
		return
	}
	switch e.method {
	case "HELLO":
		if e.flags&(resp2|resp3) != 0 {
			p.resp3 = e.flags&resp3 != 0
		}
	case "RESET":
		p.resp3, p.monitor, p.subscribed = false, false, subscriptions{}
	case "MONITOR":
		p.monitor = true
	}
}

// fill makes p.call the call of the answer, as far as it is known.
func (p *parser) fill() {
	o := &p.out
	oldest := p.queue.oldest()
	switch {
	case o.push:
		c := p.clear(o.n)
		c.Method, c.Target, c.Incomplete = o.method, o.target, call.NoRequest
		if !o.sound || p.doubt.On && (!p.resp3 || subscription(o.method) >= 0) {
			p.call.Incomplete |= p.doubt.mark()
		}
	case o.noRequest:
		p.clear(o.n).Incomplete = call.NoRequest | o.mark
	case oldest.flags&bare != 0:
		p.clear(o.n).Incomplete = call.NoRequest
		if oldest.flags&unsure != 0 {
			p.call.Incomplete |= call.Gap
		}
	default:
		p.fillRequest(oldest)
	}
	c := &p.call
	c.Status, c.Failed = o.status, o.failed
	m := &c.Response
	m.Present = true
	m.Range = call.Range{Offset: o.offset}
	m.First = p.timeOf(o.first)
	m.HasBody, m.Body = o.hasBody, o.body
	m.Missing = o.missing
	if o.missing > 0 {
		c.Incomplete |= call.Gap
	}
}

// extend makes the answer of p.call end at an offset.
func (p *parser) extend(end uint64) {
	m := &p.call.Response
	m.Length = max(end, m.Offset) - m.Offset
	if most := max(end, m.Body.Offset) - m.Body.Offset; p.out.endless || m.HasBody && m.Body.Length > most {
		m.Body.Length = most
	}
}

// popFront removes the command that was answered.
func (p *parser) popFront() {
	if e := p.queue.oldest(); e.flags&bare != 0 && e.method == "" && e.count > 1 {
		e.count--
		return
	}
	p.queue.pop()
}

// loseAnswer ends the answer of which the rest was not recorded, and says of all commands
// that wait that they may have been answered.
func (p *parser) loseAnswer() {
	o := &p.out
	if o.open || o.confirmed > 0 {
		pop := !o.push && !o.noRequest
		if pop {
			p.queue.oldest().flags |= unsure
		}
		p.fill()
		c := &p.call
		c.Incomplete |= call.Gap
		if !o.push && o.status == "OK" && o.level() != 0 {
			c.Incomplete |= call.UnknownFields // an error may have followed
		}
		p.extend(p.outEnd)
		p.sink.Call(c)
		if pop {
			p.popFront()
		}
	}
	*o = answer{frames: o.frames[:0], lost: true}
	p.doubt.begin()
	waiting := p.queue.waiting()
	for i := range waiting {
		waiting[i].flags |= unsure | outGap
	}
	if p.doubt.Alone > 0 && len(waiting) > 0 {
		// A client that waits for each answer has all but the last one.
		waiting[len(waiting)-1].flags &^= outGap
		p.dropLost()
		waiting = p.queue.waiting()
		waiting[len(waiting)-1].flags |= outGap
	}
}
