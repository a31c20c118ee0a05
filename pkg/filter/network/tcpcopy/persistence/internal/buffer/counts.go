package buffer

import "sync"

// Counts says which entries of a batch somebody has counted for the totals, in which each
// byte counts once although several sessions may have it. A nil one, of a batch that only
// one reader reads, says that nobody has.
type Counts struct {
	mu   sync.Mutex // guards the rest
	bits []uint64   // by the entry's position in units of 8 bytes
}

// Counts returns the counts of a view's batch.
func (b *Batch) Counts() *Counts { return b.counts }

// Lock comes before calls of First.
func (c *Counts) Lock() {
	if c != nil {
		c.mu.Lock()
	}
}

// Unlock comes after them.
func (c *Counts) Unlock() {
	if c != nil {
		c.mu.Unlock()
	}
}

// First reports whether nobody has counted the entry at that position, and says that the
// caller has.
func (c *Counts) First(at int) bool {
	if c == nil {
		return true
	}
	word, bit := at>>9, uint64(1)<<(at>>3&63)
	if word >= len(c.bits) {
		c.bits = append(c.bits, make([]uint64, word+1-len(c.bits))...)
	}
	first := c.bits[word]&bit == 0
	c.bits[word] |= bit
	return first
}

// reset says that nobody has counted anything. It comes when nobody reads the batch.
func (c *Counts) reset() {
	if c != nil {
		c.bits = c.bits[:0] // First makes zeros of what it appends
	}
}
