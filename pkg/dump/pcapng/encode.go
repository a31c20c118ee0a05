package pcapng

import (
	"encoding/binary"
	"slices"

	"mosn.io/tcpcopy/internal/checksum"
	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/record"
)

// Encoder encodes flows as Enhanced Packet Blocks with synthesised IP and TCP or
// UDP headers, so that Wireshark and tcpdump read them. It implements record.Encoder.
//
// A TCP or Unix connection becomes a TCP stream with an initial sequence number
// of 0 in both directions: the sequence number of a byte is its stream offset
// plus one, modulo 2^32. Two things shift sequence numbers: an Appearance, and gaps
// of which sequence numbers cannot tell the length (see Jump). A datagram becomes a
// UDP packet. What packets cannot say is in comments (see appendIdentity, appendGap,
// appendClose), from which the decoder restores every event exactly.
type Encoder struct {
	segment uint32 // number of the file, from 1
}

var _ record.Encoder = (*Encoder)(nil)

// NewEncoder returns an encoder for a first file. The owner of the file writes the
// blocks of AppendHead before the packets.
func NewEncoder() *Encoder { return &Encoder{segment: 1} }

// NewSegment says that what is encoded from now on goes to another file: flows
// identify themselves again there, so that each file can be read alone.
func (e *Encoder) NewSegment() { e.segment++ }

// flowState is what Encoder keeps of a flow.
type flowState struct {
	segment   uint32              // file in which the flow has identified itself
	announced bool                // an earlier packet holds the flow's identity
	next      record.PerDirection // offset after the last packet of each direction
	last      record.Direction    // of the last bytes
	unknown   [2]bool             // it is not known at which offset the direction begins; next is 0
	shift     [2]uint32           // sequence numbers are offset+1 and that
	packets   packetTemplate
}

// seq returns the sequence number of the byte at offset.
func (s *flowState) seq(dir record.Direction, offset uint64) uint32 {
	return uint32(offset) + 1 + s.shift[dir]
}

// nextSeq returns the sequence number after the last packet of a direction.
func (s *flowState) nextSeq(dir record.Direction) uint32 { return s.seq(dir, s.next.Of(dir)) }

// NextSequence returns the sequence numbers after the last packet of f, by direction.
// It follows Open.
func NextSequence(f *record.Flow) [2]uint32 {
	s := stateOf(f)
	return [2]uint32{s.nextSeq(record.In), s.nextSeq(record.Out)}
}

// begin says that a direction's first bytes are at offset, where that was not known.
// The next packet has the flow's identity again, with it.
func (s *flowState) begin(dir record.Direction, offset uint64) {
	if !s.unknown[dir] {
		return
	}
	s.unknown[dir] = false
	s.shift[dir] -= uint32(offset)
	s.next.Set(dir, offset)
	s.segment = 0
}

// stateOf returns what Open has stored in f.
func stateOf(f *record.Flow) *flowState { return f.State.(*flowState) }

// Open implements record.Encoder: the handshake of a TCP connection that began in the
// window, otherwise an acknowledgement of what came before it. UDP has no packet
// for it; there the first datagram carries the identity. The checkpoint is a comment of
// the packet with the identity.
func (e *Encoder) Open(dst []byte, t int64, f *record.Flow) []byte {
	return e.OpenAs(dst, t, f, Appearance{Handshake: f.FromStart})
}

// OpenAs is Open for a connection whose packets do not simply show what it is.
func (e *Encoder) OpenAs(dst []byte, t int64, f *record.Flow, a Appearance) []byte {
	s, opened := f.State.(*flowState)
	if !opened {
		s = new(flowState)
		f.State = s
	}
	*s = flowState{next: f.Next, unknown: a.Unknown, shift: a.Shift}
	s.packets.init(f, &a)
	switch {
	case s.packets.udp:
	case a.Handshake:
		in, out := s.nextSeq(record.In), s.nextSeq(record.Out)
		dst = e.packet(dst, t, f, record.In, flagSYN, in-1, []byte(synOptions), comment{})
		dst = e.packet(dst, t, f, record.Out, flagSYN|flagACK, out-1, []byte(synOptions), comment{})
		dst = e.packet(dst, t, f, record.In, flagACK, in, nil, comment{})
	default:
		dst = e.packet(dst, t, f, record.In, flagACK, s.nextSeq(record.In), nil, comment{})
	}
	return dst
}

