package replay

import (
	"bytes"
	"crypto/sha256"
	"hash"
)

// answer is the bytes of one answer: the first of them, and a digest of the rest.
type answer struct {
	head   []byte // up to a limit; must not be changed while borrowed
	length uint64 // in all
	body   int    // where in head a response's body begins; 0 where that is not known
	json   bool   // the body is JSON, its header says

	borrowed bool      // head is a slice of the caller of borrow
	rest     hash.Hash // nil while everything is in head
}

// add appends b, of which nothing is kept beyond limit.
func (a *answer) add(b []byte, limit int) {
	a.length += uint64(len(b))
	n := min(len(b), limit-len(a.head))
	if a.borrowed {
		a.head, a.borrowed = bytes.Clone(a.head), false
	}
	a.head = append(a.head, b[:n]...)
	a.digest(b[n:])
}

// borrow is add without a copy, where b is the first of the answer and within limit:
// the answer refers to b, which must not change for as long as the answer is used.
func (a *answer) borrow(b []byte, limit int) {
	if a.length > 0 || len(b) > limit {
		a.add(b, limit)
		return
	}
	a.head, a.length, a.borrowed = b, uint64(len(b)), true
}

// digest adds bytes beyond the limit.
func (a *answer) digest(b []byte) {
	if len(b) == 0 {
		return
	}
	if a.rest == nil {
		a.rest = sha256.New()
	}
	a.rest.Write(b)
}

// sum returns the digest of what is not in head.
func (a *answer) sum() []byte {
	if a.rest == nil {
		return nil
	}
	return a.rest.Sum(nil)
}

// whole reports whether head is all of it.
func (a *answer) whole() bool { return a.length == uint64(len(a.head)) }

// equal compares every byte.
func (a *answer) equal(b *answer) bool {
	return a.length == b.length && bytes.Equal(a.head, b.head) && bytes.Equal(a.sum(), b.sum())
}
