// Package protocol decodes the two streams of a connection into calls, passively: it
// sees what was recorded and asks for nothing. It knows what it does not know: a gap
// never makes it guess.
//
// New returns a Decoder. It finds the protocol by the first bytes of either side, and
// lets the parser of that protocol, which has a package of its own, consume the streams;
// package parse is what they have in common, package call what comes out.
package protocol

import (
	"time"

	"mosn.io/tcpcopy/pkg/protocol/bolt"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/dubbo"
	"mosn.io/tcpcopy/pkg/protocol/http1"
	"mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/protocol/kafka"
	"mosn.io/tcpcopy/pkg/protocol/mysql"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/postgresql"
	"mosn.io/tcpcopy/pkg/protocol/redis"
	"mosn.io/tcpcopy/pkg/protocol/tars"
	"mosn.io/tcpcopy/pkg/protocol/thrift"
	"mosn.io/tcpcopy/pkg/protocol/tls"
	"mosn.io/tcpcopy/pkg/protocol/websocket"
	"mosn.io/tcpcopy/pkg/record"
)

// The types of what decoders find.
type (
	// Call is call.Call.
	Call = call.Call
	// Span is call.Span.
	Span = call.Span
	// Sink is call.Sink.
	Sink = call.Sink
)

// A Decoder decodes one connection in one window. It is not safe for concurrent use.
type Decoder interface {
	// Open reports how many bytes of each direction passed before the recording. It comes
	// before the first data. Without it, the first offset of a direction says that.
	Open(base record.PerDirection)

	// Data receives the next bytes of a direction. It does not keep b. Where offset is behind
	// what came before, the bytes between count as a gap; bytes that came before are cut off.
	Data(dir record.Direction, offset uint64, at time.Time, b []byte)

	// Gap reports bytes that passed and were not recorded.
	Gap(dir record.Direction, offset, length uint64, reason record.Reason)

	// Close reports that the connection has ended, after so many bytes in each direction. End follows.
	Close(at time.Time, reason record.CloseReason, totals record.PerDirection)

	// End reports that the recording of the connection ends here. Nothing may follow it.
	End(at time.Time)

	// Pending returns the range of dir at its end whose meaning is not decided yet.
	Pending(dir record.Direction) (offset, length uint64)

	// Checkpoint returns the state that a decoder needs to go on from here (protocol, HPACK
	// tables, open streams, bytes that are not decided). It is for Resume.
	Checkpoint() []byte

	// Protocol returns the name of the protocol, "" while it is not known.
	Protocol() string
}

// DefaultMemory is how many bytes a decoder holds of a connection if Limits do not say
// it.
const DefaultMemory = 1 << 20

// Limits bound a decoder, and say what is known of its connection.
type Limits struct {
	// Memory is how many bytes the decoder may hold of the connection. 0 means
	// DefaultMemory. A connection with a message whose undivided part is longer becomes tcp.
	Memory int

	// Protocol is the protocol that the connection speaks, one of Names; "" means that its
	// bytes decide.
	Protocol string
}

// New returns a decoder that gives what it finds to sink.
func New(sink Sink, limits Limits) Decoder { return newDecoder(sink, limits) }

// Names returns the names of the protocols that Limits.Protocol may have.
func Names() []string {
	var names []string
	for _, p := range protocols {
		names = append(names, p.Name)
	}
	return append(names, call.GRPC, call.TCP)
}

// protocols are all protocols, in the order in which they are tried: those with the most
// distinct bytes first.
var protocols = []*parse.Protocol{
	&tls.Protocol,
	&http2.Protocol,
	&http1.Protocol,
	&websocket.Protocol,
	&dubbo.Protocol,
	&bolt.Protocol,
	&tars.Protocol,
	&thrift.Protocol,
	&postgresql.Protocol,
	&mysql.Protocol,
	&redis.Protocol,
	&kafka.Protocol,
}

// byName returns the protocol with a name, nil if there is none.
func byName(name string) *parse.Protocol {
	if name == call.GRPC {
		name = call.HTTP2 // which carries it
	}
	for _, p := range protocols {
		if p.Name == name {
			return p
		}
	}
	return nil
}
