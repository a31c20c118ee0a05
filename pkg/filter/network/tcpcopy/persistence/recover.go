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

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// Recovered is what one killed process had left.
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
	entries, err := os.ReadDir(config.Dir)
	if err != nil {
		return nil, err
	}
	var all []Recovered
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), layout.SpoolPointerPrefix) {
			continue
		}
		pointer := filepath.Join(config.Dir, entry.Name())
		s, err := openSpool(pointer)
		if r, found := recoverSpool(config, host, s, pointer, err); found {
			all = append(all, r)
		}
	}
	// A pointer goes with a directory that somebody removes; the spool does not.
	dir := config.spoolDir(0)
	if dir == "" {
		return all, nil
	}
	// Where somebody else may put files, none is ours for certain; and where no spool
	// has ever been, there is no directory.
	var orphans []os.DirEntry
	if ownersOnly(dir) == nil {
		if orphans, err = os.ReadDir(dir); err != nil {
			return all, err
		}
	}
	for _, entry := range orphans {
		if filepath.Ext(entry.Name()) != layout.SpoolExtension {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		s, err := openSpoolFile(path, "")
		if err != nil {
			continue // another directory's business, or that of a process which is alive
		}
		if s.header.Dir != config.Dir {
			s.leave()
			continue
		}
		if r, found := recoverSpool(config, host, s, path, nil); found {
			all = append(all, r)
		}
	}
	return all, nil
}

// recoverSpool recovers the spool s, which pointer stands for, unless err says why
// it cannot be read. found is false when there is nothing to say.
func recoverSpool(config Config, host Host, s *spool, pointer string, err error) (r Recovered, found bool) {
	switch {
	case errors.Is(err, errSpoolBusy):
		return r, false
	case errors.Is(err, os.ErrNotExist):
		_ = os.Remove(pointer) // the machine was started anew, or somebody tidied up
		return Recovered{Spool: pointer, Err: fmt.Errorf("its spool is gone: %w", err)}, true
	case err != nil:
		return Recovered{Spool: pointer, Err: err}, true
	}
	r = Recovered{Spool: s.file.Name()}
	config.Formats, config.Spool, host.Run = s.header.Formats, SpoolOff, s.header.Run
	host.Effective, host.Static = nil, nil // they are not the ones of that time
	store, err := open(config, host)
	if err != nil {
		s.leave()
		r.Err = err
		return r, true
	}
	defer store.Close()
	session, err := resumeSession(store, s)
	if err != nil {
		s.leave()
		r.Err = err
		return r, true
	}
	last, damage, err := session.resumeAll()
	if err != nil {
		session.memory.free()
		s.leave()
		r.Err = fmt.Errorf("kept for the next try: %w", err)
		return r, true
	}
	r.Err = damage
	closed := s.header.Opened
	if last > 0 {
		closed = time.Unix(0, last)
	}
	r.Window = store.finish(session, closed, true)
	session.memory.free()
	s.remove()
	return r, true
}

// resumeSession makes a session of what a spool holds, without goroutines.
func resumeSession(store *Store, s *spool) (*Session, error) {
	l := store.config.layout()
	l.workers, l.batch = s.header.Workers, s.header.Batch
	l.encoded = max(l.encoded, 4*maxRecord) // its records may be longer than ours
	mem, err := newMemory(len(store.config.Formats) * l.encoded)
	if err != nil {
		return nil, err
	}
	w := record.Window{ID: s.header.Window, Trigger: s.header.Trigger, Opened: s.header.Opened}
	session := newSession(store, w, l, mem, s)
	if session.segments != nil {
		err = session.segments.resume()
	}
	return session, err
}

