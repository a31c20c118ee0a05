package clock

import (
	"net"
	"sync"
	"time"
)

// Conn returns a connection whose deadlines are moments of c: conn itself where c
// is the system's clock. The caller closes what it returns in place of conn.
func Conn(conn net.Conn, c Clock) net.Conn {
	if c == System() {
		return conn
	}
	return &clockedConn{Conn: conn, read: deadline{clock: c, set: conn.SetReadDeadline}, write: deadline{clock: c, set: conn.SetWriteDeadline}}
}

// clockedConn ends reads and writes by a clock that is not the system's.
type clockedConn struct {
	net.Conn
	read, write deadline
}

func (c *clockedConn) SetReadDeadline(t time.Time) error  { return c.read.reset(t) }
func (c *clockedConn) SetWriteDeadline(t time.Time) error { return c.write.reset(t) }

// SetDeadline implements net.Conn.
func (c *clockedConn) SetDeadline(t time.Time) error {
	if err := c.read.reset(t); err != nil {
		return err
	}
	return c.write.reset(t)
}

// CloseWrite ends the sending, where the connection can do so.
func (c *clockedConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	return half.CloseWrite()
}

// Close closes the connection and stops the timers of its deadlines.
func (c *clockedConn) Close() error {
	c.read.stop()
	c.write.stop()
	return c.Conn.Close()
}

// passed is a moment that has passed by every clock.
var passed = time.Unix(1, 0)

// deadline is one of a connection's.
type deadline struct {
	clock Clock
	set   func(time.Time) error // sets the connection's own deadline

	mu     sync.Mutex
	timer  Timer         // pending; nil where none is; guarded by mu
	cancel chan struct{} // closed when timer is no longer pending; guarded by mu
}

// reset makes t the deadline; the zero Time means there is none.
func (d *deadline) reset(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancelLocked()
	if t.IsZero() {
		return d.set(time.Time{})
	}
	if !t.After(d.clock.Now()) {
		return d.set(passed)
	}
	if err := d.set(time.Time{}); err != nil {
		return err
	}
	timer, cancel := d.clock.TimerAt(t), make(chan struct{})
	d.timer, d.cancel = timer, cancel
	go func() { // ends when the timer fires, or with the next reset or stop
		select {
		case <-cancel:
		case <-timer.C():
			d.expire(timer)
		}
	}()
	return nil
}

// expire ends reads or writes now, unless timer is no longer pending.
func (d *deadline) expire(timer Timer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer == timer {
		d.timer = nil
		_ = d.set(passed) // fails only for a connection that is closed
	}
}

// stop cancels a pending timer.
func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancelLocked()
}

func (d *deadline) cancelLocked() {
	if d.timer != nil {
		d.timer.Stop()
		close(d.cancel)
		d.timer = nil
	}
}
