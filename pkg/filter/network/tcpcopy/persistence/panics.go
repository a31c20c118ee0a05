package persistence

import (
	"fmt"
	"runtime/debug"
)

// recovered is deferred where a fault of ours must not end the process. It alerts
// with the stack, and what is behind the deferring function goes on.
func recovered(alert func(what string, err error), where string) {
	if p := recover(); p != nil {
		alert("panic", fmt.Errorf("in %s: %v\n%s", where, p, debug.Stack()))
	}
}
