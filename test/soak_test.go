package test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// Windows one after the other, with connections that come and go, leave nothing
// behind: no memory, no goroutines, no files, and no more on disk than is allowed.
func TestManyWindowsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	const maxTotal = 16 << 20
	windows, clients, pace := 15, 1000, 500*time.Millisecond
	if testing.Short() || raceEnabled {
		windows, clients, pace = 8, 300, 600*time.Millisecond
	}
	base, address, pprof := newBase(t), freeAddress(t), freePort(t)
	config := configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, recorder(base, block{"output": block{
		"dir": dumpDir(base), "formats": []string{"hex_meta", "pcapng"}, "roll": "size=1 keep=1000 compress=on", "max_total": strconv.Itoa(maxTotal),
	}}), mosnproc.TCPProxy()))
	m := startTuned(t, base, config, block{"pprof": block{"debug": true, "port_value": pprof, "endpoint": "127.0.0.1"}}, nil)
	at := fmt.Sprintf("127.0.0.1:%d", pprof)
	idle := m.footprint(at)
	size := watchSize(t, m.dump)
	visitors := newVisitors(t)
	visitors.visit(clients/2, manner{kind: "long", address: address, pace: pace, send: sendEcho})
	visitors.visit(clients/2, manner{kind: "short", address: address, pace: pace, most: 5, send: sendEcho})

	var ids []string
	var prints []footprint
	for range windows {
		eventually(t, "the next window opens", func() bool {
			id, err := m.Admin.OpenWindow(deadline(t), 2*time.Second)
			if err == nil {
				ids = append(ids, id)
			}
			return err == nil
		})
		prints = append(prints, m.footprint(at))
	}
	eventually(t, "the last window is closed", func() bool { return mustStatus(deadline(t), t, m).Window == nil })
	visitors.leave()
	t.Logf("%d connections, %d messages, faults %v", len(visitors.visits), visitors.messages(), visitors.faults)
	if len(visitors.faults) > 0 {
		t.Errorf("the clients have noticed: %v", visitors.faults)
	}

	for _, f := range prints {
		t.Logf("%+v", f)
	}
	third := len(prints) / 3
	early, late := typical(prints[third:2*third]), typical(prints[2*third:])
	if late.goroutines > early.goroutines*11/10+20 || late.files > early.files*11/10+20 || late.rss > early.rss*12/10+20<<10 {
		t.Errorf("what the process takes has grown from %+v to %+v", early, late)
	}
	eventually(t, "the connections' goroutines and files are gone", func() bool {
		f := m.footprint(at)
		return f.goroutines <= idle.goroutines+10 && f.files <= idle.files+10
	})
	t.Logf("at first %+v, at last %+v", idle, m.footprint(at))

	if peak := size.level(); peak > maxTotal {
		t.Errorf("the directory has held %d bytes of %d, in %s", peak, maxTotal, size.files)
	}
	t.Logf("largest size of %d seen: %d of %d", size.scans, size.peak, maxTotal)
	if size.peak < maxTotal/2 {
		t.Error("that is too little to say anything of the limit")
	}
	if err := m.Stop(deadline(t)); err != nil { // it is still compressing files
		t.Fatal(err)
	}
	m.indexMarks(ids)
	m.lines() // which are whole
}
