// Package parse is what the decoder of a connection and the parsers of the single
// protocols have in common. The decoder (package protocol) holds the bytes that are not
// decided yet, passes over gaps and long bodies, and chooses the parser; a parser knows
// its protocol's messages alone. It is never given a byte twice that it has consumed.
package parse

import (
	"encoding"
	"errors"
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Parser understands the two streams of one connection in one protocol. Its methods are
// called by one goroutine.
//
// A parser must come to the same calls however the bytes are cut into records. So it
// consumes whole units, such as a head or a frame's header, and leaves a unit alone that
// is not all there, or passes over bytes that it need not see with Stream.Skip.
//
// Its state is what MarshalBinary returns: a parser that is made anew and given it goes
// on where the first one was. Bytes that are not consumed are not part of it.
type Parser interface {
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler

	// Parse consumes what it can of s, whose direction is s.Dir(). It is called when bytes
	// have come, and when a skip has ended, then perhaps without bytes. When it returns
	// nil, what it has left is the beginning of a unit. An error says that the bytes from
	// s.Offset() on are not of this protocol; an *Upgrade that another one begins there.
	Parse(s *Stream) error

	// Lost says that bytes of the direction are missing, outside of a skip: those that s held have
	// been dropped, and s.Offset() is behind the gap. Until Sync has found a
	// message, Parse is not called for that direction.
	Lost(s *Stream)

	// Sync looks for the beginning of a message in s.Bytes(), where it is not known what
	// they are: after a gap, or on a connection that was recorded from its middle on. It
	// returns how many bytes are in front of the message, and whether it is certain of it. If not
	// found, the n bytes can be given up; the others are kept until there are more. It does not
	// consume. Of the same bytes it must find the same message however many of them it is given at a time.
	Sync(s *Stream) (n int, found bool)

	// End says that nothing more comes. The parser gives all calls to the sink that it still has.
	// It is called once.
	End(e End)
}

// Answering is a Parser that goes on with the answers to what the client has asked for, where its bytes are not of the
// protocol any more.
type Answering interface {
	Parser

	// Leave says that the bytes of s from s.Offset() on are of another protocol, and that nothing more comes of it. s is
	// the client's.
	Leave(s *Stream)

	// Due reports whether more is to come of the server: the rest of an answer, or the answer to a request that was
	// consumed. It is asked after each byte.
	Due() bool
}

// Rejoining is an Answering that goes on where the server has sent bytes between two calls that are not of the protocol,
// such as the body of an answer that must not have one.
type Rejoining interface {
	Answering

	// Rejoin says that s, which is the server's, goes on with the answer to the next request of the client. It is
	// called when nothing is due. Without ok the parser cannot go on.
	Rejoin(s *Stream) (ok bool)
}

// ErrAnswered says that after Runner.Leave all answers have come that were due: what follows is of another protocol.
var ErrAnswered = errors.New("the answers that were due have come")

// End says how the recording of a connection has ended.
type End struct {
	At     time.Time
	Closed bool // the connection itself has ended; else its window is over, or another parser goes on
	// Recorded says, for each direction, that what passed until the end was recorded or reported as a gap, so that what
	// is missing was never sent. It is not said of a direction in which no message was found since bytes were missing.
	Recorded [2]bool
	// Left says that another parser goes on: the bytes are of another protocol from here on.
	Left bool

	// Streams are the two streams, where they end. They are valid during the call.
	Streams [2]*Stream
}

// AnswerWasNotSent reports whether an answer that has not come by e was not sent, rather than not recorded.
func (e End) AnswerWasNotSent() bool { return e.Closed && e.Recorded[record.Out] }

// Upgrade is the error of a Parse that has found the last message of its protocol: from
// s.Offset() on the connection speaks another one, in both directions.
//
//nolint:errname // it ends no work: the connection goes on
type Upgrade struct {
	To string // one of the names in package call; "" where the bytes decide

	// Other is the offset in the other direction from which on it speaks the new protocol.
	Other uint64

	// Request is the request that began the new protocol. Of HTTP/1.1 to HTTP/2 in clear text the new protocol answers
	// it (stream 1), and it is a call of that.
	Request *call.Call
}

func (u *Upgrade) Error() string { return fmt.Sprintf("the connection goes on with %q", u.To) }

// Env is what a parser is made with.
type Env struct {
	Sink call.Sink
	// Spans says that the sink wants spans.
	Spans bool
	// Next returns the N of the next call of the connection.
	Next func() uint64
	// Memory is how many bytes the parser's state may have, roughly.
	Memory int
	// Request is that of Upgrade.
	Request *call.Call
	// FromStart says, for each direction, that the parser gets it from its first byte on.
	FromStart [2]bool
}

// Verdict is what a protocol says of the first bytes of a connection.
type Verdict uint8

// The verdicts. Once No or Yes was said of some bytes, it is said of all that begin with them.
const (
	Maybe Verdict = iota // more bytes are needed
	No
	Yes
)

// Protocol is a protocol that can be recognised and parsed.
type Protocol struct {
	Name string // one of those in package call

	// New returns a parser for a connection.
	New func(Env) Parser

	// Begins says whether data, the first bytes of a direction of a connection, are of this protocol.
	// Maybe of one direction is overruled by Yes or No of the other.
	Begins func(dir record.Direction, data []byte) Verdict

	// Within looks for a message in data, bytes from the middle of a connection, as Parser.Sync does, but it must be
	// more certain: it returns the offset of the message, and how many bytes of data it needed to be certain of it, which is the
	// same however many more there are. nil: the protocol is only recognised at its beginning.
	Within func(dir record.Direction, data []byte) (at, needed int, found bool)
}
