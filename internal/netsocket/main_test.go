package netsocket

import (
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

// childVariable makes this program a child of the test's: it says whether its parent is one of
// its successors, and waits until its standard input ends.
const childVariable = "NETSOCKET_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		fmt.Println(slices.Contains(Successors(false), os.Getppid()))
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	goleak.VerifyTestMain(m)
}
