// Package program finds the programs that tests compare with or drive, such as
// tshark. Where one is missing the test is skipped; where REQUIRE_TOOLS=1 is in the
// environment, as in the continuous integration, it fails, so that nothing is left
// unchecked there without a word.
package program

import (
	"os"
	"os/exec"
	"testing"
)

// Require returns the path of the program name. Where it is not installed, Require
// ends the test: as skipped, or as failed where REQUIRE_TOOLS=1.
func Require(t testing.TB, name string) string {
	t.Helper()
	path, found := Find(t, name)
	if !found {
		t.Skipf("%s is not installed, which this test needs", name)
	}
	return path
}

// Find returns the path of the program name and whether it is installed, for a test
// that can do without it. Where REQUIRE_TOOLS=1, it ends a test that would have to.
func Find(t testing.TB, name string) (path string, found bool) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("REQUIRE_TOOLS") == "1" {
		t.Fatalf("REQUIRE_TOOLS=1, and %v", err)
	}
	return path, err == nil
}
