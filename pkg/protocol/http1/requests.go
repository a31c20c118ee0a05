package http1

import (
	"bytes"
	"fmt"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/trace"
	"mosn.io/tcpcopy/pkg/record"
)

func (p *parser) requests(s *parse.Stream) error {
	side := &p.sides[record.In]
	for {
		switch side.Phase {
		case waiting:
			if !p.goesOn(s, side) {
				return nil
			}
		case atHead:
			done, err := p.request(s, side)
			if !done || err != nil {
				return err
			}
		default:
			done, err := p.body(s, side, &side.Exchange.Call.Request)
			if err != nil {
				p.skipRest(s, side)
			}
			if !done {
				return nil
			}
			p.requestEnded(s, side)
		}
	}
}

func (p *parser) goesOn(s *parse.Stream, side *side) bool {
	if side.Line || p.open[len(p.open)-1].Connect {
		return false
	}
	data := s.Bytes()
	side.Looked = min(side.Looked, len(data))
	end := bytes.IndexByte(data[side.Looked:], '\n')
	if end < 0 {
		side.Looked, side.Line = len(data), begins(record.In, data[:min(len(data), certain)]) == parse.No
		return false
	}
	end += side.Looked
	line, _ := cutLine(data)
	n, known := fieldBegins(data[end+1:])
	side.Looked, side.Line = end, !isRequestLine(line) || known && n == 0
	if n > 0 && !side.Line {
		side.awaitHead()
	}
	return side.Phase == atHead
}

func (p *parser) request(s *parse.Stream, side *side) (done bool, err error) {
	data, err := p.head(s, side, isRequestLine)
	p.coming = data == nil && len(s.Bytes()) > 0
	if data == nil || err != nil {
		return false, err
	}
	line, fields := cutLine(data)
	r, ok := parseRequestLine(line)
	if !ok {
		return false, fmt.Errorf("%.40q is no request line", line)
	}
	x := p.beginRequest(&r)
	c := &x.Call
	side.Exchange = x
	body, ids := framing{}, trace.Fields{}
	base := s.Offset() + uint64(len(data)-len(fields))
	for rest := fields; ; {
		f, after, more := nextField(rest)
		if !more {
			break
		}
		p.field(c, record.In, base+uint64(len(fields)-len(rest)), rest, &f)
		rest = after
		if len(f.name) == 0 {
			continue
		}
		switch f.name[0] | 0x20 {
		case 'h':
			if c.Host == "" && f.is("host") {
				if string(f.value) != p.host {
					p.host = string(f.value)
				}
				c.Host = p.host
			}
		case 'u':
			if f.is("upgrade") {
				x.Upgrade = string(bytes.ToLower(f.value))
			}
		}
		body.field(&f)
		trace.Add(&ids, f.name, f.value)
	}
	c.Trace = ids.Trace
	p.requestSpans(c, s.Offset(), data, &r)
	if c.Host == "" {
		c.Host = hostOf(c.Target)
	}
	if x.Connect || x.Upgrade != "" && !body.Upgrade {
		x.Upgrade = ""
	}
	p.size += len(c.Target)
	c.Request.Range = call.Range{Offset: s.Offset(), Length: uint64(len(data))}
	c.Request.Present, c.Request.First = true, s.TimeAt(s.Offset())
	s.Advance(len(data))
	switch {
	case body.Chunked:
		p.beginBody(s, side, &c.Request, atChunk)
	case body.Invalid, body.Coded && !body.Known:
		p.beginBody(s, side, &c.Request, inBody)
		p.skipRest(s, side)
	case body.Length > 0:
		p.beginBody(s, side, &c.Request, inBody)
		s.Skip(body.Length, parse.Value{Call: c.N, Kind: call.KindBody})
	default:
		if body.Known {
			c.Request.HasBody, c.Request.Body = true, call.Range{Offset: s.Offset()}
		}
		p.requestEnded(s, side)
	}
	return true, nil
}

// skipRest passes over the rest of the direction: the end of the request's body is not known. The server refuses the request, and closes
// the connection (RFC 9112, sections 6.3 and 7.1).
func (p *parser) skipRest(s *parse.Stream, side *side) {
	side.Phase, side.Endless = inBody, true
	s.Skip(parse.Until, parse.Value{Call: side.Exchange.Call.N, Kind: call.KindBody})
}

func (p *parser) beginRequest(r *requestLine) *exchange {
	for _, x := range p.open {
		if x.Early {
			x.Early = false
			x.Call.Method, x.Call.Target = method(r.method), string(r.target)
			x.Call.Path = pathOf(x.Call.Target)
			x.Head, x.Connect = x.Call.Method == methodHead, x.Call.Method == methodConnect
			return x
		}
	}
	if len(p.open) > 0 {
		p.pipelined = true
	}
	p.makeRoom()
	x := p.spare
	if p.spare = nil; x == nil {
		x = &exchange{}
	}
	x.Clean = len(p.open) == 0
	c := &x.Call
	c.N, c.Protocol = p.env.Next(), call.HTTP1
	c.Method, c.Target = method(r.method), string(r.target)
	c.Path = pathOf(c.Target)
	x.Head, x.Connect = c.Method == methodHead, c.Method == methodConnect
	if x.Connect {
		c.Path = ""
	}
	c.Incomplete |= p.unsure
	p.asked = true
	p.open, p.size = append(p.open, x), p.size+openSize
	return x
}

// makeRoom gives the oldest exchanges to the sink while there are too many: only requests are recorded, or there is something
// wrong.
func (p *parser) makeRoom() {
	for len(p.open) > 0 && p.size > p.env.Memory/2 {
		x := p.open[0]
		if p.offsets[record.Out] > 0 {
			p.unsure |= call.Gap
			x.Call.Incomplete |= call.Gap
		}
		p.emit(x)
	}
}

func (p *parser) requestEnded(s *parse.Stream, side *side) {
	x := side.Exchange
	m := &x.Call.Request
	m.Ended, m.Last = true, s.LastTime()
	m.Length = s.Offset() - m.Offset
	x.Asked = true
	side.Phase, side.Exchange = atHead, nil
	if x.Answered {
		p.finish(x)
	} else if x.Connect || x.Upgrade != "" {
		side.Phase = waiting
	}
}
