package hexlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// maxField bounds each of a line's bracketed fields.
const maxField = 4096

// Decoder decodes the lines of Encoder and MetaEncoder, which may be in one file. It
// goes through one stream after the other, such as a log's archives and the log. A data line longer than lineBuffer becomes several records. A Decoder is not
// safe for concurrent use.
type Decoder struct {
	times  Times
	file   string
	lines  lineReader
	prefix prefixParser
	table  identityTable
	rec    record.Record
	data   []byte // what rec.Data is cut from
	flow   *knownFlow
	next   uint64 // offset after the part of the line that was decoded last
	long   bool   // the parts that follow go on with rec's line
	skip   bool   // the parts that follow belong to a damaged line
	bad    bool   // the last line was damaged: its neighbours are not reported again
}

// Times says which instants the local times in lines are. The lines do not say in which
// zone they are.
type Times interface {
	// Instant returns the instant of a line of that window. wall has the line's date and
	// time of day, as if they were UTC. It is called in the order of the lines, and does
	// not keep window.
	Instant(window []byte, wall time.Time) time.Time
}

// InZone is Times of one zone.
type InZone struct{ Zone *time.Location }

// Instant implements Times.
func (z InZone) Instant(_ []byte, wall time.Time) time.Time {
	return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), z.Zone)
}

// NewDecoder returns a Decoder that gets the times of lines from times. Call Reset before
// Next.
func NewDecoder(times Times) *Decoder { return &Decoder{times: times} }

// Reset turns to the next stream, which continues the one before: what is known of
// connections stays. file names src in errors.
func (d *Decoder) Reset(src io.Reader, file string) {
	d.file = file
	d.lines.reset(src)
	d.long, d.skip, d.bad = false, false, false
}

// Next returns the next record, which d owns and which is valid until the next call.
// Its error is io.EOF at the end of the stream, and record.ErrNoMoreYet where src
// gives that. A *record.DamageError says that something was passed over: the next
// call goes on after it.
func (d *Decoder) Next() (*record.Record, error) {
	for {
		part, err := d.lines.next()
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, record.ErrNoMoreYet) {
				return nil, err
			}
			d.lines.err = io.EOF
			return nil, &record.DamageError{File: d.file, Offset: d.lines.offset, Err: err}
		}
		rec, at, err := d.part(part)
		if err != nil {
			d.skip = !part.last
			d.long = false
			if d.bad {
				continue
			}
			d.bad = true
			return nil, &record.DamageError{File: d.file, Offset: part.offset + int64(at), Err: err}
		}
		if rec != nil {
			d.bad = false
			return rec, nil
		}
	}
}

// part decodes a line, or a part of one. at is where err is, in part.text.
func (d *Decoder) part(p linePart) (rec *record.Record, at int, err error) {
	switch {
	case p.first:
		rec, at, err = d.begin(p)
	case d.skip:
		d.skip = !p.last
		return nil, 0, nil
	case d.long:
		rec, at, err = d.payload(p, 0)
	}
	d.long = err == nil && !p.last
	return rec, at, err
}

// begin decodes a line from its start.
func (d *Decoder) begin(p linePart) (*record.Record, int, error) {
	if len(p.text) == 0 && !p.cut {
		return nil, 0, nil
	}
	wall, at, ok := d.prefix.parse(p.text)
	if !ok {
		return nil, 0, lineError(p, "no time")
	}
	fields := at
	window, at, ok := field(p.text, at)
	if !ok {
		return nil, fields, lineError(p, "no window")
	}
	// A Unix socket's path may contain brackets: the port ends where what follows
	// makes sense.
	portAt := at + 1
	if at >= len(p.text) || p.text[at] != '[' {
		return nil, at, lineError(p, "no port")
	}
	for range 8 {
		end := bytes.IndexByte(p.text[at:min(len(p.text), portAt+maxField)], ']')
		if end < 0 {
			break
		}
		portEnd := at + end
		at = portEnd + 1
		port := p.text[portAt:portEnd]
		d.rec = record.Record{}
		if m, ok := parseMeta(p.text, at); ok {
			d.rec.Time = d.times.Instant(window, wall)
			return d.meta(p, p.text[fields:m.connEnd], window, port, m)
		}
		if hexFollows(p.text[at:]) {
			d.rec.Time = d.times.Instant(window, wall)
			return d.legacy(p, p.text[fields:at], window, port, at)
		}
	}
	return nil, portAt, lineError(p, "neither a connection nor bytes")
}

