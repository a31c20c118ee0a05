// Package strategy decides when traffic is recorded. A Controller weighs the two
// layers of the switch, opens and closes sample windows by schedule or on demand,
// and keeps them from opening, or pauses them, while the host is short of CPU or
// memory.
//
// The connection filter asks Controller.Open on every read and write; the
// registration, the admin API and the watched file steer the Controller with Set,
// OpenManual and CloseWindow. The records themselves go to a Sink, which package
// persistence implements; nothing here sees a byte of traffic.
package strategy
