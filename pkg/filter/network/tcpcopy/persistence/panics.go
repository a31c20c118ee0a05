package persistence

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// panicError is a panic of this package that was caught. Store.alert hands it to
// Host.Panicked, however it is wrapped.
type panicError struct {
	where string // a goroutine or a step of it, one of few
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("in %s: %v\n%s", e.where, e.value, e.stack) }

// newPanicError returns the error for a panic with that value. It is called by the
// deferred function that caught it, so that the stack is the panic's.
func newPanicError(where string, value any) *panicError {
	return &panicError{where: where, value: value, stack: debug.Stack()}
}

// catchPanic is deferred where a panic must not end the process. It alerts, and the
// deferring function returns to its caller.
func catchPanic(alert func(what string, err error), where string) {
	if p := recover(); p != nil {
		alert("panic", newPanicError(where, p))
	}
}

// reportPanic hands err to Host.Panicked if a panic is in it, and reports whether
// it has. Without a Host.Panicked a panic is an alert like other faults.
func (s *Store) reportPanic(err error) bool {
	var p *panicError
	if s.host.Panicked == nil || !errors.As(err, &p) {
		return false
	}
	s.host.Panicked(p.where, p.value, p.stack)
	return true
}