func lineError(p linePart, what string) error {
	if p.cut {
		return fmt.Errorf("%w: %s", record.ErrTruncated, what)
	}
	return fmt.Errorf("%w: %s", record.ErrMalformed, what)
}

// field returns the text between the brackets that begin at text[at], and the index
// after them.
func field(text []byte, at int) (value []byte, next int, ok bool) {
	if at >= len(text) || text[at] != '[' {
		return nil, at, false
	}
	end := bytes.IndexByte(text[at:min(len(text), at+maxField)], ']')
	if end < 0 {
		return nil, at, false
	}
	return text[at+1 : at+end], at + end + 1, true
}

// hexFollows reports whether text begins as the bytes of a hex line do.
func hexFollows(text []byte) bool {
	return len(text) == 0 || len(text) >= 2 && (hexValues[text[0]]|hexValues[text[1]])&notHex == 0 && (len(text) == 2 || text[2] == ' ')
}

// legacy decodes a line that has no third field.
func (d *Decoder) legacy(p linePart, key, window, port []byte, at int) (*record.Record, int, error) {
	f := d.table.find(key)
	if f == nil {
		f = newKnownFlow(key, window, port)
		f.conn, f.legacy = "all-"+string(port), true
		d.table.add(f)
	}
	d.rec.Legacy = true
	d.rec.Offset = f.next
	d.flow = f
	return d.payload(p, at)
}

// payload decodes the bytes in p.text[at:], which may be a part of the line's.
func (d *Decoder) payload(p linePart, at int) (*record.Record, int, error) {
	text := p.text[at:]
	if !p.last {
		whole := len(text) - len(text)%3
		d.lines.unread(len(text) - whole)
		text = text[:whole]
	}
	if !p.first {
		d.rec.Offset = d.next
	}
	var decoded int
	d.data, decoded = appendDecodedHex(d.data[:0], text)
	if decoded < len(text) {
		// What came before the fault in this part is lost with it: a flipped
		// digit does not say where the damage began.
		err := record.ErrMalformed
		if p.cut && len(text)-decoded < 2 {
			err = record.ErrTruncated
		}
		return nil, at + decoded, fmt.Errorf("%w: not two hex digits and a space", err)
	}
	if p.cut {
		return nil, at + decoded, fmt.Errorf("%w: a line without an end", record.ErrTruncated)
	}
	d.rec.Kind, d.rec.Identity = record.KindData, d.flow.identity()
	d.rec.Data, d.rec.Length = d.data, uint64(len(d.data))
	d.next = d.rec.Offset + d.rec.Length
	if d.rec.Legacy {
		d.flow.next = d.next
	}
	return &d.rec, 0, nil
}

// meta decodes the rest of a line with a third field.
func (d *Decoder) meta(p linePart, key, window, port []byte, m lineMeta) (*record.Record, int, error) {
	f := d.table.find(key)
	if f == nil {
		f = newKnownFlow(key, window, port)
		f.conn = f.key[len(f.key)-len(m.conn):]
		d.table.add(f)
	}
	d.flow = f
	d.rec.Direction, d.rec.Offset = m.dir, m.offset
	if m.kind == record.KindData {
		return d.payload(p, m.end)
	}
	if p.cut || !p.last {
		return nil, m.end, lineError(p, "a line without an end")
	}
	tail, ok := bytes.CutPrefix(p.text[m.end:], []byte(" "))
	d.rec.Kind = m.kind
	switch {
	case !ok:
	case m.kind == record.KindOpen:
		var peer, listener []byte
		peer, listener, ok = bytes.Cut(tail, []byte(" -> "))
		d.table.setAddresses(f, peer, listener)
	case m.kind == record.KindState:
		d.rec.Base, d.rec.Data, ok = parseState(tail)
		d.rec.HasBase, d.rec.Length = true, uint64(len(d.rec.Data))
	case m.kind == record.KindGap:
		d.rec.Length, d.rec.Reason = m.length, string(tail)
		ok = len(tail) > 0
	case m.kind == record.KindClose:
		d.rec.Reason, d.rec.Totals, ok = parseClose(string(tail))
		d.table.remove(key)
	}
	if !ok {
		return nil, m.end, lineError(p, "bad "+m.kind.String())
	}
	d.rec.Identity = f.identity()
	return &d.rec, 0, nil
}
