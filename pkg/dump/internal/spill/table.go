package spill

import "hash/maphash"

// Table remembers a value for each key. The values that have not been used for long go to
// a temporary file; of each, some 40 bytes stay in memory. Where the file cannot be
// written, they are forgotten. A Table belongs to one goroutine.
type Table[V any] struct {
	encode func(dst []byte, v V) []byte
	parse  func(b []byte) (v V, ok bool)
	held   int // values in memory at most

	young, old map[string]V // the old ones go to the file when the young ones are half of held
	file       File
	index      map[uint64]int64 // position in file by the hash of the key
	seed       maphash.Seed
	full       bool   // the file cannot be written
	moves      uint64 // see Moves
	buf        []byte
}

// NewTable returns a Table that has up to held values in memory. encode appends a value's
// bytes to dst, and parse reads them; it does not keep b.
func NewTable[V any](held int, encode func(dst []byte, v V) []byte, parse func(b []byte) (V, bool)) *Table[V] {
	return &Table[V]{encode: encode, parse: parse, held: held, young: map[string]V{}, index: map[uint64]int64{}, seed: maphash.MakeSeed()}
}

// Find returns the value of a key; ok is false when there is none. It does not keep key.
func (t *Table[V]) Find(key []byte) (v V, ok bool) {
	if v, ok = t.young[string(key)]; ok {
		return v, true
	}
	if v, ok = t.old[string(key)]; !ok {
		v, ok = t.stored(key)
	}
	if ok {
		t.Add(key, v)
	}
	return v, ok
}

// stored returns the value of a key that is in the file.
func (t *Table[V]) stored(key []byte) (v V, ok bool) {
	if len(t.index) == 0 {
		return v, false
	}
	at, ok := t.index[maphash.Bytes(t.seed, key)]
	if !ok {
		return v, false
	}
	b, err := t.file.Get(at)
	if err != nil || len(b) <= len(key) || int(b[0]) != len(key) || string(b[1:1+len(key)]) != string(key) {
		return v, false
	}
	return t.parse(b[1+len(key):])
}

// Add remembers a value. It does not keep key, of which the length is below 256.
func (t *Table[V]) Add(key []byte, v V) {
	if len(t.young) >= t.held/2 {
		for key, v := range t.old {
			t.store(key, v)
		}
		t.moves++
		t.young, t.old = make(map[string]V, t.held/2), t.young
	}
	t.young[string(key)] = v
	delete(t.old, string(key))
}

// Moves returns how often values were moved to the file. As long as that does not change,
// a value that is a pointer is the table's.
func (t *Table[V]) Moves() uint64 { return t.moves }

// store puts a value into the file.
func (t *Table[V]) store(key string, v V) {
	if t.full {
		return
	}
	t.buf = append(append(t.buf[:0], byte(len(key))), key...)
	t.buf = t.encode(t.buf, v)
	hash := maphash.String(t.seed, key)
	at, known := t.index[hash]
	var err error
	if known {
		at, err = t.file.Replace(at, t.buf)
	} else {
		at, err = t.file.Put(t.buf)
	}
	if err != nil {
		t.full = true
		return
	}
	t.index[hash] = at
}

// Remove forgets a key.
func (t *Table[V]) Remove(key []byte) {
	delete(t.young, string(key))
	delete(t.old, string(key))
	if len(t.index) > 0 {
		delete(t.index, maphash.Bytes(t.seed, key))
	}
}
