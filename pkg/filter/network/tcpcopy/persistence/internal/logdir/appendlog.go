package logdir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/blockfile"
)

// AppendLog is a log file that chunks are appended to: a chunk is in the file
// entirely or not at all, and never in two files. Append writes one; a transaction
// writes several, encoded into the log's memory.
//
// Several goroutines may append, and several processes too, as they do during a hot
// upgrade: the file is locked for each chunk or transaction, and whoever finds that
// another process has rolled it opens the new one.
type AppendLog struct {
	folder  *folder
	name    string // base name
	roll    Roll
	clock   clock.Clock
	alert   func(what string, err error) // the first failure in a row
	info    func(format string, args ...any)
	quota   *quota // nil limits nothing
	archive *archive
	// wholeLine reports whether the end of the file is a line without its newline, which
	// stays; nil says never.
	wholeLine func(text []byte) bool

	mu        sync.Mutex      // guards the rest; held between Begin and End
	file      *os.File        // nil until the first chunk and after a failure
	mem       []byte          // what transactions encode into; nil out of sessions
	blocks    *blockfile.File // file, while there is mem
	checked   bool            // the end of file has been looked at
	lastSize  int64           // size that this process has left the file with
	createdAt time.Time       // when the first line of the file was written, about
	overdue   bool            // the file was to be rolled when the transaction began, for its age
	backoff   backoff
	names     fileNames // that chunks have gone to since DrainNames
	observe   func(FileNames)
}

// Path returns the path of the file that is appended to.
func (a *AppendLog) Path() string { return a.folder.Join(a.name) }

// Name returns the base name of the file that is appended to.
func (a *AppendLog) Name() string { return a.name }

// OpenToRead opens the file that is appended to, for reading. The caller closes it.
func (a *AppendLog) OpenToRead() (*os.File, error) { return a.folder.OpenToRead(a.name) }

// SetMemory gives the log page-aligned memory for transactions, which it has until it
// is given nil. The file is closed, and opened again when it is needed.
func (a *AppendLog) SetMemory(mem []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closeLocked()
	a.mem = mem
}

// failLocked closes the file until the next try.
func (a *AppendLog) failLocked(now time.Time, err error) {
	a.closeLocked()
	if a.backoff.failed(now) {
		a.alert("write", err)
	}
}

// Append writes chunk, whole lines, after rolling the file when it is due. It does not
// keep chunk. It returns ErrWaiting for a while after a failure.
func (a *AppendLog) Append(chunk []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	if !a.backoff.ready(now) {
		return fmt.Errorf("%s: %w", a.Path(), ErrWaiting)
	}
	if err := a.appendLocked(chunk, now); err != nil {
		a.failLocked(now, err)
		return err
	}
	a.succeedLocked()
	return nil
}

// succeedLocked counts a success. A commit alone is none: where the gaps since a
// failure find room, the batch behind them may not.
func (a *AppendLog) succeedLocked() {
	if a.backoff.succeeded() {
		a.info("%s is written again", a.Path())
	}
}

func (a *AppendLog) appendLocked(chunk []byte, now time.Time) error {
	if err := a.quota.Reserve(len(chunk)); err != nil {
		return err
	}
	defer a.quota.Release(len(chunk))
	size, err := a.lockLocked(now)
	if err != nil {
		return err
	}
	if a.roll.due(size, int64(len(chunk)), a.createdAt, now) {
		if err := a.rollLocked(now); err != nil {
			return err
		}
		if size, err = a.lockLocked(now); err != nil {
			return err
		}
	}
	defer func() { _ = unix.Flock(int(a.file.Fd()), unix.LOCK_UN) }()
	known := a.names.has(a.name)
	a.addNameLocked(a.name) // before: a killed process may have written
	if _, err := a.file.WriteAt(chunk, size); err != nil {
		if !known {
			a.names.drop(a.name)
			a.observeLocked()
		}
		// What was written of the chunk goes away again.
		return errors.Join(err, a.file.Truncate(size))
	}
	a.lastSize = size + int64(len(chunk))
	return nil
}

// lockLocked makes sure that a.file is the file of that name in the directory that is
// there now, open and locked against other processes, and returns its size.
func (a *AppendLog) lockLocked(now time.Time) (size int64, err error) {
	if err := a.folder.refresh(); err != nil {
		return 0, err
	}
	for {
		if a.file == nil {
			if err := a.openLocked(now); err != nil {
				return 0, err
			}
		}
		if err := unix.Flock(int(a.file.Fd()), unix.LOCK_EX); err != nil {
			return 0, fmt.Errorf("lock %s: %w", a.Path(), err)
		}
		open, err := a.file.Stat()
		if err != nil {
			return 0, err
		}
		if a.folder.Is(a.file, a.name) {
			if safedir.HasOtherNames(a.file) {
				// What is written would be in all places where the file has a name.
				a.info("%s is a hard link: the file has other names, and is rolled", a.Path())
				if err := a.rollLocked(now); err != nil {
					return 0, err
				}
				continue
			}
			if a.checked && open.Size() == a.lastSize {
				return a.lastSize, nil
			}
			// Another process has written here, and may have been killed at it.
			size, err := a.truncateTornLineLocked(open.Size())
			if errors.Is(err, errNoLines) {
				a.info("the last %d bytes of %s are no line: it is rolled", maxTornLine, a.Path())
				if err := a.rollLocked(now); err != nil {
					return 0, err
				}
				continue
			}
			a.checked = err == nil
			return size, err
		}
		a.rolledByOtherLocked()
		a.closeLocked() // rolled by another process, or removed
	}
}

