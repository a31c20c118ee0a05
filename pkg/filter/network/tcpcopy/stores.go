package tcpcopy

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/record"
)

// openTimeout is how long a listener's update waits for the disk if it changes the
// output or the buffer.
const openTimeout = 5 * time.Second

// storeConfigOf returns the configuration of a store for the blocks, both of which may
// be nil, and the roller words of the process.
func (r *recorder) storeConfigOf(o *outputSettings, b *bufferSettings) (c persistence.Config, err error) {
	roll := persistence.DefaultRoll()
	if words := strings.TrimSpace(r.host.roller()); words != "" && (o == nil || o.roll == nil) {
		if roll, err = persistence.ParseRoll(words); err != nil {
			return c, withNames(err, map[string]string{"Roll": "global_log_roller"})
		}
	}
	return storeConfig(o, b, roll)
}

// prepareStore opens a store for those blocks. It returns nil if the store in force
// has that configuration. It waits for the disk no longer than openTimeout; a store
// that opens later is closed again. While a directory does not answer, nobody else waits
// for it. The caller holds binding, and not mu.
func (r *recorder) prepareStore(o *outputSettings, b *bufferSettings) (*persistence.Store, error) {
	dir := "" // the default one
	if o != nil {
		dir = o.dir
	}
	r.mu.Lock()
	current, since := r.store, r.unanswered[dir]
	r.mu.Unlock()
	if !since.IsZero() {
		return nil, fmt.Errorf("output.dir: the disk has not answered for %v", time.Since(since).Round(time.Second))
	}
	type result struct {
		store *persistence.Store
		err   error
	}
	opened := make(chan result, 1)
	go func() { // ends when the disk answers
		var got result
		defer func() {
			if p := recover(); p != nil {
				r.countPanic("opening the dump directory", p, debug.Stack())
				got.err = fmt.Errorf("opening the dump directory panicked: %v", p)
			}
			opened <- got
		}()
		got.store, got.err = r.openStore(current, o, b)
	}()
	begun := time.Now()
	timeout := time.NewTimer(openTimeout)
	defer timeout.Stop()
	select {
	case got := <-opened:
		return got.store, got.err
	case <-timeout.C:
		r.mu.Lock()
		r.unanswered[dir] = begun
		r.mu.Unlock()
		go func() { // ends when the disk answers
			late := <-opened
			r.mu.Lock()
			delete(r.unanswered, dir)
			r.mu.Unlock()
			if late.store != nil {
				late.store.Close()
			}
		}()
		return nil, fmt.Errorf("output.dir: the disk has not answered for %v", openTimeout)
	}
}

// openStore opens a store for those blocks. It returns nil if current has that
// configuration.
func (r *recorder) openStore(current *persistence.Store, o *outputSettings, b *bufferSettings) (*persistence.Store, error) {
	config, err := r.storeConfigOf(o, b)
	if err != nil {
		return nil, err
	}
	if current != nil && current.Config().Equal(config) {
		return nil, nil
	}
	if (o == nil || o.dir == "") && config.Dir != layout.DefaultDir {
		r.host.log.Warnf("output.dir is not set, and what is recorded goes to %s: %v", config.Dir, useSharedDir())
	}
	store, err := persistence.Open(config, persistence.Host{
		Run:        r.run,
		Effective:  r.host.effective,
		Static:     r.host.static,
		Alert:      func(what string, err error) { r.host.log.Alertf(alertKey, "%s: %v", what, err) },
		Info:       func(format string, args ...any) { r.host.log.Infof(format, args...) },
		Panicked:   r.countPanic,
		Room:       r.room,
		Gate:       &r.gate,
		FieldNames: fieldNames(),
	})
	if err != nil {
		return nil, withNames(err, fieldNames())
	}
	return store, nil
}

var errStopping = errors.New("the process is stopping")

// readyStore returns the store in force. The first call opens the first store.
func (r *recorder) readyStore() (*persistence.Store, error) {
	if store, err := r.storeInForce(); store != nil || err != nil {
		return store, err
	}
	r.binding.Lock()
	defer r.binding.Unlock()
	if store, err := r.storeInForce(); store != nil || err != nil {
		return store, err
	}
	store, err := r.prepareStore(r.parts.output, r.parts.buffer) // binding keeps the parts as they are
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store = store // not too late: drain needs binding first
	return store, nil
}

