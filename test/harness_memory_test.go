package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// buffer is the size of the recorder's buffer, bytes.
const buffer = 64 << 20

// median returns the value in the middle. It does not change values.
func median(values []int64) int64 {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[len(values)/2]
}

// plainBinary returns cmd/mosn built without the race detector, whose own memory
// is many times what is measured here.
func plainBinary(t *testing.T) string {
	t.Helper()
	if !raceEnabled {
		binary, err := mosnBinary()
		if err != nil {
			t.Fatal(err)
		}
		return binary
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	binary, err := mosnproc.Build(ctx, t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// peakUnderLoad returns the most memory that a process holds under load, in
// bytes: in a window that records in these formats, or without a filter.
func peakUnderLoad(t *testing.T, binary string, formats []string) int64 {
	t.Helper()
	base, address := newBase(t), freeAddress(t)
	filters := []mosnproc.Filter{mosnproc.TCPProxy()}
	if formats != nil {
		filters = append([]mosnproc.Filter{recorder(base,
			block{"output": block{"dir": dumpDir(base), "formats": formats, "max_total": "1GiB"}, "buffer": block{"size": buffer}})}, filters...)
	}
	p, err := mosnproc.Spec{Binary: binary, Base: base, AdminPort: freePort(t)}.
		Start(deadline(t), configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, filters...)))
	if err != nil {
		t.Fatal(err)
	}
	m := watch(t, p)
	l := newLoad(t, address, 1000, 16<<10)
	defer l.close()
	l.run(t, time.Second) // until the proxy's own buffers have their size
	if err := p.ResetPeak(); err != nil {
		t.Fatal(err)
	}
	var id string
	if formats != nil {
		id = m.open()
	}
	l.run(t, 2*time.Second)
	if formats != nil {
		w := m.close(id)
		if w.LostBy["buffer_full"] == 0 {
			t.Logf("the buffer was not full: index line %+v", w)
		}
	}
	peak, err := p.PeakMemory()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	return peak
}

// load is many connections that each send a message, wait until it has come back,
// and send the next.
type load struct {
	conns []net.Conn
	size  int // bytes of a message
}

// newLoad connects to address. The caller closes the connections.
func newLoad(t *testing.T, address string, connections, size int) *load {
	t.Helper()
	l := &load{size: size}
	for range connections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			l.close()
			t.Fatal(err)
		}
		l.conns = append(l.conns, conn)
	}
	return l
}

func (l *load) close() {
	for _, conn := range l.conns {
		conn.Close()
	}
}

// run applies the load for that long.
func (l *load) run(t *testing.T, length time.Duration) {
	t.Helper()
	message := randomBytes(1, int64(l.size))
	end := time.Now().Add(length)
	errs := make([]error, len(l.conns))
	var running sync.WaitGroup
	for i, conn := range l.conns {
		running.Add(1)
		go func() { // ends in time, or with the first error
			defer running.Done()
			answer := make([]byte, l.size)
			for time.Now().Before(end) {
				if _, err := conn.Write(message); err != nil {
					errs[i] = fmt.Errorf("connection %d: %w", i, err)
					return
				}
				if _, err := io.ReadFull(conn, answer); err != nil {
					errs[i] = fmt.Errorf("connection %d: %w", i, err)
					return
				}
			}
		}()
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
