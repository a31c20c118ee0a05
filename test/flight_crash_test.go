package test

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

// What the ring of a killed process had is written by the next start as a window: of each
// connection a stretch without a hole, which ends with all that the process has answered, at
// least. So it is when the next start is killed too, at whatever it is.
func TestTheRingOfAKilledProcessIsWritten(t *testing.T) {
	t.Parallel()
	spools := spoolFolder(t)
	kills := 20
	if testing.Short() || raceEnabled {
		kills = 4
	}
	server, base := upstream(t, answerExchanges), newBase(t)
	random := rand.New(rand.NewSource(16))
	var address string
	next := func(kill int, crash bool) (mosnproc.Spec, mosnproc.Config) {
		address = freeAddress(t)
		// Some have wrapped when the process is killed, some have not.
		size := []string{"64MiB", "1MiB", "4MiB"}[kill%3]
		formats := [][]string{{"hex_meta"}, {"pcapng"}}[kill%2]
		filter := recorder(base, flightBlock(size, block{"crash": crash}), block{
			"output": block{"dir": dumpDir(base), "formats": formats, "roll": "size=2 keep=10000"},
			"buffer": block{"spool": spools},
		})
		return fill(t, mosnproc.Spec{Base: base}), configOf(server, mosnproc.NewListener("tcp", address, filter, mosnproc.TCPProxy()))
	}
	start := func(kill int, crash bool) *mosn {
		spec, config := next(kill, crash)
		m := startSpec(t, spec, config)
		m.ringOpen()
		return m
	}
	m := start(0, true)
	crashes := 0
	for kill := range kills {
		taps := startTalkers(t, address, 64, int64(kill))
		moment := 1 + random.Int63n(3<<20)
		eventually(t, "some messages are answered", func() bool { return taps.bytes() >= moment })
		if err := m.Kill(); err != nil {
			t.Fatal(err)
		}
		taps.wait()
		crashes++
		if kill%3 == 1 {
			// Killed while it starts, or recovers.
			spec, config := next(kill+1, true)
			text := mustText(t, spec, config)
			p, err := spec.StartText(text)
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Duration(random.Int63n(int64(300 * time.Millisecond))))
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		m = start(kill+1, kill != kills-1)
		var all []oracle.Window
		eventually(t, "the ring is in the index", func() bool {
			all = withTraffic(m.dump)
			return len(all) >= crashes
		})
		w := all[crashes-1]
		complete(t, w)
		if w.Trigger != "crash" || !w.Recovered || w.Cause != nil || w.Written.In == 0 {
			t.Errorf("kill %d: index line %+v", kill, w)
		}
		taps.compareEnd(t, fmt.Sprintf("kill %d", kill), m.stretches(w))
		for _, name := range w.Files { // there is less to read for the next
			if err := os.Remove(filepath.Join(m.dump, name)); err != nil && !os.IsNotExist(err) {
				t.Error(err)
			}
		}
	}

	// The last one was told that nothing of it is to be written.
	taps := startTalkers(t, address, 4, 1)
	eventually(t, "some messages are answered", func() bool { return taps.bytes() >= 1<<16 })
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	taps.wait()
	m = start(0, false)
	eventually(t, "only its own spool is left", func() bool { return len(spoolsIn(t, spools)) == 1 })
	if all := withTraffic(m.dump); len(all) != crashes {
		t.Errorf("%d windows, want %d", len(all), crashes)
	}
}

// withTraffic returns the windows of an index that have bytes: the ring of a process that was
// killed at its start has none.
func withTraffic(dir string) []oracle.Window {
	windows, err := oracle.ReadIndex(dir)
	if err != nil {
		return nil // not yet
	}
	return slices.DeleteFunc(windows, func(w oracle.Window) bool { return w.Seen == oracle.PerDirection{} })
}
