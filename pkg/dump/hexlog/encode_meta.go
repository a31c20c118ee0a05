package hexlog

import (
	"strconv"

	"mosn.io/tcpcopy/pkg/dump/internal/statetext"
	"mosn.io/tcpcopy/pkg/record"
)

// MetaEncoder encodes hex lines that also say which connection, direction and offset
// their bytes have, and lines for a connection's opening, its gaps and its end:
//
//	<prefix>[<window>][<port>][<conn> open] <client> -> <listener>
//	<prefix>[<window>][<port>][<conn> state] > <offset> < <offset> <checkpoint>
//	<prefix>[<window>][<port>][<conn> > <offset>]68 65 6c 6c 6f
//	<prefix>[<window>][<port>][<conn> gap < <offset> <length>] <reason>
//	<prefix>[<window>][<port>][<conn> close] <reason> > <bytes> < <bytes>
//
// The state follows an opening whose flow has a checkpoint, which is a word of package
// statetext.
// ">" is client to proxy, "<" proxy to client. The prefix has microseconds.
type MetaEncoder struct {
	prefix linePrefix
}

var _ record.Encoder = (*MetaEncoder)(nil)

// NewMetaEncoder returns an encoder of hex_meta lines, with times in the local zone.
func NewMetaEncoder() *MetaEncoder { return &MetaEncoder{} }

// Open appends the line that introduces f, and the one of its checkpoint where there is
// one.
func (e *MetaEncoder) Open(dst []byte, t int64, f *record.Flow) []byte {
	dst = e.start(dst, t, f)
	dst = append(dst, " open] "...)
	dst = append(dst, f.Peer...)
	dst = append(dst, " -> "...)
	dst = append(dst, f.Listener...)
	dst = append(dst, '\n')
	if len(f.Checkpoint) == 0 {
		return dst
	}
	dst = e.start(dst, t, f)
	dst = append(dst, " state] > "...)
	dst = strconv.AppendUint(dst, f.Next.In, 10)
	dst = append(dst, " < "...)
	dst = strconv.AppendUint(dst, f.Next.Out, 10)
	dst = append(dst, ' ')
	dst = statetext.Append(dst, f.Checkpoint)
	return append(dst, '\n')
}

// Data appends one line.
func (e *MetaEncoder) Data(dst []byte, t int64, f *record.Flow, dir record.Direction, offset uint64, data []byte) []byte {
	dst = e.start(dst, t, f)
	dst = append(dst, ' ', dir.Arrow(), ' ')
	dst = strconv.AppendUint(dst, offset, 10)
	dst = append(dst, ']')
	dst = appendHex(dst, data)
	return append(dst, '\n')
}

// Gap appends one line.
func (e *MetaEncoder) Gap(dst []byte, t int64, f *record.Flow, dir record.Direction, offset, length uint64, reason record.Reason) []byte {
	dst = e.start(dst, t, f)
	dst = append(dst, " gap "...)
	dst = append(dst, dir.Arrow(), ' ')
	dst = strconv.AppendUint(dst, offset, 10)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, length, 10)
	dst = append(dst, "] "...)
	dst = append(dst, reason.String()...)
	return append(dst, '\n')
}

// Close appends one line.
func (e *MetaEncoder) Close(dst []byte, t int64, f *record.Flow, reason record.CloseReason, totals record.PerDirection) []byte {
	dst = e.start(dst, t, f)
	dst = append(dst, " close] "...)
	dst = append(dst, reason...)
	dst = append(dst, " > "...)
	dst = strconv.AppendUint(dst, totals.In, 10)
	dst = append(dst, " < "...)
	dst = strconv.AppendUint(dst, totals.Out, 10)
	return append(dst, '\n')
}

// start appends the prefix and fields up to the connection's identity.
func (e *MetaEncoder) start(dst []byte, t int64, f *record.Flow) []byte {
	dst = e.prefix.append(dst, t, micros)
	dst = appendFields(dst, f)
	dst = append(dst, '[')
	return append(dst, f.Conn...)
}
