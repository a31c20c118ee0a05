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
	"strings"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
)

// rolled deals with files that have been rolled: it names, compresses and
// removes them. Compressing runs in one goroutine at a time, which close stops
// and waits for.
type rolled struct {
	alert func(what string, err error)
	ctx   context.Context
	stop  context.CancelFunc

	mu   sync.Mutex // held while files are tidied
	work sync.WaitGroup
}

func newRolled(alert func(string, error)) *rolled {
	r := &rolled{alert: alert}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// take renames the file at path to its rolled name, base-<time>.ext in local
// time, and returns that. Names that exist are never taken again.
func (r *rolled) take(path string, now time.Time) (string, error) {
	ext := filepath.Ext(path)
	base := strings.TrimSuffix(path, ext)
	for {
		name := base + "-" + now.Local().Format(dump.RolledTimeFormat) + ext
		// A hard link fails where the name exists, which a rename does not.
		err := os.Link(path, name)
		if errors.Is(err, os.ErrExist) || exists(name+".gz") {
			if err == nil {
				_ = os.Remove(name)
			}
			now = now.Add(time.Millisecond)
			continue
		}
		if err != nil {
			return "", fmt.Errorf("roll %s: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
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
	r.work.Add(1)
	go func() {
		defer r.work.Done()
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := r.tidyNow(path, roll, time.Now()); err != nil && r.ctx.Err() == nil {
			r.alert("roll", err)
		}
	}()
}

func (r *rolled) tidyNow(path string, roll Roll, now time.Time) error {
	names, err := rolledFiles(path)
	if err != nil {
		return err
	}
	var errs []error
	for i, name := range names { // newest first
		info, err := os.Stat(name)
		if err != nil {
			continue // retention was faster
		}
		tooOld := roll.Age > 0 && now.Sub(info.ModTime()) > roll.Age
		tooMany := roll.Keep > 0 && i >= roll.Keep
		switch {
		case tooOld || tooMany:
			errs = append(errs, os.Remove(name))
		case roll.Compress && !strings.HasSuffix(name, ".gz"):
			errs = append(errs, compress(r.ctx, name))
		}
	}
	return errors.Join(errs...)
}

// compress compresses files of dir in the background.
func (r *rolled) compress(dir string, names []string) {
	r.work.Add(1)
	go func() {
		defer r.work.Done()
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, name := range names {
			if err := compress(r.ctx, filepath.Join(dir, name)); err != nil && r.ctx.Err() == nil && !errors.Is(err, os.ErrNotExist) {
				r.alert("compress", err)
			}
		}
	}()
}

// rolledFiles returns the files that path has been rolled to, newest first.
func rolledFiles(path string) ([]string, error) {
	ext := filepath.Ext(path)
	base := filepath.Base(strings.TrimSuffix(path, ext)) + "-"
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		stamp, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".gz"), base)
		if !ok {
			continue
		}
		if stamp, ok = strings.CutSuffix(stamp, ext); !ok {
			continue
		}
		if _, err := time.Parse(dump.RolledTimeFormat, stamp); err == nil {
			names = append(names, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	slices.Sort(names) // the names' times sort as text
	slices.Reverse(names)
	return names, nil
}

// compress replaces the file by its gzip form, name.gz. The old one stays when
// that fails or ctx ends.
func compress(ctx context.Context, name string) (err error) {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	partial := name + ".gz.tmp"
	out, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(partial)
		}
	}()
	zip := gzip.NewWriter(out)
	_, err = io.Copy(zip, &cancelReader{ctx, in})
	err = errors.Join(err, zip.Close(), out.Close())
	if err != nil {
		return fmt.Errorf("compress %s: %w", name, err)
	}
	// The age of the records counts, not that of the compressing.
	err = errors.Join(os.Chtimes(partial, info.ModTime(), info.ModTime()), os.Rename(partial, name+".gz"))
	if err != nil {
		return err
	}
	return os.Remove(name)
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
