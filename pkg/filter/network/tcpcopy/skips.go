package tcpcopy

import (
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/record"
)

// skipEvery is how often lines of skipped windows are added to the index: windows that
// are skipped for the same reason in that time are one line.
const skipEvery = 10 * time.Minute

// maxWhy bounds the reason in words in a line of the index, bytes.
const maxWhy = 1 << 10

// skipLog adds scheduled windows that did not open to the index, so that it says later
// why there is no record of that time. Whoever asked for a window has had the answer.
// Nobody waits for the disk: a goroutine writes, one at a time. What waits is bounded,
// because it is one Skip for each reason.
type skipLog struct {
	store    func() *persistence.Store // the one in force; nil for none
	panicked func(where string, value any, stack []byte)
	clock    clock.Clock

	mu      sync.Mutex    // guards the rest
	waiting []record.Skip // not written yet, one for each reason, by First
	written time.Time     // when the last ones were written; zero before
	done    chan struct{} // closed by the goroutine that writes; nil while there is none
}

// add adds a window that did not open. It does not wait.
func (l *skipLog) add(s record.Skip) {
	if s.Trigger != record.TriggerSchedule {
		return
	}
	if len(s.Why) > maxWhy {
		s.Why = strings.ToValidUTF8(s.Why[:maxWhy], "") + "…"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mergeLocked(s)
	if now := l.clock.Now(); l.written.IsZero() || now.Sub(l.written) >= skipEvery || now.Before(l.written) {
		l.beginLocked()
	}
}

// mergeLocked adds s to what waits.
func (l *skipLog) mergeLocked(s record.Skip) {
	for i := range l.waiting {
		if l.waiting[i].Continues(&s) {
			l.waiting[i].Add(&s)
			return
		}
	}
	l.waiting = append(l.waiting, s)
}

// flush writes what waits. It does not wait.
func (l *skipLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beginLocked()
}

// beginLocked starts the goroutine that writes what waits, unless one is running.
func (l *skipLog) beginLocked() {
	if l.done != nil || len(l.waiting) == 0 {
		return
	}
	store := l.store()
	if store == nil {
		return
	}
	skips, done := l.waiting, make(chan struct{})
	l.waiting, l.written, l.done = nil, l.clock.Now(), done
	go func() { // ends when the disk answers; wait waits for it
		defer close(done)
		if l.write(store, skips) != nil {
			l.keep(skips)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.done = nil
	}()
}

func (l *skipLog) write(store *persistence.Store, skips []record.Skip) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.panicked("writing skipped windows", p, debug.Stack())
		}
	}()
	return store.WriteSkips(skips)
}

// keep puts skips that could not be written before those that have come since.
func (l *skipLog) keep(skips []record.Skip) {
	l.mu.Lock()
	defer l.mu.Unlock()
	since := l.waiting
	l.waiting = skips
	for _, s := range since {
		l.mergeLocked(s)
	}
}

// wait returns when what is being written now is written.
func (l *skipLog) wait() {
	l.mu.Lock()
	done := l.done
	l.mu.Unlock()
	if done != nil {
		<-done
	}
}
