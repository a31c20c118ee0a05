package cli

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// payloadForm is how payload is shown.
type payloadForm int

const (
	formPreview payloadForm = iota // its first bytes, on one line
	formText
	formHex
)

// previewBytes is how much payload a one-line record shows at most.
const previewBytes = 256

// recordList prints records one after the other, each in a line that is not longer than the
// output's limit. Payload as text or as a hex dump follows its line.
type recordList struct {
	w      io.Writer
	output *output
	colour colours
	form   payloadForm
	day    string // that the last line is of, at the beginning today
	buf    []byte
}

func newRecordList(w io.Writer, o *output, c colours, form payloadForm) *recordList {
	return &recordList{w: w, output: o, colour: c, form: form, day: o.time(o.t.now(), time.DateOnly)}
}

func (l *recordList) write(r *record.Record) error {
	b := l.appendDay(l.buf[:0], r)
	clock := timeOnly
	if l.output.wide {
		clock = time.DateOnly + " " + timeOnly
	}
	line := l.output.time(r.Time, clock) + " " + printable(r.Conn) + " "
	switch r.Kind {
	case record.KindOpen:
		line += fmt.Sprintf("open %s -> %s  window %s", printable(r.Peer), printable(r.Listener), l.output.window(r.Window))
		b = append(b, l.fit(line)...)
	case record.KindState:
		b = append(b, l.fit(line+fmt.Sprintf("state > %d < %d +%d", r.Base.In, r.Base.Out, r.Length))...)
	case record.KindGap:
		at := len(line)
		line = l.fit(line + gapText(r))
		at = min(at, len(line))
		b = append(b, line[:at]...)
		b = l.colour.append(b, l.colour.lost, line[at:])
	case record.KindClose:
		b = append(b, l.fit(line+fmt.Sprintf("close %s > %d < %d", printable(r.Reason), r.Totals.In, r.Totals.Out))...)
	case record.KindData:
		b = append(b, line...)
		head := fmt.Sprintf("%c %d +%d", r.Direction.Arrow(), r.Offset, r.Length)
		b = append(b, head...)
		b = l.appendPayload(b, r, textWidth(line)+len(head))
	}
	b = append(b, '\n')
	l.buf = b
	_, err := l.w.Write(b)
	return err
}

// appendDay appends a line with the day of a record where the last line is of another.
func (l *recordList) appendDay(b []byte, r *record.Record) []byte {
	day := l.output.time(r.Time, time.DateOnly)
	if day == l.day || l.output.wide {
		return b
	}
	l.day = day
	return append(l.colour.append(b, l.colour.weak, "--- "+day), '\n')
}

// fit returns a line that is not longer than the output's limit.
func (l *recordList) fit(line string) string {
	if limit := l.output.limit(); limit > 0 {
		return shorten(line, limit)
	}
	return line
}

// appendPayload appends the payload of a record after used columns of its line.
func (l *recordList) appendPayload(b []byte, r *record.Record, used int) []byte {
	colour := l.colour.of(r.Direction)
	switch l.form {
	case formPreview:
		text := string(appendEscaped(nil, r.Data[:min(len(r.Data), previewBytes)], false))
		if len(r.Data) > previewBytes {
			text += ellipsis
		}
		const gap = "  "
		if limit := l.output.limit(); limit > 0 {
			text = shorten(text, max(limit-used-len(gap), 1))
		}
		b = append(b, gap...)
		b = l.colour.append(b, colour, text)
	case formText:
		b = append(b, '\n')
		b = append(b, colour...)
		b = appendEscaped(b, r.Data, true)
		b = append(b, l.colour.after(colour)...)
	case formHex:
		b = append(b, '\n')
		b = append(b, colour...)
		b = bytes.TrimSuffix(appendHexDump(b, "", r.Offset, r.Data), []byte("\n"))
		b = append(b, l.colour.after(colour)...)
	}
	return b
}

// appendGapText appends the line for bytes that are missing.
func appendGapText(dst []byte, r *record.Record, c colours) []byte {
	return c.append(dst, c.lost, gapText(r))
}

// gapText returns the words for bytes that are missing.
func gapText(r *record.Record) string {
	return fmt.Sprintf("[%c %d bytes are missing at offset %d: %s]", r.Direction.Arrow(), r.Length, r.Offset, printable(r.Reason))
}

// appendHexDump appends lines of sixteen bytes, as text too, each after indent.
// offset is that of the first byte. Lines end where offsets are multiples of 16.
func appendHexDump(dst []byte, indent string, offset uint64, data []byte) []byte {
	const digits = "0123456789abcdef"
	for len(data) > 0 {
		n := min(len(data), 16-int(offset%16))
		lead := int(offset % 16)
		dst = append(dst, indent...)
		dst = fmt.Appendf(dst, "%08x ", offset-uint64(lead))
		for i := range 16 {
			if i == 8 {
				dst = append(dst, ' ')
			}
			if i < lead || i >= lead+n {
				dst = append(dst, "   "...)
				continue
			}
			c := data[i-lead]
			dst = append(dst, ' ', digits[c>>4], digits[c&15])
		}
		dst = append(dst, "  |"...)
		dst = appendSpaces(dst, lead)
		for _, c := range data[:n] {
			if c < ' ' || c > '~' {
				c = '.'
			}
			dst = append(dst, c)
		}
		dst = append(dst, '|', '\n')
		data = data[n:]
		offset += uint64(n)
	}
	return dst
}
