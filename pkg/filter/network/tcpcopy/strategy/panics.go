package strategy

import (
	"fmt"
	"runtime/debug"
	"time"
)

// panicRest is how long the loop leaves alone what is due after a panic, so that
// one which comes again and again does not keep a processor busy.
const panicRest = time.Second

// safely runs a part of the loop. A fault of ours must not end the process: it is
// told of, and the loop goes on.
func (c *Controller) safely(f func()) {
	defer func() {
		if p := recover(); p != nil {
			c.rest = c.clock.Now().Add(panicRest)
			c.panicked("the strategy's loop", p, debug.Stack())
		}
	}()
	f()
}

// warnPanic stands where Options has no Panicked.
func (c *Controller) warnPanic(where string, p any, stack []byte) {
	c.log.Warnf("panic in %s: %v\n%s", where, p, stack)
}

// caught calls what the Controller was given, whose panic is an error like others.
func caught(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
