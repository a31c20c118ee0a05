package replay

import (
	"errors"
	"io"
	"iter"
)

// pushParser runs a parser that reads, such as those of net/http, over bytes that
// come piece by piece: the parser is a coroutine that rests where it would have
// to wait. It is not safe for concurrent use.
type pushParser struct {
	resume func() (struct{}, bool)
	stop   func()
	in     []byte // not read yet; the caller's until feed returns
	fed    uint64 // bytes so far
	ended  bool
	over   bool  // the parser has returned
	err    error // what it returned; nil at the end of the stream
}

var errAbandoned = errors.New("abandoned")

// newPushParser returns a parser that is at the start. parse is given the stream
// and returns at its end or at an error. Call close in the end.
func newPushParser(parse func(io.Reader) error) *pushParser {
	p := &pushParser{}
	p.resume, p.stop = iter.Pull(func(yield func(struct{}) bool) {
		err := parse(&pushReader{p: p, wait: func() bool { return yield(struct{}{}) }})
		p.over = true
		if !errors.Is(err, io.EOF) {
			p.err = err
		}
	})
	return p
}

// feed parses b as far as it goes. It does not keep b. The error is that of this
// call or an earlier one.
func (p *pushParser) feed(b []byte) error {
	p.fed += uint64(len(b))
	if p.over || len(b) == 0 {
		return p.err
	}
	p.in = b
	p.resume()
	p.in = nil
	return p.err
}

// end says that the stream has ended.
func (p *pushParser) end() error {
	if !p.over && !p.ended {
		p.ended = true
		p.resume()
	}
	return p.err
}

// close gives the parser up. It may be called again.
func (p *pushParser) close() { p.stop() }

// unread is how much of what was fed the parser's reader has not given out.
func (p *pushParser) unread() int { return len(p.in) }

// pushReader is the stream as the parser reads it.
type pushReader struct {
	p         *pushParser
	wait      func() bool
	abandoned bool
}

// Read implements io.Reader.
func (r *pushReader) Read(dst []byte) (int, error) {
	for len(r.p.in) == 0 {
		switch {
		case r.abandoned:
			return 0, errAbandoned
		case r.p.ended:
			return 0, io.EOF
		case !r.wait():
			r.abandoned = true
		}
	}
	n := copy(dst, r.p.in)
	r.p.in = r.p.in[n:]
	return n, nil
}
