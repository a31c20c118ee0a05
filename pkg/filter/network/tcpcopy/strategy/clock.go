package strategy

import "mosn.io/tcpcopy/internal/clock"

// Clock is a Controller's clock.
type Clock = clock.Clock

// Timer is what Clock.TimerAt returns.
type Timer = clock.Timer
