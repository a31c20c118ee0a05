//go:build !race

package mix

// raceEnabled says that the tests run under the race detector.
const raceEnabled = false
