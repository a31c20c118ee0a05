package pcapng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
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

// found counts what a stream has of which the end of the stream tells.
type found struct {
	packets int             // that were read
	foreign int             // that are not the recorder's
	links   map[string]bool // names of the link types of foreign ones
	unnamed int             // connections without an identity
}

// MaxInterfaces bounds the interfaces of a section, whatever a file contains.
const MaxInterfaces = 1 << 12

// packetKey identifies a connection by what each of its packets has.
type packetKey struct {
	client, server netip.AddrPort
	udp            bool
	label          uint32 // noLabel of connections whose identity has none
}

// noLabel is no label of a packet.
const noLabel = ^uint32(0)

// packetFlow is what the decoder knows of a connection.
type packetFlow struct {
	record.Identity
	next  record.PerDirection // offset after the last bytes
	known [2]bool             // next is valid, by direction
	shift [2]uint32           // of sequence numbers, see Appearance

	unnamed bool   // it has not identified itself
	link    uint16 // of the packet that did so
}

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
		if errors.Is(err, record.ErrNoMoreYet) {
			return nil, err
		}
		if errors.Is(err, io.EOF) {
			if err := d.end(); err != nil {
				return nil, &record.DamageError{File: d.file, Err: err}
			}
			return nil, io.EOF
		}
		if err == nil {
			err = d.block(b)
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
	case f.foreign > 0 && f.packets == 0:
		return fmt.Errorf("%w: none of its %d packets (%s) has a comment of the recorder", record.ErrUnsupported, f.foreign, strings.Join(links, ", "))
	case d.Remark == nil:
		return nil
	}
	if f.foreign > 0 {
		d.Remark(fmt.Sprintf("%s: %d packets (%s) are not the recorder's and are left out", d.file, f.foreign, strings.Join(links, ", ")))
	}
	if f.unnamed > 0 {
		d.Remark(fmt.Sprintf("%s: %d connections have lost the comment that identifies them: they are named after their addresses", d.file, f.unnamed))
	}
	return nil
}

