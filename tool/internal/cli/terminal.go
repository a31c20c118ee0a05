package cli

import (
	"io"
	"os"
	"strconv"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// leastWidth is the width that every table fits into, in columns.
const leastWidth = 80

// width returns how wide lines on standard output may be, in columns: as wide as the
// terminal, elsewhere as COLUMNS says, and never less than leastWidth.
func (t *tool) width() int {
	columns := 0
	if f, ok := t.screen.(*os.File); ok && isTerminal(f) {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			columns = int(size.Col)
		}
	}
	if columns == 0 {
		columns, _ = strconv.Atoi(t.getenv("COLUMNS")) // 0 where it is no number
	}
	return max(columns, leastWidth)
}
