package pcapng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Decoder restores the records from what Encoder has encoded. It goes through one
// stream after the other, such as the segments of a window, which other programs may
// have edited, merged or cut. Raw IP packets without an identity become connections that
// are named after their addresses; frames of other link types without one are not the
// recorder's and are left out. A Decoder is not safe for concurrent use.
type Decoder struct {
	// Remark, when not nil, is called at the end of a stream with a sentence about what
	// was left out or is not known, although nothing is damaged.
	Remark func(sentence string)

	file     string
	blocks   blockReader
	section  section
	window   string // of the last connection that identified itself
	flows    *flowTable
	closed   closedFlows
	options  packetOptions
	queue    [4]record.Record // what the last packet said; queue[returned:queued] is what Next has still to return
	queued   int
	returned int
	bad      bool // the last block was damaged: its neighbours are not reported again
	found    found
}

// section is what a section's header and interface blocks have said.
type section struct {
	interfaces []capturedInterface
	last       time.Time // of the last packet that has a time
	undefined  bool      // a packet whose interface does not say its time was reported
}

// found counts what a stream has and is reported at its end.
type found struct {
	packets int             // that were read
	others  int             // that are not the recorder's
	links   map[string]bool // names of the link types of those
	unnamed int             // connections without an identity
}

// MaxInterfaces bounds the interfaces of a section, whatever a file contains.
const MaxInterfaces = 1 << 12

// NewDecoder returns a Decoder. Call Reset before Next.
func NewDecoder() *Decoder {
	return &Decoder{flows: newFlowTable()}
}

// Reset turns to the next stream, which continues the one before: what is known of
// connections stays. file names src in errors.
func (d *Decoder) Reset(src io.Reader, file string) {
	d.file = file
	d.blocks.reset(src)
	d.section = section{}
	d.queued, d.returned = 0, 0
	d.bad = false
	d.found = found{}
}

// Next returns the next record, which d owns and which is valid until the next call.
// Its error is io.EOF at the end of the stream, and record.ErrNoMoreYet where src
// gives that. A *record.DamageError says that something was passed over: the next
// call goes on after it.
func (d *Decoder) Next() (*record.Record, error) {
	for {
		if d.returned < d.queued {
			d.returned++
			return &d.queue[d.returned-1], nil
		}
		d.queued, d.returned = 0, 0
		b, err := d.blocks.next()
		switch {
		case err == nil:
			err = d.block(&b)
		case errors.Is(err, record.ErrNoMoreYet):
			return nil, err
		case errors.Is(err, io.EOF):
			if err := d.end(); err != nil {
				return nil, &record.DamageError{File: d.file, Err: err}
			}
			return nil, io.EOF
		}
		if err == nil {
			d.bad = false
			continue
		}
		if d.bad {
			continue
		}
		d.bad = true
		return nil, &record.DamageError{File: d.file, Offset: b.offset, Err: err}
	}
}

// end reports what the stream had that is not damage. Its error says that the stream has
// nothing that is the recorder's.
func (d *Decoder) end() error {
	f := d.found
	d.found = found{}
	links := slices.Sorted(maps.Keys(f.links))
	switch {
	case f.others > 0 && f.packets == 0:
		return fmt.Errorf("%w: none of its %d packets (%s) has a comment of the recorder", record.ErrUnsupported, f.others, strings.Join(links, ", "))
	case d.Remark == nil:
		return nil
	}
	if f.others > 0 {
		d.Remark(fmt.Sprintf("%s: %d packets (%s) are not the recorder's and are left out", d.file, f.others, strings.Join(links, ", ")))
	}
	if f.unnamed > 0 {
		d.Remark(fmt.Sprintf("%s: %d connections have lost the comment that identifies them: they are named after their addresses", d.file, f.unnamed))
	}
	return nil
}

func (d *Decoder) block(b *block) error {
	switch b.kind {
	case blockSection:
		d.section = section{}
		if len(b.body) < 16 {
			return malformed("section header")
		}
		if major := b.order.Uint16(b.body[4:]); major != 1 { // what can be read of it is read
			return fmt.Errorf("%w: a section of version %d of pcapng, valid: 1", record.ErrUnsupported, major)
		}
	case blockInterface:
		if len(d.section.interfaces) >= MaxInterfaces {
			return malformed("interface block")
		}
		i, err := parseInterface(*b)
		if err != nil {
			return err
		}
		d.section.interfaces = append(d.section.interfaces, i)
	case blockPacket, blockOldPacket:
		return d.enhanced(b)
	case blockSimple:
		return d.simple(b)
	case blockStatistics, blockNames, blockJournal, blockSecrets, blockPadding, blockCustom, blockCustomNoCopy:
	default:
		if isPacketOfOurs(b) {
			return malformed(fmt.Sprintf("a packet in a block of type %#x", b.kind))
		}
	}
	return nil
}

// isPacketOfOurs reports whether a block of an unknown type has the content of a packet
// block, so that it is the type that is damaged.
func isPacketOfOurs(b *block) bool {
	p, err := cutPacket(b)
	if err != nil || p.length != uint32(len(p.data)) {
		return false
	}
	var view packetView
	return view.parse(p.data, 0) == nil
}

