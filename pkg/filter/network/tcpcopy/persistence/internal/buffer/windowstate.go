package buffer

import (
	"sync/atomic"
	"unsafe"
)

// WindowState is what a recovery must know of a window beside its shards, so that the
// window's line in the index has all that it would have had. It lies in the spool: its
// memory image is the spool's format.
//
// One goroutine at a time stores a text. All else may be called by several.
type WindowState struct {
	alive  atomic.Int64
	closed atomic.Int64
	// stored counts the texts that were stored; the last one is texts[stored%2].
	stored atomic.Uint64
	texts  [2]windowText
}

// MaxWindowText is how many bytes of text a WindowState has room for.
const MaxWindowText = 64<<10 - 8

// windowText is a text with its length in bytes.
type windowText struct {
	length uint64
	text   [MaxWindowText]byte
}

// windowStateSize is the bytes of a WindowState in the spool, a multiple of PageSize.
const windowStateSize = (int(unsafe.Sizeof(WindowState{})) + PageSize - 1) &^ (PageSize - 1)

// image returns the memory image of w, which is its form in the file.
func (w *WindowState) image() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(w)), int(unsafe.Sizeof(*w)))
}

// SetAlive stores a moment at which the process was alive, in nanoseconds since the Unix
// epoch.
func (w *WindowState) SetAlive(t int64) { guarded(func() { w.alive.Store(t) }) }

// SetClosed stores the moment at which the window was closed.
func (w *WindowState) SetClosed(t int64) { guarded(func() { w.closed.Store(t) }) }

// SetText stores what is known of the window by now, MaxWindowText bytes at most.
func (w *WindowState) SetText(text []byte) {
	guarded(func() {
		n := w.stored.Load() + 1
		next := &w.texts[n%2]
		next.length = uint64(copy(next.text[:], text))
		w.stored.Store(n)
	})
}

// Alive returns the last moment at which the process is known to have been alive, 0 when
// nothing was stored.
func (w *WindowState) Alive() int64 { return w.alive.Load() }

// Closed returns the moment at which the window was closed, 0 when it was not.
func (w *WindowState) Closed() int64 { return w.closed.Load() }

// Text returns what SetText has stored last. It is the caller's.
func (w *WindowState) Text() []byte {
	last := &w.texts[w.stored.Load()%2]
	return append([]byte(nil), last.text[:min(last.length, MaxWindowText)]...)
}
