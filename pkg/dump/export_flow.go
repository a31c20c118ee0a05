package dump

import (
	"encoding/binary"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// maxActive is how many connections of an Exporter are ready for use in memory: about
// 2 MiB. Of the others there are the bytes alone, which are a quarter of that each.
const maxActive = 1 << 12

// exportFlow is a connection of the file in a window. Exactly one of active and packed
// is set.
type exportFlow struct {
	active *activeFlow
	packed string    // what appendTo has appended
	user   *pairUser // nil until the connection is opened
	openAt int64     // of the opening that is not written yet
}

// activeFlow is a connection that is ready for use.
type activeFlow struct {
	record.Flow
	flowProgress
	at   int  // in activeFlows.ring
	used bool // since the hand has passed

	// checkpointAt is where Flow's Checkpoint holds, which the opening needs. A flow that is
	// packed before has none any more.
	checkpointAt record.PerDirection
}

// flowProgress is how far an Exporter is with a connection.
type flowProgress struct {
	opened bool
	based  bool    // Next and FromStart are what the records' file says
	known  [2]bool // Next holds, by direction
	any    [2]bool // there was data or a gap
	speaks flowProtocol
	port   uint16 // of the server, in the packets
}

// activeFlows bounds how many connections are ready for use.
type activeFlows struct {
	most int
	ring []*exportFlow // most at most; nil where one has ended
	hand int           // where one is looked for that has not been used for long
	buf  []byte
}

// add makes a new connection one that is ready for use.
func (a *activeFlows) add(f *exportFlow, active *activeFlow) {
	f.active, f.packed = active, ""
	active.at, active.used = a.room(), true
	a.ring[active.at] = f
}

// use returns f ready for use, which it is until the next call of use or add.
func (a *activeFlows) use(f *exportFlow) *activeFlow {
	if f.active == nil {
		a.add(f, parseActive(f.packed))
	}
	f.active.used = true
	return f.active
}

// remove says that a connection that is ready for use has ended.
func (a *activeFlows) remove(f *exportFlow) { a.ring[f.active.at] = nil }

// room returns an index of ring at which there is no connection.
func (a *activeFlows) room() int {
	if len(a.ring) < a.most {
		a.ring = append(a.ring, nil)
		return len(a.ring) - 1
	}
	for {
		i := a.hand
		a.hand = (a.hand + 1) % len(a.ring)
		f := a.ring[i]
		if f == nil {
			return i
		}
		if f.active.used {
			f.active.used = false
			continue
		}
		a.buf = f.active.appendTo(a.buf[:0])
		f.active, f.packed = nil, string(a.buf)
		return i
	}
}

// bits returns the yes and no of f, and whether its packets have begun.
func (f *activeFlow) bits() [8]bool {
	return [8]bool{f.opened, f.based, f.known[0], f.known[1], f.any[0], f.any[1], f.FromStart, f.State != nil}
}

// texts returns the strings of f.
func (f *activeFlow) texts() [8]*string {
	id := &f.Identity
	return [8]*string{&id.Window, &id.Conn, &id.Port, &id.Network, &id.Peer, &id.Listener, &id.ListenerName, (*string)(&f.speaks.name)}
}

// appendTo appends the bytes of f.
func (f *activeFlow) appendTo(dst []byte) []byte {
	bits := byte(0)
	for i, b := range f.bits() {
		if b {
			bits |= 1 << i
		}
	}
	dst = append(dst, bits, byte(f.speaks.looked[0]), byte(f.speaks.looked[1])) // sniffRecords at most
	dst = binary.LittleEndian.AppendUint16(dst, f.port)
	dst = binary.AppendUvarint(dst, f.Next.In)
	dst = binary.AppendUvarint(dst, f.Next.Out)
	for _, s := range f.texts() {
		dst = binary.AppendUvarint(dst, uint64(len(*s)))
		dst = append(dst, *s...)
	}
	if f.State != nil {
		dst = pcapng.AppendState(dst, &f.Flow)
	}
	return dst
}

// parseActive returns the connection of which appendTo has appended s. Its strings are
// parts of s.
func parseActive(s string) *activeFlow {
	f := &activeFlow{}
	bits := s[0]
	on := func(i int) bool { return bits>>i&1 != 0 }
	f.speaks.looked = [2]int{int(s[1]), int(s[2])}
	f.port = uint16(s[3]) | uint16(s[4])<<8
	s = s[5:]
	number := func() uint64 {
		n, size := binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
		s = s[size:]
		return n
	}
	f.Next.In, f.Next.Out = number(), number()
	for _, text := range f.texts() {
		n := number()
		*text, s = s[:n], s[n:]
	}
	next := f.Next
	f.Flow = flowOf(&f.Identity)
	f.Next, f.FromStart = next, on(6)
	f.opened, f.based = on(0), on(1)
	f.known, f.any = [2]bool{on(2), on(3)}, [2]bool{on(4), on(5)}
	if on(7) {
		pcapng.RestoreState(&f.Flow, []byte(s))
	}
	return f
}