// capturedPacket is what a packet block has.
type capturedPacket struct {
	iface     uint32
	high, low uint32 // of the time
	length    uint32 // of the packet before it was cut
	data      []byte
	options   []byte
}

// cutPacket reads the body of an Enhanced Packet Block or of the obsolete Packet Block,
// which has a shorter number of the interface.
func cutPacket(b *block) (p capturedPacket, err error) {
	const fixed = packetFixed - 8 // the frame's head is not in body
	if len(b.body) < fixed {
		return p, malformed("packet block")
	}
	captured := int64(b.order.Uint32(b.body[12:]))
	padded := (captured + 3) &^ 3
	if fixed+padded > int64(len(b.body)) {
		return p, malformed(fmt.Sprintf("%d bytes in a packet block of %d", captured, len(b.body)))
	}
	p = capturedPacket{
		iface: b.order.Uint32(b.body), high: b.order.Uint32(b.body[4:]), low: b.order.Uint32(b.body[8:]),
		length: b.order.Uint32(b.body[16:]), data: b.body[fixed : fixed+captured], options: b.body[fixed+padded:],
	}
	if whole := int64(p.length); whole > captured && fixed+whole <= int64(len(b.body)) {
		if view := (packetView{}); view.parse(b.body[fixed:fixed+whole], 0) == nil {
			return p, malformed("a packet that is not cut, with the length of one that is")
		}
	}
	if b.kind == blockOldPacket {
		p.iface = uint32(b.order.Uint16(b.body))
	}
	return p, nil
}

// enhanced decodes a packet block and queues what it says.
func (d *Decoder) enhanced(b *block) error {
	p, err := cutPacket(b)
	if err != nil {
		return err
	}
	i, described := &ours, int64(p.iface) < int64(len(d.section.interfaces))
	if described {
		i = &d.section.interfaces[p.iface]
	}
	now, dated := i.time(p.high, p.low)
	if dated {
		d.section.last = now
	} else {
		now = d.lastTime()
	}
	d.options.reset()
	if err := d.options.parse(p.options, b.order); err != nil {
		return err
	}
	if err := d.packet(now, i.link, p.data, p.length); err != nil {
		return err
	}
	switch {
	case d.section.undefined:
	case !described:
		d.section.undefined = true
		return malformed(fmt.Sprintf("no block describes interface %d: its times are read as nanoseconds", p.iface))
	case !dated:
		d.section.undefined = true
		return malformed(fmt.Sprintf("a time that no calendar has, of interface %d", p.iface))
	}
	return nil
}

// lastTime returns the time of the last packet of the section that has one.
func (d *Decoder) lastTime() time.Time {
	if d.section.last.IsZero() {
		return time.Unix(0, 0)
	}
	return d.section.last
}

// simple decodes a Simple Packet Block, which has neither a time nor options: it gets the
// time of the packet before it.
func (d *Decoder) simple(b *block) error {
	if len(b.body) < 4 || len(d.section.interfaces) == 0 {
		return malformed("simple packet block")
	}
	i := &d.section.interfaces[0]
	length := b.order.Uint32(b.body)
	captured := int64(length)
	if i.snapLength > 0 {
		captured = min(captured, int64(i.snapLength))
	}
	if captured > int64(len(b.body)-4) {
		return malformed(fmt.Sprintf("%d bytes in a simple packet block of %d", captured, len(b.body)))
	}
	d.options.reset()
	return d.packet(d.lastTime(), i.link, b.body[4:4+captured], length)
}

// packet queues what a packet says, of which data was captured. length is that of the
// whole packet.
func (d *Decoder) packet(now time.Time, link uint16, data []byte, length uint32) error {
	cut := 0
	if int64(length) > int64(len(data)) {
		cut = int(min(int64(length)-int64(len(data)), 1<<16))
	}
	var p packetOf
	err := p.parse(data, 0)
	if err != nil && cut > 0 {
		err = p.parse(data, cut)
	}
	raw := err == nil || isRaw(link) // some program may have changed the link type alone
	if !raw {
		packet, framed := withoutLinkHeader(link, data)
		if framed {
			packet, cut = withoutTrailer(packet, cut)
			err = p.parse(packet, cut)
		}
		if !framed || err != nil {
			err = errForeign
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, errForeign):
		d.leaveOut(link)
		return nil
	default:
		return err
	}
	p.key, p.dir, p.flow = d.orient(&p.packetView, d.options.direction)
	p.identity = d.identity(&p)
	if p.identity != nil && p.identity.labelled && p.key.label != p.label {
		p.key.label = p.label
		p.flow = d.flows.find(p.key)
	}
	// The same connection may have been captured at an interface of the host, too.
	if f := p.flow; p.identity == nil && (f == nil && !raw || f != nil && !f.unnamed && f.link != link) {
		d.leaveOut(link)
		return nil
	}
	return d.restore(now, link, &p)
}