func (d *Decoder) block(b block) error {
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
		i, err := parseInterface(b)
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
func isPacketOfOurs(b block) bool {
	p, err := cutPacket(b)
	if err != nil || p.length != uint32(len(p.data)) {
		return false
	}
	_, err = parsePacket(p.data, 0)
	return err == nil
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
func cutPacket(b block) (p capturedPacket, err error) {
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
		if _, err := parsePacket(b.body[fixed:fixed+whole], 0); err == nil {
			return p, malformed("a packet that is not cut, with the length of one that is")
		}
	}
	if b.kind == blockOldPacket {
		p.iface = uint32(b.order.Uint16(b.body))
	}
	return p, nil
}

// enhanced decodes a packet block and queues what it says.
func (d *Decoder) enhanced(b block) error {
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
	d.options = packetOptions{comments: d.options.comments[:0]}
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
func (d *Decoder) simple(b block) error {
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
	d.options = packetOptions{comments: d.options.comments[:0]}
	return d.packet(d.lastTime(), i.link, b.body[4:4+captured], length)
}

// packet queues what a packet says, of which data was captured. length is that of the
// whole packet.
func (d *Decoder) packet(now time.Time, link uint16, data []byte, length uint32) error {
	cut := 0
	if int64(length) > int64(len(data)) {
		cut = int(min(int64(length)-int64(len(data)), 1<<16))
	}
	view, err := parsePacket(data, 0)
	if err != nil && cut > 0 {
		view, err = parsePacket(data, cut)
	}
	raw := err == nil || isRaw(link) // some program may have changed the link type alone
	if !raw {
		packet, framed := withoutLinkHeader(link, data)
		if framed {
			packet, cut = withoutTrailer(packet, cut)
			view, err = parsePacket(packet, cut)
		}
		if !framed || err != nil {
			err = errForeign
		}
	}
	switch {
	case errors.Is(err, errForeign):
		d.leaveOut(link)
		return nil
	case err != nil:
		return err
	}
	p := packetOf{packetView: view}
	p.key, p.dir, p.flow = d.orient(&view, d.options.direction)
	p.identity = d.identity(&p)
	if p.identity != nil && p.identity.labelled && p.key.label != view.label {
		p.key.label = view.label
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
	d.found.foreign++
	d.found.links[linkName(link)] = true
}

// restore queues the records of one packet. Its error says that something of them is
// damaged; what is intact is queued nevertheless.
func (d *Decoder) restore(now time.Time, link uint16, p *packetOf) error {
	d.found.packets++
	f := p.flow
	if id := p.identity; id != nil {
		if f == nil || f.Conn != id.Conn || f.Window != id.Window {
			f = d.begin(p.key, id)
			d.push(now, record.KindOpen, f, record.Record{Start: id.start, Base: id.base, HasBase: id.known == [2]bool{true, true}})
		}
		d.window = id.Window
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
	offset, ok := f.offset(p.dir, p.packetView)
	if !ok {
		return malformed(fmt.Sprintf("sequence number %d is before the stream's start", p.seq))
	}
	f.next.Set(p.dir, max(f.next.Of(p.dir), offset+p.length()))
	f.known[p.dir] = true
	n := uint64(len(p.payload))
	if n > 0 || p.length() == 0 {
		d.push(now, record.KindData, f, record.Record{Direction: p.dir, Offset: offset, Length: n, Data: p.payload})
	}
	if p.cut > 0 {
		d.push(now, record.KindGap, f, record.Record{Direction: p.dir, Offset: offset + n, Length: p.cut, Reason: record.ReasonMissing})
	}
	return damage
}

// pushEvent queues a gap or a close.
func (d *Decoder) pushEvent(now time.Time, f *packetFlow, key packetKey, n *comment) {
	if n.kind == commentGap {
		f.next.Set(n.dir, n.offset+n.length)
		f.known[n.dir] = true
		d.push(now, record.KindGap, f, record.Record{Direction: n.dir, Offset: n.offset, Length: n.length, Reason: n.reason})
		return
	}
	d.push(now, record.KindClose, f, record.Record{Reason: n.reason, Totals: n.totals})
	d.flows.remove(key)
	d.closed.add(key)
}

// identity returns the identity comment of a packet that is the recorder's, or nil.
// Somebody may have copied one from another packet: in its own, the sequence number says
// the same as the comment, and so do the addresses, unless some program has replaced them.
func (d *Decoder) identity(p *packetOf) (id *parsedIdentity) {
	for _, c := range d.options.comments {
		if c.identity == nil || !d.mayBegin(c.identity, p) {
			continue
		}
		if c.identity.has(p.key) {
			return c.identity
		}
		if id == nil && (p.flow == nil || p.flow.unnamed) && !d.closed.has(p.key) {
			id = c.identity
		}
	}
	return id
}

// mayBegin reports whether the sequence number of a packet is one at which the file may
// begin to have the connection.
func (d *Decoder) mayBegin(id *parsedIdentity, p *packetOf) bool {
	base, syn := id.base.Of(p.dir), p.flags&(flagSYN|flagACK) == flagSYN
	switch {
	case p.udp || syn:
		return true
	case id.start && !id.again || p.flags&flagSYN != 0:
		return false // then the first packet is the client's SYN
	case p.seq == uint32(base)+1+id.shift[p.dir]:
		return true
	}
	for i := range d.options.comments { // the first packet may be that of a gap
		c := &d.options.comments[i]
		if n := c.comment; n.kind == commentGap && n.offset == base && c.conn == id.Conn && c.isOf(p, id.shift) {
			return true
		}
	}
	return false
}

// has reports whether key is that of the packets that the encoder makes for id.
func (id *parsedIdentity) has(key packetKey) bool {
	f := record.Flow{Endpoint: record.Endpoint{Identity: id.Identity}}
	f.ClientAddr, _ = netip.ParseAddrPort(id.Peer)
	f.ServerAddr, _ = netip.ParseAddrPort(id.Listener)
	for _, a := range []Appearance{{}, {Client: StandInClient(id.Conn)}, {ServerPort: key.server.Port()}} {
		if client, server := PacketAddresses(&f, &a); client == key.client && server == key.server {
			return true
		}
	}
	return false
}

// event returns the first comment about a gap or a close that is the recorder's, or nil.
// One of another connection counts where there is none of the packet's own: one of the
// two is damaged.
func (d *Decoder) event(p *packetOf) (event *parsedComment) {
	for i := range d.options.comments {
		c := &d.options.comments[i]
		switch {
		case c.comment.kind == commentNone || !c.isOf(p, p.shift()):
		case p.flow == nil || p.flow.unnamed || c.conn == p.flow.Conn:
			return c
		case event == nil:
			event = c
		}
	}
	return event
}

// shift returns the shift of the packet's connection, as far as it is known.
func (p *packetOf) shift() (shift [2]uint32) {
	switch {
	case p.identity != nil:
		shift = p.identity.shift
	case p.flow != nil:
		shift = p.flow.shift
	}
	return shift
}

// isOf reports whether the recorder may have written a comment about a gap or a close to
// that packet, of a connection with that shift.
func (c *parsedComment) isOf(p *packetOf, shift [2]uint32) bool {
	n := &c.comment
	switch {
	case p.length() > 0:
		return false
	case p.udp:
		return true
	case n.kind == commentClose:
		return p.flags&(flagFIN|flagRST) != 0 || n.reason == string(record.CloseMoved)
	}
	if n.kind != commentGap || n.dir != p.dir {
		return false
	}
	// Versions before Jump went on by the length.
	from := uint32(n.offset) + 1 + shift[p.dir]
	return p.seq == from+Jump(n.length) || p.seq == from+uint32(n.length)
}

// damagedComment returns an error where a comment of the recorder is missing from a packet
// and one that resembles it is there, or where event is of another connection.
func (d *Decoder) damagedComment(p *packetOf, event *parsedComment) error {
	r, f := d.options.resembles, p.flow
	for _, c := range d.options.comments { // in full, but perhaps not of this packet
		if c.identity != nil {
			r[commentIdentity] = true
		}
		r[c.comment.kind] = true
	}
	kind := ""
	switch {
	case r[commentIdentity] && p.identity == nil && (f == nil || f.unnamed || p.flags&(flagSYN|flagACK) == flagSYN):
		kind = "the identity of a connection"
	case event != nil:
		if f != nil && !f.unnamed && event.conn != f.Conn {
			kind = fmt.Sprintf("connection %.80q in a packet of %.80q", event.conn, f.Conn)
		}
	case p.length() > 0 || p.flags&flagSYN != 0:
	case r[commentGap] && (p.udp || f == nil || p.seq != uint32(f.next.Of(p.dir))+1+f.shift[p.dir]):
		kind = "a gap"
	case r[commentClose] && (p.udp || p.flags&(flagFIN|flagRST) != 0):
		kind = "a close"
	}
	if kind == "" {
		return nil
	}
	return malformed("the comment of " + kind)
}

// closedFlows remembers the connections that were closed last, up to maxClosed.
type closedFlows struct {
	young, old map[packetKey]bool
}

const maxClosed = 1 << 12

func (c *closedFlows) add(key packetKey) {
	if c.young == nil || len(c.young) >= maxClosed/2 {
		c.young, c.old = map[packetKey]bool{}, c.young
	}
	c.young[key] = true
}

func (c *closedFlows) has(key packetKey) bool { return c.young[key] || c.old[key] }

func (c *closedFlows) remove(key packetKey) {
	delete(c.young, key)
	delete(c.old, key)
}

// orient returns which end of a packet is the client, and the packet's direction.
// What is known of its connection may be nothing.
func (d *Decoder) orient(v *packetView, direction uint32) (packetKey, record.Direction, *packetFlow) {
	if v.udp || v.flags&flagSYN == 0 {
		if key, dir, f := d.flows.packetsOf(v); f != nil {
			return key, dir, f
		}
	}
	in, flowIn := d.find(v, packetKey{client: v.src, server: v.dst, udp: v.udp})
	out, flowOut := d.find(v, packetKey{client: v.dst, server: v.src, udp: v.udp})
	if !v.udp && v.flags&flagSYN != 0 {
		if v.flags&flagACK != 0 {
			return out, record.Out, flowOut
		}
		return in, record.In, flowIn
	}
	// Where one of the two is known, that is more certain than a flag.
	switch knownIn, knownOut := flowIn != nil, flowOut != nil; {
	case knownIn && !knownOut:
		d.flows.remember(v.label, in, flowIn)
		return in, record.In, flowIn
	case knownOut && !knownIn:
		d.flows.remember(v.label, out, flowOut)
		return out, record.Out, flowOut
	case direction == packetInbound:
		return in, record.In, flowIn
	case direction == packetOutbound:
		return out, record.Out, flowOut
	case v.dst.Port() > v.src.Port() && !knownIn:
		return out, record.Out, flowOut
	}
	return in, record.In, flowIn
}

// find returns the connection of a packet, nil when it is not known, and its key with
// the label; key lacks that.
func (d *Decoder) find(v *packetView, key packetKey) (packetKey, *packetFlow) {
	key.label = v.label
	if f := d.flows.find(key); f != nil || d.closed.has(key) {
		return key, f
	}
	key.label = noLabel
	return key, d.flows.find(key)
}

// begin remembers a connection.
func (d *Decoder) begin(key packetKey, id *parsedIdentity) *packetFlow {
	d.closed.remove(key)
	f := &packetFlow{Identity: id.Identity}
	d.flows.add(key, f)
	return f
}

// unknown makes up the identity of a connection whose own was lost, but for what
// the comment of an event says, if there is one.
func (d *Decoder) unknown(key packetKey, event *parsedComment) *parsedIdentity {
	id := &parsedIdentity{Identity: record.Identity{
		Window:   d.window, // its files are of one window
		Conn:     "unknown-" + key.client.String(),
		Port:     fmt.Sprint(key.server.Port()),
		Network:  "tcp",
		Peer:     key.client.String(),
		Listener: key.server.String(),
	}}
	if key.udp {
		id.Network = "udp"
	}
	if event != nil {
		id.Conn = event.conn
	}
	return id
}

// offset returns the stream offset of a packet's payload: the one with its
// sequence number that is nearest to what is expected.
func (f *packetFlow) offset(dir record.Direction, v packetView) (offset uint64, ok bool) {
	expected := f.next.Of(dir)
	if v.udp {
		return expected, true
	}
	if !f.known[dir] {
		return uint64(v.seq - 1 - f.shift[dir]), true
	}
	ahead := int64(int32(v.seq - 1 - f.shift[dir] - uint32(expected)))
	offset = expected + uint64(ahead)
	return offset, ahead >= 0 && offset+v.length() >= offset || ahead < 0 && offset < expected
}

// push queues a record whose kind-specific fields are those of r.
func (d *Decoder) push(now time.Time, kind record.Kind, f *packetFlow, r record.Record) {
	if d.queued == len(d.queue) {
		return
	}
	r.Kind, r.Time, r.Identity = kind, now, f.Identity
	d.queue[d.queued] = r
	d.queued++
}
