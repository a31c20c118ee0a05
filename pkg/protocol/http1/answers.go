package http1

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

func (p *parser) answers(s *parse.Stream) error {
	side := &p.sides[record.Out]
	for {
		if side.Phase == unsureBody {
			if !p.decideBody(s, side) {
				return nil
			}
			continue
		}
		if side.Phase != atHead {
			done, err := p.body(s, side, &side.Exchange.Call.Response)
			if !done || err != nil {
				return err
			}
			p.answerEnded(s, side)
			continue
		}
		done, err := p.answer(s, side)
		if !done || err != nil {
			return err
		}
	}
}

func (p *parser) answer(s *parse.Stream, side *side) (done bool, err error) {
	data, err := p.head(s, side, isStatusLine)
	if data == nil || err != nil {
		return false, err
	}
	line, fields := cutLine(data)
	code, ok := parseStatusLine(line)
	if !ok {
		return false, fmt.Errorf("%.40q is no status line", line)
	}
	x := p.askedFor()
	c := &x.Call
	side.Exchange = x
	body := framing{}
	base := s.Offset() + uint64(len(data)-len(fields))
	upgrade := ""
	for rest := fields; ; {
		f, after, more := nextField(rest)
		if !more {
			break
		}
		p.field(c, record.Out, base+uint64(len(fields)-len(rest)), rest, &f)
		rest = after
		body.field(&f)
		if code == 101 && f.is("upgrade") {
			upgrade = string(bytes.ToLower(f.value))
		}
	}
	if p.env.Spans {
		p.statusSpans(c, s.Offset(), line)
	}
	m := &c.Response
	if !m.Present || x.Lost {
		*m = call.Message{Present: true, Range: call.Range{Offset: s.Offset()}}
		x.Lost = false
	}
	interim := code/100 == 1 && code != 101
	if !interim {
		// Latency counts to the final answer.
		m.First = s.TimeAt(s.Offset())
		x.Begun = true
		c.Status, c.Code, c.Failed = statusText[code], code, code >= 500
	}
	s.Advance(len(data))
	m.Length = s.Offset() - m.Offset
	m.Last = s.LastTime()
	if interim {
		side.Exchange = nil
		return true, nil
	}
	switch {
	case code == 101 || x.Connect && code/100 == 2:
		return false, p.upgraded(s, side, upgrade)
	case x.Head || code == 204 || code == 304:
		p.answerEnded(s, side)
	case (p.unsure != 0 || !c.Request.Present) && !body.empty():
		// If it is the answer to a HEAD, it has no body.
		side.Phase, side.Unsure = unsureBody, body
	default:
		p.answerBody(s, side, &body)
	}
	return true, nil
}

func (p *parser) answerBody(s *parse.Stream, side *side, body *framing) {
	c := &side.Exchange.Call
	m := &c.Response
	switch {
	case body.Chunked:
		p.beginBody(s, side, m, atChunk)
	case body.endless():
		p.beginBody(s, side, m, inBody)
		side.Endless = true
		s.Skip(parse.Until, parse.Value{Call: c.N, Kind: call.KindBody})
	default:
		p.beginBody(s, side, m, inBody)
		s.Skip(body.Length, parse.Value{Call: c.N, Kind: call.KindBody})
		if body.Length == 0 {
			p.answerEnded(s, side)
		}
	}
}

func (p *parser) decideBody(s *parse.Stream, side *side) (done bool) {
	switch beginsAnswer(s.Bytes()) {
	case parse.Maybe:
		return false
	case parse.Yes:
		p.answerEnded(s, side)
	default:
		body := side.Unsure
		side.Unsure = framing{}
		p.answerBody(s, side, &body)
	}
	return true
}

func (p *parser) askedFor() *exchange {
	var x *exchange
	for _, o := range p.open {
		if !o.Begun && (x == nil || x.Lost) {
			x = o
		}
	}
	if x == nil {
		// The server speaks without being asked, or before it has the whole head.
		x = &exchange{Early: p.coming}
		x.Call.Incomplete = p.torn
		switch {
		case p.torn == call.BeganBefore && !p.asked && !p.unasked:
			// It answers the request that was the last one before the recording.
		case p.torn == call.BeganBefore && !p.asked:
			p.pipelined = true
			p.unsure |= p.torn
		default:
			p.unsure |= p.torn
		}
		p.unasked = true
		x.Call.N, x.Call.Protocol = p.env.Next(), call.HTTP1
		p.makeRoom()
		p.open, p.size = append(p.open, x), p.size+openSize
	}
	if p.late && p.pipelined {
		// The client may have sent more requests before the recording.
		p.unsure |= call.BeganBefore
	}
	x.Call.Incomplete |= p.unsure
	for o := p.open[0]; o != x && o.Lost && !o.Begun; o = p.open[0] {
		o.Call.Incomplete |= call.Gap
		p.emit(o)
	}
	return x
}

func (p *parser) upgraded(s *parse.Stream, side *side, to string) error {
	x := side.Exchange
	u := &parse.Upgrade{Other: p.offsets[record.In]}
	name, _, _ := strings.Cut(to, ",")
	switch strings.TrimSpace(name) {
	case "websocket":
		request := x.Call
		u.To, u.Request = call.WebSocket, &request
	case "h2c":
		// The answer is that of HTTP/2's stream 1 (RFC 7540, section 3.2).
		u.To, u.Request = call.HTTP2, &x.Call
		p.open = slices.DeleteFunc(p.open, func(o *exchange) bool { return o == x })
		return u
	}
	p.answerEnded(s, side)
	return u
}

func (p *parser) answerEnded(s *parse.Stream, side *side) {
	x := side.Exchange
	m := &x.Call.Response
	m.Ended, m.Last = true, s.LastTime()
	m.Length = s.Offset() - m.Offset
	x.Answered = true
	side.Phase, side.Exchange = atHead, nil
	if in := &p.sides[record.In]; in.Phase == waiting {
		in.awaitHead()
	}
	if x.Asked || !x.Call.Request.Present && !x.Early {
		p.finish(x)
	}
}
