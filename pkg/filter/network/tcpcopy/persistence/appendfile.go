package persistence

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/blockfile"
)

// Modes of what the recorder creates: payload is its owner's only.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// appendFile is a log file that takes whole chunks: a chunk is in the file
// entirely or not at all, and never in two files. A batch of records is taken in
// the same way as a chunk, see sink. Several goroutines may append,
// and several processes too, as they do during a hot upgrade: the file is locked
// for each chunk, and whoever finds that another has rolled it opens the new one.
type appendFile struct {
	path  string
	roll  Roll
	now   func() time.Time
	alert func(what string, err error) // the first failure in a row
	info  func(format string, args ...any)
	quota *quota
	aside *rolled // deals with the files that have been rolled

	mu      sync.Mutex      // guards the rest; held between begin and end
	file    *os.File        // nil until the first chunk and after a failure
	mem     []byte          // what batches are encoded into; nil out of sessions
	blocks  *blockfile.File // file, while there is mem
	checked bool            // the end of file has been looked at
	left    int64           // size that this process has left the file with
	born    time.Time       // when the first line of the file was written, about
	overdue bool            // the file was to be rolled when the batch began, for its age
	backoff backoff
	names   []string // base names that chunks have gone to since track
}

// use gives the file memory for batches, which it has until it is given nil.
func (a *appendFile) use(mem []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closeLocked()
	a.mem = mem
}

// begin implements sink.
func (a *appendFile) begin() error {
	a.mu.Lock()
	now := a.now()
	err := errWaiting
	if a.backoff.ready(now) {
		if err = a.beginLocked(now); err != nil {
			a.failLocked(now, err)
		}
	}
	if err != nil {
		a.mu.Unlock()
	}
	return err
}

// retry implements sink.
func (a *appendFile) retry() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.backoff.next = time.Time{}
}

// errWaiting says that a file is not tried because it has just failed.
var errWaiting = errors.New("waiting after a failure")

// beginLocked makes sure that a.blocks is the file at path, locked and looked at.
func (a *appendFile) beginLocked(now time.Time) error {
	size, err := a.lockLocked(now)
	if err != nil {
		return err
	}
	a.overdue = a.roll.overdue(a.born, now)
	if a.blocks == nil {
		if a.blocks, err = blockfile.Open(a.file, a.mem, blockfile.Options{Space: a.quota}); err != nil {
			return err
		}
	}
	if a.blocks.Committed() != size {
		return a.blocks.SetEnd(size)
	}
	return nil
}

// room implements sink.
func (a *appendFile) room(n int) (dst []byte, full bool, err error) {
	if size := a.blocks.Size(); size > 0 && (a.overdue || a.roll.full(size, int64(n))) {
		return nil, true, nil
	}
	dst, err = a.blocks.Room(n)
	return dst, false, err
}

// next implements sink: it rolls the file.
func (a *appendFile) next() error {
	now := a.now()
	if err := a.rollLocked(now); err != nil {
		return err
	}
	return a.beginLocked(now)
}

// place implements sink.
func (a *appendFile) place() (inode, size uint64) {
	return a.blocks.Inode(), uint64(a.blocks.Committed())
}

// put implements sink.
func (a *appendFile) put(dst []byte) { a.blocks.Put(dst) }

// commit implements sink.
func (a *appendFile) commit() error {
	if a.blocks.Size() != a.blocks.Committed() {
		a.noteLocked(filepath.Base(a.path))
	}
	return a.blocks.Commit()
}

// abort implements sink.
func (a *appendFile) abort(err error) {
	if a.blocks != nil {
		err = errors.Join(err, a.blocks.Rollback())
	}
	a.failLocked(a.now(), err)
}

// takeBack implements sink. Rolled files are whole: they were committed before.
// Another process may have appended since the one that was killed: its lines stay,
// and so do those before them, which come twice then.
func (a *appendFile) takeBack(inode, size uint64, window string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !exists(a.path) {
		return nil
	}
	end, err := a.lockLocked(a.now())
	if err != nil {
		return err
	}
	defer a.closeLocked()
	lines := bufio.NewReaderSize(io.NewSectionReader(a.file, int64(size), max(0, end-int64(size))), 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break // the end; what is left has no whole line
		}
		if !bytes.Contains(line[:min(len(line), lineRoom)], []byte("["+window+"]")) {
			a.info("%s: lines of window %s come twice, because another process wrote behind them", a.path, window)
			return nil
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			_, err = lines.ReadSlice('\n')
		}
	}
	return blockfile.Truncate(a.file, inode, size)
}

// end implements sink.
func (a *appendFile) end() {
	if a.file != nil { // not aborted
		a.left = a.blocks.Committed()
		_ = unix.Flock(int(a.file.Fd()), unix.LOCK_UN)
		a.workedLocked()
	}
	a.mu.Unlock()
}

// failLocked closes the file until the next try.
func (a *appendFile) failLocked(now time.Time, err error) {
	a.closeLocked()
	if a.backoff.failed(now) {
		a.alert("write", err)
	}
}

