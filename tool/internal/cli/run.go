package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// tool is what the commands share of one run.
type tool struct {
	version string // as the linker was given it; empty for the module's
	stdin   io.Reader
	stdout  *bufio.Writer // flushed when the command has ended, or waits
	stderr  io.Writer
	screen  io.Writer // what stdout writes to
	getenv  func(string) string
	now     func() time.Time
	isDir   func(path string) bool // reports whether a default directory exists; nil is query.IsDir
	damage  damageReport
}

// Run executes one command line, without the program's name, and returns the
// exit code. It ends early, in order, when ctx does. version is the program's; where it is
// empty, the one that the Go module has.
func Run(ctx context.Context, version string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	t := newTool(stdin, stdout, stderr)
	t.version = version
	return t.run(ctx, args)
}

// newTool returns a tool that reads the environment and the clock of the process.
func newTool(stdin io.Reader, stdout, stderr io.Writer) *tool {
	return &tool{
		stdin: stdin, stdout: bufio.NewWriterSize(stdout, 64<<10), stderr: stderr, screen: stdout,
		getenv: os.Getenv, now: time.Now, damage: damageReport{w: stderr},
	}
}

// run executes one command line and returns the exit code.
func (t *tool) run(ctx context.Context, args []string) int {
	defer limitMemory()()
	root := t.command()
	root.Version = t.versionRow().Version
	root.SetVersionTemplate("tcpcopyctl {{.Version}}\n")
	root.SetArgs(args)
	root.SetIn(t.stdin)
	root.SetOut(t.screen)
	root.SetErr(t.stderr)
	err := root.ExecuteContext(ctx)
	if flushed := t.stdout.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("write output: %w", flushed)
	}
	return t.exit(err)
}