// resumeAll deals with the batches of all shards that were not done, and returns
// the time of their last entry, nanoseconds since the Unix epoch. damage tells of
// entries that cannot be read. err says that something cannot be written now: the
// spool still has it then.
func (s *Session) resumeAll() (last int64, damage, err error) {
	// The files lose what was not committed before anything new comes behind it.
	for i, state := range s.spool.states {
		for _, k := range pendingBatches(state, state.account().number) {
			for j, o := range s.crew[i].outputs {
				if phase, place := state.batches[k].outputs[j].get(); phase == phaseBegun {
					if err := o.sink.takeBack(place.inode, place.size, s.window.ID); err != nil {
						return 0, nil, err
					}
				}
			}
		}
	}
	for i := range s.spool.states {
		t, damaged, err := s.resume(i)
		if err != nil {
			return 0, nil, err
		}
		last, damage = max(last, t), errors.Join(damage, damaged)
	}
	return last, damage, nil
}

// resume is resumeAll for one shard.
func (s *Session) resume(shard int) (last int64, damage, err error) {
	w, state := s.crew[shard], s.spool.states[shard]
	account := state.account()
	w.shard.tally, w.known = account.tally, account.tally.connections
	for _, i := range pendingBatches(state, account.number) {
		b := &batch{mem: s.spool.batchMemory(shard, i), state: &state.batches[i]}
		b.n = int(min(b.state.used.Load(), uint64(len(b.mem))))
		used := b.n
		b.n, last = b.wholeEntries()
		if b.n < used {
			damage = fmt.Errorf("shard %d of window %s: damaged after %d of %d bytes", shard, s.window.ID, b.n, used)
		}
		if !w.resume(b) {
			return 0, nil, fmt.Errorf("window %s: %d bytes of a batch cannot be written", s.window.ID, b.n)
		}
	}
	w.tellTraffic()
	t := &w.shard.tally
	t.connections = w.known
	for d := range t.seen {
		t.seen[d] = t.written[d]
		for r := range t.lost[d] {
			t.lost[d][r] = max(t.lost[d][r], state.losses[d][r].Load()) // since the last account, too
			t.seen[d] += t.lost[d][r]
		}
	}
	return last, damage, nil
}

// resume takes a batch to where the outputs do not have it yet. It is false when
// one of them does not take all of it.
func (w *worker) resume(b *batch) bool {
	w.introduce(b)
	for _, f := range w.flows {
		if f == nil || !f.again {
			continue
		}
		for i, format := range w.session.store.config.Formats {
			if format != FormatPcapng {
				f.opened |= 1 << i // the log has its opening from the earlier batch
			}
		}
	}
	w.missed = w.missed[:0]
	for i, o := range w.outputs {
		phase, place := b.state.outputs[i].get()
		if phase == phaseDone {
			continue
		}
		o.write(b, int(min(place.from, uint64(b.n))))
	}
	if len(w.missed) > 0 {
		return false
	}
	t := w.account(b)
	t.connections = w.known
	w.state.settle(b.state.number.Load(), &t)
	return true
}

// wholeEntries returns how many bytes of b's entries can be encoded, and the time
// of the last one.
func (b *batch) wholeEntries() (n int, last int64) {
	introduced := map[uint32]bool{}
	var e entry
	for n < b.n {
		next, ok := b.entry(n, &e)
		if !ok || e.dir > record.Out || e.reason >= record.NumReasons || e.slot > maxSlots {
			break
		}
		if e.kind == kindIntro {
			introduced[e.slot] = len(e.payload) >= 8
		}
		if !introduced[e.slot] || len(e.payload) < leastPayload[e.kind] {
			break
		}
		if e.kind == kindClose {
			delete(introduced, e.slot)
		}
		n, last = next, e.time
	}
	return n, last
}

// maxSlots bounds the connections of a shard at a time that a recovery believes.
const maxSlots = 1 << 24

// leastPayload is how many bytes the payload of a kind has at least.
var leastPayload = [256]int{kindIntro: 8, kindData: 1, kindGap: 8, kindClose: 16}

// pendingBatches returns which batches of a shard are not accounted for, in order.
func pendingBatches(state *shardState, done uint64) []int {
	var which []int
	for i := range state.batches {
		if b := &state.batches[i]; b.number.Load() > done && b.used.Load() > 0 {
			which = append(which, i)
		}
	}
	slices.SortFunc(which, func(a, b int) int {
		return cmp.Compare(state.batches[a].number.Load(), state.batches[b].number.Load())
	})
	return which
}