// append writes chunk, rolling the file before when it is due.
func (a *appendFile) append(chunk []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if !a.backoff.ready(now) {
		return fmt.Errorf("%s: %w", a.path, errWaiting)
	}
	if err := a.appendLocked(chunk, now); err != nil {
		a.failLocked(now, err)
		return err
	}
	a.workedLocked()
	return nil
}

// workedLocked notes a success. A commit alone is none: where the gaps since a
// failure find room, the batch behind them may not.
func (a *appendFile) workedLocked() {
	if a.backoff.worked() {
		a.info("%s is written again", a.path)
	}
}

func (a *appendFile) appendLocked(chunk []byte, now time.Time) error {
	if err := a.quota.Reserve(len(chunk)); err != nil {
		return err
	}
	defer a.quota.Release(len(chunk))
	size, err := a.lockLocked(now)
	if err != nil {
		return err
	}
	if a.roll.due(size, int64(len(chunk)), a.born, now) {
		if err := a.rollLocked(now); err != nil {
			return err
		}
		if size, err = a.lockLocked(now); err != nil {
			return err
		}
	}
	defer func() { _ = unix.Flock(int(a.file.Fd()), unix.LOCK_UN) }()
	if _, err := a.file.WriteAt(chunk, size); err != nil {
		// What was written of the chunk goes away again.
		return errors.Join(err, a.file.Truncate(size))
	}
	a.left = size + int64(len(chunk))
	a.noteLocked(filepath.Base(a.path))
	return nil
}

// lockLocked makes sure that a.file is the file at path, open and locked against
// other processes, and returns its size.
func (a *appendFile) lockLocked(now time.Time) (size int64, err error) {
	for {
		if a.file == nil {
			if err := a.openLocked(now); err != nil {
				return 0, err
			}
		}
		if err := unix.Flock(int(a.file.Fd()), unix.LOCK_EX); err != nil {
			return 0, fmt.Errorf("lock %s: %w", a.path, err)
		}
		open, err := a.file.Stat()
		if err != nil {
			return 0, err
		}
		if isAt(a.file, a.path) {
			if a.checked && open.Size() == a.left {
				return a.left, nil
			}
			// Another process has written here, and may have been killed at it.
			size, err := a.mendLocked(open.Size())
			a.checked = err == nil
			return size, err
		}
		a.closeLocked() // rolled by another process, or removed
	}
}

// mendLocked cuts off the incomplete line at the end of the file, if there is one:
// a process was killed while it wrote, or could not take back what it had written
// of a chunk. It returns the size that remains.
func (a *appendFile) mendLocked(size int64) (int64, error) {
	const step = 64 << 10
	end := size
	for end > 0 {
		from := max(0, end-step)
		tail := make([]byte, end-from)
		if _, err := a.file.ReadAt(tail, from); err != nil {
			return 0, fmt.Errorf("read the last line of %s: %w", a.path, err)
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
	if err := a.file.Truncate(end); err != nil {
		return 0, fmt.Errorf("cut the incomplete last line off %s: %w", a.path, err)
	}
	a.info("%s: an incomplete last line of %d bytes is cut off", a.path, size-end)
	return end, nil
}

func (a *appendFile) openLocked(now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(a.path), dirMode); err != nil {
		return err
	}
	f, err := os.OpenFile(a.path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Perm() != fileMode {
		err = f.Chmod(fileMode) // a file that an earlier implementation left
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	a.file, a.born, a.checked = f, now, false
	if info.Size() > 0 {
		a.born = info.ModTime()
	}
	return nil
}

// rollLocked renames the file, which the caller has locked.
func (a *appendFile) rollLocked(now time.Time) error {
	name, err := a.aside.take(a.path, now)
	if err != nil {
		return err
	}
	if slices.Contains(a.names, filepath.Base(a.path)) {
		a.names = slices.DeleteFunc(a.names, func(n string) bool { return n == filepath.Base(a.path) })
		a.names = append(a.names, filepath.Base(name))
	}
	a.closeLocked()
	a.aside.tidy(a.path, a.roll)
	return nil
}

// closeLocked closes the file, which also unlocks it.
func (a *appendFile) closeLocked() {
	if a.file != nil {
		if a.blocks != nil {
			a.blocks.Close()
			a.blocks = nil
		}
		_ = a.file.Close() // nothing is buffered that a failure could lose
		a.file = nil
	}
}

func (a *appendFile) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closeLocked()
}

func (a *appendFile) noteLocked(name string) {
	if !slices.Contains(a.names, name) {
		a.names = append(a.names, name)
	}
}

// track returns the base names that chunks have gone to since the last call.
func (a *appendFile) track() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := a.names
	a.names = nil
	return names
}

// holds returns the size of the file, and whether the next chunk goes behind others
// in it: false when the file is empty, missing or due to be rolled.
func (a *appendFile) holds(now time.Time) (size int64, more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	size, err := a.lockLocked(now)
	if err != nil {
		return 0, false
	}
	_ = unix.Flock(int(a.file.Fd()), unix.LOCK_UN)
	return size, size > 0 && !a.roll.due(size, 0, a.born, now)
}
