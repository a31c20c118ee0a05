// Package cycles reads the processor's cycle counter, which takes less time than to
// ask the system for the time.
package cycles

import (
	"os"
	"strings"
)

// Steady reports whether Count advances at one rate, on all processors alike and while
// they sleep: the kernel says so by telling the time by it, and may change its mind.
// Where it does not, Count is of no use.
func Steady() bool {
	source, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	return err == nil && clockSource != "" && strings.TrimSpace(string(source)) == clockSource
}
