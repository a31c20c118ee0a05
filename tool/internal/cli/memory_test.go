package cli

import (
	"math"
	"runtime/debug"
	"testing"
)

// A command keeps to the limit of the user where there is one, and else to its own until the
// outermost command is over.
func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	lift := limitMemory()
	inner := limitMemory()
	inner()
	if got := debug.SetMemoryLimit(-1); got != memoryGoal {
		t.Errorf("the limit is %d, want %d", got, memoryGoal)
	}
	lift()
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("after the command the limit is %d, want none", got)
	}
	debug.SetMemoryLimit(1 << 40)
	defer limitMemory()()
	if got := debug.SetMemoryLimit(-1); got != 1<<40 {
		t.Errorf("the limit is %d, want the user's", got)
	}
}
