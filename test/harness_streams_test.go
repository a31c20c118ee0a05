package test

import (
	"net"
	"testing"

	"mosn.io/tcpcopy/internal/oracle"
)

// everyByte has exchanges in a window and compares the recording with them.
func everyByte(t *testing.T, m *mosn, connections int, dial func() (net.Conn, error)) []*oracle.Connection {
	t.Helper()
	id := m.open()
	taps := exchangeAll(t, connections, 3, dial)
	w := m.close(id)

	complete(t, w)
	recorded := m.connections(w)
	sameBytes(t, recorded, taps)
	m.ownersOnly()
	if w.Trigger != "manual" || len(w.Ports) != 1 || !w.Closed.After(w.Opened) {
		t.Errorf("index line %+v", w)
	}
	return recorded
}
