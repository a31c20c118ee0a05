package persistence

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// rolled deals with files that have been rolled: it names, compresses and
// removes them. What takes long is done by one goroutine, which is there while
// there are chores and which close stops and waits for.
type rolled struct {
	alert func(what string, err error)
	quota *quota
	ctx   context.Context
	stop  context.CancelFunc
	work  sync.WaitGroup // the goroutine

	mu   sync.Mutex // guards the rest
	busy bool       // there is the goroutine
	due  chores
}

// chores are what waits for the goroutine. Files may be rolled faster than they
// are compressed: what is asked for again is due once.
type chores struct {
	logs     map[string]Roll // by the path of the log that has been rolled
	segments []string        // paths of those that are complete and to be compressed
	expire   time.Duration   // age of the segments to be removed, 0 for none
}

func newRolled(quota *quota, alert func(string, error)) *rolled {
	r := &rolled{quota: quota, alert: alert}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// take renames the file at path to its rolled name, base-<time>.ext in local
// time, and returns that. The caller has locked the file, so nobody else renames
// one of that path meanwhile. Names that exist are never taken again.
func (r *rolled) take(path string, now time.Time) (string, error) {
	for {
		name := layout.Archive(path, now)
		if exists(name) || exists(name+layout.GzipExtension) {
			now = now.Add(layout.ArchiveResolution)
			continue
		}
		if err := r.quota.move(func() error { return os.Rename(path, name) }); err != nil {
			return "", fmt.Errorf("roll %s: %w", path, err)
		}
		return name, nil
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// tidy removes the rolled files of path that are too old or too many and
// compresses the others where that is wanted, in the background.
func (r *rolled) tidy(path string, roll Roll) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.due.logs == nil {
		r.due.logs = map[string]Roll{}
	}
	r.due.logs[path] = roll
	r.startLocked()
}

// startLocked sees to it that somebody does what is due.
func (r *rolled) startLocked() {
	if !r.busy {
		r.busy = true
		r.work.Add(1)
		go r.run()
	}
}

// run is the goroutine. It ends when nothing is due.
func (r *rolled) run() {
	defer r.work.Done()
	for {
		r.mu.Lock()
		now := r.due
		r.due = chores{}
		r.busy = now.logs != nil || now.segments != nil || now.expire > 0
		busy := r.busy
		r.mu.Unlock()
		if !busy {
			return
		}
		r.try(now)
	}
}

// try does chores. What a panic has kept it from is due again when the next file is
// rolled.
func (r *rolled) try(c chores) {
	defer recovered(r.alert, "the chores of rolling")
	if err := r.do(c); err != nil && r.ctx.Err() == nil {
		r.alert("roll", err)
	}
}

func (r *rolled) do(c chores) error {
	var errs []error
	for path, roll := range c.logs {
		errs = append(errs, r.tidyNow(path, roll, time.Now()))
	}
	if c.expire > 0 {
		errs = append(errs, r.quota.expire(layout.SegmentExtension, time.Now().Add(-c.expire)))
	}
	for _, path := range c.segments {
		errs = append(errs, r.compressNow(path))
	}
	return errors.Join(errs...)
}

func (r *rolled) tidyNow(path string, roll Roll, now time.Time) error {
	names, err := rolledFiles(path)
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
			errs = append(errs, r.compressNow(name))
		}
	}
	return errors.Join(append(errs, r.quota.gone(removed))...)
}

// tidySegments removes the segments of dir that are too old, whichever window they
// are of, and compresses those of that name where that is wanted, in the background.
func (r *rolled) tidySegments(dir string, roll Roll, names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due.expire = max(r.due.expire, roll.Age)
	if roll.Compress {
		for _, name := range names {
			r.due.segments = append(r.due.segments, filepath.Join(dir, name))
		}
	}
	r.startLocked()
}

// rolledFiles returns the files that path has been rolled to, newest first.
func rolledFiles(path string) ([]string, error) {
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

// compressNow replaces the file by its gzip form, name.gz. The old one stays when
// that fails or close is called; nothing happens when it is gone, or when another
// process is at it, as during a hot upgrade.
func (r *rolled) compressNow(name string) error {
	partial := name + layout.GzipExtension + layout.TemporaryExtension
	r.quota.protect(filepath.Base(name))
	r.quota.protect(filepath.Base(partial))
	defer r.quota.release(filepath.Base(name))
	defer r.quota.release(filepath.Base(partial))
	in, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	defer out.Close()
	// Who has the lock and the name that goes with it is alone with the file.
	if unix.Flock(int(out.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || !isAt(out, partial) {
		return nil
	}
	if err := r.replace(in, out); err != nil {
		_ = os.Remove(partial)
		return fmt.Errorf("compress %s: %w", name, err)
	}
	return nil
}

// replace writes in to out, compressed, and puts that in its place.
func (r *rolled) replace(in, out *os.File) error {
	if err := r.gzip(in, out); err != nil {
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
	if err := r.quota.move(func() error { return os.Rename(out.Name(), in.Name()+layout.GzipExtension) }); err != nil {
		return err
	}
	err = os.Remove(in.Name())
	if errors.Is(err, os.ErrNotExist) {
		return nil // another process has compressed it at the same time, and alike
	}
	if err != nil {
		return err
	}
	r.quota.note(-info.Size())
	return nil
}

// gzip writes in to out, compressed, as far as the quota lets it.
func (r *rolled) gzip(in, out *os.File) error {
	if err := out.Truncate(0); err != nil {
		return err
	}
	zip := gzip.NewWriter(&quotaWriter{r.quota, out})
	_, err := io.Copy(zip, &cancelReader{r.ctx, in})
	return errors.Join(err, zip.Close())
}

// isAt tells whether path is the name of file.
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
func (r *rolled) close() {
	r.stop()
	r.work.Wait()
}
