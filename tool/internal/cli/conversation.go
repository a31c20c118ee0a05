package cli

import (
	"bytes"
	"fmt"
	"io"

	"mosn.io/tcpcopy/pkg/record"
)

// conversation prints one connection as a dialogue: each line of the client's
// behind "> ", each of the proxy's behind "< ", in two colours.
type conversation struct {
	w      io.Writer
	output *output
	colour colours
	form   payloadForm
	window string           // whose heading is printed
	dir    record.Direction // of the line that is not finished
	within bool             // a line is not finished
	buf    []byte
}

func newConversation(w io.Writer, o *output, c colours, form payloadForm) *conversation {
	return &conversation{w: w, output: o, colour: c, form: form}
}

func (c *conversation) write(r *record.Record) error {
	b := c.buf[:0]
	if r.Window != c.window {
		b = c.endLine(b)
		b = c.appendHeading(b, r)
		c.window = r.Window
	}
	switch r.Kind {
	case record.KindData:
		if c.form == formHex {
			b = c.appendHex(b, r)
		} else {
			b = c.appendText(b, r)
		}
	case record.KindGap:
		b = c.endLine(b)
		b = appendGapText(b, r, c.colour)
		b = append(b, '\n')
	case record.KindClose:
		b = c.endLine(b)
		b = fmt.Appendf(b, "=== closed %s: %s, > %d < %d bytes in all\n", c.output.time(r.Time, dayAndTime), printable(r.Reason), r.Totals.In, r.Totals.Out)
	}
	c.buf = b
	_, err := c.w.Write(b)
	return err
}

// end ends the last line. Call it after the last record.
func (c *conversation) end() error {
	_, err := c.w.Write(c.endLine(c.buf[:0]))
	return err
}

func (c *conversation) appendHeading(b []byte, r *record.Record) []byte {
	b = fmt.Appendf(b, "=== %s", printable(r.Conn))
	if r.Peer != "" || r.Listener != "" {
		b = fmt.Appendf(b, "  %s -> %s", printable(r.Peer), printable(r.Listener))
	}
	return fmt.Appendf(b, "  window %s  %s\n", printable(r.Window), c.output.time(r.Time, dayAndTime))
}

// endLine ends the line that is not finished, if there is one.
func (c *conversation) endLine(b []byte) []byte {
	if !c.within {
		return b
	}
	c.within = false
	b = append(b, c.colour.reset...)
	return append(b, '\n')
}

func (c *conversation) appendText(b []byte, r *record.Record) []byte {
	if c.within && c.dir != r.Direction {
		b = c.endLine(b)
	}
	c.dir = r.Direction
	for data := r.Data; len(data) > 0; {
		if !c.within {
			b = append(b, c.colour.of(r.Direction)...)
			b = append(b, arrow(r.Direction), ' ')
			c.within = true
		}
		line, rest, ended := bytes.Cut(data, []byte("\n"))
		data = rest
		if ended {
			line = bytes.TrimSuffix(line, []byte("\r"))
		}
		b = appendEscaped(b, line, true)
		if ended {
			b = c.endLine(b)
		}
	}
	return b
}

func (c *conversation) appendHex(b []byte, r *record.Record) []byte {
	indent := "> "
	if r.Direction == record.Out {
		indent = "    < "
	}
	b = append(b, c.colour.of(r.Direction)...)
	b = appendHexDump(b, indent, r.Offset, r.Data)
	return append(b, c.colour.reset...)
}
