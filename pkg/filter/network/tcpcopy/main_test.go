package tcpcopy

import (
	"testing"

	"go.uber.org/goleak"
)

// No test may leave a goroutine behind. Those of MOSN and of the process-wide
// recorder have begun when the program is loaded.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }
