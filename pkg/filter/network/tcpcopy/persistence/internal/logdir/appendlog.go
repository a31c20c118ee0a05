package logdir

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/clock"
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

	mu        sync.Mutex      // guards the rest; held between Begin and End
	file      *os.File        // nil until the first chunk and after a failure
	mem       []byte          // what transactions encode into; nil out of sessions
	blocks    *blockfile.File // file, while there is mem
	checked   bool            // the end of file has been looked at
	lastSize  int64           // size that this process has left the file with
	createdAt time.Time       // when the first line of the file was written, about
	overdue   bool            // the file was to be rolled when the transaction began, for its age
	backoff   backoff
	names     []string // base names that chunks have gone to since DrainNames
}

// Path returns the path of the file that is appended to.
func (a *AppendLog) Path() string { return a.folder.Join(a.name) }

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

// Begin implements Destination. The log must have memory.
func (a *AppendLog) Begin() (Transaction, error) {
	a.mu.Lock()
	now := a.clock.Now()
	err := ErrWaiting
	if a.backoff.ready(now) {
		if err = a.beginLocked(now); err != nil {
			a.failLocked(now, err)
		}
	}
	if err != nil {
		a.mu.Unlock()
		return nil, err
	}
	return appendTransaction{a}, nil
}

// beginLocked makes sure that a.blocks is the file of that name, locked and looked at.
func (a *AppendLog) beginLocked(now time.Time) error {
	size, err := a.lockLocked(now)
	if err != nil {
		return err
	}
	a.overdue = a.roll.overdue(a.createdAt, now)
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

// Retry implements FileDestination.
func (a *AppendLog) Retry() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.backoff.retry()
}

// TruncateUncommitted implements FileDestination. Archived files are whole: they were
// committed before. Another process may have appended since the one that was killed:
// its lines stay, and so do those before them, which come twice then.
func (a *AppendLog) TruncateUncommitted(inode, size uint64, window string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.folder.Has(a.name) {
		return nil
	}
	inode, err := a.folder.unshare(a.name, inode)
	if err != nil {
		return err
	}
	end, err := a.lockLocked(a.clock.Now())
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
		if !bytes.Contains(line[:min(len(line), MaxFields)], []byte("["+window+"]")) {
			a.info("%s: lines of window %s come twice, because another process wrote behind them", a.Path(), window)
			return nil
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			_, err = lines.ReadSlice('\n')
		}
	}
	return blockfile.Truncate(a.file, inode, size)
}

// MaxFields bounds the fields of a line before its payload, in bytes.
const MaxFields = 1 << 10

// appendTransaction is the Transaction of an AppendLog.
type appendTransaction struct{ log *AppendLog }

// Room implements Transaction.
func (t appendTransaction) Room(n int) ([]byte, error) {
	a := t.log
	if size := a.blocks.Size(); size > 0 && (a.overdue || a.roll.full(size, int64(n))) {
		return nil, ErrFull
	}
	return a.blocks.Room(n)
}

// Put implements Transaction.
func (t appendTransaction) Put(extended []byte) { t.log.blocks.Put(extended) }

// Commit implements Transaction.
func (t appendTransaction) Commit() error {
	a := t.log
	if a.blocks.Size() != a.blocks.Committed() {
		a.addNameLocked(a.name)
	}
	return a.blocks.Commit()
}

// Next implements FileTransaction: it rolls the file.
func (t appendTransaction) Next() error {
	now := t.log.clock.Now()
	if err := t.log.rollLocked(now); err != nil {
		return err
	}
	return t.log.beginLocked(now)
}

// Position implements FileTransaction.
func (t appendTransaction) Position() (inode, size uint64) {
	return t.log.blocks.Inode(), uint64(t.log.blocks.Committed())
}

// Abort implements Transaction.
func (t appendTransaction) Abort(err error) {
	a := t.log
	if a.blocks != nil {
		err = errors.Join(err, a.blocks.Rollback())
	}
	a.failLocked(a.clock.Now(), err)
}

// End implements Transaction.
func (t appendTransaction) End() {
	a := t.log
	if a.file != nil { // not aborted
		a.lastSize = a.blocks.Committed()
		_ = unix.Flock(int(a.file.Fd()), unix.LOCK_UN)
		a.succeedLocked()
	}
	a.mu.Unlock()
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
	if _, err := a.file.WriteAt(chunk, size); err != nil {
		// What was written of the chunk goes away again.
		return errors.Join(err, a.file.Truncate(size))
	}
	a.lastSize = size + int64(len(chunk))
	a.addNameLocked(a.name)
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
			if st, ok := open.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
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
			a.checked = err == nil
			return size, err
		}
		a.closeLocked() // rolled by another process, or removed
	}
}

// truncateTornLineLocked cuts off the incomplete line at the end of the file, if there
// is one: a process was killed while it wrote, or could not cut off what it had
// written of a chunk. It returns the size that remains.
func (a *AppendLog) truncateTornLineLocked(size int64) (int64, error) {
	const step = 64 << 10
	end := size
	for end > 0 {
		from := max(0, end-step)
		tail := make([]byte, end-from)
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
	if err := a.file.Truncate(end); err != nil {
		return 0, fmt.Errorf("cut the incomplete last line off %s: %w", a.Path(), err)
	}
	a.info("%s: an incomplete last line of %d bytes is cut off", a.Path(), size-end)
	return end, nil
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
	name, err := a.archive.rename(a.name, now)
	if err != nil {
		return err
	}
	if slices.Contains(a.names, a.name) {
		a.names = slices.DeleteFunc(a.names, func(n string) bool { return n == a.name })
		a.names = append(a.names, name)
	}
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

// addNameLocked adds a name for DrainNames.
func (a *AppendLog) addNameLocked(name string) {
	if !slices.Contains(a.names, name) {
		a.names = append(a.names, name)
	}
}

// DrainNames returns the base names of the files that chunks have gone to since the
// last call. One that has been rolled meanwhile has its archived name.
func (a *AppendLog) DrainNames() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := a.names
	a.names = nil
	return names
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
