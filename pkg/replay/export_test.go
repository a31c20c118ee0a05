package replay

import "mosn.io/tcpcopy/internal/clock"

// WithClock returns o with another clock than the system's.
func (o Options) WithClock(c clock.Clock) Options {
	o.clock = c
	return o
}
