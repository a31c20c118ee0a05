package persistence

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// What may wait for a recovery in a spool directory. The newest spool always may. The
// sizes that count are those of the spools as they were made: of the pages, a spool that
// waits has only those that are needed.
const (
	maxWaitingOfDir = 8  // spools of one dump directory, and as many of those that are gone; together one spool's size at most
	maxWaiting      = 32 // spools in all; together maxWaitingSizes of the largest one's size at most
	maxWaitingSizes = 4
	// maxWaitingGone is how long a spool waits for a dump directory that is not there and
	// may be on a volume that comes back.
	maxWaitingGone = 24 * time.Hour
)

// waitingSpool is a spool that waits for a recovery.
type waitingSpool struct {
	*buffer.DeadSpool
	dir    string // its dump directory; "" for one that is gone
	opened time.Time
	bytes  int64  // that it has now
	size   int64  // that it was made with
	why    string // it is dropped, "" if it is not
}

// sweepSpools removes the files of a spool directory that are nobody's, gives back the
// unused pages of the spools that wait for a recovery, and drops the oldest of those that
// are too many. It touches nothing of a process that is alive: that has locked its spool.
// The result has the spools that were dropped.
func sweepSpools(dir string, config Config, host Host) (dropped []Recovered) {
	if host.Clock == nil {
		host.Clock = clock.System()
	}
	var waiting []*waitingSpool
	defer func() {
		for _, w := range waiting {
			if w.why == "" {
				w.Leave()
			}
		}
	}()
	if dir == "" {
		return nil
	}
	spools := safedir.Existing(dir)
	defer spools.Close()
	names, err := spools.Names()
	if err != nil {
		return nil // there has been no spool, or others may put files there
	}
	for _, name := range names {
		if filepath.Ext(name) != layout.SpoolExtension {
			continue
		}
		if w := inspectSpool(dir, name); w != nil {
			waiting = append(waiting, w)
		}
	}
	chooseDropped(waiting, host.Clock.Now())
	for _, w := range waiting {
		if w.why == "" {
			continue
		}
		if r, ok := w.drop(config, host); ok {
			dropped = append(dropped, r)
		}
	}
	return dropped
}

// inspectSpool returns the spool of that base name in dir if it waits for a recovery. If it
// is nobody's, it removes it.
func inspectSpool(dir, name string) *waitingSpool {
	s, err := buffer.LookAtSpoolFile(dir, name, spoolLimits())
	w := &waitingSpool{DeadSpool: s, opened: time.Time{}}
	switch {
	case s == nil:
		return nil // of a process that is alive, or no file of ours
	case isNobodys(s, err):
		s.Leave()
		if s, err = buffer.OpenSpoolFile(dir, name, spoolLimits()); s == nil {
			return nil
		}
		if isNobodys(s, err) {
			s.Remove()
		} else {
			s.Leave()
		}
		return nil
	case err == nil:
		// What cannot be given back now is tried again at the next start.
		_ = s.Trim(spoolLimits())
		w.opened, w.size = s.Header().Opened, s.Size()
	default: // of another version
		w.opened = s.Changed()
	}
	w.bytes, err = s.Blocks()
	if err != nil {
		s.Leave()
		return nil
	}
	w.size = max(w.size, w.bytes)
	switch w.dir = s.Header().Dir; stateOfDir(s.Header()) {
	case dirRemoved:
		w.dir, w.why = "", "its dump directory has been removed"
	case dirGone:
		w.dir = ""
	}
	return w
}

// isNobodys reports whether the process of a spool has died before it had a window. err is
// what opening the spool has returned.
func isNobodys(s *buffer.DeadSpool, err error) bool {
	return errors.Is(err, buffer.ErrNoHeader) || err == nil && !s.Begun()
}

// A dump directory may be there or not; for certain it has been removed where the
// directory that it was in is there, and it was no mount.
const (
	dirThere = iota
	dirGone
	dirRemoved
)

// stateOfDir returns which it is of the dump directory of a spool; dirThere if the file
// system does not answer: a window that is about to open waits for the answer.
func stateOfDir(h buffer.SpoolHeader) int {
	answer := make(chan int, 1)
	go func() { // ends when the file system answers
		_, err := os.Lstat(h.Dir)
		switch {
		case !errors.Is(err, os.ErrNotExist):
			answer <- dirThere
		case h.Parent != (buffer.FileID{}) && buffer.IDOf(filepath.Dir(h.Dir)) == h.Parent:
			answer <- dirRemoved
		default:
			answer <- dirGone
		}
	}()
	timeout := time.NewTimer(time.Second)
	defer timeout.Stop()
	select {
	case state := <-answer:
		return state
	case <-timeout.C:
		return dirThere
	}
}

