package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// maxField bounds each of a line's bracketed fields.
const maxField = 4096

// hexDecoder decodes the lines of Hex and HexMeta, which may stand in one file.
// A data line longer than lineBuffer becomes several records.
type hexDecoder struct {
	file   string
	lines  lineReader
	prefix prefixParser
	table  identityTable
	rec    record.Record
	data   []byte // what rec.Data is cut from
	flow   *knownFlow
	behind uint64 // offset behind the part of the line that was decoded last
	long   bool   // the parts that follow go on with rec's line
	skip   bool   // the parts that follow belong to a damaged line
	bad    bool   // the last line was damaged: its neighbours are not reported again
}

func newHexDecoder(zone *time.Location) *hexDecoder {
	return &hexDecoder{prefix: prefixParser{zone: zone}}
}

// reset turns to the next file of a rolled set; what is known of connections
// stays.
func (d *hexDecoder) reset(src io.Reader, file string) {
	d.file = file
	d.lines.reset(src)
	d.long, d.skip, d.bad = false, false, false
}

// next returns the next record, which is d's until the next call; see Reader.
func (d *hexDecoder) next() (*record.Record, error) {
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
func (d *hexDecoder) part(p linePart) (rec *record.Record, at int, err error) {
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
func (d *hexDecoder) begin(p linePart) (*record.Record, int, error) {
	if len(p.text) == 0 && !p.cut {
		return nil, 0, nil
	}
	t, at, ok := d.prefix.parse(p.text)
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
		d.rec = record.Record{Time: t}
		if m, ok := parseMeta(p.text, at); ok {
			return d.meta(p, p.text[fields:m.connEnd], window, port, m)
		}
		if hexFollows(p.text[at:]) {
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

// field returns the text between the brackets that begin at text[at] and where
// it goes on behind them.
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

// hexFollows tells whether text begins as the bytes of a hex line do.
func hexFollows(text []byte) bool {
	return len(text) == 0 || len(text) >= 2 && (hexValues[text[0]]|hexValues[text[1]])&notHex == 0 && (len(text) == 2 || text[2] == ' ')
}

// legacy decodes a line that has no third field.
func (d *hexDecoder) legacy(p linePart, key, window, port []byte, at int) (*record.Record, int, error) {
	f := d.table.find(key)
	if f == nil {
		f = &knownFlow{Identity: record.Identity{Window: string(window), Port: string(port), Conn: "all-" + string(port)}}
		d.table.add(key, f)
	}
	d.rec.Legacy = true
	d.rec.Offset = f.next
	d.flow = f
	return d.payload(p, at)
}

// payload decodes the bytes in p.text[at:], which may be a part of the line's.
func (d *hexDecoder) payload(p linePart, at int) (*record.Record, int, error) {
	text := p.text[at:]
	if !p.last {
		whole := len(text) - len(text)%3
		d.lines.putBack(len(text) - whole)
		text = text[:whole]
	}
	if !p.first {
		d.rec.Offset = d.behind
	}
	var decoded int
	d.data, decoded = appendDecodedHex(d.data[:0], text)
	if decoded < len(text) {
		// What came before the fault in this part is given up with it: a flipped
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
	d.rec.Kind, d.rec.Identity = record.KindData, d.flow.Identity
	d.rec.Data, d.rec.Length = d.data, uint64(len(d.data))
	d.behind = d.rec.Offset + d.rec.Length
	if d.rec.Legacy {
		d.flow.next = d.behind
	}
	return &d.rec, 0, nil
}

// meta decodes the rest of a line with a third field.
func (d *hexDecoder) meta(p linePart, key, window, port []byte, m lineMeta) (*record.Record, int, error) {
	f := d.table.find(key)
	if f == nil {
		f = &knownFlow{Identity: record.Identity{Window: string(window), Port: string(port), Conn: string(m.conn), Network: networkOf(port)}}
		d.table.add(key, f)
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
		f.Peer, f.Listener = string(peer), string(listener)
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
	d.rec.Identity = f.Identity
	return &d.rec, 0, nil
}

// networkOf guesses a network from a port: the lines do not tell UDP from TCP.
func networkOf(port []byte) string {
	if len(port) > 0 && (port[0] == '/' || port[0] == '@') {
		return "unix"
	}
	return "tcp"
}

// parseClose reads "<reason> > <bytes> < <bytes>".
func parseClose(tail string) (reason string, totals record.PerDirection, ok bool) {
	reason, counts, ok := strings.Cut(tail, " > ")
	in, out, ok2 := strings.Cut(counts, " < ")
	var okIn, okOut bool
	totals.In, okIn = parseUint([]byte(in))
	totals.Out, okOut = parseUint([]byte(out))
	return reason, totals, ok && ok2 && okIn && okOut
}

// lineMeta is the third field of a line.
type lineMeta struct {
	kind           record.Kind
	conn           []byte
	connEnd        int // index in the line behind conn
	dir            record.Direction
	offset, length uint64
	end            int // index in the line behind the field
}

// parseMeta reads the field that begins at text[at].
func parseMeta(text []byte, at int) (m lineMeta, ok bool) {
	value, end, ok := field(text, at)
	if !ok {
		return m, false
	}
	m.end = end
	space := bytes.IndexByte(value, ' ')
	if space <= 0 {
		return m, false
	}
	m.conn, value = value[:space], value[space+1:]
	m.connEnd = at + 1 + space
	switch {
	case string(value) == "open":
		m.kind = record.KindOpen
		return m, true
	case string(value) == "close":
		m.kind = record.KindClose
		return m, true
	}
	m.kind = record.KindData
	if rest, gap := bytes.CutPrefix(value, []byte("gap ")); gap {
		m.kind, value = record.KindGap, rest
	}
	if len(value) < 3 || value[1] != ' ' || value[0] != '>' && value[0] != '<' {
		return m, false
	}
	if value[0] == '<' {
		m.dir = record.Out
	}
	numbers := value[2:]
	if m.kind == record.KindGap {
		first, second, _ := bytes.Cut(numbers, []byte(" "))
		if m.length, ok = parseUint(second); !ok || m.length == 0 {
			return m, false
		}
		numbers = first
	}
	m.offset, ok = parseUint(numbers)
	return m, ok && m.offset+m.length >= m.offset
}
