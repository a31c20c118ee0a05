package blockfile

import (
	"sync"
)

// maxRequests is how many writes a writer has at most.
const maxRequests = 16

// A Writer writes for the Files that have it in their Options, one after the other, so that
// Start does not wait for the disk. The zero value is ready.
type Writer struct {
	once sync.Once
	w    writer
	end  func()
}

// get returns the writer, which begins to work at the first call.
func (w *Writer) get() writer {
	w.once.Do(func() {
		var err error
		if w.w, w.end, err = startThread(); err != nil {
			g := newGoroutine()
			w.w, w.end = g, g.close
		}
	})
	return w.w
}

// Close ends w, whose Files are closed. It is idempotent.
func (w *Writer) Close() {
	w.once.Do(func() {})
	if w.end != nil {
		w.end()
		w.end = nil
	}
}

// background is a writer that begins to work with the first write.
type background struct{ w *Writer }

func (b background) write(fd uintptr, parts [][]byte, offset int64) bool {
	return b.w.get().write(fd, parts, offset)
}

func (b background) result() (written, bool) { return b.w.get().result() }

// written is what has become of a write.
type written struct {
	n   int
	err error
}

// inline is a writer that writes before write returns.
type inline struct{ results []written }

func (w *inline) write(fd uintptr, parts [][]byte, offset int64) bool {
	n, err := writeOnce(fd, parts, offset)
	w.results = append(w.results, written{n, err})
	return true
}

func (w *inline) result() (r written, ok bool) {
	if len(w.results) == 0 {
		return written{}, false
	}
	r = w.results[0]
	w.results = w.results[1:]
	return r, true
}

// goroutine is a writer whose goroutine writes.
type goroutine struct {
	requests chan func() written
	results  chan written
	open     int // requests whose results were not returned
}

func newGoroutine() *goroutine {
	g := &goroutine{requests: make(chan func() written, maxRequests), results: make(chan written, maxRequests)}
	go func() { // ends with close
		for r := range g.requests {
			g.results <- r()
		}
	}()
	return g
}

func (g *goroutine) write(fd uintptr, parts [][]byte, offset int64) bool {
	if g.open == maxRequests {
		return false
	}
	g.open++
	g.requests <- func() (w written) {
		w.n, w.err = writeOnce(fd, parts, offset)
		return w
	}
	return true
}

func (g *goroutine) result() (r written, ok bool) {
	select {
	case r := <-g.results:
		g.open--
		return r, true
	default:
		return written{}, false
	}
}

func (g *goroutine) close() { close(g.requests) }
