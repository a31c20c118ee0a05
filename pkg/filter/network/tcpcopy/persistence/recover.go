package persistence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// Recovered is a window that a killed process had left.
type Recovered struct {
	Spool  string            // its file
	Window layout.WindowLine // the line that the index has now
	Err    error             // why nothing, or not all, could be written
}

// Recover writes what killed processes have left of config's directory: the
// records that they had accepted and not yet written, and the index lines of the
// windows that were open. Spools of processes that are alive are left alone, and
// so are those that cannot be written now.
func Recover(config Config, host Host) ([]Recovered, error) {
	dump := safedir.Existing(config.Dir)
	defer dump.Close()
	entries, err := dump.Names()
	if err != nil {
		return nil, err
	}
	slices.Sort(entries)
	var all []Recovered
	for _, name := range entries {
		if !strings.HasPrefix(name, layout.SpoolPointerPrefix) {
			continue
		}
		s, err := buffer.OpenSpool(dump, name, spoolLimits())
		if errors.Is(err, os.ErrNotExist) {
			if !dump.Has(name) {
				continue // another process has recovered it meanwhile, or has ended
			}
			_ = dump.Remove(name) // the machine was started anew, or somebody tidied up
		}
		all = append(all, recoverSpool(config, host, s, dump.Join(name), err)...)
	}
	// A pointer goes with a directory that somebody removes; the spool does not.
	dir := config.spoolDir(0)
	if dir == "" {
		return all, nil
	}
	spools := safedir.Existing(dir)
	defer spools.Close()
	// Where somebody else may put files, none is ours for certain; and where no spool
	// has ever been, there is no directory.
	if spools.Open() != nil {
		return all, nil
	}
	orphans, err := spools.Names()
	if err != nil {
		return all, err
	}
	slices.Sort(orphans)
	for _, name := range orphans {
		if filepath.Ext(name) != layout.SpoolExtension {
			continue
		}
		if slices.ContainsFunc(all, func(r Recovered) bool { return r.Spool == spools.Join(name) }) {
			continue // its pointer has led to it
		}
		if !isSpoolOf(dir, name, config.Dir) {
			continue // another directory's business, or that of a process which is alive
		}
		s, err := buffer.OpenSpoolFile(dir, name, spoolLimits())
		if errors.Is(err, os.ErrNotExist) {
			continue // somebody else has recovered it meanwhile
		}
		all = append(all, recoverSpool(config, host, s, spools.Join(name), err)...)
	}
	return all, nil
}

// isSpoolOf reports whether the file of that base name in dir is what a killed process
// has left of the dump directory at dump.
func isSpoolOf(dir, name, dump string) bool {
	s, err := buffer.LookAtSpoolFile(dir, name, spoolLimits())
	if s == nil {
		return false
	}
	defer s.Leave()
	return err == nil && s.Header().Dir == dump
}

// recoverSpool recovers the spool s, which pointer stands for, unless err says why
// it cannot be read. There is nothing to say of a spool that nobody has used.
func recoverSpool(config Config, host Host, s *buffer.DeadSpool, pointer string, err error) []Recovered {
	switch {
	case errors.Is(err, buffer.ErrSpoolBusy):
		return nil
	case errors.Is(err, os.ErrNotExist):
		return []Recovered{{Spool: pointer, Err: fmt.Errorf("its spool is gone: %w", err)}}
	case err != nil:
		if s != nil {
			s.Leave()
		}
		return []Recovered{{Spool: pointer, Err: err}}
	case !s.Begun():
		s.Remove()
		return nil
	}
	windows, err := deadWindows(s)
	if err != nil {
		s.Leave()
		return []Recovered{{Spool: s.Path(), Err: err}}
	}
	var all []Recovered
	kept := false
	for _, w := range windows {
		r, again, found := recoverWindow(config, host, s, w)
		if found {
			all = append(all, r)
		}
		kept = kept || again
	}
	if kept {
		s.Leave()
	} else {
		s.Remove()
	}
	return all
}

// deadWindow is a window that a killed process had open, or what its ring held.
type deadWindow struct {
	record.Window
	session int // of the spool
	// selection is of the spool's entries; nil means all.
	selection *selection
}

// deadWindows returns the windows that a spool has, the one that the ring itself is written
// as last.
func deadWindows(s *buffer.DeadSpool) (all []deadWindow, err error) {
	h := s.Header()
	header := record.Window{ID: h.Window, Trigger: h.Trigger, Opened: h.Opened, Unguarded: h.Guard == record.GuardOff}
	for session := range h.Sessions {
		if h.Sessions > 1 && !s.InUse(session) {
			continue
		}
		if w := windowOf(s.Window(session)); h.Sessions > 1 && w != nil {
			all = append(all, deadWindow{
				Window: record.Window{
					ID: w.ID, Trigger: w.Trigger, Opened: w.Opened, Unguarded: w.Guard == record.GuardOff, Cause: w.Cause, AskedBefore: w.AskedBefore,
				},
				session: session, selection: &selection{scope: w.Scope, since: w.Since, until: s.Window(session).Closed()},
			})
			continue
		}
		w := deadWindow{Window: header, session: session}
		if h.Sessions > 1 {
			if !h.Crash || session != h.Sessions-1 {
				continue // the process was killed before the session had begun
			}
			since, err := s.BeginCrash(spoolLimits())
			if err != nil {
				return nil, err
			}
			w.selection = &selection{since: since}
			if since > 0 {
				w.Opened = time.Unix(0, since)
			}
		}
		all = append(all, w)
	}
	return all, nil
}

