package cli

import (
	"encoding/json"
	"slices"
	"strconv"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/tool/internal/grep"
	"mosn.io/tcpcopy/tool/internal/reading"
)

// shownMatch is how much of a match is shown, in bytes.
const shownMatch = 1024

// foundMatch is a match with copies of what is shown of it.
type foundMatch struct {
	place                reading.Place
	length               uint64
	before, bytes, after string
}

// matchBatch collects matches until it is full. The zero value is empty and ready to use.
type matchBatch struct {
	matches []foundMatch
	bytes   int             // that they show
	conns   map[string]bool // that have one of them
	wait    int             // matches after which the batch is full, see reset
}

// The bounds of a batch: about 24 MiB, and the decoders of the connections. The first one is
// short, so that people soon see something.
const (
	minBatchMatches = 100
	maxBatchMatches = 1 << 16
	maxBatchBytes   = 8 << 20
	maxBatchConns   = 1 << 12
)

func (b *matchBatch) add(m *grep.Match) {
	f := foundMatch{
		place:  reading.Place{Window: m.Conn.Window, Conn: m.Conn.Conn, Direction: m.Direction, Offset: m.Offset},
		length: uint64(len(m.Bytes)),
		before: string(m.Before), bytes: string(m.Bytes[:min(len(m.Bytes), shownMatch)]), after: string(m.After),
	}
	b.matches = append(b.matches, f)
	if b.conns == nil {
		b.conns = map[string]bool{}
	}
	b.conns[f.place.Conn] = true
	b.bytes += len(f.before) + len(f.bytes) + len(f.after)
}

func (b *matchBatch) full() bool {
	return len(b.matches) >= max(b.wait, minBatchMatches) || b.bytes >= maxBatchBytes || len(b.conns) >= maxBatchConns
}

// reset empties the batch. The next one is longer, because each costs another reading.
func (b *matchBatch) reset() {
	b.wait = min(max(b.wait, minBatchMatches)*16, maxBatchMatches)
	b.matches, b.bytes = b.matches[:0], 0
	clear(b.conns)
}

// places returns where the matches are. CallsAt sets their calls.
func (b *matchBatch) places() []*reading.Place {
	places := make([]*reading.Place, len(b.matches))
	for i := range b.matches {
		places[i] = &b.matches[i].place
	}
	return places
}

// matchRow is a match as a JSON line.
type matchRow struct {
	Conn      string  `json:"conn"`
	Call      *string `json:"call"` // null where the bytes are of no call that is known
	Direction string  `json:"direction"`
	Offset    uint64  `json:"offset"`
	Length    uint64  `json:"length"`
	Context   string  `json:"context"` // escaped as in lines for people
}

// matchPrinter prints matches, as lines for people or as JSON lines.
type matchPrinter struct {
	t       *tool
	output  *output
	limit   int // columns of a line; 0 means any number
	colours colours
	found   string        // the colour of what matches
	rows    *json.Encoder // nil where lines for people are printed
	buf     []byte
	without bool // it was said that calls are not known

	fallbacks calls.Coverage // of the connections with matches; the other fields are not set
}

func newMatchPrinter(t *tool, o *output, asJSON bool) *matchPrinter {
	p := &matchPrinter{t: t, output: o, limit: o.limit(), colours: t.colours()}
	if p.colours != (colours{}) {
		p.found = "\x1b[1;32m" // bold green
	}
	if asJSON {
		p.rows = newJSONLines(t.stdout)
	}
	return p
}

// maxGrepFallbacks is how many connections with bytes that are not of their protocol are remembered.
const maxGrepFallbacks = 1000

// addFallbacks adds those of the connections of a batch, of which some may be known.
func (p *matchPrinter) addFallbacks(of []calls.Fallback) {
	for _, f := range of {
		known := slices.ContainsFunc(p.fallbacks.Fallbacks, func(k calls.Fallback) bool { return k.Window == f.Window && k.Conn == f.Conn })
		switch {
		case known:
		case len(p.fallbacks.Fallbacks) < maxGrepFallbacks:
			p.fallbacks.Fallbacks = append(p.fallbacks.Fallbacks, f)
		default:
			p.fallbacks.MoreFallbacks++
		}
	}
}

func (p *matchPrinter) print(m *foundMatch) error {
	before, text, after := escapedLine(m.before), escapedLine(m.bytes), escapedLine(m.after)
	if uint64(len(m.bytes)) < m.length {
		text += ellipsis
	}
	if p.rows != nil {
		row := matchRow{Conn: m.place.Conn, Direction: m.place.Direction.String(), Offset: m.place.Offset, Length: m.length, Context: before + text + after}
		if m.place.Call != "" {
			row.Call = &m.place.Call
		}
		return p.rows.Encode(row)
	}
	id := m.place.Conn
	if m.place.Call != "" {
		id = m.place.Call
	}
	b := append(p.buf[:0], printable(id)...)
	b = append(b, ' ', m.place.Direction.Arrow(), ' ')
	b = strconv.AppendUint(b, m.place.Offset, 10)
	b = append(b, "  "...)
	if p.limit > 0 {
		before, text, after = fitContext(before, text, after, p.limit-textWidth(string(b)))
	}
	b = append(b, before...)
	b = p.colours.append(b, p.found, text)
	b = append(b, after...)
	b = append(b, '\n')
	p.buf = b
	_, err := p.t.stdout.Write(b)
	return err
}

// escapedLine returns payload so that a terminal does nothing with it but show it.
func escapedLine(payload string) string { return string(appendEscaped(nil, []byte(payload), false)) }

// fitContext shortens a match and what is around it to columns columns of the terminal: the
// match goes before the rest, of which both sides get the same.
func fitContext(before, text, after string, columns int) (string, string, string) {
	columns = max(columns, leastOfAny)
	text = shorten(text, columns)
	rest := columns - textWidth(text)
	left, right := textWidth(before), textWidth(after)
	if left+right <= rest {
		return before, text, after
	}
	left = min(left, max(rest/2, rest-right))
	if textWidth(before) > left {
		before = tailOf(before, max(left-1, 0))
		if left > 0 {
			before = ellipsis + before
		}
	}
	return before, text, shorten(after, rest-left)
}
