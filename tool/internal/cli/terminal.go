package cli

import (
	"io"
	"os"

	"github.com/mattn/go-isatty"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// colours are the sequences that set the two directions of a session apart;
// empty ones change nothing.
type colours struct {
	in, out, gap, reset string
}

// colours returns what suits standard output (see https://no-color.org).
func (t *tool) colours() colours {
	if !isTerminal(t.screen) || t.getenv("NO_COLOR") != "" || t.getenv("TERM") == "dumb" {
		return colours{}
	}
	return colours{in: "\x1b[31m", out: "\x1b[34m", gap: "\x1b[33m", reset: "\x1b[0m"}
}
