package parse

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Runner gives the bytes and gaps of one connection to a parser. It is for one
// goroutine.
type Runner struct {
	parser  Parser
	sink    call.Sink
	streams [2]Stream
	order   uint64 // pieces so far
	limit   int    // bytes of both streams that may wait

	wrong record.Direction // of the bytes of which an error is
	left  bool             // the client's stream is of another protocol: see Leave
}

// maxMisled is how often in a row a parser may find a message where there is none,
// before the connection counts as one of another protocol.
const maxMisled = 16

// NewRunner returns a runner for a new parser of p.
func NewRunner(p *Protocol, env Env) *Runner {
	r := &Runner{sink: env.Sink, limit: env.Memory}
	for dir := range r.streams {
		r.streams[dir].dir = record.Direction(dir)
		if env.Spans {
			r.streams[dir].spans = env.Sink
		}
	}
	r.parser = p.New(env)
	return r
}

// Start says that a direction begins with a message at offset, although bytes came
// before it. Without it a direction that does not begin at 0 begins within one.
func (r *Runner) Start(dir record.Direction, offset uint64) {
	s := &r.streams[dir]
	s.started, s.offset, s.synced = true, offset, true
}

// Data gives the parser the next bytes of a direction. They begin where the ones before
// have ended. It keeps a copy of what waits. An error is one of Parser.Parse; Rest then
// returns what was not consumed.
func (r *Runner) Data(dir record.Direction, offset uint64, at time.Time, b []byte) error {
	s := &r.streams[dir]
	if !s.started {
		s.begin(offset)
	}
	r.order++
	known := s.offset + uint64(len(s.data))
	s.add(b, at, r.order)
	err := r.advance(s, known)
	if waiting := len(s.data) + len(r.streams[1-dir].data); err == nil && waiting > r.limit {
		err, r.wrong = fmt.Errorf("a message of more than %d bytes", r.limit), dir
	}
	return err
}

// Interrupt makes the runner go on without the bytes of the server that were not consumed, because they are not of the
// protocol, and those that follow them until the client sends something. It returns them as Rest does. Rejoin says where the server's
// bytes go on that the runner gets. ok is false, and nothing is changed, where the protocol does not go on, or a call has not ended.
func (r *Runner) Interrupt() (rest []Piece, ok bool) {
	in, out := &r.streams[record.In], &r.streams[record.Out]
	p, ok := r.parser.(Rejoining)
	if !ok || r.left || in.skip > 0 || len(in.data) > 0 || p.Due() || !p.Rejoin(out) {
		return nil, false
	}
	rest = out.rest(nil)
	out.drop()
	return rest, true
}

// Rejoin says that the server's bytes from offset on are given to the runner again.
func (r *Runner) Rejoin(offset uint64) {
	s := &r.streams[record.Out]
	s.offset, s.last, s.synced = offset, time.Time{}, true
}

// Wrong returns the direction of the last error: that of its bytes, which need not be the one of the bytes that came.
func (r *Runner) Wrong() record.Direction { return r.wrong }

// advance lets the parser consume what it can of s, and then of the other stream, where
// bytes may have waited for those of s. The parser has seen those of s before the offset known.
func (r *Runner) advance(s *Stream, known uint64) error {
	var err error
	if r.wrong = s.dir; r.left {
		err = r.parseAnswers(s, known)
	} else {
		err = r.parse(s)
	}
	s.keep()
	if o := &r.streams[1-s.dir]; err == nil && len(o.data) > 0 && o.synced {
		o.need = 0
		r.wrong = o.dir
		err = r.parse(o)
		o.keep()
	}
	return err
}

// parseAnswers is parse for the server's stream once the client's was left. It shows the parser one byte more at a time, so
// that the last answer ends at the same byte however they are cut.
func (r *Runner) parseAnswers(s *Stream, known uint64) error {
	data, from := s.data, s.offset
	end := from + uint64(len(data))
	for shown := known; ; {
		if shown < end {
			next := shown + 1
			if s.skip > 0 { // what was shown is consumed
				next = shown + min(s.skip, end-shown)
			}
			shown = max(next, min(s.offset+uint64(s.need), end)) //nolint:gosec // it is positive
		}
		s.data = data[s.offset-from : shown-from]
		err := r.parse(s)
		if err == nil && s.skip == 0 && !r.due() {
			err = ErrAnswered
		}
		if err != nil || shown == end {
			s.data = data[s.offset-from:]
			return err
		}
	}
}

// due reports whether the parser waits for more of the server.
func (r *Runner) due() bool {
	p, ok := r.parser.(Answering)
	return ok && p.Due()
}

// Leave makes the runner go on with the answers alone that are due, because the client's bytes that were not consumed are of
// another protocol. It returns them as Rest does; nothing more of the client may be given to the runner then. Data and Gap return
// ErrAnswered when the last answer has ended. ok is false where no answer is due.
func (r *Runner) Leave() (rest []Piece, ok bool) {
	p, ok := r.parser.(Answering)
	if !ok || !p.Due() {
		return nil, false
	}
	s := &r.streams[record.In]
	p.Leave(s)
	if !p.Due() {
		return nil, false
	}
	rest = s.rest(nil)
	s.drop()
	r.left = true
	return rest, true
}

