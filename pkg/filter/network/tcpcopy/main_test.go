package tcpcopy

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// onlyImport is the environment variable with which TestMain writes the goroutines of
// a program that has imported the package and called nothing of it.
const onlyImport = "TCPCOPY_TEST_ONLY_IMPORT"

// No test may leave a goroutine behind. Those of MOSN have begun when the program is
// loaded.
func TestMain(m *testing.M) {
	if os.Getenv(onlyImport) != "" {
		stacks := make([]byte, 1<<20)
		fmt.Printf("%s", stacks[:runtime.Stack(stacks, true)])
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// A program that imports the filter and does not configure it has no goroutine of the
// project.
func TestABlankImportStartsNoGoroutine(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), onlyImport+"=1")
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(string(text), "\n\n")
	if !strings.Contains(all[0], "TestMain") {
		t.Fatalf("not the stacks of a program that has only imported the package:\n%s", text)
	}
	for _, stack := range all[1:] {
		if strings.Contains(stack, "mosn.io/tcpcopy/") {
			t.Errorf("a goroutine of the project:\n%s", stack)
		}
	}
}
