// Package strategy decides when traffic is recorded. A Controller resolves the
// two layers of the switch, opens and closes sample windows by schedule or on demand,
// and pauses them, or keeps them from opening, while the host is short of CPU or
// memory.
//
// The connection filter calls Controller.Open on every read and write. The
// registration, the admin API and the watched file steer the Controller with Set,
// OpenManual and CloseWindow. The filter hands the records to the WindowSink of the
// open window; this package handles no byte of traffic.
package strategy
