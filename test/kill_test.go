package test

import (
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
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

// The index line of a killed process is as true as that of one which was not: after the
// same traffic, killed at various points, each field is compared.
func TestTheLineOfAKilledProcessIsAsTrueAsAnother(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skipf("no memory file system for the spool: %v", err)
	}
	for _, format := range []string{"hex_meta", "pcapng"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			const quiet = 1200 * time.Millisecond
			server := upstream(t, echo)
			base := newBase(t)
			output := block{"output": block{"dir": dumpDir(base), "formats": []string{format}, "roll": "size=1 keep=1000"}}
			var first, second string
			next := func() *mosn {
				first, second = freeAddress(t), freeAddress(t)
				filter := recorder(base, output)
				return start(t, base, configOf(server, mosnproc.NewListener("one", first, filter, mosnproc.TCPProxy()), mosnproc.NewListener("two", second, filter, mosnproc.TCPProxy())))
			}
			talk := func() {
				for _, address := range []string{first, second} {
					sendOnce(t, address, strings.Repeat("0123456789abcdef", 40_000))
				}
			}
			const passed = 2 * 16 * 40_000 // of each direction
			settled := func(m *mosn) {
				eventually(t, "all is written", func() bool {
					a := m.account()
					return a.Written.In == passed && a.Written.Out == passed
				})
			}
			m := next()
			id := m.open()
			talk()
			settled(m)
			want := m.close(id)
			for _, point := range []string{"no traffic", "after a quiet second", "while it writes"} {
				// The log of this window begins with it.
				m.Kill() //nolint:errcheck // it is gone in any case
				for _, name := range mustList(t, m.dump) {
					if strings.HasSuffix(name, ".log") || strings.HasSuffix(name, ".pcapng") {
						if err := os.Remove(filepath.Join(m.dump, name)); err != nil {
							t.Fatal(err)
						}
					}
				}
				m = next()
				opened := time.Now()
				id := m.open()
				ports := []string{first[strings.LastIndex(first, ":")+1:], second[strings.LastIndex(second, ":")+1:]}
				slices.Sort(ports)
				if point != "no traffic" {
					talk()
				}
				if point == "after a quiet second" {
					settled(m)
				}
				if point != "while it writes" {
					<-time.NewTimer(quiet).C // the length of the window says it
				}
				if err := m.Kill(); err != nil {
					t.Fatal(err)
				}
				died := time.Since(opened)
				files := mustList(t, m.dump)
				m = next()
				eventually(t, "the killed process's window is in the index", func() bool {
					_, err := oracle.FindWindow(m.dump, id)
					return err == nil
				})
				got := m.indexed(id)
				if !got.Recovered || got.Trigger != want.Trigger || got.Run == "" || got.Run == want.Run {
					t.Errorf("%s: %+v", point, got)
				}
				if length := got.Closed.Sub(got.Opened); length > died+200*time.Millisecond || point != "while it writes" && length < quiet-500*time.Millisecond {
					t.Errorf("%s: the window is %v long, the process died after %v", point, length, died)
				}
				if point == "no traffic" {
					if len(got.Ports)+len(got.Files)+got.Connections > 0 || got.Seen.In > 0 {
						t.Errorf("%s: %+v", point, got)
					}
					continue
				}
				if !slices.Equal(got.Ports, ports) {
					t.Errorf("%s: ports %q, want %q", point, got.Ports, ports)
				}
				if point == "after a quiet second" {
					if got.Connections != want.Connections || got.Seen != want.Seen || got.Written != want.Written || got.Lost != want.Lost || len(got.LostBy) != len(want.LostBy) {
						t.Errorf("%s: %+v, want the accounts of %+v", point, got, want)
					}
				}
				if len(got.Removed) > 0 {
					t.Errorf("%s: removed %q", point, got.Removed)
				}
				for _, name := range files {
					ours := strings.HasPrefix(name, "dump_tcp_copy") || strings.HasSuffix(name, ".pcapng")
					if listed := slices.Contains(got.Files, name); ours && !listed {
						t.Errorf("%s: %s is not among the files %q", point, name, got.Files)
					}
				}
			}
		})
	}
}

// mustList returns the names of the files in a directory.
func mustList(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