// packetOf is a packet with what is known of its connection.
type packetOf struct {
	packetView
	key      packetKey
	dir      record.Direction
	flow     *packetFlow     // nil where the connection is not known
	identity *parsedIdentity // what the packet itself says; nil where it says nothing
}

// withoutTrailer returns an IP packet without what a frame has after it, such as the
// padding of short Ethernet frames.
func withoutTrailer(packet []byte, cut int) ([]byte, int) {
	if len(packet) < ipv6Header && (len(packet) < ipv4Header || packet[0]>>4 != 4) {
		return packet, cut
	}
	total := int(binary.BigEndian.Uint16(packet[2:]))
	if packet[0]>>4 == 6 {
		total = ipv6Header + int(binary.BigEndian.Uint16(packet[4:]))
	}
	whole := len(packet) + cut
	if total >= ipv4Header && total < whole {
		cut = max(cut-(whole-total), 0)
		packet = packet[:min(len(packet), total)]
	}
	return packet, cut
}

// leaveOut counts a packet that is not the recorder's.
func (d *Decoder) leaveOut(link uint16) {
	if d.found.links == nil {
		d.found.links = map[string]bool{}
	}
	d.found.others++
	d.found.links[linkName(link)] = true
}

// restore queues the records of one packet. Its error says that something of them is
// damaged; what is intact is queued nevertheless.
func (d *Decoder) restore(now time.Time, link uint16, p *packetOf) error {
	d.found.packets++
	f := p.flow
	if id := p.identity; id != nil {
		if id.Window != d.window {
			d.window = id.Window
		}
		id.Window = d.window // the same string for all, which is compared fast
		if f == nil || f.Conn != id.Conn || f.Window != id.Window {
			f = d.begin(p.key, id)
			if r := d.push(now, record.KindOpen, f); r != nil {
				r.Start, r.Base, r.HasBase = id.start, id.base, id.known == [2]bool{true, true}
			}
			if s := d.options.state(id.Conn); s != nil {
				if r := d.push(now, record.KindState, f); r != nil {
					r.Base, r.HasBase, r.Data, r.Length = s.base, true, s.checkpoint, uint64(len(s.checkpoint))
				}
			}
		}
		f.link, f.shift = link, id.shift
		for _, dir := range record.Directions() {
			if id.known[dir] {
				f.next.Set(dir, id.base.Of(dir))
				f.known[dir] = true
			}
		}
		p.flow = f
	}
	if f == nil && p.length() == 0 && d.closed.has(p.key) {
		return nil // the last packets of a connection, or the same ones again
	}
	event := d.event(p)
	damage := d.damagedComment(p, event)
	if f == nil && event == nil && p.length() == 0 {
		return damage
	}
	if f == nil {
		f = d.begin(p.key, d.unknown(p.key, event))
		f.unnamed = true
		if event == nil {
			d.found.unnamed++
		}
	}
	if event != nil {
		if n := &event.comment; n.kind == commentGap && n.dir == p.dir && !p.udp {
			f.shift[p.dir] = p.seq - 1 - uint32(n.offset+n.length) // see Jump
		}
		d.pushEvent(now, f, p.key, &event.comment)
		return damage
	}
	if p.length() == 0 && !p.udp {
		return damage
	}
	offset, ok := f.offset(p.dir, &p.packetView)
	if !ok {
		return malformed(fmt.Sprintf("sequence number %d is before the stream's start", p.seq))
	}
	f.next.Set(p.dir, max(f.next.Of(p.dir), offset+p.length()))
	f.known[p.dir] = true
	n := uint64(len(p.payload))
	if n > 0 || p.length() == 0 {
		if r := d.push(now, record.KindData, f); r != nil {
			r.Direction, r.Offset, r.Length, r.Data = p.dir, offset, n, p.payload
		}
	}
	if p.cut > 0 {
		if r := d.push(now, record.KindGap, f); r != nil {
			r.Direction, r.Offset, r.Length, r.Reason = p.dir, offset+n, p.cut, record.ReasonMissing
		}
	}
	return damage
}

// pushEvent queues a gap or a close.
func (d *Decoder) pushEvent(now time.Time, f *packetFlow, key packetKey, n *comment) {
	if n.kind == commentGap {
		f.next.Set(n.dir, n.offset+n.length)
		f.known[n.dir] = true
		if r := d.push(now, record.KindGap, f); r != nil {
			r.Direction, r.Offset, r.Length, r.Reason = n.dir, n.offset, n.length, n.reason
		}
		return
	}
	if r := d.push(now, record.KindClose, f); r != nil {
		r.Reason, r.Totals = n.reason, n.totals
	}
	d.flows.remove(key)
	d.closed.add(key)
}

const maxClosed = 1 << 12

// push queues a record and returns it for the fields that only its kind has. It returns
// nil where the queue is full.
func (d *Decoder) push(now time.Time, kind record.Kind, f *packetFlow) *record.Record {
	if d.queued == len(d.queue) {
		return nil
	}
	r := &d.queue[d.queued]
	d.queued++
	*r = record.Record{Kind: kind, Time: now, Identity: f.Identity}
	return r
}
