package pcapng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Decoder restores the records from what Encoder has encoded. It goes through one
// stream after the other, such as the segments of a window. It is meant for the
// recorder's own files; packets of others become connections that are named after
// their addresses. A Decoder is not safe for concurrent use.
type Decoder struct {
	file     string
	blocks   blockReader
	section  section
	window   string // of the last connection that identified itself
	flows    map[packetKey]*packetFlow
	queue    [4]record.Record // what the last packet said; queue[returned:queued] is what Next has still to return
	queued   int
	returned int
	bad      bool // the last block was damaged: its neighbours are not reported again
}

// section is what a section's header and interface blocks have said.
type section struct {
	links []uint16 // link types by interface
}

// maxFlows bounds the connections of a window that are remembered, whatever a
// file contains.
const maxFlows = 1 << 18

// MaxInterfaces bounds the interfaces of a section, whatever a file contains.
const MaxInterfaces = 1 << 12

// packetKey identifies a connection by what each of its packets has.
type packetKey struct {
	client, server netip.AddrPort
	udp            bool
}

// packetFlow is what the decoder knows of a connection.
type packetFlow struct {
	record.Identity
	next  record.PerDirection // offset after the last bytes
	known [2]bool             // next is valid, by direction
}

// NewDecoder returns a Decoder. Call Reset before Next.
func NewDecoder() *Decoder {
	return &Decoder{flows: map[packetKey]*packetFlow{}}
}

// Reset turns to the next stream, which continues the one before: what is known of
// connections stays. file names src in errors.
func (d *Decoder) Reset(src io.Reader, file string) {
	d.file = file
	d.blocks.reset(src)
	d.section = section{}
	d.queued, d.returned = 0, 0
	d.bad = false
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
		if errors.Is(err, io.EOF) || errors.Is(err, record.ErrNoMoreYet) {
			return nil, err
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

func (d *Decoder) block(b block) error {
	switch b.kind {
	case blockSection:
		if len(b.body) < 16 || binary.LittleEndian.Uint32(b.body) != byteOrderMagic {
			return fmt.Errorf("%w: section header of an unknown byte order", record.ErrMalformed)
		}
		d.section = section{}
	case blockInterface:
		if len(b.body) < 8 || len(d.section.links) >= MaxInterfaces {
			return fmt.Errorf("%w: interface block", record.ErrMalformed)
		}
		d.section.links = append(d.section.links, binary.LittleEndian.Uint16(b.body))
	case blockPacket:
		return d.packet(b.body)
	}
	return nil
}

// packet decodes the body of an Enhanced Packet Block and queues what it says.
func (d *Decoder) packet(body []byte) error {
	const fixed = packetFixed - 8 // the frame's head is not in body
	if len(body) < fixed {
		return fmt.Errorf("%w: packet block", record.ErrMalformed)
	}
	captured := int(binary.LittleEndian.Uint32(body[12:]))
	padded := (captured + 3) &^ 3
	if captured < 0 || captured > MaxBlock || fixed+padded > len(body) {
		return fmt.Errorf("%w: %d bytes in a packet block of %d", record.ErrMalformed, captured, len(body))
	}
	view, err := parsePacket(body[fixed : fixed+captured])
	if err != nil {
		iface := binary.LittleEndian.Uint32(body)
		if int64(iface) < int64(len(d.section.links)) && d.section.links[iface] != linkTypeRaw {
			return fmt.Errorf("%w: link type %d, not the recorder's", record.ErrMalformed, d.section.links[iface])
		}
		return err
	}
	now := time.Unix(0, int64(uint64(binary.LittleEndian.Uint32(body[4:]))<<32|uint64(binary.LittleEndian.Uint32(body[8:]))))

	var o packetOptions
	if err := o.parse(body[fixed+padded:]); err != nil {
		return err
	}
	return d.restore(now, view, o.direction, o.comments[:o.n])
}

// restore queues the records of one packet.
func (d *Decoder) restore(now time.Time, v packetView, direction uint32, comments []parsedComment) error {
	key, dir := d.orient(v, direction)
	f := d.flows[key]
	event := false // a comment says all that the packet stands for
	for _, c := range comments {
		if id := c.identity; id != nil {
			if f == nil || !id.again || f.Conn != id.Conn || f.Window != id.Window {
				f = d.begin(key, id)
				d.push(now, record.KindOpen, f, record.Record{Start: id.start, Base: id.base, HasBase: true})
			}
			d.window = id.Window
			f.next, f.known = id.base, [2]bool{true, true}
		}
	}
	if f == nil && len(comments) == 0 && len(v.payload) == 0 {
		return nil // such as the last packets of a connection that is closed
	}
	if f == nil {
		f = d.begin(key, d.unknown(key, comments))
	}
	for _, c := range comments {
		switch n := c.comment; n.kind {
		case commentGap:
			event = true
			f.next.Set(n.dir, n.offset+n.length)
			f.known[n.dir] = true
			d.push(now, record.KindGap, f, record.Record{Direction: n.dir, Offset: n.offset, Length: n.length, Reason: n.reason})
		case commentClose:
			event = true
			d.push(now, record.KindClose, f, record.Record{Reason: n.reason, Totals: n.totals})
			delete(d.flows, key)
		}
	}
	if event || len(v.payload) == 0 && !v.udp {
		return nil
	}
	offset, ok := f.offset(dir, v)
	if !ok {
		return fmt.Errorf("%w: sequence number %d is before the stream's start", record.ErrMalformed, v.seq)
	}
	f.next.Set(dir, max(f.next.Of(dir), offset+uint64(len(v.payload))))
	f.known[dir] = true
	d.push(now, record.KindData, f, record.Record{Direction: dir, Offset: offset, Length: uint64(len(v.payload)), Data: v.payload})
	return nil
}

// orient returns which end of a packet is the client, and the packet's direction.
func (d *Decoder) orient(v packetView, direction uint32) (packetKey, record.Direction) {
	in := packetKey{client: v.src, server: v.dst, udp: v.udp}
	out := packetKey{client: v.dst, server: v.src, udp: v.udp}
	switch direction {
	case packetInbound:
		return in, record.In
	case packetOutbound:
		return out, record.Out
	}
	if d.flows[in] == nil && (d.flows[out] != nil || v.dst.Port() > v.src.Port()) {
		return out, record.Out
	}
	return in, record.In
}

// begin remembers a connection.
func (d *Decoder) begin(key packetKey, id *parsedIdentity) *packetFlow {
	if len(d.flows) >= maxFlows {
		clear(d.flows)
	}
	f := &packetFlow{Identity: id.Identity}
	d.flows[key] = f
	return f
}

// unknown makes up the identity of a connection whose own was lost, but for what
// the comments at hand say.
func (d *Decoder) unknown(key packetKey, comments []parsedComment) *parsedIdentity {
	id := &parsedIdentity{Identity: record.Identity{
		Conn:     "unknown-" + key.client.String(),
		Port:     fmt.Sprint(key.server.Port()),
		Network:  "tcp",
		Peer:     key.client.String(),
		Listener: key.server.String(),
	}}
	if key.udp {
		id.Network = "udp"
	}
	for _, c := range comments {
		id.Conn = c.conn
	}
	id.Window = d.window // its files are of one window
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
		return uint64(v.seq - 1), true
	}
	ahead := int64(int32(v.seq - 1 - uint32(expected)))
	offset = expected + uint64(ahead)
	return offset, ahead >= 0 && offset+uint64(len(v.payload)) >= offset || ahead < 0 && offset < expected
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
