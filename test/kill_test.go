package test

import (
	"math/rand"
	"os"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/pkg/dump/layout"
)

// A killed process loses nothing that it had accepted: the next one writes it.
func TestNothingAcceptedIsLostByAKill(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skipf("no memory file system for the spool: %v", err)
	}
	kills := 10
	if testing.Short() || raceEnabled {
		kills = 3
	}
	for _, format := range []string{"hex_meta", "pcapng"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			server := upstream(t, answerExchanges)
			base := newBase(t)
			output := block{"output": block{"dir": dumpDir(base), "formats": []string{format}, "roll": "size=8 keep=1000"}}
			next := func() (*mosn, string) {
				address := freeAddress(t)
				filter := recorder(base, output, block{"buffer": block{"size": "256MiB"}})
				return start(t, base, configOf(server, mosnproc.NewListener("tcp", address, filter, mosnproc.TCPProxy()))), address
			}
			m, address := next()
			random := rand.New(rand.NewSource(int64(len(format))))
			for kill := range kills {
				id := m.open()
				taps := startTalkers(t, address, 64, int64(kill))
				// The kill comes at any moment: after a random number of answered bytes.
				moment := 1 + random.Int63n(4<<20)
				eventually(t, "some messages are answered", func() bool { return taps.bytes() >= moment })
				if err := m.Kill(); err != nil {
					t.Fatal(err)
				}
				taps.wait()
				m, address = next()
				eventually(t, "the killed process's window is in the index", func() bool {
					w, err := layout.ReadIndex(dumpDir(base) + "/" + layout.Index)
					return err == nil && len(w) > 0 && w[len(w)-1].Window == id
				})
				w := m.indexed(id)
				if !w.Recovered || w.Seen.In != w.Written.In+w.Lost.In || w.Seen.Out != w.Written.Out+w.Lost.Out {
					t.Errorf("kill %d: index line %+v", kill, w)
				}
				taps.compare(t, recordedStreams(t, m.dump, id))
			}
		})
	}
}
