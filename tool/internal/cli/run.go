package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes of the command.
const (
	exitDone   = 0
	exitFound  = 1 // differences or losses were found where they were asked for
	exitUsage  = 2
	exitUnread = 3 // the data or the server could not be read
)

// tool is what the commands share of one run.
type tool struct {
	stdin  io.Reader
	stdout *bufio.Writer // flushed when the command has ended, or waits
	stderr io.Writer
	screen io.Writer // what stdout writes to
	getenv func(string) string
	now    func() time.Time
	damage damageReport
}

// Run executes one command line, without the program's name, and returns the
// exit code. It ends early, in order, when ctx does.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	t := &tool{
		stdin: stdin, stdout: bufio.NewWriterSize(stdout, 64<<10), stderr: stderr, screen: stdout,
		getenv: os.Getenv, now: time.Now,
	}
	t.damage.w = stderr
	root := t.command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if flushed := t.stdout.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("write output: %w", flushed)
	}
	return t.exit(err)
}

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

// complain writes err as one line.
func (t *tool) complain(err error) {
	fmt.Fprintln(t.stderr, "tcpcopyctl:", printable(strings.ReplaceAll(err.Error(), "\n", "; ")))
}

// errFound says that something was found that was asked for with --check.
var errFound = errors.New("not everything was recorded")

// usageError is a command line that makes no sense.
type usageError struct {
	command string // whose help tells more
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// misused returns a usageError of cmd.
func misused(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{command: cmd.CommandPath(), err: fmt.Errorf(format, args...)}
}

// command returns the root of the commands.
func (t *tool) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "tcpcopyctl",
		Short: "Read what tcpcopy has recorded, and steer recorders",
		Long: `tcpcopyctl answers what went over the wire: it reads the dump directory of a MOSN
or Layotto with the tcpcopy filter, and steers the filter through MOSN's admin
server.

Exit codes: 0 done, 1 losses found where --check asks for them or differences by
replay, 2 wrong usage, 3 the data or the server could not be read (what is intact
is read all the same).`,
		Example: `  tcpcopyctl windows                          which windows are there?
  tcpcopyctl conns --window 5f3c              who talked in this one?
  tcpcopyctl show --follow-stream k3v9qa-17   what did they say?
  tcpcopyctl export -o out.pcapng             for Wireshark
  tcpcopyctl record --for 10s                 record now
  tcpcopyctl live -w - | wireshark -k -i -    watch now
  tcpcopyctl replay --to new:8080 --dry-run   what would be sent again?`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misused(cmd, "there is no command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.Help(); err != nil {
				return err
			}
			return &usageError{command: cmd.CommandPath(), err: errors.New("no command given")}
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{command: cmd.CommandPath(), err: err}
	})
	root.AddCommand(
		t.windowsCommand(), t.connsCommand(), t.showCommand(), t.exportCommand(),
		t.statusCommand(), t.onCommand(), t.offCommand(), t.recordCommand(), t.liveCommand(), t.recoverCommand(), t.replayCommand(),
	)
	return root
}

// atMost returns a check that there are no more than n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return misused(cmd, "%d arguments, at most %d: %q is one too many", len(args), n, args[n])
		}
		return nil
	}
}

// exclusive checks that at most one of these flags is set.
func exclusive(cmd *cobra.Command, names ...string) error {
	var set []string
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			set = append(set, "--"+name)
		}
	}
	if len(set) > 1 {
		return misused(cmd, "%s exclude each other: give one of them", strings.Join(set, " and "))
	}
	return nil
}
