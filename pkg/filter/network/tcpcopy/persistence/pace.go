package persistence

import (
	"errors"
	"time"
)

// errStopping says that a snapshot is not written because its store is being closed.
var errStopping = errors.New("the process is stopping, or its output is replaced")

const (
	// paceWork is how long a snapshot works before it yields, and paceRest how many times
	// as long it rests then: it has a quarter of one processor at most.
	paceWork = 300 * time.Microsecond
	paceRest = 3
	// stopGrace is how long a snapshot goes on while its store is being closed. It does not
	// rest in that time.
	stopGrace = 1500 * time.Millisecond
)

// pace makes long work yield to the proxy. One goroutine uses it.
type pace struct {
	closing <-chan struct{} // closed when the store is being closed
	begun   time.Time       // the slice
	until   time.Time       // the end of the grace; zero before closing
}

// yield rests after a slice of work. It returns errStopping when the grace is over.
func (p *pace) yield() error {
	now := time.Now()
	worked := now.Sub(p.begun)
	if worked < paceWork {
		return nil
	}
	if p.until.IsZero() {
		timer := time.NewTimer(min(worked, 20*time.Millisecond) * paceRest)
		select {
		case <-timer.C:
		case <-p.closing:
			timer.Stop()
			p.until = time.Now().Add(stopGrace)
		}
	} else if now.After(p.until) {
		return errStopping
	}
	p.begun = time.Now()
	return nil
}