// rolledByOtherLocked finds the archive that another process has made of the file.
func (a *AppendLog) rolledByOtherLocked() {
	if !a.names.has(a.name) {
		return
	}
	archives, err := a.folder.archivesOf(a.name)
	if err != nil {
		return
	}
	for _, f := range archives { // newest first
		if a.folder.Is(a.file, f.name) {
			a.names.replace(a.name, f.name)
			a.observeLocked()
			return
		}
	}
}

// maxTornLine is how far back the beginning of the last line is looked for, in bytes. The
// longest lines are those with a configuration.
const maxTornLine = 128 << 20

// errNoLines says that a file ends with more bytes without a newline than a line can have.
var errNoLines = errors.New("no lines")

// truncateTornLineLocked cuts off the incomplete line at the end of the file, if there
// is one: a process was killed while it wrote, or could not cut off what it had
// written of a chunk. It returns the size that remains, or errNoLines.
func (a *AppendLog) truncateTornLineLocked(size int64) (int64, error) {
	const step = 64 << 10
	end := size
	buf := make([]byte, min(size, step))
	for end > 0 {
		if size-end >= maxTornLine {
			return 0, errNoLines
		}
		from := max(0, end-step)
		tail := buf[:end-from]
		if _, err := a.file.ReadAt(tail, from); err != nil {
			return 0, fmt.Errorf("read the last line of %s: %w", a.Path(), err)
		}
		if at := bytes.LastIndexByte(tail, '\n'); at >= 0 {
			end = from + int64(at) + 1
			break
		}
		end = from
	}
	if end == size {
		return size, nil
	}
	if whole, err := a.endLineLocked(end, size); whole || err != nil {
		return size + 1, err
	}
	if err := a.file.Truncate(end); err != nil {
		return 0, fmt.Errorf("cut the incomplete last line off %s: %w", a.Path(), err)
	}
	a.info("%s: an incomplete last line of %d bytes is cut off", a.Path(), size-end)
	return end, nil
}

// endLineLocked writes the newline that is missing behind what the file has from start
// on, if that is a whole line.
func (a *AppendLog) endLineLocked(start, size int64) (whole bool, err error) {
	const most = 1 << 20
	if a.wholeLine == nil || size-start > most {
		return false, nil
	}
	text := make([]byte, size-start)
	if _, err := a.file.ReadAt(text, start); err != nil {
		return false, fmt.Errorf("read the last line of %s: %w", a.Path(), err)
	}
	if !a.wholeLine(text) {
		return false, nil
	}
	_, err = a.file.WriteAt([]byte("\n"), size)
	return true, err
}

func (a *AppendLog) openLocked(now time.Time) error {
	f, err := a.folder.OpenOrCreate(a.name)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return err
	}
	a.file, a.createdAt, a.checked = f, now, false
	if info.Size() > 0 {
		a.createdAt = info.ModTime()
	}
	return nil
}

// rollLocked renames the file, which the caller has locked.
func (a *AppendLog) rollLocked(now time.Time) error {
	planned := ""
	_, err := a.archive.rename(a.name, now, func(name string) {
		if !a.names.has(a.name) {
			return
		}
		planned = name
		// Where the process is killed now, either is true.
		a.names.replace(a.name, planned)
		a.names.add(a.name)
		a.observeLocked()
	})
	if err != nil {
		a.names.drop(planned)
		a.observeLocked()
		return err
	}
	a.names.drop(a.name)
	a.observeLocked()
	a.closeLocked()
	a.archive.logRolled(a.name, a.roll)
	return nil
}

// closeLocked closes the file, which also unlocks it.
func (a *AppendLog) closeLocked() {
	if a.file != nil {
		if a.blocks != nil {
			a.blocks.Close()
			a.blocks = nil
		}
		_ = a.file.Close() // nothing is buffered that a failure could lose
		a.file = nil
	}
}

// Pause keeps everybody from the log, without touching the file, until resume is
// called. Tests stand so for a disk that does not answer.
func (a *AppendLog) Pause() (resume func()) {
	a.mu.Lock()
	return a.mu.Unlock
}

func (a *AppendLog) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closeLocked()
}

// Size returns the size of the file in bytes, and whether a chunk at now follows
// others in it: more is false when the file is empty, due to be rolled or not to be
// read.
func (a *AppendLog) Size(now time.Time) (size int64, more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	size, err := a.lockLocked(now)
	if err != nil {
		return 0, false
	}
	_ = unix.Flock(int(a.file.Fd()), unix.LOCK_UN)
	return size, size > 0 && !a.roll.due(size, 0, a.createdAt, now)
}
