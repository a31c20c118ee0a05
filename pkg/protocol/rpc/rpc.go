// Package rpc is what the parsers of RPC protocols have in common whose messages are
// frames of a length that the frame begins with, and whose answers have the number of
// their request: Bolt, Dubbo, TARS, Thrift. A package of such a protocol knows how the
// head of a frame looks; this one makes calls of frames.
//
// Because answers are matched by number, a gap makes only those calls uncertain whose
// frames it may have held. Clients that use a number again, such as those of Thrift
// that always send 0, are the exception: see type doubt.
//
// A request of the server, such as a heartbeat or a callback, is a call without
// request: its frame is where the answer is, and its status is that of the client's
// answer.
package rpc

import (
	"strings"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Kind says what a frame is.
type Kind uint8

// The kinds of frames.
const (
	Request Kind = iota // it is to be answered
	OneWay              // a request without answer
	Answer
)

// Frame is what the head of a frame says.
type Frame struct {
	// Length is that of the whole frame. It is set as soon as it is known, when the head
	// may not be all there. Identified says that Kind and ID are set, too.
	Length     uint64
	Identified bool
	Kind       Kind
	ID         uint64

	// Head is how many bytes are consumed with the head. What follows them up to the end of
	// the body are body spans, but for what is in front of the body.
	Head int
	// Body is where the body begins in the frame, which may be in the head, and BodyLength
	// its length. HasBody says that there is one.
	Body       uint64
	BodyLength uint64
	HasBody    bool
	Trailer    Trailer

	Method, Target, Service string // of requests; of an answer Method is what it says of its request's
	Status                  string // of answers
	Code                    int
	Failed                  bool
	Unknown                 bool // parts of the head could not be understood
	MayBeOneWay             bool // among them whether a request is to be answered
	Trace                   call.Trace
}

// Trailer says what follows the body of a frame. Where it has a kind and is no longer than MaxTrailer, the codec is a
// TrailerCodec that reads values in it. What it does not understand, and a longer one, is a span itself.
type Trailer struct {
	Kind           call.Kind
	Name, Encoding string
}

// MaxTrailer is the length of the longest trailer that is held.
const MaxTrailer = 16 << 10

// TrailerCodec is a Codec whose frames have trailers.
type TrailerCodec interface {
	Codec

	// Trailer gives the values in a trailer to span: data[from:to]. It returns where what it does not understand
	// begins.
	Trailer(dir record.Direction, data []byte, span func(kind call.Kind, name string, from, to int)) int
}

// Codec reads frames. It may have memory of its own for speed, but no state.
type Codec interface {
	// Head reads the head of the frame that data begin with into f, which is zero. need is
	// how many bytes of data it takes at least; if that is more than there are, f is not complete. An error says that no frame
	// begins there; need must not go beyond the bytes that it depends on.
	Head(dir record.Direction, data []byte, f *Frame) (need int, err error)

	// Spans gives the values in the head of f, data[:f.Head], to span: data[from:to].
	Spans(f *Frame, data []byte, span func(kind call.Kind, name string, from, to int))
}

// Match says whether data begin with a frame, and how many bytes it takes to say Yes. It
// is stricter than Codec.Head, which must accept what it accepts. searching says that data are
// somewhere in a stream, else they are its first bytes.
type Match func(dir record.Direction, data []byte, searching bool) (needed int, v parse.Verdict)

// Protocol returns the protocol of a codec.
func Protocol(name string, codec func() Codec, match Match) parse.Protocol {
	return parse.Protocol{
		Name: name,
		New:  func(env parse.Env) parse.Parser { return newParser(name, env, codec(), match) },
		Begins: func(dir record.Direction, data []byte) parse.Verdict {
			_, v := match(dir, data, false)
			return v
		},
		Within: func(dir record.Direction, data []byte) (at, needed int, found bool) {
			for at := range data {
				if n, v := match(dir, data[at:], true); v == parse.Yes {
					return at, at + n, true
				}
			}
			return 0, 0, false
		},
	}
}

// Strings makes strings of bytes, and keeps some, because the names of methods and
// services are few.
type Strings struct{ kept map[string]string }

const (
	maxKept   = 256 // strings
	maxString = 256 // bytes of one that is kept
)

// String returns b as a string, with the replacement character for what is not UTF-8. It does not keep b.
func (s *Strings) String(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if text, ok := s.kept[string(b)]; ok {
		return text
	}
	text := strings.ToValidUTF8(string(b), "\uFFFD")
	if len(b) <= maxString && len(s.kept) < maxKept {
		if s.kept == nil {
			s.kept = map[string]string{}
		}
		s.kept[string(b)] = text
	}
	return text
}

// IsName reports whether b is what methods and services are called: text without blanks
// and control characters. An empty one is none.
func IsName(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// The longest frames. Servers may be configured to accept more than their defaults (8 MiB, 100 MiB).
const (
	MaxLength = 1 << 31
	MaxSynced = 256 << 20 // that are believed where it is not known what the bytes are
)
