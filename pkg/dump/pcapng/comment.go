package pcapng

import (
	"strconv"
	"strings"

	"mosn.io/tcpcopy/pkg/dump/internal/statetext"
	"mosn.io/tcpcopy/pkg/record"
)

// comment is what a packet's comment says of a gap or a close event. Of a packet
// without either, it is zero.
type comment struct {
	kind           commentKind
	dir            record.Direction // of a gap
	offset, length uint64           // of a gap
	reason         string
	totals         record.PerDirection // at the close
}

type commentKind uint8

const (
	commentNone commentKind = iota
	commentGap
	commentClose
	commentIdentity
	commentState

	numComments = iota
)

// maxValue is how many bytes of a value a comment keeps.
const maxValue = 2048

// appendIdentity appends the comment that the first packet of a flow in a file
// carries:
//
//	conn=<id> window=<uuid> port=<port> network=<tcp|udp|unix> client=<address> server=<address> listener=<name> [in=<offset>] [out=<offset>] label=<number> [shift=<in>:<out>] [start] [again]
//
// in and out are the offsets at which the two directions go on with this packet. One
// is left out where it is not known; the comment comes again when it is. label is in
// the IP header of all the connection's packets, see labelOf. shift has what is added
// to sequence numbers, see Appearance. start says
// that the connection began in the window, again that an earlier packet has the flow's
// beginning, in this file or another one of the window.
func appendIdentity(dst []byte, f *record.Flow, again bool) []byte {
	dst, at := beginOption(dst, optComment)
	dst = appendWord(dst, "conn=", f.Conn)
	dst = appendWord(dst, " window=", f.Window)
	dst = appendWord(dst, " port=", f.Port)
	dst = appendWord(dst, " network=", f.Network)
	dst = appendWord(dst, " client=", f.Peer)
	dst = appendWord(dst, " server=", f.Listener)
	dst = appendWord(dst, " listener=", f.ListenerName)
	s := stateOf(f)
	for _, dir := range record.Directions() {
		if !s.unknown[dir] {
			dst = append(dst, ' ')
			dst = append(dst, dir.String()...)
			dst = append(dst, '=')
			dst = strconv.AppendUint(dst, s.next.Of(dir), 10)
		}
	}
	dst = appendCount(dst, " label=", uint64(s.packets.label))
	if s.shift != [2]uint32{} {
		dst = append(dst, " shift="...)
		dst = strconv.AppendUint(dst, uint64(s.shift[record.In]), 10)
		dst = append(dst, ':')
		dst = strconv.AppendUint(dst, uint64(s.shift[record.Out]), 10)
	}
	if f.FromStart {
		dst = append(dst, " start"...)
	}
	if again {
		dst = append(dst, " again"...)
	}
	return endOption(dst, at)
}

// appendGap appends "gap conn=<id> <'>' or '<'> <offset> <length> <reason>".
func appendGap(dst []byte, f *record.Flow, n comment) []byte {
	dst, at := beginOption(dst, optComment)
	dst = appendWord(dst, "gap conn=", f.Conn)
	dst = append(dst, ' ', n.dir.Arrow(), ' ')
	dst = strconv.AppendUint(dst, n.offset, 10)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, n.length, 10)
	dst = append(dst, ' ')
	dst = appendValue(dst, n.reason)
	return endOption(dst, at)
}

// appendClose appends "close conn=<id> <reason> > <bytes in all> < <bytes in all>".
func appendClose(dst []byte, f *record.Flow, n comment) []byte {
	dst, at := beginOption(dst, optComment)
	dst = appendWord(dst, "close conn=", f.Conn)
	dst = append(dst, ' ')
	dst = appendValue(dst, n.reason)
	dst = append(dst, " > "...)
	dst = strconv.AppendUint(dst, n.totals.In, 10)
	dst = append(dst, " < "...)
	dst = strconv.AppendUint(dst, n.totals.Out, 10)
	return endOption(dst, at)
}

// appendState appends "state conn=<id> in=<offset> out=<offset> checkpoint=<word>", of a
// flow that has a checkpoint. The order of the words is such that no version of the
// recorder's readers finds it similar to another comment.
func appendState(dst []byte, f *record.Flow) []byte {
	dst, at := beginOption(dst, optComment)
	dst = appendWord(dst, "state conn=", f.Conn)
	dst = appendCount(dst, " in=", f.Next.In)
	dst = appendCount(dst, " out=", f.Next.Out)
	dst = append(dst, " checkpoint="...)
	dst = statetext.Append(dst, f.Checkpoint)
	return endOption(dst, at)
}

// appendWord appends name, which ends with "=", and a value.
func appendWord(dst []byte, name, value string) []byte {
	return appendValue(append(dst, name...), value)
}

// appendCount appends name, which ends with "=", and a number.
func appendCount(dst []byte, name string, n uint64) []byte {
	return strconv.AppendUint(append(dst, name...), n, 10)
}

// appendValue appends v, in Go's quotes where it would not read back as one word,
// and cut at maxValue bytes.
func appendValue(dst []byte, v string) []byte {
	v = v[:min(len(v), maxValue)]
	if v == "" || strings.IndexFunc(v, func(r rune) bool {
		return r <= ' ' || r == '"' || r == '=' || r == 0x7f || r == '\ufffd'
	}) >= 0 {
		return strconv.AppendQuote(dst, v)
	}
	return append(dst, v...)
}
