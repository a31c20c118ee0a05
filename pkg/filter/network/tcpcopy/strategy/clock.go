package strategy

import "mosn.io/tcpcopy/internal/clock"

// Clock tells a Controller the time.
type Clock = clock.Clock

// Timer is what Clock.TimerAt returns.
type Timer = clock.Timer
