package strategy

import (
	"runtime/debug"
	"time"
)

// start starts the loop if it has not been started.
func (f *Flight) start() { f.starting.Do(func() { go f.loop() }) }

// do calls g in the loop. It returns when g has returned and the status shows the result,
// or ErrClosed.
func (f *Flight) do(g func()) error {
	f.start()
	cmd := command{call: g, done: make(chan struct{})}
	select {
	case f.commands <- cmd:
		<-cmd.done
		return nil
	case <-f.stop:
		return ErrClosed
	}
}

// loop owns the Flight's state until Close, as that of the Controller does.
func (f *Flight) loop() {
	defer close(f.done)
	for stopped := false; !stopped; {
		f.safely(func() { stopped = f.handleNext() })
	}
	f.safely(f.shutdown)
}

// handleNext waits for the next event and handles it. It returns true when the Flight is
// to stop.
func (f *Flight) handleNext() (stop bool) {
	var alarm <-chan time.Time
	if at := f.deadline(); !at.IsZero() {
		if at.Before(f.rest) {
			at = f.rest
		}
		timer := f.clock.TimerAt(at)
		defer timer.Stop()
		alarm = timer.C()
	}
	var cmd command
	select {
	case <-alarm:
	case got := <-f.guard.results:
		f.guard.accept(got)
	case handle := <-f.returned:
		f.underWay--
		handle()
	case <-f.signal:
	case cmd = <-f.commands:
		defer close(cmd.done) // also after a panic
	case <-f.stop:
		return true
	}
	if cmd.call != nil {
		f.step() // what was due before the command comes first
		cmd.call()
	}
	f.step()
	f.publish()
	return false
}

// shutdown ends the captures and closes the ring. It returns when the sink has nothing
// under way any more.
func (f *Flight) shutdown() {
	f.stopping = true
	f.endRing("shutdown")
	f.publish()
	for f.underWay > 0 {
		handle := <-f.returned
		f.underWay--
		f.safely(handle)
		f.publish()
	}
	f.guard.setRunning(false, f.now())
	f.guard.wait()
	f.publish()
}

// step does all that is due by now.
func (f *Flight) step() {
	now := f.now()
	select { // a reading that came while the loop was busy is not late
	case got := <-f.guard.results:
		f.guard.accept(got)
	default:
	}
	f.handleEvents(now)
	f.closeDue(now)
	f.manageRing(now)
	f.guard.setRunning(f.guard.enabled && f.ring != nil, now)
	f.judge(now)
	f.guard.step(now)
}

// now returns the clock's time. If the clock went back since the last call, it moves all
// planned times back by as much, as Controller.now does.
func (f *Flight) now() time.Time {
	now := f.clock.Now()
	if back := now.Sub(f.last); back < 0 && !f.last.IsZero() {
		for _, c := range f.captures {
			c.closes, c.limit = c.closes.Add(back), c.limit.Add(back)
		}
		for i := range f.begun {
			f.begun[i] = f.begun[i].Add(back)
		}
		if !f.retry.IsZero() {
			f.retry = f.retry.Add(back)
		}
		f.guard.begun, f.guard.next = f.guard.begun.Add(back), f.guard.next.Add(back)
		f.guardLog.next = f.guardLog.next.Add(back)
	}
	f.last = now
	return now
}

// deadline returns when the next thing is due; zero when nothing is.
func (f *Flight) deadline() time.Time {
	at := f.guard.deadline(f.now())
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, c := range f.captures {
		if c.sink != nil && !c.closing {
			sooner(c.closes)
		}
	}
	if f.wantsRing() && f.ring == nil && f.ringWork == nil {
		sooner(f.retry)
	}
	return at
}

// call calls the sink in a goroutine of its own, which ends when the sink returns. then is
// called by the loop with its error.
func (f *Flight) call(where string, g func() error, then func(error)) {
	f.underWay++
	go func() {
		err := catch(f.panicked, where, g)
		f.returned <- func() { then(err) }
	}()
}

// safely calls a part of the loop, as Controller.safely does.
func (f *Flight) safely(g func()) {
	defer func() {
		if p := recover(); p != nil {
			f.rest = f.clock.Now().Add(panicRest)
			f.panicked("the flight recorder's loop", p, debug.Stack())
		}
	}()
	g()
}

// warnPanic is the hook where FlightOptions has no Panicked.
func (f *Flight) warnPanic(where string, value any, stack []byte) {
	f.log.Warnf("panic in %s: %v\n%s", where, value, stack)
}
