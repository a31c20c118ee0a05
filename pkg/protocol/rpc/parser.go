package rpc

import (
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// parser implements parse.Parser.
type parser struct {
	name  string
	env   parse.Env
	codec Codec
	match Match

	sides   [2]side
	waiting [2]waiting // requests of each direction
	doubt   doubt
	joined  bool        // the connection was recorded from its middle on
	free    []*exchange // for use again
	frame   Frame       // the one that is looked at
}

// side is what is being parsed of a direction.
type side struct {
	x         *exchange // of the frame that is being passed over; nil if it is of no call
	Open      bool      // a frame is being passed over
	IsAnswer  bool
	BodyAt    uint64
	BodyEnd   uint64
	End       uint64
	Trailer   Trailer
	Skipped   bool // a skip in it was begun
	Held      int  // bytes of its trailer that wait for the others
	HeldAt    uint64
	InTrailer bool // a gap was in it
	Torn      bool // bytes were missing
	Gaps      uint64
	Searched  bool   // the next frame was looked for
	Waited    uint64 // and was not found in the bytes before this offset
	Partly    partly // the frame whose head is not all there
	Following bool   // a gap was within that frame: the next one begins at its end
}

// partly is what is known of a frame whose head is not all there.
type partly struct {
	End        uint64 // 0 if it is not known
	Identified bool   // the others are known
	Kind       Kind
	ID         uint64
}

func newParser(name string, env parse.Env, codec Codec, match Match) parse.Parser {
	p := &parser{name: name, env: env, codec: codec, match: match}
	for _, dir := range record.Directions() {
		if !env.FromStart[dir] {
			p.joined = true
			p.sides[dir].Searched = true
			p.doubt.begin()
		}
	}
	return p
}

// Parse implements parse.Parser.
func (p *parser) Parse(s *parse.Stream) error {
	w := &p.sides[s.Dir()]
	w.Following = false
	for {
		if s.Skipping() {
			return nil
		}
		if w.Open {
			if !p.pass(s, w) {
				return nil
			}
			continue
		}
		data := s.Bytes()
		w.Partly = partly{}
		if len(data) == 0 {
			return nil
		}
		f := &p.frame
		*f = Frame{}
		need, err := p.codec.Head(s.Dir(), data, f)
		if err != nil {
			return err
		}
		if f.Length > 0 {
			w.Partly = partly{s.Offset() + f.Length, f.Identified, f.Kind, f.ID}
		}
		if need > len(data) {
			s.Need(need)
			return nil
		}
		w.Partly = partly{}
		p.begin(s, w, f)
	}
}

// Leave implements parse.Answering.
func (p *parser) Leave(*parse.Stream) {}

// Due implements parse.Answering.
func (p *parser) Due() bool { return p.waiting[record.In].count > 0 || p.sides[record.Out].Open }

// Rejoin implements parse.Rejoining.
func (p *parser) Rejoin(*parse.Stream) bool { return true }

// pass passes over the next part of a frame, or ends it. It reports whether there were bytes enough.
func (p *parser) pass(s *parse.Stream, w *side) bool {
	w.Held = 0
	if w.Skipped {
		w.Skipped = false
		p.miss(s.Dir(), w, s.Missing())
	}
	at := s.Offset()
	switch {
	case at < w.BodyAt:
		w.Skipped = true
		s.Skip(w.BodyAt-at, parse.Value{})
	case at < w.BodyEnd:
		w.Skipped = true
		v := parse.Value{}
		if w.x != nil {
			v = parse.Value{Call: w.x.Call.N, Kind: call.KindBody}
		}
		s.Skip(w.BodyEnd-at, v)
	case at < w.End && p.reads(w):
		n := int(w.End - at)
		if w.Held, w.HeldAt = len(s.Bytes()), at; w.Held < n {
			s.Need(n)
			return false
		}
		w.Held = 0
		p.trailer(s.Dir(), w, at, s.Bytes()[:n])
		s.Advance(n)
	case at < w.End:
		w.Skipped = true
		v := parse.Value{}
		if w.x != nil {
			v = parse.Value{Call: w.x.Call.N, Kind: w.Trailer.Kind, Name: w.Trailer.Name, Encoding: w.Trailer.Encoding}
		}
		s.Skip(w.End-at, v)
	default:
		p.finish(s.Dir(), w, s.LastTime())
	}
	return true
}

// reads reports whether the trailer of a frame is read.
func (p *parser) reads(w *side) bool {
	return p.env.Spans && w.x != nil && w.Trailer.Kind != 0 && !w.InTrailer && w.End-w.BodyEnd <= MaxTrailer
}

// trailer reports the values of a trailer.
func (p *parser) trailer(dir record.Direction, w *side, at uint64, data []byte) {
	n := w.x.Call.N
	span := func(kind call.Kind, name, encoding string, from, to int) {
		p.env.Sink.Span(call.Span{
			Call: n, Direction: dir, Range: call.Range{Offset: at + uint64(from), Length: uint64(to - from)}, Kind: kind, Name: name, Encoding: encoding,
			Value: data[from:to],
		})
	}
	known := 0
	if c, ok := p.codec.(TrailerCodec); ok {
		known = c.Trailer(dir, data, func(kind call.Kind, name string, from, to int) { span(kind, name, "", from, to) })
	}
	if known < len(data) {
		span(w.Trailer.Kind, w.Trailer.Name, w.Trailer.Encoding, known, len(data))
	}
}

// message returns the part of a call that a direction sends; nil for the client's answer to the
// server, which has no place in a call.
func message(x *exchange, dir record.Direction) *call.Message {
	switch {
	case dir == record.Out:
		return &x.Call.Response
	case x.Asker == record.In:
		return &x.Call.Request
	}
	return nil
}

// miss counts bytes of a frame that were not recorded.
func (p *parser) miss(dir record.Direction, w *side, n uint64) {
	if n == 0 || w.x == nil {
		return
	}
	if m := message(w.x, dir); m != nil {
		m.Missing += n
		w.x.Call.Incomplete |= call.Gap
	}
}

// begin consumes the head of a frame.
func (p *parser) begin(s *parse.Stream, w *side, f *Frame) {
	dir, at := s.Dir(), s.Offset()
	if w.Searched {
		w.Gaps++ // there may have been answers in what was passed over
	}
	var x *exchange
	if f.Kind == Answer {
		x = p.beginAnswer(dir, f)
	} else {
		x = p.beginRequest(dir, f)
	}
	w.x, w.Open, w.IsAnswer = x, true, f.Kind == Answer
	w.End, w.Trailer, w.InTrailer = at+f.Length, f.Trailer, false
	w.BodyAt, w.BodyEnd = w.End, w.End
	if f.HasBody {
		w.BodyAt = at + f.Body
		w.BodyEnd = w.BodyAt + f.BodyLength
	}
	if x != nil {
		if m := message(x, dir); m != nil {
			*m = call.Message{Present: true, First: s.TimeAt(at), Range: call.Range{Offset: at, Length: f.Length}}
			if f.HasBody {
				m.HasBody, m.Body = true, call.Range{Offset: w.BodyAt, Length: f.BodyLength}
			}
		}
		if f.Unknown {
			x.Call.Incomplete |= call.UnknownFields
		}
		if at < w.Waited || f.MayBeOneWay {
			x.InGap = true // its answer may have come before it was found
		}
		if w.Searched && w.Torn {
			x.Call.Incomplete |= call.Gap // it may be a part of another frame
		}
		if p.env.Spans {
			p.spans(dir, x.Call.N, at, f, s.Bytes())
		}
	}
	w.Searched = false
	s.Advance(f.Head)
}

// spans reports the values in the head of a frame.
func (p *parser) spans(dir record.Direction, n, at uint64, f *Frame, data []byte) {
	p.codec.Spans(f, data[:f.Head], func(kind call.Kind, name string, from, to int) {
		p.env.Sink.Span(call.Span{
			Call: n, Direction: dir, Range: call.Range{Offset: at + uint64(from), Length: uint64(to - from)}, Kind: kind, Name: name, Value: data[from:to],
		})
	})
}

func (p *parser) new() *exchange {
	n := len(p.free)
	if n == 0 {
		return &exchange{}
	}
	x := p.free[n-1]
	p.free = p.free[:n-1]
	*x = exchange{}
	return x
}

// beginRequest returns the call of a request.
func (p *parser) beginRequest(dir record.Direction, f *Frame) *exchange {
	w := &p.waiting[dir]
	x := p.new()
	x.Asker, x.ID, x.OneWay, x.Asking = dir, f.ID, f.Kind == OneWay, true
	x.Lost = p.sides[1-dir].Gaps
	x.Call = call.Call{N: p.env.Next(), Protocol: p.name, Method: f.Method, Target: f.Target, Service: f.Service, Trace: f.Trace}
	if dir == record.Out {
		x.Call.Incomplete |= call.NoRequest
	}
	if x.OneWay {
		return x
	}
	if dir == record.In {
		// A number that is used again: the call before has ended, if its answer may have been lost.
		for before := w.byID[x.ID]; before != nil && p.mayBeLost(before) && !before.Asking; before = w.byID[x.ID] {
			w.remove(before)
			p.unanswered(before, call.Gap, false)
			x.Doubtful = true
			p.doubt.begin()
		}
		p.doubt.asked(x.ID, w.byID[x.ID] != nil)
		x.Doubtful = x.Doubtful || p.doubt.On && p.doubt.reused(x.ID)
	}
	w.add(x)
	for w.size > p.env.Memory/2 && w.first != x {
		oldest := w.first
		w.remove(oldest)
		p.unanswered(oldest, call.Gap, false)
	}
	return x
}

// mayBeLost reports whether the answer to x may have been in a gap.
func (p *parser) mayBeLost(x *exchange) bool {
	return x.InGap || x.Lost != p.sides[1-x.Asker].Gaps
}

// beginAnswer returns the call that an answer belongs to, nil if it is an answer to the
// server whose request is not known.
func (p *parser) beginAnswer(dir record.Direction, f *Frame) *exchange {
	asker := 1 - dir
	w := &p.waiting[asker]
	x := w.find(f.ID, f.Method)
	if x != nil && f.Method != "" && x.Call.Method != "" && x.Call.Method != f.Method && p.torn() {
		x = nil
	}
	if x == nil {
		if asker == record.Out {
			return nil
		}
		x = p.new()
		x.Asker, x.ID = asker, f.ID
		x.Call = call.Call{
			N: p.env.Next(), Protocol: p.name, Method: f.Method, Target: f.Target, Service: f.Service, Trace: f.Trace,
			Incomplete: call.NoRequest | p.whyNoRequest(),
		}
	} else {
		if asker == record.In {
			switch {
			case x.Doubtful:
				x.Call.Incomplete |= call.Gap
			case p.mayBeLost(x) && (x.same != nil || p.doubt.reused(x.ID)):
				x.Call.Incomplete |= call.Gap
				p.doubt.begin()
			}
			p.doubt.answered(w.count == 1)
		}
		w.remove(x)
		if x.Call.Service == "" {
			x.Call.Service = f.Service
		}
	}
	x.Answering = true
	x.Call.Status, x.Call.Code, x.Call.Failed = f.Status, f.Code, f.Failed
	return x
}

// torn reports whether bytes were missing in any direction.
func (p *parser) torn() bool {
	return p.joined || p.sides[record.In].Torn || p.sides[record.Out].Torn
}

// whyNoRequest returns why the request of an answer is not there.
func (p *parser) whyNoRequest() call.Incomplete {
	switch {
	case p.sides[record.In].Torn || p.sides[record.Out].Torn:
		return call.Gap
	case p.joined:
		return call.BeganBefore
	}
	return 0
}

// finish ends a frame, whose last byte passed at last.
func (p *parser) finish(dir record.Direction, w *side, last time.Time) {
	x := w.x
	w.Open, w.x = false, nil
	if x == nil {
		return
	}
	if m := message(x, dir); m != nil {
		m.Ended, m.Last = true, last
	}
	if w.IsAnswer {
		x.Answered = true
	} else {
		x.Asking = false
	}
	switch {
	case x.Asking:
	case x.OneWay:
		p.unanswered(x, 0, false)
	case x.Answered:
		p.emit(x)
	}
}

// unanswered gives a call to the sink that has no answer.
func (p *parser) unanswered(x *exchange, reason call.Incomplete, failed bool) {
	x.Call.Incomplete |= reason
	if x.Asker == record.In {
		x.Call.Incomplete |= call.NoAnswer
		x.Call.Failed = failed
	}
	p.emit(x)
}

const maxFree = 64 // calls that are kept for use again

// emit gives a call to the sink.
func (p *parser) emit(x *exchange) {
	p.env.Sink.Call(&x.Call)
	if len(p.free) < maxFree && p.sides[0].x != x && p.sides[1].x != x {
		p.free = append(p.free, x)
	}
}
