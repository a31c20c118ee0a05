package replay

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

//go:embed report.html
var reportText string

// reportRow is how many bytes a row of a report's hex dump has: few enough for a
// telephone.
const reportRow = 8

// reportRows bounds the rows of one answer.
const reportRows = 24

// WriteHTML writes the result as a page that needs nothing else: what differs side
// by side, and the latencies drawn. It holds payload.
func (r *Result) WriteHTML(w io.Writer) error {
	page, err := template.New("report").Parse(reportText)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := page.Execute(w, newReport(r)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// report is what the page shows.
type report struct {
	*Result
	Tiles       []tile
	Latencies   []latencyRow
	Chart       *chart
	Differences []reportDifference
	Rows        []reportConn
	Pace, Took  string
}

// tile is a number with its name.
type tile struct {
	Name  string
	Value uint64
	Bad   bool // a number that is not 0 is bad news
}

type latencyRow struct {
	Name               string
	P50, P90, P99, Max string
}

// reportConn is a row of the table of connections.
type reportConn struct {
	*Conn
	Window, Note string
}

// reportDifference is a difference, side by side.
type reportDifference struct {
	Conn, Title, Verdict, Note string
	Turn, Loop                 int
	Recorded, Replayed         reportSide
}

type reportSide struct {
	Total  uint64
	IsText bool // both sides are text
	Text   []piece
	Hex    []hexRow
}

// piece is a part of an answer that is changed, or not.
type piece struct {
	Text    string
	Changed bool
}

type hexRow struct {
	Offset string
	Bytes  []piece
	Pad    string // in place of the bytes of a short row that are not there
	Text   []piece
}

func newReport(r *Result) *report {
	page := &report{Result: r, Chart: newChart(&r.Recorded, &r.Replayed), Took: brief(r.Elapsed)}
	page.Pace = fmt.Sprintf("%s, speed %g", r.Mode, r.Speed)
	if math.IsInf(r.Speed, 1) {
		page.Pace = fmt.Sprintf("%s, speed max", r.Mode)
	}
	page.Tiles = []tile{
		{"turns", r.Turns, false}, {"equal", r.Equal, false}, {"different", r.Different, true}, {"missing", r.Missing, true}, {"late", r.Late, true},
		{"connections", uint64(r.Connections), false}, {"failed", uint64(r.Failed), true}, {"left out", uint64(r.Skipped), false},
	}
	for _, line := range []struct {
		name string
		h    *Histogram
	}{{"recorded", &r.Recorded}, {"replayed", &r.Replayed}, {"sent later than planned", &r.Lateness}} {
		if q := line.h.Quantiles(); q.Count > 0 {
			page.Latencies = append(page.Latencies, latencyRow{line.name, brief(q.P50), brief(q.P90), brief(q.P99), brief(q.Max)})
		}
	}
	for _, c := range r.Conns {
		note := details(c.Obstacles)
		if c.Err != nil {
			note = strings.TrimSuffix("failed: "+c.Err.Error()+"; "+note, "; ")
		}
		if c.Skipped {
			note = "left out: " + note
		}
		page.Rows = append(page.Rows, reportConn{c, layout.WindowPrefix(c.Window), printableText(note)})
		for i := range c.Differences {
			page.Differences = append(page.Differences, newReportDifference(c, &c.Differences[i]))
		}
	}
	return page
}

func newReportDifference(c *Conn, d *Difference) reportDifference {
	title := d.Label
	if title == "" {
		title = printableText(string(d.Request))
	}
	out := reportDifference{Conn: c.Conn, Title: title, Verdict: string(d.Verdict), Note: d.Note, Turn: d.Turn, Loop: c.Loop}
	switch {
	case d.Verdict == Missing:
		out.Note = "no answer came"
	case d.Note == "":
		out.Note = fmt.Sprintf("from byte %d on", d.At)
	}
	want, got := d.Recorded.Bytes, d.Replayed.Bytes
	changes := diff(want, got)
	var left, right []span
	for _, change := range changes {
		left = append(left, span{change.aFrom, change.aTo})
		right = append(right, span{change.bFrom, change.bTo})
	}
	text := utf8.Valid(trimCut(want)) && utf8.Valid(trimCut(got)) && mostlyPrintable(want) && mostlyPrintable(got)
	out.Recorded, out.Replayed = newReportSide(d.Recorded, left, text), newReportSide(d.Replayed, right, text)
	return out
}

// trimCut removes a character that an excerpt's end may have cut.
func trimCut(b []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return b[:len(b)-n]
			}
			break
		}
	}
	return b
}

func mostlyPrintable(b []byte) bool {
	for _, r := range string(trimCut(b)) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
	}
	return true
}

// printableText returns text without what a page or a terminal could stumble over.
func printableText(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, s)
}

func newReportSide(e Excerpt, changed []span, text bool) reportSide {
	side := reportSide{Total: e.Total, IsText: text, Text: pieces(e.Bytes, 0, len(e.Bytes), changed, func(b []byte) string {
		return strings.ReplaceAll(string(b), "\r", "")
	})}
	first := 0
	if len(changed) > 0 {
		first = max(0, changed[0].from/reportRow*reportRow-reportRow)
	}
	for at := first; at < len(e.Bytes) && len(side.Hex) < reportRows; at += reportRow {
		end := min(at+reportRow, len(e.Bytes))
		side.Hex = append(side.Hex, hexRow{
			Offset: fmt.Sprintf("%06x", e.From+at),
			Bytes: pieces(e.Bytes, at, end, changed, func(b []byte) string {
				return fmt.Sprintf("% x ", b)
			}),
			Pad:  strings.Repeat("   ", reportRow-(end-at)),
			Text: pieces(e.Bytes, at, end, changed, asASCII),
		})
	}
	return side
}

// asASCII returns printable ASCII as it is and dots for the rest.
func asASCII(b []byte) string {
	text := make([]byte, len(b))
	for i, c := range b {
		if c < ' ' || c > '~' {
			c = '.'
		}
		text[i] = c
	}
	return string(text)
}

// pieces cuts b[from:to] into what is changed and what is not.
func pieces(b []byte, from, to int, changed []span, show func([]byte) string) []piece {
	var all []piece
	add := func(end int, mark bool) {
		if end = min(end, to); end > from {
			all = append(all, piece{show(b[from:end]), mark})
			from = end
		}
	}
	for _, s := range changed {
		add(s.from, false)
		if s.to > from {
			add(s.to, true)
		}
	}
	add(to, false)
	return all
}

// When is when the replay began, for people.
func (r *report) When() string { return r.Started.Format(time.RFC1123) }
