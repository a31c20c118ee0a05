package cli

import (
	"bytes"
	"fmt"
	"io"

	"mosn.io/tcpcopy/pkg/record"
)

// sessionPrinter prints one connection as a dialogue: each line of the client's
// after "> ", each of the proxy's after "< ", in another colour.
type sessionPrinter struct {
	w      io.Writer
	output *output
	colour colours
	form   payloadForm
	window string           // whose heading is printed
	dir    record.Direction // of the line that is not finished
	within bool             // a line is not finished
	buf    []byte
}

func newSessionPrinter(w io.Writer, o *output, c colours, form payloadForm) *sessionPrinter {
	return &sessionPrinter{w: w, output: o, colour: c, form: form}
}

func (p *sessionPrinter) write(r *record.Record) error {
	b := p.buf[:0]
	if r.Window != p.window {
		b = p.endLine(b)
		b = p.appendHeading(b, r)
		p.window = r.Window
	}
	switch r.Kind {
	case record.KindData:
		if p.form == formHex {
			b = p.appendHex(b, r)
		} else {
			b = p.appendText(b, r)
		}
	case record.KindGap:
		b = p.endLine(b)
		b = appendGapText(b, r, p.colour)
		b = append(b, '\n')
	case record.KindClose:
		b = p.endLine(b)
		b = fmt.Appendf(b, "=== closed %s: %s, > %d < %d bytes\n", p.output.time(r.Time, dayAndTime), printable(r.Reason), r.Totals.In, r.Totals.Out)
	}
	p.buf = b
	_, err := p.w.Write(b)
	return err
}

// showsIndent is how wide lines must be for a hex dump to indent the answers, in columns of
// the terminal.
const showsIndent = 84

// end ends the last line. Call it after the last record.
func (p *sessionPrinter) end() error {
	_, err := p.w.Write(p.endLine(p.buf[:0]))
	return err
}

func (p *sessionPrinter) appendHeading(b []byte, r *record.Record) []byte {
	b = fmt.Appendf(b, "=== %s", printable(r.Conn))
	if r.Peer != "" || r.Listener != "" {
		b = fmt.Appendf(b, "  %s -> %s", printable(r.Peer), printable(r.Listener))
	}
	return fmt.Appendf(b, "\n=== window %s, %s\n", p.output.window(r.Window), p.output.time(r.Time, dayAndTime))
}

// endLine ends the line that is not finished, if there is one.
func (p *sessionPrinter) endLine(b []byte) []byte {
	if !p.within {
		return b
	}
	p.within = false
	b = append(b, p.colour.after(p.colour.of(p.dir))...)
	return append(b, '\n')
}

func (p *sessionPrinter) appendText(b []byte, r *record.Record) []byte {
	if p.within && p.dir != r.Direction {
		b = p.endLine(b)
	}
	p.dir = r.Direction
	for data := r.Data; len(data) > 0; {
		if !p.within {
			b = append(b, p.colour.of(r.Direction)...)
			b = append(b, r.Direction.Arrow(), ' ')
			p.within = true
		}
		line, rest, ended := bytes.Cut(data, []byte("\n"))
		data = rest
		if ended {
			line = bytes.TrimSuffix(line, []byte("\r"))
		}
		b = appendEscaped(b, line, true)
		if ended {
			b = p.endLine(b)
		}
	}
	return b
}

func (p *sessionPrinter) appendHex(b []byte, r *record.Record) []byte {
	b = append(b, p.colour.of(r.Direction)...)
	indent := "> "
	if r.Direction == record.Out {
		indent = "< "
		if p.output.fits(showsIndent) {
			indent = "    < "
		}
	}
	b = appendHexDump(b, indent, r.Offset, r.Data)
	return append(b, p.colour.after(p.colour.of(r.Direction))...)
}
