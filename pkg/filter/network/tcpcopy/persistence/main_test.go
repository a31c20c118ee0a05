package persistence

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// No test may leave a goroutine behind. In a process that recover_test.go starts,
// there are no tests: it writes, and kills itself.
func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		if point := os.Getenv(victimPoint); point != "" {
			beKilledAt(dir, Format(os.Getenv(victimFormat)), point)
		}
		beKilled(dir, Format(os.Getenv(victimFormat)))
	}
	goleak.VerifyTestMain(m)
}
