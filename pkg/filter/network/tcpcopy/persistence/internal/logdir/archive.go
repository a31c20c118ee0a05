package logdir

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
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
	logs     map[string]Roll // by the path of the log that has been rolled
	segments []string        // paths of those that are complete and to be compressed
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

// rename gives the file at path its archived name, base-<time>.ext in local time,
// and returns that. The caller has locked the file, so nobody else renames one of
// that path meanwhile. Names that exist are never used again.
func (a *archive) rename(path string, now time.Time) (string, error) {
	for {
		name := layout.Archive(path, now)
		if exists(name) || exists(name+layout.GzipExtension) {
			now = now.Add(layout.ArchiveResolution)
			continue
		}
		if err := a.quota.whileUnseen(func() error { return os.Rename(path, name) }); err != nil {
			return "", fmt.Errorf("roll %s: %w", path, err)
		}
		return name, nil
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// logRolled has the archived files of path removed that are too old or too many, and
// the others compressed where that is wanted, in the background.
func (a *archive) logRolled(path string, roll Roll) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.due.logs == nil {
		a.due.logs = map[string]Roll{}
	}
	a.due.logs[path] = roll
	a.startLocked()
}

// segmentsFinished has the segments of dir removed that are too old, whichever window
// they are of, and those of these names compressed where that is wanted, in the
// background.
func (a *archive) segmentsFinished(dir string, roll Roll, names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due.expire = max(a.due.expire, roll.Age)
	if roll.Compress {
		for _, name := range names {
			a.due.segments = append(a.due.segments, filepath.Join(dir, name))
		}
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
	for path, roll := range due.logs {
		errs = append(errs, a.prune(path, roll, time.Now()))
	}
	if due.expire > 0 {
		errs = append(errs, a.quota.expire(layout.SegmentExtension, time.Now().Add(-due.expire)))
	}
	for _, path := range due.segments {
		errs = append(errs, a.compress(path))
	}
	return errors.Join(errs...)
}

// prune does for the archived files of path what logRolled promises.
func (a *archive) prune(path string, roll Roll, now time.Time) error {
	names, err := archivesOf(path)
	if err != nil {
		return err
	}
	var errs []error
	var removed []dumpFile
	for i, name := range names { // newest first
		info, err := os.Stat(name)
		if err != nil {
			continue // retention was faster
		}
		tooOld := roll.Age > 0 && now.Sub(info.ModTime()) > roll.Age
		tooMany := roll.Keep > 0 && i >= roll.Keep
		switch {
		case tooOld || tooMany:
			if err := os.Remove(name); err == nil {
				removed = append(removed, dumpFile{filepath.Base(name), info.Size(), info.ModTime()})
			} else if !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		case roll.Compress && layout.TrimGzip(name) == name:
			errs = append(errs, a.compress(name))
		}
	}
	return errors.Join(append(errs, a.quota.removed(removed))...)
}

// archivesOf returns the archives of the log at path, newest first.
func archivesOf(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, ok := layout.ParseArchive(layout.TrimGzip(e.Name()), filepath.Base(path)); ok {
			names = append(names, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	slices.Sort(names) // the names' times sort as text
	slices.Reverse(names)
	return names, nil
}

// compress replaces the file by its gzip form, name.gz. The old one stays when
// that fails or close is called; nothing happens when it is gone, or when another
// process is at it, as during a hot upgrade.
func (a *archive) compress(name string) error {
	partial := name + layout.GzipExtension + layout.TemporaryExtension
	a.quota.startWriting(filepath.Base(name))
	a.quota.startWriting(filepath.Base(partial))
	defer a.quota.stopWriting(filepath.Base(name))
	defer a.quota.stopWriting(filepath.Base(partial))
	in, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, FileMode)
	if err != nil {
		return err
	}
	defer out.Close()
	// Who has the lock and the name that goes with it is alone with the file.
	if unix.Flock(int(out.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || !isAt(out, partial) {
		return nil
	}
	if err := a.replace(in, out); err != nil {
		_ = os.Remove(partial)
		return fmt.Errorf("compress %s: %w", name, err)
	}
	return nil
}

// replace writes in to out, compressed, and puts that in its place.
func (a *archive) replace(in, out *os.File) error {
	if err := a.gzip(in, out); err != nil {
		return err
	}
	info, err := in.Stat()
	if err != nil {
		return err
	}
	// The age of the records counts, not that of the compressing.
	if err := os.Chtimes(out.Name(), info.ModTime(), info.ModTime()); err != nil {
		return err
	}
	if err := a.quota.whileUnseen(func() error { return os.Rename(out.Name(), in.Name()+layout.GzipExtension) }); err != nil {
		return err
	}
	err = os.Remove(in.Name())
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
	if err := out.Truncate(0); err != nil {
		return err
	}
	zip := gzip.NewWriter(&quotaWriter{a.quota, out})
	_, err := io.Copy(zip, &cancelReader{a.ctx, in})
	return errors.Join(err, zip.Close())
}

// isAt reports whether path is the name of file.
func isAt(file *os.File, path string) bool {
	open, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(open, there)
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
