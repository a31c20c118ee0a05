package persistence

import (
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// maxPendingClosed is how many connections that have ended an output remembers while
// its destination fails. The log does not mention the pending gaps of more; the
// accounts do.
const maxPendingClosed = 1 << 14

// pendingGaps are what a destination does not have since it has failed. They are
// written as gaps once the destination accepts records again.
type pendingGaps struct {
	flows  map[*outputFlow]*pendingGap
	closed int // of them, how many have ended, since the last time that all were written
}

// pendingGap is what a destination does not have of one flow.
type pendingGap struct {
	from, to record.PerDirection // offsets; nothing where they are equal
	close    *buffer.CloseEvent
}

// length returns the bytes of the gap in dir.
func (g *pendingGap) length(dir record.Direction) uint64 { return g.to.Of(dir) - g.from.Of(dir) }

// add extends the pending gap of f by an entry.
func (p *pendingGaps) add(f *outputFlow, e *buffer.Entry) {
	if e.Kind == buffer.KindClose {
		if p.closed++; p.closed > maxPendingClosed {
			delete(p.flows, f)
			return
		}
	}
	g := p.flows[f]
	if g == nil {
		if p.flows == nil {
			p.flows = map[*outputFlow]*pendingGap{}
		}
		g = &pendingGap{}
		p.flows[f] = g
	}
	switch e.Kind {
	case buffer.KindData, buffer.KindGap:
		if g.length(e.Dir) == 0 {
			g.from.Set(e.Dir, e.Offset)
		}
		g.to.Set(e.Dir, e.Offset+e.Length())
	case buffer.KindClose:
		c := e.CloseEvent()
		g.close = &c
	}
}

// beginAt reports whether f has nothing before next, or only its pending gap.
func (p *pendingGaps) beginAt(f *outputFlow, next record.PerDirection) bool {
	g := p.flows[f]
	for _, dir := range record.Directions() {
		if next.Of(dir) > 0 && (g == nil || g.length(dir) == 0 || g.from.Of(dir) > 0) {
			return false
		}
	}
	return true
}

// remove forgets the pending gap of f, which is written.
func (p *pendingGaps) remove(f *outputFlow) {
	delete(p.flows, f)
	if len(p.flows) == 0 {
		p.closed = 0
	}
}
