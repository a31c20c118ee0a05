package test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// What all tests share: the binary, built when the first one asks for it, and
// the ports that none of them uses yet.
var (
	mosnBinary func() (string, error)
	ports      mosnproc.Ports
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "e2e-bin-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // one test runs the binary as somebody else
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	mosnBinary = sync.OnceValues(func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
		defer cancel()
		return mosnproc.Build(ctx, dir, raceEnabled)
	})
	return m.Run()
}
