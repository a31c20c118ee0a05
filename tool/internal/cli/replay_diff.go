package cli

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf8"

	"mosn.io/tcpcopy/pkg/replay"
)

const (
	diffRows  = 4 // of a hex dump, from the first difference on
	diffLines = 6 // of text

	requestBytes = 64 // of a request, to know it again
)

// appendDifference shows what was recorded after "-" and what came after "+": as
// text where both are, and as a hex dump of the rows that differ.
func appendDifference(b []byte, c *replay.Conn, d *replay.Difference, colour colours) []byte {
	b = fmt.Appendf(b, "%s turn %d", printable(c.Conn), d.Turn)
	if c.Loop > 1 {
		b = fmt.Appendf(b, " of loop %d", c.Loop)
	}
	b = append(b, ' ')
	if d.Label != "" {
		b = append(b, printable(d.Label)...)
	} else {
		b = append(b, '"')
		b = appendEscaped(b, d.Request[:min(len(d.Request), requestBytes)], false)
		b = append(b, '"')
	}
	switch {
	case d.Verdict == replay.Missing:
		b = fmt.Appendf(b, ": no answer came, recorded are %d bytes\n", d.Recorded.Total)
	default:
		b = fmt.Appendf(b, ": different from byte %d on, recorded are %d bytes, %d came\n", d.At, d.Recorded.Total, d.Replayed.Total)
	}
	if d.Note != "" {
		b = fmt.Appendf(b, "  %s\n", printable(d.Note))
	}
	recorded, replayed := d.Recorded.Bytes, d.Replayed.Bytes
	if isWritten(recorded) && isWritten(replayed) {
		b = appendTextDiff(b, recorded, replayed, d, colour)
	}
	b = appendHexRows(b, "- ", d.Recorded, d.At, "", "")
	b = appendHexRows(b, "+ ", d.Replayed, d.At, colour.failed, colour.after(colour.failed))
	return append(b, '\n')
}

// isWritten reports whether b is text that a person may have written.
func isWritten(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		// An excerpt may end within a character.
		if r == utf8.RuneError && n <= 1 && len(b) >= utf8.UTFMax || !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' && r != utf8.RuneError {
			return false
		}
		b = b[n:]
	}
	return true
}

// appendTextDiff shows the lines from the first difference on.
func appendTextDiff(b, recorded, replayed []byte, d *replay.Difference, colour colours) []byte {
	b = appendLines(b, "- ", recorded, d.At-d.Recorded.From, "", "")
	return appendLines(b, "+ ", replayed, d.At-d.Replayed.From, colour.failed, colour.after(colour.failed))
}

func appendLines(b []byte, indent string, text []byte, at int, on, off string) []byte {
	at = min(max(at, 0), len(text))
	text = text[bytes.LastIndexByte(text[:at], '\n')+1:]
	for n := 0; len(text) > 0 && n < diffLines; n++ {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
		b = append(b, on...)
		b = append(b, indent...)
		b = appendEscaped(b, bytes.TrimSuffix(line, []byte("\r")), true)
		b = append(b, off...)
		b = append(b, '\n')
	}
	return b
}

func appendHexRows(b []byte, indent string, e replay.Excerpt, at int, on, off string) []byte {
	const row = 16
	from := min(max(at-e.From, 0)/row*row, len(e.Bytes))
	rows := e.Bytes[from:min(len(e.Bytes), from+diffRows*row)]
	if len(rows) == 0 {
		return b
	}
	b = append(b, on...)
	b = bytes.TrimSuffix(appendHexDump(b, indent, uint64(e.From+from), rows), []byte("\n"))
	b = append(b, off...)
	return append(b, '\n')
}
