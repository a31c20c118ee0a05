package mix

import (
	"fmt"
	"os"
	"testing"
)

// builds is the folder for the programs that tests build. TestMain sets it.
var builds string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mix")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	builds = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}
