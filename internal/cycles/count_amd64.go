package cycles

// clockSource is Linux's name of the counter.
const clockSource = "tsc"

// Count returns the number of cycles since some moment, of a clock whose rate is
// not that of the instructions.
func Count() uint64