// Data implements record.Encoder: one packet, or several where data is longer than one
// holds; the last one has PSH set.
func (e *Encoder) Data(dst []byte, t int64, f *record.Flow, dir record.Direction, offset uint64, data []byte) []byte {
	s := stateOf(f)
	limit := MaxSegment
	switch {
	case s.packets.udp:
		limit = s.packets.maxDatagram()
	case len(data) == 0:
		return dst
	case isPreface(dir, offset, data):
		const n = len(protocol.HTTP2Preface)
		dst = e.part(dst, t, f, dir, flagACK, offset, data[:n])
		data, offset = data[n:], offset+uint64(n)
	}
	for {
		part := data[:min(len(data), limit)]
		data = data[len(part):]
		flags := byte(flagACK)
		if len(data) == 0 {
			flags |= flagPSH
		}
		dst = e.part(dst, t, f, dir, flags, offset, part)
		offset += uint64(len(part))
		if len(data) == 0 {
			break
		}
	}
	f.Next.Set(dir, offset)
	return dst
}

// part appends the packet of bytes that a packet can hold.
func (e *Encoder) part(dst []byte, t int64, f *record.Flow, dir record.Direction, flags byte, offset uint64, part []byte) []byte {
	s := stateOf(f)
	s.begin(dir, offset)
	s.next.Set(dir, offset)
	dst = e.packet(dst, t, f, dir, flags, s.seq(dir, offset), part, comment{})
	s.last = dir
	s.next.Set(dir, offset+uint64(len(part)))
	return dst
}

// isPreface reports whether data goes on after the preface of HTTP/2. Wireshark
// recognises the protocol by it alone, and loses it when the packet ends in the
// middle of a frame, as after a proxy's short first read; so it gets a packet of
// its own.
func isPreface(dir record.Direction, offset uint64, data []byte) bool {
	const n = len(protocol.HTTP2Preface)
	return dir == record.In && offset == 0 && len(data) > n && string(data[:n]) == protocol.HTTP2Preface
}

// Gap implements record.Encoder: an empty packet after the missing bytes, so that
// Wireshark reports the loss where it was, with the exact offsets in its comment.
// The other direction acknowledges them at once, which lets it follow the stream
// past them.
func (e *Encoder) Gap(dst []byte, t int64, f *record.Flow, dir record.Direction, offset, length uint64, reason record.Reason) []byte {
	return e.GapWord(dst, t, f, dir, offset, length, reason.String())
}

// Jump returns by how much sequence numbers go on after a gap: by its length modulo
// 2^32 if that is less than 2^31, as is every gap below 2 GiB, otherwise by 2^30.
// Nobody who reads sequence numbers alone could distinguish a longer step from one
// back, or from none.
func Jump(length uint64) uint32 {
	if n := uint32(length); n > 0 && n < 1<<31 {
		return n
	}
	return 1 << 30
}

// GapWord is Gap for a reason that is a word: what a file holds, or
// record.ReasonMissing.
func (e *Encoder) GapWord(dst []byte, t int64, f *record.Flow, dir record.Direction, offset, length uint64, reason string) []byte {
	s := stateOf(f)
	s.begin(dir, offset)
	s.next.Set(dir, offset)
	end := offset + length
	s.shift[dir] += Jump(length) - uint32(length)
	dst = e.packet(dst, t, f, dir, flagACK, s.seq(dir, end), nil, comment{kind: commentGap, dir: dir, offset: offset, length: length, reason: reason})
	s.next.Set(dir, end)
	f.Next.Set(dir, end)
	if !s.packets.udp {
		other := 1 - dir
		dst = e.packet(dst, t, f, other, flagACK, s.nextSeq(other), nil, comment{})
	}
	return dst
}

