package clock

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func fired(t Timer) bool {
	select {
	case <-t.C():
		return true
	default:
		return false
	}
}

func TestManualTimersFireAtTheirMomentAndOnce(t *testing.T) {
	m := NewManual(start)
	soon, later, stopped := m.TimerAt(start.Add(time.Second)), m.TimerAt(start.Add(time.Minute)), m.TimerAt(start.Add(time.Second))
	stopped.Stop()
	m.Advance(time.Second - 1)
	if fired(soon) {
		t.Error("a timer fired before its moment")
	}
	m.Advance(1)
	if !fired(soon) || fired(soon) || fired(later) || fired(stopped) {
		t.Error("other timers fired than the one that was due")
	}
	m.AdvanceTo(start) // has passed
	if now := m.Now(); !now.Equal(start.Add(time.Second)) {
		t.Errorf("it is %v", now)
	}
	if !fired(m.TimerAt(start)) {
		t.Error("a timer whose moment has passed did not fire")
	}
	m.AdvanceTo(start.Add(time.Hour))
	if !fired(later) {
		t.Error("a timer did not fire")
	}
}

func TestAwaitTimersSeesTimersComeAndGo(t *testing.T) {
	m := NewManual(start)
	timers := make(chan Timer)
	go func() { // ends with the send
		m.TimerAt(start.Add(2))
		timers <- m.TimerAt(start.Add(1))
	}()
	wait := func(moments ...time.Time) {
		t.Helper()
		if !m.AwaitTimers(context.Background(), func(_ time.Time, pending []time.Time) bool {
			if len(pending) != len(moments) {
				return false
			}
			for i := range pending {
				if !pending[i].Equal(moments[i]) {
					return false
				}
			}
			return true
		}) {
			t.Error("not awaited")
		}
	}
	wait(start.Add(1), start.Add(2))
	(<-timers).Stop()
	wait(start.Add(2))
	m.Advance(time.Second)
	wait()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if m.AwaitTimers(ctx, func(time.Time, []time.Time) bool { return false }) {
		t.Error("it was ready after all")
	}
}

// pair returns the two ends of a connection, the first with deadlines by c.
func pair(t *testing.T, c Clock) (clocked, peer net.Conn) {
	t.Helper()
	a, b := net.Pipe()
	clocked = Conn(a, c)
	t.Cleanup(func() {
		if err := errors.Join(clocked.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
	return clocked, b
}

func TestDeadlinesGoByTheManualClock(t *testing.T) {
	m := NewManual(start)
	conn, peer := pair(t, m)
	buf := make([]byte, 8)
	for _, set := range []func(time.Time) error{conn.SetReadDeadline, conn.SetDeadline} {
		if err := set(start.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { // ends with the send
			_, err := conn.Read(buf)
			ended <- err
		}()
		m.AdvanceTo(start.Add(time.Hour))
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		m.Advance(-time.Hour)
	}
	// A deadline that was replaced ends nothing, and one that has passed ends all.
	m = NewManual(start)
	conn, peer = pair(t, m)
	if err := errors.Join(conn.SetReadDeadline(start.Add(1)), conn.SetReadDeadline(time.Time{})); err != nil {
		t.Fatal(err)
	}
	m.Advance(time.Hour)
	go func() { // ends with the write
		if _, err := peer.Write([]byte("x")); err != nil {
			t.Error(err)
		}
	}()
	if n, err := io.ReadFull(conn, buf[:1]); err != nil {
		t.Errorf("read %d bytes: %v", n, err)
	}
	if err := conn.SetWriteDeadline(start); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
}

func TestConnOfTheSystemsClockIsTheConnection(t *testing.T) {
	conn, peer := net.Pipe()
	defer conn.Close()
	defer peer.Close()
	if Conn(conn, System()) != conn {
		t.Error("it was wrapped")
	}
}