// chooseDropped sets why of the spools that are to be dropped.
func chooseDropped(waiting []*waitingSpool, now time.Time) {
	slices.SortFunc(waiting, func(a, b *waitingSpool) int { return b.opened.Compare(a.opened) }) // the newest first
	groups := map[string][]*waitingSpool{}
	for _, w := range waiting {
		if w.why == "" && w.dir == "" && now.Sub(w.opened) > maxWaitingGone {
			w.why = fmt.Sprintf("its dump directory is gone, and its window was opened more than %v ago", maxWaitingGone)
		}
		groups[w.dir] = append(groups[w.dir], w)
	}
	for _, group := range groups {
		dropOldest(group, maxWaitingOfDir, 1)
	}
	dropOldest(waiting, maxWaiting, maxWaitingSizes)
}

// dropOldest sets why of those spools, the newest first, that are more than count, or
// together larger than so many of the largest.
func dropOldest(spools []*waitingSpool, count int, sizes int64) {
	if len(spools) == 0 {
		return
	}
	limit := sizes * slices.MaxFunc(spools, func(a, b *waitingSpool) int { return cmp.Compare(a.size, b.size) }).size
	var kept int
	var bytes int64
	for _, w := range spools {
		if w.why != "" {
			continue
		}
		if kept > 0 && (kept == count || bytes+w.bytes > limit) {
			w.why = fmt.Sprintf("%d newer ones with %d bytes wait for a recovery too, which is as much as may be", kept, bytes)
			continue
		}
		kept++
		bytes += w.bytes
	}
}

// drop removes the spool, which is given up. The index of its dump directory gets the
// window's line, if that directory is config's. ok is false if somebody else has the spool
// by now.
func (w *waitingSpool) drop(config Config, host Host) (r Recovered, ok bool) {
	path := w.Path()
	w.Leave()
	s, _ := buffer.OpenSpoolFile(filepath.Dir(path), filepath.Base(path), spoolLimits())
	if s == nil {
		return r, false
	}
	w.DeadSpool = s
	h := w.Header()
	r = Recovered{Spool: w.Path()}
	var left record.PerDirection
	if w.Readable() {
		for shard := range h.Workers {
			// What cannot be read is not counted.
			n, _, _ := w.Left(shard, spoolLimits())
			left = left.Plus(n)
		}
	}
	r.Err = fmt.Errorf("dropped, because %s: of window %s of run %s in %s, %d bytes in and %d bytes out were not written", w.why, h.Window, h.Run, h.Dir, left.In, left.Out)
	if w.dir == config.Dir && w.Readable() {
		line, err := giveUp(config, host, w.DeadSpool)
		r.Window, r.Err = line, errors.Join(r.Err, err)
		name := strings.TrimSuffix(filepath.Base(w.Path()), layout.SpoolExtension)
		dump := safedir.Existing(config.Dir)
		defer dump.Close()
		_ = dump.Remove(layout.SpoolPointerPrefix + name)
	}
	w.Remove()
	return r, true
}

// giveUp writes the index line of a window whose spool will not be recovered: what the
// spool has is lost.
func giveUp(config Config, host Host, s *buffer.DeadSpool) (line layout.WindowLine, err error) {
	session, err := openDead(config, host, s)
	if err != nil || session == nil {
		return line, err
	}
	defer session.closeDead()
	for i, p := range session.pipelines {
		if err := p.truncateUncommitted(); err != nil {
			return line, err
		}
		left, written, err := s.Left(i, spoolLimits())
		if err != nil {
			return line, err
		}
		source := p.source.(*deadShard)
		for _, dir := range record.Directions() {
			source.sum.Written.Add(dir, written.Of(dir))
			source.sum.Lost[dir][record.ReasonWriteError] += left.Of(dir)
		}
		source.close(source.sum.Connections)
	}
	line, written := session.store.finish(session, session.died(s.Header().Opened), true)
	if !written {
		return line, errors.New("the line of its window cannot be written to the index and is lost")
	}
	return line, nil
}