// Close implements record.Encoder: an exchange of FINs that the side which closed
// begins, or the RST of the side where an error ended the connection. UDP, which
// has neither, gets an empty datagram. The packet carries reason and totals as
// its comment.
func (e *Encoder) Close(dst []byte, t int64, f *record.Flow, reason record.CloseReason, totals record.PerDirection) []byte {
	s := stateOf(f)
	// Sequence numbers go on from what the window has of the stream, not from the
	// totals: a direction that is not recorded would seem to have lost bytes.
	n := comment{kind: commentClose, reason: string(reason), totals: totals}
	first, clean := reason.Side()
	second := 1 - first
	if reason == record.CloseMoved && !s.packets.udp {
		// It goes on in another process. Who did not send the last bytes acknowledges
		// them; the other side has nothing that it could acknowledge for the first time.
		return e.packet(dst, t, f, 1-s.last, flagACK, s.nextSeq(1-s.last), nil, n)
	}
	if s.packets.udp {
		return e.packet(dst, t, f, first, 0, 0, nil, n)
	}
	if !clean {
		return e.packet(dst, t, f, first, flagRST|flagACK, s.nextSeq(first), nil, n)
	}
	dst = e.packet(dst, t, f, first, flagFIN|flagACK, s.nextSeq(first), nil, n)
	s.next.Add(first, 1) // a FIN takes a sequence number
	dst = e.packet(dst, t, f, second, flagFIN|flagACK, s.nextSeq(second), nil, comment{})
	s.next.Add(second, 1)
	return e.packet(dst, t, f, first, flagACK, s.nextSeq(first), nil, comment{})
}

// packet appends one block:
//
//	+---------------------------------------------------------------+
//	|              Block Type = 6 and Total Length                  |
//	+---------------------------------------------------------------+
//	|                         Interface ID                          |
//	+---------------------------------------------------------------+
//	|                Timestamp (upper half, lower half)             |
//	+---------------------------------------------------------------+
//	|            Captured and Original Packet Length                |
//	+---------------------------------------------------------------+
//	/           IP header, TCP or UDP header, payload, padding      /
//	+---------------------------------------------------------------+
//	/        options: direction, comments, end of options           /
//	+---------------------------------------------------------------+
//	|                      Block Total Length                       |
//	+---------------------------------------------------------------+
//
// The acknowledgement comes from the other direction's state.
func (e *Encoder) packet(dst []byte, t int64, f *record.Flow, dir record.Direction, flags byte, seq uint32, payload []byte, n comment) []byte {
	s := stateOf(f)
	identify := s.segment != e.segment
	if identify {
		s.segment = e.segment
	}
	start, headroom := len(dst), s.packets.headroom()
	dst = slices.Grow(dst, headroom+len(payload)+Tailroom(len(payload)))[:start+headroom+len(payload)]
	sum := checksum.Sum(0).Copy(dst[start+headroom:], payload, 0, false)
	dst = e.frame(dst, start, t, f, dir, flags, seq, sum)
	if identify {
		dst = appendIdentity(dst, f, s.announced)
		if !s.announced && len(f.Checkpoint) > 0 {
			dst = appendState(dst, f)
		}
		s.announced = true
	}
	switch n.kind {
	case commentGap:
		dst = appendGap(dst, f, n)
	case commentClose:
		dst = appendClose(dst, f, n)
	}
	return endBlock(endOptions(dst), start)
}

// frame writes what a packet block has around its payload, up to its comments.
// dst[start:] is the block so far: headroom for what comes before the payload, and the
// payload, which has that sum.
func (e *Encoder) frame(dst []byte, start int, t int64, f *record.Flow, dir record.Direction, flags byte, seq uint32, sum checksum.Sum) []byte {
	s := stateOf(f)
	b := dst[start:]
	length := uint32(len(b) - packetFixed)
	binary.LittleEndian.PutUint32(b[0:], blockPacket)
	binary.LittleEndian.PutUint32(b[8:], 0) // interface
	binary.LittleEndian.PutUint32(b[12:], uint32(uint64(t)>>32))
	binary.LittleEndian.PutUint32(b[16:], uint32(t))
	binary.LittleEndian.PutUint32(b[20:], length)
	binary.LittleEndian.PutUint32(b[24:], length)
	var ack uint32
	if flags&flagACK != 0 {
		ack = s.nextSeq(1 - dir)
	}
	s.packets.put(b[packetFixed:], dir, flags, seq, ack, sum)
	direction := byte(packetInbound)
	if dir == record.Out {
		direction = packetOutbound
	}
	dst = appendPadding(dst, int(length))
	return append(dst, optPacketFlags, 0, 4, 0, direction, 0, 0, 0)
}
