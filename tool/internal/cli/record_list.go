package cli

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"mosn.io/tcpcopy/pkg/record"
)

// payloadForm is how payload is shown.
type payloadForm int

const (
	formPreview payloadForm = iota // its first bytes, on one line
	formText
	formHex
)

// previewBytes is how much payload a one-line record shows.
const previewBytes = 64

// recordList prints records one after the other.
type recordList struct {
	w      io.Writer
	output *output
	colour colours
	form   payloadForm
	buf    []byte
}

func newRecordList(w io.Writer, o *output, c colours, form payloadForm) *recordList {
	return &recordList{w: w, output: o, colour: c, form: form}
}

func (l *recordList) write(r *record.Record) error {
	b := append(l.buf[:0], l.output.time(r.Time, timeOnly)...)
	b = append(b, ' ')
	b = append(b, printable(r.Conn)...)
	switch r.Kind {
	case record.KindOpen:
		b = append(b, " open "...)
		b = append(b, printable(r.Peer)...)
		b = append(b, " -> "...)
		b = append(b, printable(r.Listener)...)
		b = append(b, "  window "...)
		b = append(b, printable(r.Window)...)
	case record.KindGap:
		b = append(b, ' ')
		b = appendGapText(b, r, l.colour)
	case record.KindClose:
		b = fmt.Appendf(b, " close %s > %d < %d", printable(r.Reason), r.Totals.In, r.Totals.Out)
	case record.KindData:
		b = append(b, ' ', r.Direction.Arrow(), ' ')
		b = strconv.AppendUint(b, r.Offset, 10)
		b = append(b, " +"...)
		b = strconv.AppendUint(b, r.Length, 10)
		b = l.appendPayload(b, r)
	}
	b = append(b, '\n')
	l.buf = b
	_, err := l.w.Write(b)
	return err
}

func (l *recordList) appendPayload(b []byte, r *record.Record) []byte {
	colour := l.colour.of(r.Direction)
	switch l.form {
	case formPreview:
		b = append(b, "  "...)
		b = append(b, colour...)
		b = appendEscaped(b, r.Data[:min(len(r.Data), previewBytes)], false)
		b = append(b, l.colour.after(colour)...)
		if len(r.Data) > previewBytes {
			b = append(b, " …"...)
		}
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
	return c.append(dst, c.lost, fmt.Sprintf("[%c %d bytes are missing at offset %d: %s]", r.Direction.Arrow(), r.Length, r.Offset, printable(r.Reason)))
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
