package strategy

import (
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// command is a call that the loop makes for another goroutine.
type command struct {
	call func()
	done chan struct{} // closed when call has returned and the status shows the result
}

// start starts the loop if it has not been started.
func (c *Controller) start() { c.starting.Do(func() { go c.loop() }) }

// do calls f in the loop. It returns when f has returned and the status shows the
// result, or ErrClosed.
func (c *Controller) do(f func()) error {
	c.start()
	cmd := command{call: f, done: make(chan struct{})}
	select {
	case c.commands <- cmd:
		<-cmd.done
		return nil
	case <-c.stop: // the loop may be waiting for the last window to be written
		return ErrClosed
	}
}

// loop owns the Controller's state until Close. step decides by the clock what is due;
// the timer only makes the loop call step in time, so it does not matter what the loop
// was busy with when the timer fired.
func (c *Controller) loop() {
	defer close(c.done)
	for stopped := false; !stopped; {
		c.safely(func() { stopped = c.handleNext() })
	}
	c.safely(c.shutdown)
}

// handleNext waits for the next event and handles it. It returns true when the
// Controller is to stop.
func (c *Controller) handleNext() (stop bool) {
	var alarm <-chan time.Time
	if at := c.deadline(); !at.IsZero() {
		if at.Before(c.rest) {
			at = c.rest
		}
		timer := c.clock.TimerAt(at)
		defer timer.Stop()
		alarm = timer.C()
	}
	var cmd command
	select {
	case <-alarm:
	case got := <-c.guard.results:
		c.guard.accept(got)
	case handle := <-c.returned:
		handle()
	case cmd = <-c.commands:
		defer close(cmd.done) // also after a panic
	case <-c.stop:
		return true
	}
	if cmd.call != nil {
		c.step() // what was due before the command comes first
		cmd.call()
	}
	c.step()
	c.publish()
	return false
}

// shutdown closes the open window and answers everybody who waits. It returns when
// the Sink has nothing under way any more.
func (c *Controller) shutdown() {
	c.cancelWindow(ErrClosed, "shutdown")
	c.endLives("shutdown")
	for _, m := range c.manual {
		m.answer <- answer{err: ErrClosed}
	}
	c.manual = nil
	c.effective.on = false
	c.publish()
	for c.transition != nil {
		(<-c.returned)()
	}
	c.guard.setRunning(false, c.now())
	c.guard.wait()
	c.publish()
}

// step does all that is due by now.
func (c *Controller) step() {
	now := c.now()
	select { // a reading that came while the loop was busy is not late
	case got := <-c.guard.results:
		c.guard.accept(got)
	default:
	}
	if c.window != nil && !now.Before(c.closes) {
		c.closeWindow("its time is over")
	}
	c.judge(now)
	c.openManual(now)
	c.openScheduled(now)
	c.guard.setRunning(c.wantsReadings(), now)
	c.guard.step(now)
}

// now returns the clock's time. If the clock went back since the last call, now moves
// all planned times back by as much: otherwise nothing would be due until the clock is
// there again. (The system's clock never goes back here: its readings have a monotonic
// part.)
func (c *Controller) now() time.Time {
	now := c.clock.Now()
	if back := now.Sub(c.last); back < 0 && !c.last.IsZero() {
		c.began, c.closes, c.waiting = c.began.Add(back), c.closes.Add(back), c.waiting.Add(back)
		for _, m := range c.manual {
			m.expires = m.expires.Add(back)
		}
		c.guard.begun, c.guard.next = c.guard.begun.Add(back), c.guard.next.Add(back)
		c.guardLog.next = c.guardLog.next.Add(back)
	}
	c.last = now
	return now
}

// wantsReadings reports whether anything depends on the guard.
func (c *Controller) wantsReadings() bool {
	soon := c.window != nil || len(c.manual) > 0 || len(c.lives) > 0 || c.livesOpening > 0 || c.transition != nil && c.transition.opening
	return c.guard.enabled && (c.effective.on || soon)
}

// deadline returns when the next thing is due; zero when nothing is.
func (c *Controller) deadline() time.Time {
	at := c.guard.deadline(c.now())
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if c.window != nil {
		sooner(c.closes)
	}
	sooner(c.nextOpening())
	for _, m := range c.manual {
		sooner(m.expires)
	}
	return at
}

// judge updates the guard's verdict, and pauses or resumes the open window by it.
func (c *Controller) judge(now time.Time) {
	if c.guard.follow(c.effective.config, now) {
		c.guardLog.went()
	}
	c.verdict, c.why = c.guard.judge(c.effective.config, now)
	c.guardLog.show(c.verdict, c.why, now)
	if pause := c.verdict != verdictUp; c.window != nil && !c.window.Unguarded && pause != c.paused {
		c.paused = pause
		if pause {
			c.window.Sink.Pause(record.ReasonGuard)
		} else {
			c.window.Sink.Resume(record.ReasonGuard)
		}
	}
	c.judgeLives()
}

// resolve updates the effective configuration after a change of a layer.
func (c *Controller) resolve() {
	c.effective = resolveLayers(c.layers[model.LayerApp].config, c.layers[model.LayerGlobal].config)
}

// set changes a layer to cfg, which is valid.
func (c *Controller) set(name model.Layer, cfg model.DumpConfig, source string) {
	now := c.now()
	l := c.layers[name]
	l.change = &Change{Source: source, Time: now}
	if l.config == cfg {
		return
	}
	l.config = cfg
	was := c.effective
	c.resolve()
	c.log.Infof("%s config from %s: %+v; switch is %s", name, source, cfg, c.effective)

	switch {
	case c.effective.forced:
		c.cancelWindow(ErrForceOff, "switched off")
		c.endLives("switched off")
	case was.on && !c.effective.on:
		c.cancelWindow(ErrSwitchedOff, "switched off")
	}
	if c.onForced != nil && c.effective.forced != was.forced {
		c.onForced(c.effective.forced)
	}
	if c.effective.on && !was.on {
		c.waiting = now
	}
	if c.window != nil && c.window.Trigger == record.TriggerSchedule {
		c.closes = c.began.Add(seconds(c.effective.config.Duration))
	}
	if tr := c.transition; tr != nil && tr.opening && tr.window.Trigger == record.TriggerSchedule {
		tr.length = seconds(c.effective.config.Duration)
	}
}

// publish makes Status return the present state.
func (c *Controller) publish() {
	app, global := c.layers[model.LayerApp], c.layers[model.LayerGlobal]
	verdict, why := c.guard.judge(c.effective.config, c.now())
	s := &Status{
		Switch: SwitchStatus{
			Effective:    c.effective.String(),
			App:          app.config,
			Global:       global.config,
			AppChange:    app.change,
			GlobalChange: global.change,
		},
		Guard:   c.guard.status(verdict, why),
		Skipped: c.skipped,

		memMaxRate: c.effective.config.MemMaxRate,
	}
	if !c.guard.enabled {
		s.memMaxRate = 100
	}
	if w := c.window; w != nil {
		s.Window = &WindowStatus{ID: w.ID, Trigger: w.Trigger, Opened: w.Opened, Closes: c.closes, Paused: c.paused, Guard: w.GuardWord()}
	}
	if tr := c.transition; tr != nil {
		w := &TransitionStatus{ID: tr.window.ID, Trigger: tr.window.Trigger, Since: tr.since}
		if tr.opening {
			s.Opening = w
		} else {
			s.Closing = w
		}
	}
	s.Lives = c.liveStatus()
	if next := c.nextOpening(); !next.IsZero() {
		s.Next = &next
	}
	c.status.Store(s)
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
