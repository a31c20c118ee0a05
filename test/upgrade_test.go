package test

import (
	"strings"
	"testing"
	"time"
)

// A hot upgrade under load: old and new process record side by side in one
// directory, what they have together is exact, and the clients see nothing that
// they would not see without the filter.
//
// MOSN (pkg/server/reconfigure.go, pkg/network/connection.go) has the old process
// go on for 3 s, and then for twice the graceful timeout and 30 s more. HTTP
// connections end after the next answer; those of the TCP proxy move to the new
// process after ten times the graceful timeout.
func TestRecordsAreExactAcrossAHotUpgrade(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("MOSN takes more than half a minute")
	}
	// Both at once, so that they have the same machine.
	baseline := startUpgrade(t, false)
	recorded := startUpgrade(t, true)
	oldWindow := recorded.open()
	baseline.load()
	recorded.load()
	baseline.hangUp()
	recorded.hangUp()
	recorded.successor(recorded.pidFile)
	baseline.successor(baseline.pidFile)
	newWindow := recorded.openInSuccessor()

	for _, u := range []*upgrading{baseline, recorded} {
		<-u.Done() // the old process
		enough := u.visitors.messages() + 200
		eventually(t, "the new process serves all", func() bool { return u.visitors.messages() >= enough })
		u.left = time.Now()
		u.visitors.leave()
		t.Logf("recording: %t, %d connections, %d messages, faults %v", u == recorded, len(u.visitors.visits), u.visitors.messages(), u.visitors.faults)
	}
	if err := recorded.Admin.CloseWindow(deadline(t)); err != nil {
		t.Fatal(err)
	}
	// MOSN loses an answer that comes to a connection of the new process before that
	// has its filters (pkg/network/connection.go, NewServerConnection), and says so.
	lost := strings.Count(recorded.Log(), "[transfer] [handler] transferWriteBuffer error")
	for kind, n := range recorded.visitors.faults {
		if baseline.visitors.faults[kind] == 0 && (kind != "TCP: no answer" || n > lost) {
			t.Errorf("clients see what they do not see without the filter, %d times: %s", n, kind)
		}
	}
	recorded.compare(recorded.indexed(oldWindow), recorded.indexed(newWindow))
	recorded.ownersOnly()
}
