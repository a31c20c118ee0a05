package logdir

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// archive deals with the files that are complete: logs that have been rolled, and
// segments of windows that are closed. It names, compresses and removes them. What
// lasts long is done by one goroutine, which startLocked starts, which ends when
// nothing is due, and which close stops and waits for.
type archive struct {
	alert    func(what string, err error)
	panicked func(where string, value any, stack []byte)
	quota    *quota
	ctx      context.Context
	stop     context.CancelFunc
	work     sync.WaitGroup // the goroutine

	mu   sync.Mutex // guards the rest
	busy bool       // there is the goroutine
	due  housekeeping
}

// housekeeping is what waits for the goroutine. Files may be rolled faster than they
// are compressed: what is asked for again is due once.
type housekeeping struct {
	logs     map[string]Roll // by the name of the log that has been rolled
	segments []string        // names of those that are complete and to be compressed
	expire   time.Duration   // age of the segments to be removed, 0 for none
}

func newArchive(quota *quota, alert func(string, error)) *archive {
	a := &archive{quota: quota, alert: alert}
	a.panicked = func(where string, value any, stack []byte) {
		alert("panic", fmt.Errorf("in %s: %v\n%s", where, value, stack))
	}
	a.ctx, a.stop = context.WithCancel(context.Background())
	return a
}

// rename gives the file log its archived name, base-<time>.ext in local time, and
// returns that. It calls before with the name just before. The caller has locked the
// file, so nobody else renames one of that name meanwhile. Names that exist are never
// used again.
func (a *archive) rename(log string, now time.Time, before func(name string)) (string, error) {
	f := a.quota.folder
	for {
		name := layout.Archive(log, now)
		if f.Has(name) || f.Has(name+layout.GzipExtension) {
			now = now.Add(layout.ArchiveResolution)
			continue
		}
		before(name)
		if err := a.quota.whileUnseen(name, func() error { return f.Rename(log, name) }); err != nil {
			return "", fmt.Errorf("roll %s: %w", f.Join(log), err)
		}
		return name, nil
	}
}

// logRolled has the archived files of log removed that are too old or too many, and
// the others compressed where that is wanted, in the background.
func (a *archive) logRolled(log string, roll Roll) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.due.logs == nil {
		a.due.logs = map[string]Roll{}
	}
	a.due.logs[log] = roll
	a.startLocked()
}

// segmentsFinished has the segments of the directory removed that are too old, whichever window
// they are of, and those of these names compressed where that is wanted, in the
// background.
func (a *archive) segmentsFinished(roll Roll, names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due.expire = max(a.due.expire, roll.Age)
	if roll.Compress {
		a.due.segments = append(a.due.segments, names...)
	}
	a.startLocked()
}

// startLocked starts the goroutine if there is none.
func (a *archive) startLocked() {
	if !a.busy {
		a.busy = true
		a.work.Add(1)
		go a.loop()
	}
}

// loop is the goroutine. It ends when nothing is due.
func (a *archive) loop() {
	defer a.work.Done()
	for {
		a.mu.Lock()
		now := a.due
		a.due = housekeeping{}
		a.busy = now.logs != nil || now.segments != nil || now.expire > 0
		busy := a.busy
		a.mu.Unlock()
		if !busy {
			return
		}
		a.attempt(now)
	}
}

// attempt does what is due. What a panic has kept it from is due again when the next
// file is rolled.
func (a *archive) attempt(due housekeeping) {
	defer func() {
		// A fault of ours must not end the process.
		if p := recover(); p != nil {
			a.panicked("the housekeeping of archived files", p, debug.Stack())
		}
	}()
	if err := a.perform(due); err != nil && a.ctx.Err() == nil {
		a.alert("roll", err)
	}
}

func (a *archive) perform(due housekeeping) error {
	var errs []error
	for log, roll := range due.logs {
		errs = append(errs, a.prune(log, roll, time.Now()))
	}
	if due.expire > 0 {
		errs = append(errs, a.quota.expire(layout.SegmentExtension, time.Now().Add(-due.expire)))
	}
	for _, name := range due.segments {
		errs = append(errs, a.compress(name))
	}
	return errors.Join(errs...)
}

