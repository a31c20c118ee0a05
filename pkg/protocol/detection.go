package protocol

import (
	"time"

	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// detection holds the pieces of a connection until its protocol is known.
//
// A direction that is there from its beginning is recognised by its first bytes: the
// protocol is the first one in the list that says Yes, once all before it have said No.
// So it does not depend on how many bytes there were at a time. A direction that is there from its middle on is
// searched for a message; the protocol is the one that needed the fewest bytes.
type detection struct {
	Start  [2]uint64 // offset where each direction begins
	Middle [2]bool   // its first bytes are not there
	Late   [2]bool   // bytes of it passed before the recording
	Pieces []piece
	Size   int // bytes of the pieces' data

	looks   [2]look
	proxied bool // the client's first bytes are not those of a proxy in front of it, or not any more
}

// look is what detection looks at in one direction.
type look struct {
	data  []byte // contiguous; the first maxFirst of the direction, or the last ones behind a gap
	seen  bool   // something came
	from  uint64 // offset of data
	start bool   // data are the first bytes
	total uint64 // bytes since the beginning, or since a gap
	due   uint64 // total at which they are looked at again
}

// piece is a stretch of a direction.
type piece struct {
	Dir         record.Direction
	Offset      uint64
	Length      uint64
	First, Last time.Time
	Data        []byte // nil if they are not held
	Gap         bool   // they were not recorded
}

const (
	maxFirst  = 16 << 10  // bytes of a direction that are looked at
	maxHeld   = 128 << 10 // bytes of pieces that are held
	maxPieces = 1 << 10
)

func newDetection(start [2]uint64) *detection { return &detection{Start: start} }

// late reports whether bytes of a direction passed before the recording. Of one of which
// nothing came, the other direction says it.
func (d *detection) late(dir record.Direction) bool {
	return d.Late[dir] || d.Late[1-dir] && !d.looks[dir].seen
}

// data adds the next bytes of a direction.
func (d *detection) data(dir record.Direction, offset uint64, at time.Time, b []byte) {
	l := &d.looks[dir]
	if !l.seen {
		l.seen, l.from = true, offset
		l.start = offset == d.Start[dir]
		d.Late[dir] = d.Late[dir] || !l.start
		d.Middle[dir] = d.Late[dir]
	}
	if l.start {
		l.data = append(l.data, b[:min(len(b), maxFirst-len(l.data))]...)
	} else {
		l.data = append(l.data, b...)
	}
	l.total += uint64(len(b))
	d.Size += len(b)
	d.Pieces = append(d.Pieces, piece{dir, offset, uint64(len(b)), at, at, append([]byte(nil), b...), false})
	d.shrink()
}

// gap adds bytes of a direction that were not recorded.
func (d *detection) gap(dir record.Direction, offset, length uint64) {
	l := &d.looks[dir]
	if !l.seen && offset > d.Start[dir] {
		d.Late[dir] = true
	}
	*l = look{seen: true, from: offset + length}
	d.Middle[dir] = true
	if n := len(d.Pieces); n > 0 && d.Pieces[n-1].Gap && d.Pieces[n-1].Dir == dir {
		d.Pieces[n-1].Length += length
		return
	}
	d.Pieces = append(d.Pieces, piece{Dir: dir, Offset: offset, Length: length, Gap: true})
	d.shrink()
}

// shrink gives up the data of the oldest pieces, and joins such pieces, where there are
// too many bytes, or too many pieces of a connection that is searched for a message.
func (d *detection) shrink() {
	many := len(d.Pieces) > maxPieces && (d.Middle[record.In] || d.Middle[record.Out])
	if d.Size <= maxHeld && !many {
		return
	}
	size := d.Size
	if many {
		size = 0 // of the pieces whose data are kept
		for _, p := range d.Pieces[len(d.Pieces)-maxPieces/2:] {
			size += len(p.Data)
		}
	}
	size = min(size, maxHeld/2)
	kept := d.Pieces[:0]
	for _, p := range d.Pieces {
		if d.Size > size && p.Data != nil {
			d.Size -= len(p.Data)
			p.Data = nil
			if l := &d.looks[p.Dir]; !l.start && l.from <= p.Offset {
				n := int(min(p.Offset+p.Length-l.from, uint64(len(l.data))))
				l.data = append([]byte(nil), l.data[n:]...)
				l.from += uint64(n)
			}
		}
		if n := len(kept); n > 0 && p.Data == nil && !p.Gap && kept[n-1].Data == nil && !kept[n-1].Gap && kept[n-1].Dir == p.Dir {
			kept[n-1].Length += p.Length
			kept[n-1].Last = p.Last
			continue
		}
		kept = append(kept, p)
	}
	d.Pieces = kept
}

// full reports whether more pieces would change nothing.
func (d *detection) full() bool {
	if len(d.Pieces) > maxPieces {
		return true
	}
	// Both directions have been looked at from their beginnings, as far as that goes.
	for dir := range d.looks {
		if l := &d.looks[dir]; !l.start || len(l.data) < maxFirst {
			return false
		}
	}
	return true
}

// protocol returns the protocol; it is nil if it is not known yet, and then none
// says that it will not be known any more. final says that nothing more comes.
func (d *detection) protocol(final bool) (p *parse.Protocol, none bool) {
	if p := d.within(final); p != nil {
		return p, false
	}
	if !d.unwrap() && !final {
		return nil, false
	}
	if !final && !d.due() {
		return nil, false
	}
	for _, p := range protocols {
		switch d.begins(p) {
		case parse.Yes:
			return p, false
		case parse.Maybe:
			if !final {
				return nil, false
			}
		}
	}
	return nil, !d.Middle[record.In] && !d.Middle[record.Out]
}

// unwrap takes away what a proxy has put in front of the connection. It reports whether
// that is done, or there is none.
func (d *detection) unwrap() bool {
	l := &d.looks[record.In]
	if d.proxied || !l.start || len(l.data) == 0 {
		return true
	}
	n, more := proxyPrefix(l.data)
	if more {
		return false
	}
	d.proxied = true
	l.data = l.data[n:]
	l.from += uint64(n)
	d.Start[record.In] += uint64(n)
	return true
}

// due reports whether the first bytes are worth a look: for each piece as long as there
// are few, then when they have doubled.
func (d *detection) due() bool {
	const few = 1 << 10
	due := false
	for dir := range d.looks {
		l := &d.looks[dir]
		if l.start && (l.total <= few || l.total >= l.due) {
			l.due = 2 * l.total
			due = true
		}
	}
	return due
}

// begins returns what a protocol says of the first bytes of both directions.
func (d *detection) begins(p *parse.Protocol) parse.Verdict {
	verdict := parse.Maybe
	for _, dir := range record.Directions() {
		l := &d.looks[dir]
		if !l.start || len(l.data) == 0 {
			continue
		}
		v := p.Begins(dir, l.data)
		if v == parse.Yes {
			return v
		}
		if v == parse.No || len(l.data) >= maxFirst {
			verdict = parse.No
		}
	}
	return verdict
}

// Where a direction that begins in its middle is looked at: at each multiplication of
// its length by growth from firstLook on, up to every maxHeld/4 bytes. The look is at exactly so
// many bytes, so that it does not depend on how they were cut.
const (
	firstLook = 64
	growth    = 4
)

// within returns the protocol of which there is a message in a direction that does not
// begin at its beginning.
func (d *detection) within(final bool) *parse.Protocol {
	for _, dir := range record.Directions() {
		l := &d.looks[dir]
		if l.start || len(l.data) == 0 {
			continue
		}
		for l.due = max(l.due, firstLook); l.total >= l.due; l.due += min(l.due*(growth-1), maxHeld/4) {
			if p := search(dir, l.data[:max(len(l.data)-int(l.total-l.due), 0)]); p != nil {
				return p
			}
		}
		if final {
			if p := search(dir, l.data); p != nil {
				return p
			}
		}
	}
	return nil
}

// search returns the protocol of which data has a message, and which needs the fewest
// bytes for it.
func search(dir record.Direction, data []byte) *parse.Protocol {
	var found *parse.Protocol
	least := 0
	for _, p := range protocols {
		if p.Within == nil {
			continue
		}
		if _, needed, ok := p.Within(dir, data); ok && (found == nil || needed < least) {
			found, least = p, needed
		}
	}
	return found
}

// pending returns the range of a direction that the pieces hold, which ends at next.
func (d *detection) pending(dir record.Direction, next uint64) (offset, length uint64) {
	for _, p := range d.Pieces {
		if p.Dir == dir && !p.Gap {
			return p.Offset, next - p.Offset
		}
	}
	return next, 0
}

// restore adds the pieces of a checkpoint.
func (d *detection) restore(pieces []piece) {
	for _, p := range pieces {
		switch {
		case p.Gap:
			d.gap(p.Dir, p.Offset, p.Length)
		case p.Data != nil:
			d.data(p.Dir, p.Offset, p.First, p.Data)
		default:
			d.looks[p.Dir] = look{seen: true, from: p.Offset + p.Length}
			d.Middle[p.Dir] = true
			d.Pieces = append(d.Pieces, p)
		}
	}
}

// from returns the pieces without what dir has before offset.
func (d *detection) from(dir record.Direction, offset uint64) []piece {
	pieces := d.Pieces[:0]
	for _, p := range d.Pieces {
		if p.Dir == dir && p.Offset < offset {
			n := min(offset-p.Offset, p.Length)
			if n == p.Length {
				continue
			}
			p.Offset, p.Length = offset, p.Length-n
			if p.Data != nil {
				p.Data = p.Data[n:]
			}
		}
		pieces = append(pieces, p)
	}
	return pieces
}
