package spill

import (
	"encoding/binary"
	"errors"
)

// Index finds numbers by the hash of a key. Keys may have the same hash: the caller
// compares the keys of what it finds. The entries are in Pages: those of keys that are not
// used for long need no memory.
//
// It is a hash table that grows by one page at a time ("extendible hashing", Fagin et al.,
// 1979). All entries of a page have the same first bits, and a table has the page of each
// such prefix. A page that is full becomes two, with one more bit each.
type Index struct {
	pages  *Pages
	prefix []uint32 // pages by the first bits of a hash; empty as long as there are no entries
	bits   uint     // how many bits index prefix
	count  int      // pages
}

// A page has the number of its entries and of the bits that they have in common, then the
// entries in the order of their hashes.
const (
	indexHead  = 6
	indexEntry = 10 // the first hashBits of a hash, and a number
	hashBits   = 40
	mostInPage = (pageSize - indexHead) / indexEntry

	// MaxNumber is the largest number in an Index.
	MaxNumber = 1<<40 - 1
)

// maxPrefix returns how long the table of that many pages may be: several times as long
// as it is where hashes are spread.
func maxPrefix(pages int) int { return 1<<16 + 64*pages }

// errManyAlike is the error of an entry for whose hash there are too many.
var errManyAlike = errors.New("too many keys have the same hash")

// errTooLarge is the error of a number above MaxNumber.
var errTooLarge = errors.New("a number is too large for an index")

// NewIndex returns an Index without entries, in pages.
func NewIndex(pages *Pages) *Index { return &Index{pages: pages} }

// indexPage is the bytes of a page.
type indexPage []byte

func (b indexPage) len() int        { return int(binary.LittleEndian.Uint16(b)) }
func (b indexPage) setLen(n int)    { binary.LittleEndian.PutUint16(b, uint16(n)) }
func (b indexPage) bits() uint      { return uint(b[2]) }
func (b indexPage) setBits(n uint)  { b[2] = byte(n) }
func (b indexPage) at(i int) []byte { return b[indexHead+i*indexEntry:][:indexEntry] }

// hash returns the first hashBits of the i-th entry's hash.
func (b indexPage) hash(i int) uint64 {
	return binary.BigEndian.Uint64(b[indexHead+i*indexEntry:]) >> (64 - hashBits)
}

// number returns the number of the i-th entry.
func (b indexPage) number(i int) uint64 {
	return binary.BigEndian.Uint64(b[indexHead+i*indexEntry+2:]) & MaxNumber
}

// put replaces the i-th entry.
func (b indexPage) put(i int, hash, number uint64) {
	e := b.at(i)
	binary.BigEndian.PutUint64(e[2:], number)
	binary.BigEndian.PutUint32(e, uint32(hash>>8))
	e[4] = byte(hash)
}

// search returns the first entry whose hash is not below hash.
func (b indexPage) search(hash uint64) int {
	n := b.len()
	// Hashes are spread evenly: it is near to where it would be if they were so exactly.
	i := int(hash << b.bits() & (1<<hashBits - 1) * uint64(n) >> hashBits)
	for i < n && b.hash(i) < hash {
		i++
	}
	for i > 0 && b.hash(i-1) >= hash {
		i--
	}
	return i
}

// page returns the page of a hash's first bits.
func (x *Index) page(hash uint64) uint32 { return x.prefix[hash>>(hashBits-x.bits)] }

// Find returns a number that was added with hash. There may be several: nth 0 is the
// first one, and so on; ok is false when there are no more.
func (x *Index) Find(hash uint64, nth int) (number uint64, ok bool, err error) {
	if len(x.prefix) == 0 {
		return 0, false, nil
	}
	hash >>= 64 - hashBits
	page, err := x.pages.get(x.page(hash))
	if err != nil {
		return 0, false, err
	}
	b := indexPage(page)
	i := b.search(hash) + nth
	if i >= b.len() || b.hash(i) != hash {
		return 0, false, nil
	}
	return b.number(i), true, nil
}

// Add adds a number, MaxNumber at most, with the hash of its key.
func (x *Index) Add(hash, number uint64) error {
	if number > MaxNumber {
		return errTooLarge
	}
	if len(x.prefix) == 0 {
		n, b := x.pages.add()
		clear(b[:indexHead])
		x.prefix, x.bits, x.count = append(x.prefix, n), 0, 1
	}
	hash >>= 64 - hashBits
	for {
		page, err := x.pages.change(x.page(hash))
		if err != nil {
			return err
		}
		b := indexPage(page)
		n := b.len()
		if n < mostInPage {
			i := b.search(hash)
			copy(b[indexHead+(i+1)*indexEntry:], b[indexHead+i*indexEntry:indexHead+n*indexEntry])
			b.put(i, hash, number)
			b.setLen(n + 1)
			return nil
		}
		if err := x.split(hash, b); err != nil {
			return err
		}
	}
}

// split makes two pages of the page of a hash, whose bytes are b.
func (x *Index) split(hash uint64, b indexPage) error {
	bits := b.bits() + 1
	if bits > x.bits {
		if 2*len(x.prefix) > maxPrefix(x.count) {
			return errManyAlike
		}
		twice := make([]uint32, 2*len(x.prefix))
		for i, n := range x.prefix {
			twice[2*i], twice[2*i+1] = n, n
		}
		x.prefix, x.bits = twice, bits
	}
	first := hash >> (hashBits - bits) &^ 1 // the prefix of the lower half
	n := b.len()
	middle := b.search((first + 1) << (hashBits - bits))
	var upper [pageSize]byte
	u := indexPage(upper[:])
	u.setLen(n - middle)
	u.setBits(bits)
	copy(u[indexHead:], b[indexHead+middle*indexEntry:indexHead+n*indexEntry])
	b.setLen(middle)
	b.setBits(bits)
	x.count++
	number, into := x.pages.add() // b is not valid any more
	copy(into, u)
	alike := x.bits - bits // bits of prefix that do not count for the two
	for i := (first + 1) << alike; i < (first+2)<<alike; i++ {
		x.prefix[i] = number
	}
	return nil
}

// Remove removes a number that was added with hash, where it is there.
func (x *Index) Remove(hash, number uint64) error {
	if len(x.prefix) == 0 {
		return nil
	}
	hash >>= 64 - hashBits
	page, err := x.pages.change(x.page(hash))
	if err != nil {
		return err
	}
	b := indexPage(page)
	n := b.len()
	for i := b.search(hash); i < n && b.hash(i) == hash; i++ {
		if b.number(i) == number {
			copy(b[indexHead+i*indexEntry:], b[indexHead+(i+1)*indexEntry:indexHead+n*indexEntry])
			b.setLen(n - 1)
			break
		}
	}
	return nil
}

// Clear removes all entries.
func (x *Index) Clear() {
	for i, n := range x.prefix {
		if i == 0 || n != x.prefix[i-1] { // those of one page are side by side
			x.pages.remove(n)
		}
	}
	x.prefix, x.bits, x.count = nil, 0, 0
}
