package test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// With the switch on, windows open by themselves. The shortest pause before one
// is 30 seconds, which is what this test takes.
func TestAScheduledWindowOpensByItself(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 30 seconds")
	}
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo), mosnproc.NewListener("tcp", address,
		recorder(base, block{"strategy": block{"switch": "ON", "interval": 30, "duration": 1}}), mosnproc.TCPProxy())))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	index := filepath.Join(m.dump, "dump_windows.jsonl")
	var line string
	eventually(t, "a scheduled window is in the index", func() bool {
		sendAndReceive(t, conn, "tick")
		text, err := os.ReadFile(index)
		line = string(text)
		return err == nil && strings.HasSuffix(line, "\n")
	})
	_, rest, _ := strings.Cut(line, `"window":"`)
	id, _, _ := strings.Cut(rest, `"`)
	w := m.indexed(id)
	complete(t, w)
	if length := w.Closed.Sub(w.Opened); w.Trigger != "schedule" || length < time.Second {
		t.Errorf("%s window of %v", w.Trigger, length)
	}
	// Whatever moment it opened at, what it has is whole ticks, one after the other.
	c := m.connections(w)[0]
	got, err := c.In.Bytes()
	if err != nil || strings.ReplaceAll(string(got), "tick", "") != "" || c.In.Begin()%4 != 0 || len(got) == 0 {
		t.Errorf("recorded %d bytes from offset %d, %v", len(got), c.In.Begin(), err)
	}
}