// parse lets the parser consume what it can of s.
func (r *Runner) parse(s *Stream) error {
	for {
		if s.skip > 0 {
			s.skipData()
			if s.skip > 0 {
				return nil
			}
		}
		if !s.synced && !r.sync(s) {
			return nil
		}
		if len(s.data) < s.need {
			return nil
		}
		s.need = 0
		before := s.offset
		err := r.parser.Parse(s)
		if s.offset != before {
			s.misled = 0
		}
		if err == nil {
			return nil
		}
		var upgrade *Upgrade
		if errors.As(err, &upgrade) || !s.torn || s.misled >= maxMisled || len(s.data) == 0 {
			return err
		}
		// Behind a gap, what looked like a message need not have been one.
		s.misled++
		r.lose(s, 1)
	}
}

// sync looks for a message and reports whether there is one.
func (r *Runner) sync(s *Stream) bool {
	n, found := r.parser.Sync(s)
	r.skipped(s.dir, s.offset, n)
	s.consume(n)
	s.synced = found
	return found
}

// lose says that it is not known what s has from here on; n bytes are given up.
func (r *Runner) lose(s *Stream, n int) {
	r.skipped(s.dir, s.offset, n)
	s.consume(n)
	s.synced, s.torn, s.last, s.need = false, true, time.Time{}, 0
	r.parser.Lost(s)
}

func (r *Runner) skipped(dir record.Direction, offset uint64, n int) {
	if sink, ok := r.sink.(call.SkipSink); ok && n > 0 {
		sink.Skipped(dir, call.Range{Offset: offset, Length: uint64(n)})
	}
}

// Gap gives the parser a gap, which begins where the bytes before it have ended. Errors
// are those of Data.
func (r *Runner) Gap(dir record.Direction, offset, length uint64) error {
	s := &r.streams[dir]
	if length == 0 {
		return nil
	}
	if !s.started {
		s.begin(offset)
	}
	for s.skip > 0 { // what follows a skip may be skipped, too
		n := s.skipGap(length)
		s.torn = true
		if s.skip == 0 {
			if err := r.advance(s, s.offset+uint64(len(s.data))); err != nil {
				return err
			}
		}
		if length -= n; length == 0 {
			return nil
		}
	}
	given := s.drop()
	r.skipped(dir, given.Offset, int(given.Length))
	s.offset += length
	s.skip = 0
	r.lose(s, 0)
	if r.left && !r.due() {
		r.wrong = s.dir
		return ErrAnswered
	}
	return nil
}

// End ends the parser: nothing more comes.
func (r *Runner) End(e End) {
	e.Streams = [2]*Stream{&r.streams[0], &r.streams[1]}
	for dir, s := range e.Streams {
		e.Recorded[dir] = e.Recorded[dir] && !s.Astray() && !(r.left && s.dir == record.In)
	}
	r.parser.End(e)
	if e.Left {
		return
	}
	for dir, s := range e.Streams { // such as the first half of a head
		r.skipped(record.Direction(dir), s.offset, len(s.data))
	}
}

// Pending returns the range of a direction at its end that is not decided.
func (r *Runner) Pending(dir record.Direction) call.Range {
	s := &r.streams[dir]
	return call.Range{Offset: s.offset, Length: uint64(len(s.data))}
}

// Next returns the offset of the first byte of a direction that is not consumed; ok is
// false if nothing of the direction has come.
func (r *Runner) Next(dir record.Direction) (offset uint64, ok bool) {
	return r.streams[dir].offset, r.streams[dir].started
}

// Skipping reports whether a direction is within bytes that are passed over.
func (r *Runner) Skipping(dir record.Direction) bool { return r.streams[dir].skip > 0 }

// Piece is a part of what waits.
type Piece struct {
	Direction record.Direction
	Offset    uint64
	At        time.Time
	Data      []byte

	order uint64
}

// Rest returns what was not consumed, in the order in which it came. The data are the
// runner's.
func (r *Runner) Rest() []Piece {
	var pieces []Piece
	for i := range r.streams {
		pieces = r.streams[i].rest(pieces)
	}
	slices.SortStableFunc(pieces, func(a, b Piece) int {
		if a.order < b.order {
			return -1
		}
		return 1
	})
	return pieces
}

// rest appends what s has and was not consumed.
func (s *Stream) rest(pieces []Piece) []Piece {
	for k, m := range s.marks {
		from, to := max(m.offset, s.offset), s.offset+uint64(len(s.data))
		if k+1 < len(s.marks) {
			to = s.marks[k+1].offset
		}
		if from < to {
			pieces = append(pieces, Piece{s.dir, from, m.at, s.data[from-s.offset : to-s.offset], m.order})
		}
	}
	return pieces
}
