package parse

import (
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// lines is a parser of lines. It looks at each byte once.
type lines struct {
	Parser
	looked, seen int
	times        []time.Time
}

func (l *lines) Parse(s *Stream) error {
	data := s.Bytes()
	for l.looked < len(data) {
		l.looked++
		l.seen++
		if data[l.looked-1] == '\n' {
			l.times = append(l.times, s.TimeAt(s.Offset()))
			s.Advance(l.looked)
			l.times = append(l.times, s.LastTime())
			data, l.looked = s.Bytes(), 0
		}
	}
	return nil
}

type none struct{}

func (none) Call(*call.Call) {}
func (none) Span(call.Span)  {}

// A stream holds what waits, once, and not much more, however small the pieces are, and gives back what it needed for it.
func TestMemoryOfWhatWaits(t *testing.T) {
	l := &lines{}
	r := NewRunner(&Protocol{New: func(Env) Parser { return l }}, Env{Sink: none{}, Memory: 1 << 20})
	s := &r.streams[record.In]
	start := time.Unix(0, 0)
	const size = 900_000
	offset := uint64(0)
	give := func(text string) {
		if err := r.Data(record.In, offset, start.Add(time.Duration(offset)), []byte(text)); err != nil {
			t.Fatal(err)
		}
		offset += uint64(len(text))
	}
	for range size {
		give("a")
	}
	if len(s.marks) > maxMarks || cap(s.pending) > 2*size {
		t.Errorf("%d marks and %d bytes", len(s.marks), cap(s.pending))
	}
	give("\nbc")
	if cap(s.pending) > maxIdle || string(s.data) != "bc" {
		t.Errorf("%d bytes for %q", cap(s.pending), s.data)
	}
	give("d\n")
	if l.seen != int(offset) || len(l.times) != 4 {
		t.Fatalf("%d bytes of %d seen, %d lines", l.seen, offset, len(l.times)/2)
	}
	for i, want := range []time.Duration{0, size, size, size + 3} {
		if got := l.times[i].Sub(start); got != want {
			t.Errorf("time %d: %d, want %d", i, got, want)
		}
	}
}