// prune does for the archived files of log what logRolled promises.
func (a *archive) prune(log string, roll Roll, now time.Time) error {
	archives, err := a.quota.folder.archivesOf(log)
	if err != nil {
		return err
	}
	var errs []error
	var old []dumpFile
	for i, f := range archives { // newest first
		tooOld := roll.Age > 0 && now.Sub(f.modified) > roll.Age
		tooMany := roll.Keep > 0 && i >= roll.Keep
		switch {
		case tooOld || tooMany:
			old = append(old, f)
		case roll.Compress && layout.TrimGzip(f.name) == f.name:
			errs = append(errs, a.compress(f.name))
		}
	}
	slices.Reverse(old)
	a.quota.removeAll(old)
	return errors.Join(errs...)
}

// archivesOf returns the archives of that log, newest first.
func (f *folder) archivesOf(log string) (archives []dumpFile, err error) {
	err = f.eachFile(func(name string) bool {
		_, ok := layout.ParseArchive(layout.TrimGzip(name), log)
		return ok
	}, func(files []dumpFile) { archives = append(archives, files...) })
	slices.SortFunc(archives, func(a, b dumpFile) int { return strings.Compare(b.name, a.name) }) // the names' times sort as text
	return archives, err
}

// compress replaces the file by its gzip form, name.gz. The old one stays when
// that fails or close is called; nothing happens when it is gone, or when another
// process is at it, as during a hot upgrade.
func (a *archive) compress(name string) error {
	folder := a.quota.folder
	partial := name + layout.GzipExtension + layout.TemporaryExtension
	a.quota.startWriting(name)
	a.quota.startWriting(partial)
	defer a.quota.stopWriting(name)
	defer a.quota.stopWriting(partial)
	in, err := folder.OpenToRead(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	// Who has the lock and the name that goes with it is alone with the file.
	if unix.Flock(int(in.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || !folder.Is(in, name) || a.busyElsewhere(partial) {
		return nil
	}
	out, err := folder.CreateAnew(partial) // what has the name is a killed process's
	if err != nil {
		return err
	}
	defer out.Close()
	if err := a.replace(name, in, partial, out); err != nil {
		_ = folder.Remove(partial)
		return fmt.Errorf("compress %s: %w", in.Name(), err)
	}
	return nil
}

// busyElsewhere reports whether a process of an earlier version is compressing into the
// file of that name: it has locked that one.
func (a *archive) busyElsewhere(partial string) bool {
	f, err := a.quota.folder.OpenToRead(partial)
	if err != nil {
		return false
	}
	defer f.Close() // which unlocks it
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
}

// replace writes in to out, compressed, and puts that in its place.
func (a *archive) replace(name string, in *os.File, partial string, out *os.File) error {
	// An earlier version heeds the lock of this one.
	if err := unix.Flock(int(out.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", out.Name(), err)
	}
	if err := a.gzip(in, out); err != nil {
		return err
	}
	info, err := in.Stat()
	if err != nil {
		return err
	}
	folder := a.quota.folder
	// The age of the records counts, not that of the compressing.
	if err := folder.SetModified(partial, info.ModTime()); err != nil {
		return err
	}
	compressed := name + layout.GzipExtension
	if err := a.quota.whileUnseen(compressed, func() error { return folder.Rename(partial, compressed) }); err != nil {
		return err
	}
	a.quota.making.Lock()
	defer a.quota.making.Unlock()
	err = folder.Remove(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // another process has compressed it at the same time, and alike
	}
	if err != nil {
		return err
	}
	a.quota.adjust(-info.Size())
	return nil
}

// gzip writes in to out, compressed, as far as the quota lets it.
func (a *archive) gzip(in, out *os.File) error {
	zip := gzip.NewWriter(&quotaWriter{a.quota, out})
	_, err := io.Copy(zip, &cancelReader{a.ctx, in})
	return errors.Join(err, zip.Close())
}

// cancelReader reads from r until ctx ends.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// close stops what runs in the background and waits for it.
func (a *archive) close() {
	a.stop()
	a.work.Wait()
}
