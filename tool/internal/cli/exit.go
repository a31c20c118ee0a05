package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"mosn.io/tcpcopy/pkg/query"
)

// Exit codes of the command.
const (
	exitDone   = 0
	exitFound  = 1 // differences, or losses with --check
	exitUsage  = 2
	exitUnread = 3 // the data or the server could not be read
)

// exit reports err and returns the exit code for it and for the damage found.
func (t *tool) exit(err error) int {
	t.damage.finish()
	var usage *usageError
	switch {
	case err == nil && t.damage.count > 0:
		return exitUnread
	case err == nil, errors.Is(err, context.Canceled):
		return exitDone
	case errors.As(err, &usage):
		t.complain(err)
		fmt.Fprintln(t.stderr, `Run "`+usage.command+` --help" for what it takes.`)
		return exitUsage
	case errors.Is(err, errFound):
		t.complain(err)
		if t.damage.count > 0 {
			return exitUnread
		}
		return exitFound
	default:
		t.complain(err)
		return exitUnread
	}
}

// isUnread reports whether err says that something could not be read: it is neither wrong
// usage nor an interrupt.
func isUnread(err error) bool {
	var usage *usageError
	return !errors.As(err, &usage) && !errors.Is(err, context.Canceled)
}

// complain writes err as one line; the error of a query shows below it where it is.
func (t *tool) complain(err error) {
	text := err.Error()
	var at *query.Error
	if errors.As(err, &at) && strings.HasSuffix(text, at.Error()) {
		for line := range strings.Lines(text) {
			fmt.Fprintln(t.stderr, "tcpcopyctl:", printable(strings.TrimSuffix(line, "\n")))
		}
		return
	}
	fmt.Fprintln(t.stderr, "tcpcopyctl:", printable(strings.ReplaceAll(text, "\n", "; ")))
}

// errFound says that --check found something.
var errFound = errors.New("not everything was recorded")

// usageError is a command line that makes no sense.
type usageError struct {
	command string // whose help the message refers to
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// misused returns a usageError of cmd.
func misused(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{command: cmd.CommandPath(), err: fmt.Errorf(format, args...)}
}
