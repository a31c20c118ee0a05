package strategy

import (
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// command is work for the loop.
type command struct {
	run  func()
	done chan struct{} // closed when it has run and the status shows it
}

// start starts the loop if it has not been started.
func (c *Controller) start() { c.starting.Do(func() { go c.loop() }) }

// do has the loop run f and returns when it has, or ErrClosed.
func (c *Controller) do(f func()) error {
	c.start()
	cmd := command{run: f, done: make(chan struct{})}
	select {
	case c.commands <- cmd:
		<-cmd.done
		return nil
	case <-c.stop: // the loop may be waiting for the last window's tap
		return ErrClosed
	}
}

// loop owns the Controller's state until Close. What is due is decided by the
// clock in step; the timer only sees to it that step is called in time, so it
// does not matter what the loop was busy with when it fired.
func (c *Controller) loop() {
	defer close(c.done)
	for stopped := false; !stopped; {
		c.safely(func() { stopped = c.turn() })
	}
	c.safely(c.shutdown)
}

// turn waits for the next thing and does it. It tells whether the Controller is to
// stop.
func (c *Controller) turn() (stop bool) {
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
		c.guard.take(got)
	case then := <-c.returned:
		then()
	case cmd = <-c.commands:
		defer close(cmd.done) // whatever becomes of it
	case <-c.stop:
		return true
	}
	if cmd.run != nil {
		c.step() // what was due before the command comes first
		cmd.run()
	}
	c.step()
	c.publish()
	return false
}

// shutdown leaves nothing open and nobody waiting. It waits for the Sink.
func (c *Controller) shutdown() {
	c.unwant(ErrClosed, "shutdown")
	for _, m := range c.manual {
		m.answer <- answer{err: ErrClosed}
	}
	c.manual = nil
	c.effective.on = false
	c.publish()
	for c.handover != nil {
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
		c.guard.take(got)
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

// now reads the clock. Where that has gone back since the last reading, all plans
// go back as far: otherwise nothing would be due until it is there again. (The
// system's clock does not, however often somebody sets it: its readings are
// compared by the monotonic clock.)
func (c *Controller) now() time.Time {
	now := c.clock.Now()
	if back := now.Sub(c.last); back < 0 && !c.last.IsZero() {
		c.began, c.closes, c.waiting = c.began.Add(back), c.closes.Add(back), c.waiting.Add(back)
		for _, m := range c.manual {
			m.patience = m.patience.Add(back)
		}
		c.guard.begun, c.guard.next = c.guard.begun.Add(back), c.guard.next.Add(back)
	}
	c.last = now
	return now
}

// wantsReadings says whether anything depends on the guard.
func (c *Controller) wantsReadings() bool {
	soon := c.window != nil || len(c.manual) > 0 || c.handover != nil && c.handover.opening
	return c.guard.enabled && (c.effective.on || soon)
}

// deadline is when the next thing is due; zero when nothing is.
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
		sooner(m.patience)
	}
	return at
}

// judge asks the guard and pauses or resumes the open window accordingly.
func (c *Controller) judge(now time.Time) {
	c.verdict, c.why = c.guard.judge(c.effective.config, now)
	switch {
	case c.verdict == verdictDown && !c.warned:
		c.warned = true
		c.log.Warnf("guard is down, nothing is recorded: %s", c.why)
	case c.verdict == verdictUp && c.warned:
		c.warned = false
		c.log.Infof("guard is up again: %s", c.why)
	}
	if hold := c.verdict != verdictUp; c.window != nil && hold != c.held {
		c.held = hold
		if hold {
			c.window.Tap.Hold(record.ReasonGuard)
		} else {
			c.window.Tap.Release(record.ReasonGuard)
		}
	}
}

// weigh puts the layers into effect.
func (c *Controller) weigh() {
	c.effective = weigh(c.layers[model.LayerApp].config, c.layers[model.LayerGlobal].config)
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
	c.weigh()
	c.log.Infof("%s config from %s: %+v; switch is %s", name, source, cfg, c.effective)

	switch {
	case c.effective.forced:
		c.unwant(ErrForceOff, "switched off")
	case was.on && !c.effective.on:
		c.unwant(ErrSwitchedOff, "switched off")
	}
	if c.effective.on && !was.on {
		c.waiting = now
	}
	if c.window != nil && c.window.Trigger == record.TriggerSchedule {
		c.closes = c.began.Add(seconds(c.effective.config.Duration))
	}
	if h := c.handover; h != nil && h.opening && h.window.Trigger == record.TriggerSchedule {
		h.length = seconds(c.effective.config.Duration)
	}
}

// publish shows the state to Status.
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
	}
	if w := c.window; w != nil {
		s.Window = &WindowStatus{ID: w.ID, Trigger: w.Trigger, Opened: w.Opened, Closes: c.closes, Paused: c.held}
	}
	if h := c.handover; h != nil {
		w := &HandoverStatus{ID: h.window.ID, Trigger: h.window.Trigger, Since: h.since}
		if h.opening {
			s.Opening = w
		} else {
			s.Closing = w
		}
	}
	if next := c.nextOpening(); !next.IsZero() {
		s.Next = &next
	}
	c.status.Store(s)
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
