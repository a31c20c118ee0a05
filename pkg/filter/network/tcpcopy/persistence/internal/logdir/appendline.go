package logdir

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// AppendLine writes a line whose length is not known before: what write writes, and a
// newline. It rolls the file first if about expected bytes are too many for it. If write
// fails, nothing of the line stays, and AppendLine returns its error. The file is locked
// until write returns, so only a log that nobody else waits for may have such lines. It
// returns ErrWaiting for a while after a failure of the file.
func (a *AppendLog) AppendLine(expected int64, write func(*LineWriter) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	if !a.backoff.ready(now) {
		return fmt.Errorf("%s: %w", a.Path(), ErrWaiting)
	}
	w := &LineWriter{log: a}
	defer func() { a.quota.Release(w.reserved) }()
	err := a.lineLocked(w, expected, write)
	if w.fault != nil {
		a.failLocked(now, w.fault)
		return w.fault
	}
	if err == nil {
		a.succeedLocked()
	}
	return err
}

func (a *AppendLog) lineLocked(w *LineWriter, expected int64, write func(*LineWriter) error) error {
	now := a.clock.Now()
	begin, err := a.lockLocked(now)
	if err == nil && a.roll.due(begin, expected, a.createdAt, now) {
		if err = a.rollLocked(now); err == nil {
			begin, err = a.lockLocked(now)
		}
	}
	if err != nil {
		w.fault = err
		return err
	}
	defer func() {
		if a.file != nil {
			_ = unix.Flock(int(a.file.Fd()), unix.LOCK_UN)
		}
	}()
	w.at, w.first = begin, begin == 0
	err = write(w)
	if err == nil {
		_, err = w.Write([]byte("\n"))
	}
	if err != nil {
		// What was written of the line goes away again.
		if cut := a.file.Truncate(begin); cut != nil {
			w.fault = errors.Join(w.fault, cut)
		}
		return err
	}
	a.lastSize = w.at
	a.addNameLocked(a.name)
	return nil
}

// LineWriter writes a part of a line, in AppendLine's write only.
type LineWriter struct {
	log      *AppendLog
	first    bool
	at       int64
	reserved int
	fault    error // of the file, not of the one who writes
}

// First reports whether the line is the first of its file.
func (w *LineWriter) First() bool { return w.first }

// Write implements io.Writer. It reserves the space that it needs.
func (w *LineWriter) Write(part []byte) (int, error) {
	if w.fault == nil {
		w.fault = w.log.quota.Reserve(len(part))
		if w.fault == nil {
			w.reserved += len(part)
			_, w.fault = w.log.file.WriteAt(part, w.at)
		}
	}
	if w.fault != nil {
		return 0, w.fault
	}
	w.at += int64(len(part))
	return len(part), nil
}
