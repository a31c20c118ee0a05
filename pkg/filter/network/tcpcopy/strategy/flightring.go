package strategy

import (
	"errors"
	"fmt"
	"time"
)

// openRing is a ring that is open.
type openRing struct {
	sink   RingSink
	config *FlightConfig // that it was opened with; its size is that of the ring
}

// ringWork is the opening or the closing of a ring, for which a goroutine waits. There is one
// at a time, and no ring is open meanwhile.
type ringWork struct {
	opening  bool
	canceled string        // of an opening: why the ring is to be closed again; empty if it is not
	since    time.Time     // when it began
	over     chan struct{} // closed when the ring is closed
}

func (f *Flight) wantsRing() bool { return f.config.IsOn() && !f.forced && !f.stopping }

// whyNoRing returns why there is no ring, for people.
func (f *Flight) whyNoRing() string {
	switch w := f.ringWork; {
	case f.config == nil:
		return notConfigured
	case !f.config.IsOn():
		return "flight.size is 0"
	case f.stopping:
		return ErrClosed.Error()
	case f.forced:
		return ErrForceOff.Error()
	case w != nil && w.opening:
		return "the ring is being opened, since " + w.since.Format(time.TimeOnly)
	case w != nil:
		return "the ring of before is being closed, since " + w.since.Format(time.TimeOnly)
	default:
		return f.fault
	}
}

// manageRing opens the ring that is wanted, and closes one that is not.
func (f *Flight) manageRing(now time.Time) {
	if r := f.ring; r != nil {
		switch {
		case f.forced:
			f.endRing("switched off")
		case !f.wantsRing():
			f.endRing("it is not configured any more")
		case !r.config.KeepsRing(f.config):
			f.endRing("its size changes")
		}
	}
	if f.ring == nil && f.ringWork == nil && f.wantsRing() && !now.Before(f.retry) {
		f.openRing(now)
	}
}

// openRing calls the sink in a goroutine of its own, and ringOpened with the result.
func (f *Flight) openRing(now time.Time) {
	work := &ringWork{opening: true, since: now, over: make(chan struct{})}
	f.ringWork = work
	config := f.config
	var sink RingSink
	f.call("opening the ring", func() (err error) {
		sink, err = f.sink.OpenRing(config.clone())
		return err
	}, func(err error) { f.ringOpened(work, sink, config, err) })
}

func (f *Flight) ringOpened(work *ringWork, sink RingSink, config *FlightConfig, err error) {
	f.ringWork = nil
	if err == nil && sink == nil {
		err = errors.New("the sink has opened no ring")
	}
	if err != nil {
		if f.fault == "" { // the first time in a row: the text may have numbers
			f.log.Warnf("flight recorder: there is no ring: %v; it is tried again every %v", err, ringRetry)
		}
		f.fault, f.retry = err.Error(), f.now().Add(ringRetry)
		close(work.over)
		return
	}
	f.fault, f.paused = "", false
	f.ring = &openRing{sink: sink, config: config}
	switch {
	case work.canceled != "":
		f.closeRing(work.canceled, work.over)
	case !f.wantsRing() || !config.KeepsRing(f.config): // manageRing closes it
	case !config.Equal(f.config):
		if err := f.configure(f.config); err != nil {
			f.fault, f.retry = err.Error(), f.now().Add(ringRetry)
			f.closeRing("its configuration was refused: "+err.Error(), nil)
			return
		}
		fallthrough
	default:
		f.log.Infof("flight recorder: the ring is open, %d MiB", config.Size>>20)
	}
}

// configure puts the configuration into force in the open ring.
func (f *Flight) configure(c *FlightConfig) error {
	return catch(f.panicked, "configuring the ring", func() error { return f.ring.sink.Configure(c.clone()) })
}

// endRing closes the ring, or the one that is being opened when it is open. It returns what is
// under way, nil if there is no ring.
func (f *Flight) endRing(why string) *ringWork {
	switch w := f.ringWork; {
	case f.ring != nil:
		f.closeRing(why, nil)
	case w != nil && w.opening && w.canceled == "":
		w.canceled = why
	}
	return f.ringWork
}

// closeRing closes the ring: at once what it records, and in the background, when its captures
// are closed, its memory. over is closed then; nil makes one.
func (f *Flight) closeRing(why string, over chan struct{}) {
	sink := f.ring.sink
	f.ring, f.paused = nil, false
	if over == nil {
		over = make(chan struct{})
	}
	work := &ringWork{since: f.now(), over: over}
	f.ringWork = work
	if err := catch(f.panicked, "closing the ring", func() error { sink.Shut(); return nil }); err != nil {
		f.log.Warnf("flight recorder: close the ring: %v", err)
	}
	var captures []<-chan struct{}
	for _, c := range f.captures {
		f.endCapture(c, why)
		captures = append(captures, c.over)
	}
	f.call("closing the ring", func() error {
		for _, over := range captures { // the loop closes each
			<-over
		}
		sink.Close()
		return nil
	}, func(err error) {
		if err != nil {
			f.log.Warnf("flight recorder: close the ring: %v", err)
		}
		f.log.Infof("flight recorder: the ring is closed: %s", why)
		f.ringWork = nil
		close(work.over)
	})
}

// String returns the configuration for the log.
func (c *FlightConfig) String() string {
	if !c.IsOn() {
		return "no ring"
	}
	return fmt.Sprintf("a ring of %d MiB, %v before and %v after, captures %v, %d triggers", c.Size>>20, c.Before, c.After, c.Budget, len(c.Triggers))
}
