package buffer

import "slices"

// The batches of a shard go round: a free one becomes the active one, is held while
// somebody may want its entries, and is free again.

// reserve is how many batches are kept that nobody needs, so that the next one that is
// needed is there.
const reserve = 2

// nextBatchLocked makes a free batch the active one. It returns false when there is none.
func (sh *Shard) nextBatchLocked() bool {
	if len(sh.free) == 0 && !sh.evictLocked() {
		sh.pressLocked()
		return false
	}
	if sh.active != nil {
		sh.active.commit()
		sh.active.ended = sh.clock.latest + 1 // no entry of it is later than the latest time
	}
	last := len(sh.free) - 1
	b := sh.free[last]
	sh.free = sh.free[:last]
	sh.held = append(sh.held, b)
	sh.activateLocked(b)
	if sh.geometry.Retain && len(sh.readers) > 0 && sh.spareLocked() < reserve {
		sh.pressLocked()
	}
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

// evictLocked frees the oldest batch that no reader needs. It returns false when there is
// none.
func (sh *Shard) evictLocked() bool {
	if !sh.geometry.Retain {
		return false
	}
	i := slices.IndexFunc(sh.held[:len(sh.held)-1], sh.readLocked)
	if i < 0 {
		return false
	}
	sh.giveUpLocked(i)
	return true
}

// giveUpLocked frees the i-th batch that is held, which a retaining shard then does not
// have any more.
func (sh *Shard) giveUpLocked(i int) {
	b := sh.held[i]
	sh.held = slices.Delete(sh.held, i, i+1)
	sh.free = append(sh.free, b)
	if sh.geometry.Retain {
		sh.evicted, sh.evictedUntil = max(sh.evicted, b.number), max(sh.evictedUntil, b.ended)
		sh.evictedBytes += b.seen.In + b.seen.Out
	}
}

// spareLocked returns how many batches nobody needs.
func (sh *Shard) spareLocked() int {
	n := len(sh.free)
	for _, b := range sh.held[:len(sh.held)-1] {
		if sh.readLocked(b) {
			n++
		}
	}
	return n
}

// pressLocked says that little memory is left.
func (sh *Shard) pressLocked() {
	select {
	case sh.pressure <- struct{}{}:
	default: // it has been said
	}
}

// releaseLocked frees the batches that all readers have read. The active one, where it is
// among them, begins anew: so a shard whose readers keep up needs no other. A shard that
// retains frees only what is older than something that it has given up.
func (sh *Shard) releaseLocked() {
	for len(sh.held) > 1 && sh.readLocked(sh.held[0]) && (!sh.geometry.Retain || sh.held[0].number < sh.evicted) {
		sh.giveUpLocked(0)
	}
	if !sh.geometry.Retain && sh.active.n > 0 && sh.readLocked(sh.active) {
		sh.activateLocked(sh.active)
	}
}

// readLocked reports whether all readers have read b, as far as it is filled.
func (sh *Shard) readLocked(b *Batch) bool {
	return !b.pinned && !slices.ContainsFunc(sh.readers, func(r *Reader) bool { return r.needs(b) })
}
