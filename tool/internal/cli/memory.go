package cli

import (
	"math"
	"runtime/debug"
)

// memoryGoal is how much memory the program may have before it collects garbage more often:
// with the program itself it stays below 100 MiB, however many connections a dump has.
const memoryGoal = 72 << 20

// limitMemory has the program keep to memoryGoal until lift is called, unless the user has
// set GOMEMLIMIT. It is for all of a command: what comes after reading, such as the calls that
// have not ended and the sorted rows, may be large too.
func limitMemory() (lift func()) {
	limit := debug.SetMemoryLimit(-1)
	if limit != math.MaxInt64 {
		return func() {}
	}
	debug.SetMemoryLimit(memoryGoal)
	return func() { debug.SetMemoryLimit(limit) }
}
