package strategy

import (
	"fmt"
	"runtime/debug"
	"time"
)

// panicRest is how long after a panic the loop does nothing that is due, so that a
// panic that repeats does not keep a processor busy.
const panicRest = time.Second

// panicHook is the type of Options.Panicked.
type panicHook = func(where string, value any, stack []byte)

// safely calls a part of the loop. A panic of it is reported and must not end the
// process: the loop goes on.
func (c *Controller) safely(f func()) {
	defer func() {
		if p := recover(); p != nil {
			c.rest = c.clock.Now().Add(panicRest)
			c.panicked("the strategy's loop", p, debug.Stack())
		}
	}()
	f()
}

// warnPanic is the hook where Options has no Panicked.
func (c *Controller) warnPanic(where string, value any, stack []byte) {
	c.log.Warnf("panic in %s: %v\n%s", where, value, stack)
}

// catch returns what f returns. A panic of f is reported to panicked, and is an
// error like others for the caller.
func catch(panicked panicHook, where string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			panicked(where, p, debug.Stack())
			err = fmt.Errorf("%s panicked: %v", where, p)
		}
	}()
	return f()
}
