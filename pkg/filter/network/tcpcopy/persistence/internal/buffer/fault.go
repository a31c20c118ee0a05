package buffer

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"
	"unsafe"

	"mosn.io/tcpcopy/pkg/record"
)

// The file of a spool may be cut off by somebody, or its pages may be lost. Then an
// access to the mapping is a fault, which ends the process unless the goroutine has
// asked for a panic instead. A shard asks in each of its methods that touch the mapping,
// a worker for all of its time. After a fault nothing touches the mapping any more: the
// session has failed, and all that was in its batches or passes later is lost.

// FaultError is a fault in a spool's mapping.
type FaultError struct {
	Path  string // of the spool's file
	cause error
}

// Error implements error.
func (e *FaultError) Error() string {
	return fmt.Sprintf("the spool %s has been damaged, somebody may have cut it off: %v", e.Path, e.cause)
}

// Unwrap implements errors.Unwrap.
func (e *FaultError) Unwrap() error { return e.cause }

// ErrDamaged says that there is something in a batch that no shard has written.
var ErrDamaged = errors.New("what is in it is no entry")

var errGone = errors.New("a page of it is gone")

// Fault returns p, the value of a panic or an error, as a FaultError if it is a fault in
// the spool's mapping, and nil otherwise: a system call that is given such memory returns
// an error.
func (s *Spool) Fault(p any) *FaultError {
	if s == nil || s.file == nil || p == nil {
		return nil
	}
	err, ok := p.(error)
	if !ok {
		return nil
	}
	var known *FaultError
	if errors.As(err, &known) {
		return known
	}
	if s.mapped.has(err) {
		err = errGone // the runtime speaks of a nil pointer
	} else if !errors.Is(err, syscall.EFAULT) && !errors.Is(err, ErrDamaged) {
		return nil
	}
	return &FaultError{Path: s.file.Name(), cause: err}
}

// has reports whether err is a fault at an address in the mapping.
func (m *mapping) has(err error) bool {
	var fault interface {
		runtime.Error
		Addr() uintptr
	}
	if !errors.As(err, &fault) || len(m.mem) == 0 {
		return false
	}
	return fault.Addr()-uintptr(unsafe.Pointer(&m.mem[0])) < uintptr(len(m.mem))
}

// leave is deferred, with what debug.SetPanicOnFault(true) has returned, by each method
// that touches the mapping. It unlocks the shard. A fault fails the shard, and the method
// returns its zero result.
func (sh *Shard) leave(panicOnFault bool) {
	debug.SetPanicOnFault(panicOnFault)
	if p := recover(); p != nil {
		sh.panickedLocked(p)
	}
	sh.mu.Unlock()
}

// panickedLocked fails the shard if p is the value of a fault. Otherwise it unlocks the
// shard and goes on panicking.
func (sh *Shard) panickedLocked(p any) {
	fault := sh.spool.Fault(p)
	if fault == nil {
		sh.mu.Unlock()
		panic(p)
	}
	sh.failLocked(fault)
}

// failLocked makes the shard lose everything from now on, and wakes its worker.
func (sh *Shard) failLocked(fault *FaultError) {
	if sh.failed == nil {
		sh.failed = fault
		sh.wake()
	}
}

// Fail makes the shard lose everything from now on, and what is in its batches.
func (sh *Shard) Fail(fault *FaultError) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.failLocked(fault)
}

// Failed returns the fault of a shard that has failed, nil for others.
func (sh *Shard) Failed() *FaultError {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.failed
}

// LoseRest counts as lost what a failed shard has seen and what is not accounted for. Its
// worker, which writes nothing more, calls it.
func (sh *Shard) LoseRest() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := &sh.tally
	for _, dir := range record.Directions() {
		rest := t.Seen.Of(dir) - t.Written.Of(dir)
		for _, n := range t.Lost[dir] {
			rest -= n
		}
		t.Lost[dir][record.ReasonWriteError] += rest
	}
}

// guarded calls f, which writes what a spool says of its window and touches nothing else.
// So each panic of f is a fault in the mapping. A worker finds out soon enough that the
// file is damaged.
func guarded(f func()) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { _ = recover() }()
	f()
}
