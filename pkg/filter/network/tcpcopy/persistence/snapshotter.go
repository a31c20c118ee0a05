package persistence

import (
	"fmt"
	"hash/maphash"
	"path/filepath"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
)

// maxSnapshots is how many windows may wait for their snapshots. Those that wait together
// share one look at the configuration.
const maxSnapshots = 1 << 10

// snapshotter writes the snapshots of windows that have ended, behind their index
// lines: how long a configuration takes is nobody's business but its own.
type snapshotter struct {
	store     *Store
	effective *snapshots
	static    *snapshots
	backlog   *backlog[string] // windows
}

func newSnapshotter(s *Store, effective, static *logdir.AppendLog) *snapshotter {
	seed := maphash.MakeSeed()
	n := &snapshotter{
		store:     s,
		effective: &snapshots{file: effective, source: s.host.Effective, seed: seed},
		static:    &snapshots{file: static, source: s.host.Static, seed: seed},
	}
	n.backlog = newBacklog(maxSnapshots, n.write)
	return n
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
	if waiting, ok := n.backlog.add(window); !ok {
		n.store.alert("snapshot", fmt.Errorf("window %s has none, because %d windows wait for theirs", window, waiting))
	}
}

// write writes the snapshots of windows.
func (n *snapshotter) write(windows []string, p *pace) {
	for _, s := range []*snapshots{n.effective, n.static} {
		if err := s.write(windows, n.store.host.Clock.Now(), p); err != nil {
			n.store.alert("snapshot", fmt.Errorf("%s: %w", filepath.Base(s.file.Path()), err))
		}
		s.file.DrainNames() // the index line has them
	}
}

// close lets the snapshots that wait be written for stopGrace. Those that are not
// written by then are skipped, with an alert. It is idempotent.
func (n *snapshotter) close() { n.backlog.close() }
