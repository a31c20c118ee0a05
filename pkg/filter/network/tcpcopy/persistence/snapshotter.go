package persistence

import (
	"fmt"
	"hash/maphash"
	"path/filepath"
	"sync"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
)

// maxSnapshots is how many windows may wait for their snapshots. Those that wait together
// share one look at the configuration.
const maxSnapshots = 1 << 10

// snapshotter writes the snapshots of windows that have ended, behind their index lines
// and in a goroutine of its own: how long a configuration takes is nobody's business but
// its own.
type snapshotter struct {
	store     *Store
	effective *snapshots
	static    *snapshots
	closing   chan struct{}  // closed by close
	working   sync.WaitGroup // the goroutine; there is one while windows wait

	mu      sync.Mutex // guards the rest
	waiting []string   // windows
	running bool
	closed  bool
}

func newSnapshotter(s *Store, effective, static *logdir.AppendLog) *snapshotter {
	seed := maphash.MakeSeed()
	return &snapshotter{
		store:     s,
		effective: &snapshots{file: effective, source: s.host.Effective, seed: seed},
		static:    &snapshots{file: static, source: s.host.Static, seed: seed},
		closing:   make(chan struct{}),
	}
}

// names returns the base names of the files that a window's snapshots will be in.
func (n *snapshotter) names() (names []string) {
	for _, s := range []*snapshots{n.effective, n.static} {
		if s.source != nil {
			names = append(names, filepath.Base(s.file.Path()))
		}
	}
	return names
}

// add has the snapshots of a window written. It does not wait.
func (n *snapshotter) add(window string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) >= maxSnapshots || n.closed {
		n.store.alert("snapshot", fmt.Errorf("window %s has none, because %d windows wait for theirs", window, len(n.waiting)))
		return
	}
	n.waiting = append(n.waiting, window)
	if !n.running {
		n.running = true
		n.working.Add(1)
		go n.run()
	}
}

// run is the goroutine. It ends when no window waits.
func (n *snapshotter) run() {
	defer n.working.Done()
	p := &pace{closing: n.closing}
	for {
		n.mu.Lock()
		windows := n.waiting
		n.waiting = nil
		n.running = len(windows) > 0
		n.mu.Unlock()
		if len(windows) == 0 {
			return
		}
		for _, s := range []*snapshots{n.effective, n.static} {
			if err := s.write(windows, n.store.host.Clock.Now(), p); err != nil {
				n.store.alert("snapshot", fmt.Errorf("%s: %w", filepath.Base(s.file.Path()), err))
			}
			s.file.DrainNames() // the index line has them
		}
	}
}

// close lets the snapshots that wait be written for stopGrace. Those that are not
// written by then are skipped, with an alert. It is idempotent.
func (n *snapshotter) close() {
	n.mu.Lock()
	again := n.closed
	n.closed = true
	n.mu.Unlock()
	if !again {
		close(n.closing)
	}
	n.working.Wait()
}
