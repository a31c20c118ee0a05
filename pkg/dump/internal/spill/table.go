package spill

import (
	"errors"
	"hash/maphash"
)

// tablePages is how many bytes the index of a Table has in memory at most.
const tablePages = 6 << 20

// Table remembers a value for each key. The values that have not been used for long go to
// a temporary file, and so does the index of that file where it is large: the memory is
// bounded. Where a file cannot be written, values are forgotten. A Table belongs to one
// goroutine.
type Table[V any] struct {
	encode func(dst []byte, v V) []byte
	parse  func(b []byte) (v V, ok bool)
	held   int // values in memory at most

	young, old map[string]tableEntry[V] // the old ones go to the file when the young ones are half of held
	file       File
	index      *Index // positions in file, divided by positionUnit, by the hash of the key
	stored     int    // how many
	seed       maphash.Seed
	full       bool   // the file cannot be written
	moves      uint64 // see Moves
	buf        []byte
}

// tableEntry is a value in memory.
type tableEntry[V any] struct {
	v     V
	place uint64 // number in index plus one; 0 where the key is not in the file
}

// positionUnit is what all positions in a File are multiples of.
const positionUnit = 8

// NewTable returns a Table that has up to held values in memory. encode appends a value's
// bytes to dst, and parse reads them; it does not keep b.
func NewTable[V any](held int, encode func(dst []byte, v V) []byte, parse func(b []byte) (V, bool)) *Table[V] {
	return &Table[V]{
		encode: encode, parse: parse, held: held, young: map[string]tableEntry[V]{},
		index: NewIndex(NewPages(tablePages)), seed: maphash.MakeSeed(),
	}
}

// Find returns the value of a key; ok is false when there is none. It does not keep key.
func (t *Table[V]) Find(key []byte) (v V, ok bool) {
	if e, ok := t.young[string(key)]; ok {
		return e.v, true
	}
	e, ok := t.old[string(key)]
	if !ok {
		var b []byte
		if e.place, b = t.place(key); e.place == 0 {
			return v, false
		}
		if e.v, ok = t.parse(b); !ok {
			return v, false
		}
	}
	t.add(key, e)
	return e.v, true
}

// place returns the place of a key that is in the file, and the bytes of its value.
func (t *Table[V]) place(key []byte) (place uint64, value []byte) {
	if t.stored == 0 {
		return 0, nil
	}
	hash := maphash.Bytes(t.seed, key)
	for nth := 0; ; nth++ {
		number, ok, err := t.index.Find(hash, nth)
		if !ok || err != nil {
			return 0, nil
		}
		b, err := t.file.Get(int64(number * positionUnit))
		if err == nil && len(b) > len(key) && int(b[0]) == len(key) && string(b[1:1+len(key)]) == string(key) {
			return number + 1, b[1+len(key):]
		}
	}
}

// Add remembers a value. It does not keep key, of which the length is below 256.
func (t *Table[V]) Add(key []byte, v V) {
	e, ok := t.young[string(key)]
	if !ok {
		if e, ok = t.old[string(key)]; !ok {
			e.place, _ = t.place(key)
		}
	}
	e.v = v
	t.add(key, e)
}

func (t *Table[V]) add(key []byte, e tableEntry[V]) {
	delete(t.old, string(key))
	if len(t.young) >= t.held/2 {
		for key, e := range t.old {
			t.store(key, e)
		}
		t.moves++
		clear(t.old)
		t.young, t.old = t.old, t.young
		if t.young == nil {
			t.young = make(map[string]tableEntry[V], t.held/2)
		}
		delete(t.old, string(key))
	}
	t.young[string(key)] = e
}

// Moves returns how often values were moved to the file. As long as that does not change,
// a value that is a pointer is the table's.
func (t *Table[V]) Moves() uint64 { return t.moves }

// store puts a value into the file.
func (t *Table[V]) store(key string, e tableEntry[V]) {
	var at int64
	err := errFull
	if !t.full {
		t.buf = append(append(t.buf[:0], byte(len(key))), key...)
		t.buf = t.encode(t.buf, e.v)
		if e.place > 0 {
			at, err = t.file.Replace(int64((e.place-1)*positionUnit), t.buf)
		} else {
			at, err = t.file.Put(t.buf)
		}
	}
	if place := uint64(at)/positionUnit + 1; err != nil || place != e.place {
		hash := maphash.String(t.seed, key)
		t.forget(hash, e.place) // what is there is not the value any more
		if err == nil {
			err = t.index.Add(hash, place-1)
			t.stored++
		}
	}
	t.full = err != nil
}

// errFull is the error of a value for which there is no space.
var errFull = errors.New("the temporary file cannot be written")

// forget removes a place from the index, unless it is 0.
func (t *Table[V]) forget(hash, place uint64) {
	if place > 0 && t.index.Remove(hash, place-1) == nil {
		t.stored--
	}
}

// Remove forgets a key.
func (t *Table[V]) Remove(key []byte) {
	e, ok := t.young[string(key)]
	if !ok {
		if e, ok = t.old[string(key)]; !ok {
			e.place, _ = t.place(key)
		}
	}
	delete(t.young, string(key))
	delete(t.old, string(key))
	t.forget(maphash.Bytes(t.seed, key), e.place)
}