// recoverWindow writes one window of a spool. again says that something cannot be written
// now: the spool still has it then. found is false when there is nothing to say.
func recoverWindow(config Config, host Host, s *buffer.DeadSpool, w deadWindow) (r Recovered, again, found bool) {
	r = Recovered{Spool: s.Path()}
	session, err := openDead(config, host, s, w)
	switch {
	case err != nil:
		r.Err = err
		return r, true, true
	case session == nil:
		return r, false, false
	}
	defer session.closeDead()
	closed, damage, err := session.writeDead()
	if err != nil {
		r.Err = fmt.Errorf("kept for the next try: %w", err)
		return r, true, true
	}
	r.Err = errors.Join(s.Damage(), damage)
	line, written := session.store.finish(session, session.died(closed), true)
	r.Window = line
	if !written {
		r.Err = errors.Join(r.Err, errors.New("kept for the next try: the line of its window cannot be written to the index"))
	}
	return r, !written, true
}

// openDead opens a window that a spool has: a session with a store of its own, for
// closeDead. The session is nil where the index has the window's line already: the process
// was killed between the line and the removal of the spool, and all that comes before the
// line was done.
func openDead(config Config, host Host, s *buffer.DeadSpool, w deadWindow) (*Session, error) {
	h := s.Header()
	config.Formats, config.Spool, host.Run = formatsOf(h.Formats), SpoolOff, h.Run
	host.Effective, host.Static = nil, nil // they are not the ones of that time
	store, err := open(config, host)
	if err != nil {
		return nil, err
	}
	if layout.IndexHas(filepath.Join(config.Dir, layout.Index), w.ID, h.Run, w.Opened) {
		store.Close()
		return nil, nil
	}
	session, err := deadSession(store, s, w)
	if err != nil {
		store.Close()
		return nil, err
	}
	return session, nil
}

// closeDead ends what openDead has returned.
func (s *Session) closeDead() {
	s.memory.Free()
	s.store.Close()
}

// deadSession makes a session of a window that a spool holds: its sources are the spool's
// shards.
func deadSession(store *Store, s *buffer.DeadSpool, w deadWindow) (*Session, error) {
	h := s.Header()
	l := store.config.sizes()
	l.Shards, l.Batch = h.Workers, h.Batch
	l.encoded = max(l.encoded, 4*maxRecord) // its records may be longer than ours
	encoded := len(store.config.Formats) * l.encoded
	mem, err := buffer.NewMemory(encoded)
	if err != nil {
		return nil, err
	}
	session := newSession(store, w.Window, l, mem, s.Window(w.session))
	session.selection = w.selection
	reserve := store.room(nil).reserve(encoded, "the recovery of window "+w.ID)
	session.contents.load()
	stored := session.contents.stored()
	for _, log := range session.appenders() {
		log.Adopt(stored.Logs[log.Name()])
	}
	if session.segments != nil {
		session.segments.Resume(stored.Segments)
	}
	session.observeSegments()
	for i := range h.Workers {
		session.pipelines = append(session.pipelines, newPipeline(session, newDeadShard(s, w.session, i, reserve), i))
	}
	return session, nil
}

// writeDead writes the batches that a killed process had not done, and returns the
// time of their last entry, or that of the window's opening. damage names the entries
// that cannot be read. err says that something cannot be written now: the spool still
// has it then.
func (s *Session) writeDead() (last time.Time, damage, err error) {
	for _, p := range s.pipelines {
		if err := p.truncateUncommitted(); err != nil {
			return last, nil, err
		}
	}
	last = s.window.Opened
	for _, p := range s.pipelines {
		source := p.source.(*deadShard)
		if err := p.writeAll(); err != nil {
			return last, nil, err
		}
		damage = errors.Join(damage, source.damage)
		if t := time.Unix(0, source.last); source.last != 0 && t.After(last) {
			last = t
			s.contents.alive(source.last) // also for another try, which has no entries any more
			source.save()
		}
	}
	return last, damage, nil
}

// truncateUncommitted makes the files lose what of a dead shard's batches was not
// committed, before anything new comes after it.
func (p *pipeline) truncateUncommitted() error {
	for _, b := range p.source.(*deadShard).batches {
		for _, o := range p.outputs {
			phase, position := b.Output(o.index)
			if phase != buffer.PhaseBegun {
				continue
			}
			if err := o.files.TruncateUncommitted(position.Inode, position.Size, p.session.window.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeAll writes the batches of a dead shard and accounts for them. It stops at one
// that a file does not accept entirely.
func (p *pipeline) writeAll() error {
	source := p.source.(*deadShard)
	p.flows.known, p.flows.resumed = source.sum.Connections, true
	if p.session.selection != nil {
		p.flows.began = source.reader.Began()
	}
	for b := source.next(); b != nil; b = source.next() {
		if p.write(b); len(p.rejected) > 0 {
			return errNotWritten(p.session.window.ID, b)
		}
		p.account(b)
	}
	if source.err != nil {
		return source.err
	}
	p.flush()
	source.close(p.flows.known)
	return nil
}
