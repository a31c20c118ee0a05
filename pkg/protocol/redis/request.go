package redis

import (
	"bytes"
	"errors"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// request is the command that is being parsed.
type request struct {
	entry entry
	open  bool // its first line was consumed
	named bool // its name is known, and it has a number
	cmd   *command

	args int64 // with the name
	arg  int64 // index of the next one
	tail bool  // the end of an argument comes next, whose value was skipped

	keyAt  int64 // index of the key; -1 if there is none, or if it is not known yet
	search string
	secret int64 // index of the argument that is a password; -1 if that is not known
}

// parseIn consumes what it can of the client's stream.
func (p *parser) parseIn(s *parse.Stream) error {
	r := &p.in
	data, base, pos := s.Bytes(), s.Offset(), 0
	for pos < len(data) {
		rest := data[pos:]
		if !r.open {
			if p.replicating {
				break
			}
			if p.queue.size > 2*p.memory {
				s.Advance(pos)
				return p.malformed("too many commands that change the connection wait for answers")
			}
			n, err := p.begin(s, rest, base+uint64(pos))
			if err != nil {
				s.Advance(pos)
				return err
			}
			if n == 0 {
				break
			}
			pos += n
			continue
		}
		if r.tail {
			if len(rest) < 2 {
				break
			}
			if rest[0] != '\r' || rest[1] != '\n' {
				s.Advance(pos)
				return p.malformed("an argument does not end where it should")
			}
			pos += 2
			r.tail = false
			r.entry.missing += s.Missing()
			p.endArgument(s, base+uint64(pos))
			continue
		}
		length, header, ok := number(rest, '$')
		if !ok || header > 0 && (length < 0 || length > maxBulk) {
			s.Advance(pos)
			return p.malformed("an argument has no length")
		}
		if header == 0 {
			break
		}
		if whole := header + int(length) + 2; length < maxBulk && whole <= len(rest) && (length <= maxHeld || !p.wanted()) {
			if rest[whole-2] != '\r' || rest[whole-1] != '\n' {
				s.Advance(pos)
				return p.malformed("an argument does not end where it should")
			}
			if r.arg == 1 {
				r.entry.body = uint32(base + uint64(pos) - r.entry.offset)
			}
			value := rest[header : whole-2]
			p.argument(value, int(length), base+uint64(pos+header))
			pos += whole
			p.endArgument(s, base+uint64(pos))
			continue
		}
		// It is not all there, or too long to be held.
		prefix := 0
		if p.wanted() {
			if length <= maxHeld {
				s.Advance(pos)
				s.Need(header + int(length) + 2)
				return nil
			}
			if prefix = maxPrefix; len(rest) < header+prefix {
				break
			}
		} else if length <= maxShort {
			break
		}
		if r.arg == 1 {
			r.entry.body = uint32(base + uint64(pos) - r.entry.offset)
		}
		if r.arg == 0 {
			s.Advance(pos)
			return p.malformed("the name of a command is too long")
		}
		kind := p.argument(rest[header:header+prefix], int(length), base+uint64(pos+header))
		s.Advance(pos + header + prefix)
		r.tail = true
		s.Skip(uint64(length)-uint64(prefix), parse.Value{Call: r.entry.n, Kind: kind})
		if s.Skipping() {
			return nil
		}
		data, base, pos = s.Bytes(), s.Offset(), 0
	}
	s.Advance(pos)
	return nil
}

// malformed is the error for bytes that are no command.
func (p *parser) malformed(what string) error {
	return errors.New("redis: " + what)
}

// number returns the number of a line that begins with kind, and the line's length; 0 if
// not all of it is there. ok is false if it is no such line.
func number(b []byte, kind byte) (n int64, length int, ok bool) {
	if len(b) == 0 || b[0] != kind {
		return 0, 0, len(b) == 0
	}
	i, negative := 1, false
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		negative = b[i] == '-'
		i++
	}
	from := i
	for ; i < len(b) && i < maxNumber; i++ {
		c := b[i]
		if c == '\r' {
			if i == from {
				return 0, 0, false
			}
			if i+1 == len(b) {
				return 0, 0, true
			}
			if b[i+1] != '\n' {
				return 0, 0, false
			}
			if negative {
				n = -n
			}
			return n, i + 2, true
		}
		if c < '0' || c > '9' || i-from >= 18 {
			return 0, 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return 0, 0, i < maxNumber
}

// begin consumes the first line of a command, or an inline command. It returns how many
// bytes that are; 0 if they are not all there.
func (p *parser) begin(s *parse.Stream, data []byte, offset uint64) (int, error) {
	switch data[0] {
	case '*':
	case '\r':
		if len(data) == 1 {
			return 0, nil
		}
		if data[1] != '\n' {
			return 0, p.malformed("no command begins here")
		}
		return 2, nil // servers pass over empty lines
	case '\n':
		return 1, nil
	default:
		return p.inline(s, data, offset)
	}
	args, n, ok := number(data, '*')
	if !ok || args > maxArgs {
		return 0, p.malformed("a command has no number of arguments")
	}
	if n == 0 || args <= 0 {
		return n, nil // servers pass over commands without a name
	}
	p.start(s.TimeAt(offset), offset, args)
	return n, nil
}

// start begins a command.
func (p *parser) start(first time.Time, offset uint64, args int64) {
	r := &p.in
	*r = request{open: true, args: args, keyAt: -1, secret: -1}
	r.entry.offset, r.entry.first = offset, p.nanoseconds(first)
	r.entry.count = uint32(args - 1)
	p.arrive(r.entry.first)
}

// wanted reports whether the value of the argument that comes next matters.
func (p *parser) wanted() bool {
	r := &p.in
	return r.arg == 0 || r.arg == r.keyAt || r.search != "" ||
		r.arg == 1 && (r.cmd.key == container || r.cmd.name == "HELLO") || r.cmd.key == afterCount && r.arg == int64(r.cmd.at) ||
		r.cmd.name == "ACL SETUSER"
}

// argument looks at the value of the next argument, or at the beginning of a longer one,
// and reports it as a span. It returns what kind of value it is.
func (p *parser) argument(value []byte, length int, offset uint64) call.Kind {
	r := &p.in
	kind := call.KindArgument
	switch {
	case r.arg == 0:
		kind = call.KindMethod
		p.name(value)
	case r.arg == 1 && r.cmd.key == container:
		if isWord(value) {
			kind = call.KindMethod
			p.subcommand(value)
		}
	case r.arg == r.keyAt:
		if length == 0 && r.cmd.key == migrated && r.search == "" {
			r.keyAt, r.search = -1, "KEYS"
			break
		}
		kind = call.KindTarget
		r.entry.target = string(value)
	case r.cmd.key == afterCount && r.arg == int64(r.cmd.at):
		if len(value) > 0 && (len(value) > 1 || value[0] != '0') {
			r.keyAt = r.arg + 1
		}
	case r.secret == r.arg:
		kind = call.KindPassword
	case r.search != "" && bytes.EqualFold(value, []byte(r.search)) && r.arg >= int64(r.cmd.at):
		r.keyAt, r.search = r.arg+1, ""
	}
	if r.cmd.control {
		kind = p.control(value, kind)
	}
	if p.spans && len(value) > 0 {
		p.sink.Span(call.Span{
			Call: r.entry.n, Direction: record.In, Range: call.Range{Offset: offset, Length: uint64(len(value))},
			Kind: kind, More: len(value) < length, Value: value,
		})
	}
	return kind
}

// name looks up the command.
func (p *parser) name(value []byte) {
	r := &p.in
	r.cmd, r.entry.method, _ = lookup(value)
	r.named = true
	r.entry.n = p.next()
	p.locate()
}

// locate sets where the key of the command is, as far as that is known.
func (p *parser) locate() {
	r := &p.in
	r.keyAt, r.search = -1, ""
	switch r.cmd.key {
	case firstArgument, migrated:
		r.keyAt = int64(r.cmd.at)
	case afterStreams:
		r.search = "STREAMS"
	}
}

// subcommand looks up the command anew, with its subcommand.
func (p *parser) subcommand(value []byte) {
	r := &p.in
	var buf [2*maxName + 1]byte
	var up [maxName]byte
	name := append(append(append(buf[:0], r.entry.method...), ' '), upper(&up, value)...)
	if c, ok := commands[string(name)]; ok {
		r.cmd, r.entry.method = c, c.name
	} else {
		c := plain
		c.name = string(name)
		r.cmd, r.entry.method = &c, c.name
	}
	p.locate()
}

// control looks at an argument of a command that has passwords, or that changes the
// connection.
func (p *parser) control(value []byte, kind call.Kind) call.Kind {
	r := &p.in
	word := func(is string) bool { return bytes.EqualFold(value, []byte(is)) }
	switch r.cmd.name {
	case "AUTH":
		if r.arg > 0 && r.arg == r.args-1 {
			return call.KindPassword
		}
	case "HELLO":
		switch {
		case r.arg == 1 && word("3"):
			r.entry.flags |= resp3
		case r.arg == 1 && word("2"):
			r.entry.flags |= resp2
		case r.arg > 1 && r.secret < 0 && word("AUTH"):
			r.secret = r.arg + 2
		}
	case "MIGRATE":
		switch {
		case r.arg > 5 && r.secret < 0 && word("AUTH"):
			r.secret = r.arg + 1
		case r.arg > 5 && r.secret < 0 && word("AUTH2"):
			r.secret = r.arg + 2
		case r.secret == r.arg:
			return call.KindPassword
		}
	case "CONFIG SET":
		if r.arg >= 2 && r.arg%2 == 0 && (word("requirepass") || word("masterauth") || word("tls-key-file-pass") || word("tls-client-key-file-pass")) {
			r.secret = r.arg + 1
		}
	case "ACL SETUSER":
		if r.arg > 2 && (len(value) == 0 || bytes.IndexByte([]byte("><#!"), value[0]) >= 0) {
			return call.KindPassword
		}
	case "CLIENT REPLY":
		if r.arg == 2 && r.args == 3 && !p.multi { // in a transaction it is queued as others are
			switch {
			case word("OFF"):
				r.entry.flags |= off | silent
			case word("SKIP"):
				r.entry.flags |= silent
			case word("ON"):
				r.entry.flags |= on
			}
		}
	}
	return kind
}

// endArgument ends an argument, and with the last one the command. end is the offset
// behind it.
func (p *parser) endArgument(s *parse.Stream, end uint64) {
	r := &p.in
	r.arg++
	if r.arg < r.args {
		return
	}
	r.entry.length = end - r.entry.offset
	r.entry.last = p.nanoseconds(s.TimeAt(end - 1))
	p.finish()
}

// finish ends the command.
func (p *parser) finish() {
	r := &p.in
	e := r.entry
	r.open, r.named = false, false
	skip := p.skipReply
	p.skipReply = false
	switch e.method {
	case "MULTI":
		p.multi = true
	case "EXEC", "DISCARD", "RESET":
		p.multi = false
	}
	switch {
	case e.flags&on != 0, e.method == "RESET":
		p.replyOff = false
	case p.replyOff, skip:
		e.flags |= silent
	}
	if e.method == "CLIENT REPLY" && e.flags&silent != 0 {
		if e.flags&off != 0 {
			p.replyOff = true
		} else if !p.replyOff {
			p.skipReply = true
		}
	}
	p.doubt.LastIn = e.last
	if e.method == "PSYNC" || e.method == "SYNC" {
		p.replicating = true
	}
	p.enqueue(&e)
}

// loseRequest ends the command of which the rest was not recorded.
func (p *parser) loseRequest() {
	r := &p.in
	if r.named {
		e := r.entry
		e.length = p.inEnd - e.offset
		e.last = 0
		e.flags |= unfinished | unsure
		if e.target == "" && (r.keyAt >= r.arg || r.search != "" || r.cmd.key == container && r.arg == 1 || r.cmd.key == afterCount) {
			e.flags |= keyless
		}
		r.entry = e
		p.finish()
	}
	*r = request{}
	p.doubt.begin()
}
