package mix

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// The programs of the root module that the tests run, each built when the first one asks for it. TestMain
// sets them.
var (
	mosnBinary  func() (string, error)
	codecBinary func() (string, error)
)

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mix-bin-")
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
		if path := os.Getenv("MIX_MOSN"); path != "" { // for those who look for a fault
			return path, nil
		}
		return buildRoot(dir, "./cmd/mosn")
	})
	codecBinary = sync.OnceValues(func() (string, error) { return buildRoot(dir, "./test/mosncodec") })
	return m.Run()
}

// buildRoot builds a program of the root module into dir and returns its path.
func buildRoot(dir, pkg string) (string, error) {
	binary := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-o", binary, pkg)
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return binary, nil
}