func (r *recorder) storeInForce() (*persistence.Store, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errStopping
	}
	return r.store, nil
}

// storeOrNil returns the store in force; nil for none, also while the process stops.
func (r *recorder) storeOrNil() *persistence.Store {
	store, _ := r.storeInForce()
	return store
}

// retire closes old, a store that has been replaced and is among the old ones. When it
// returns, the gate of the window that was open in old is closed. It does not wait for
// that window's records to be written.
func (r *recorder) retire(old *persistence.Store) {
	const why = "its output has been replaced"
	over := r.controller.Drop(old.Seal(), why)
	old.EndLives()
	ringOver := r.flight.Reopen(why)
	r.retiring.Add(1)
	go func() { // ends when everything is written; drain waits for it
		defer r.retiring.Done()
		<-over
		<-ringOver
		r.skips.wait()
		r.closeStore(old)
	}()
}

// closeStore closes a store that has no open window, and adds its statistics to past.
func (r *recorder) closeStore(s *persistence.Store) {
	defer r.recoverPanic("closing a store")
	s.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past = plus(r.past, s.Stats())
	r.old = slices.DeleteFunc(r.old, func(o *persistence.Store) bool { return o == s })
	if r.store == s {
		r.store = nil
	}
}

// stats returns the sum of all stores' statistics.
func (r *recorder) stats() persistence.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := r.past
	for _, old := range r.old {
		sum = plus(sum, old.Stats())
	}
	if r.store != nil {
		sum = plus(sum, r.store.Stats())
	}
	return sum
}

// plus returns the sum of two stores' statistics. At most one of the two has an open
// window.
func plus(a, b persistence.Stats) persistence.Stats {
	b.Windows += a.Windows
	b.Faults += a.Faults
	b.LiveLost += a.LiveLost
	b.PortraitsLost += a.PortraitsLost
	b.IndexLost += a.IndexLost
	b.NoRoom += a.NoRoom
	b.Reduced += a.Reduced
	b.Buffer += a.Buffer
	b.Live += a.Live
	b.Buffered += a.Buffered
	b.Accounts = a.Accounts.Plus(b.Accounts)
	b.Lives = append(slices.Clip(a.Lives), b.Lives...)
	if b.Window == nil {
		b.Window = a.Window
	}
	return b
}

// drainTimeout is how long the stop of the process waits for the disk.
const drainTimeout = 10 * time.Second

// close ends the recording: it closes the open window and returns when its records are
// written. moved says that another process goes on with the connections that are still
// open. It waits for the disk no longer than drainTimeout: what is in the buffer then
// stays in the spool, if there is one, for the next start. It is idempotent.
func (r *recorder) close(moved bool) {
	if ring := r.gate.Load(); ring != nil && moved {
		ring.EndAll(record.CloseMoved)
	}
	r.skips.flush()
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.mu.Unlock()
	if !again {
		go r.drain()
	}
	timeout := time.NewTimer(r.drainTimeout)
	defer timeout.Stop()
	select {
	case <-r.drained:
	case <-timeout.C:
		r.host.log.Alertf(alertKey, "stop: the disk has not answered for %v, the process ends without it; what is in the buffer stays in the spool for the next start, if there is one", r.drainTimeout)
	}
}

// drain is the goroutine of close. It ends when everything is written.
func (r *recorder) drain() {
	defer close(r.drained)
	defer r.recoverPanic("stopping")
	r.mu.Lock()
	watch := r.watch
	r.mu.Unlock()
	ringClosed := make(chan struct{})
	go func() { // ends when the captures are written
		defer close(ringClosed)
		r.flight.Close()
	}()
	r.controller.Close()
	<-ringClosed
	if watch != nil {
		watch.close()
	}
	r.stopPublishing()
	r.binding.Lock() // from now on no other store comes into force
	defer r.binding.Unlock()
	r.retiring.Wait()
	r.skips.wait()
	r.mu.Lock()
	store := r.store
	r.mu.Unlock()
	if store != nil {
		r.closeStore(store)
	}
}
