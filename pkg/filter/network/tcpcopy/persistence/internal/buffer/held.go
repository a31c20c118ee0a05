package buffer

import "slices"

// The batches of a shard go round: a free one becomes the active one, is held while
// somebody may want its entries, and is free again.

// nextBatchLocked makes a free batch the active one. It returns false when there is none.
func (sh *Shard) nextBatchLocked() bool {
	if len(sh.free) == 0 {
		return false
	}
	if sh.active != nil {
		sh.active.commit()
	}
	last := len(sh.free) - 1
	b := sh.free[last]
	sh.free = sh.free[:last]
	sh.held = append(sh.held, b)
	sh.activateLocked(b)
	return true
}

// activateLocked makes b the active batch, a new one. In a batch a slot is of one
// connection only.
func (sh *Shard) activateLocked(b *Batch) {
	sh.number++
	b.begin(sh.number)
	sh.active = b
	sh.unused = append(sh.unused, sh.closing...)
	sh.closing = sh.closing[:0]
}

// releaseLocked frees the batches that all readers have read. The active one, where it is
// among them, begins anew: so a shard whose readers keep up needs no other.
func (sh *Shard) releaseLocked() {
	for len(sh.held) > 1 && sh.readLocked(sh.held[0]) {
		sh.free = append(sh.free, sh.held[0])
		sh.held = sh.held[1:]
	}
	if sh.active.n == 0 || !sh.readLocked(sh.active) {
		return
	}
	sh.activateLocked(sh.active)
}

// readLocked reports whether all readers have read b, as far as it is filled.
func (sh *Shard) readLocked(b *Batch) bool {
	return !slices.ContainsFunc(sh.readers, func(r *Reader) bool { return r.needs(b) })
}
