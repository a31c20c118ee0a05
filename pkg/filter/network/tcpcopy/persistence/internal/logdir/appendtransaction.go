package logdir

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/blockfile"
)

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
