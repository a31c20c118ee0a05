package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"mosn.io/tcpcopy/internal/openfile"
)

// readArgument reads a file that the command line names, of at most limit bytes, until ctx
// ends. The file may be what the shell has opened, such as <(command).
func readArgument(ctx context.Context, path string, limit int64) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() { // ends when the file answers, or with the command
		text, err := openfile.ReadInput(path, limit)
		done <- result{text, err}
	}()
	select {
	case got := <-done:
		return got.text, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

const (
	// readerTimeout is how long a named pipe that is written to may have no reader.
	readerTimeout = 30 * time.Second
	// readerPoll is how often it is looked for one.
	readerPoll = 20 * time.Millisecond
)

// openOutput opens the file at path to write to it; flag has more flags of os.OpenFile.
// A named pipe without a reader is waited for, up to readerTimeout or until ctx ends.
func openOutput(ctx context.Context, path string, flag int) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return os.OpenFile(path, os.O_WRONLY|flag, 0o600)
	}
	poll := time.NewTicker(readerPoll)
	defer poll.Stop()
	timeout := time.NewTimer(readerTimeout)
	defer timeout.Stop()
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if !errors.Is(err, syscall.ENXIO) {
			return f, err
		}
		select {
		case <-poll.C:
		case <-timeout.C:
			return nil, fmt.Errorf("%s is a named pipe that nobody has read for %v", path, readerTimeout)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
