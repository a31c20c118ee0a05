package cli

import "mosn.io/tcpcopy/pkg/record"

// colours are the sequences that mark what people look for; empty ones change nothing.
// They mean the same in every command.
type colours struct {
	failed string // what went wrong: red
	slow   string // what took long, or was late: amber
	lost   string // what was not recorded: magenta
	weak   string // what is looked past, such as headings
	out    string // payload from the proxy to the client; the other direction has no colour
	reset  string // ends each of them
}

// colours returns what suits standard output (see https://no-color.org).
func (t *tool) colours() colours {
	if !isTerminal(t.screen) || t.getenv("NO_COLOR") != "" || t.getenv("TERM") == "dumb" {
		return colours{}
	}
	return colours{failed: "\x1b[31m", slow: "\x1b[33m", lost: "\x1b[35m", weak: "\x1b[2m", out: "\x1b[36m", reset: "\x1b[0m"}
}

// of returns the colour of a direction's payload.
func (c *colours) of(d record.Direction) string {
	if d == record.Out {
		return c.out
	}
	return ""
}

// append appends text in a colour, which is one of c's or empty.
func (c *colours) append(dst []byte, colour, text string) []byte {
	dst = append(dst, colour...)
	dst = append(dst, text...)
	return append(dst, c.after(colour)...)
}

// after returns what ends a colour.
func (c *colours) after(colour string) string {
	if colour == "" {
		return ""
	}
	return c.reset
}
