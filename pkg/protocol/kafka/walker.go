package kafka

import "encoding/binary"

// walker finds the fields in the body of a message, as its bytes come. It keeps none of
// them.
type walker struct {
	version  int16
	flexible bool
	root     []field
	levels   []level
}

// level is a structure, an array or a block of tags that is not complete.
type level struct {
	Index int   // of the field that comes next
	Left  int64 // elements of an array that are to come, with this one; tags
	Tags  bool  // it is a block of tags, which ends the structure below it
	First bool  // of a block of tags: it ends the message's header instead
	Begun bool  // of a block of tags: their number is known
}

// start begins a message. tags says that its header ends with tags.
func (w *walker) start(root []field, version int16, flexible, tags bool) {
	w.root, w.version, w.flexible = root, version, flexible
	w.levels = append(w.levels[:0], level{Left: 1})
	if tags {
		w.levels = append(w.levels, level{Tags: true, First: true})
	}
}

// step is what a walker has found.
type step uint8

const (
	more  step = iota // more bytes are needed
	bad               // the bytes do not fit
	moved             // the first n bytes are of no interest
	item              // a value ends with the first n bytes
	long              // a value begins behind the first n bytes, which need not be there
	end               // the message has ended
)

// found is a value: the last bytes of those that a step was over, or length bytes behind them.
type found struct {
	role   byte
	kind   byte
	value  []byte
	length int64 // of a long one
}

// maxHeld is how long a value may be that is waited for.
const maxHeld = 1 << 10

// fields returns the fields of the structure of a level, and what holds it; nil for the message.
func (w *walker) fields(depth int) (fields []field, holder *field) {
	fields = w.root
	for i := range depth {
		if w.levels[i].Index < len(fields) && !w.levels[i+1].Tags {
			holder = &fields[w.levels[i].Index]
			fields = holder.elem
		}
	}
	return fields, holder
}

// inHeader reports whether the header's tags are not over.
func (w *walker) inHeader() bool { return len(w.levels) == 2 && w.levels[1].First }

// next is over the next field of b, the bytes that are there. left is how many bytes the message has from there on.
func (w *walker) next(b []byte, left int64) (s step, n int, f found) {
	for {
		depth := len(w.levels) - 1
		if depth < 0 {
			return end, 0, f
		}
		l := &w.levels[depth]
		if l.Tags {
			return w.tags(l, b, left)
		}
		fields, holder := w.fields(depth)
		if l.Index >= len(fields) {
			if w.flexible && (holder == nil || holder.kind != kindList) {
				l.Index = len(fields)
				w.levels = append(w.levels, level{Tags: true})
				continue
			}
			w.endElement()
			continue
		}
		d := &fields[l.Index]
		if w.version < d.from || w.version > d.to {
			l.Index++
			continue
		}
		return w.field(d, b, left)
	}
}

// endElement ends a structure.
func (w *walker) endElement() {
	depth := len(w.levels) - 1
	l := &w.levels[depth]
	l.Index = 0
	if l.Left--; l.Left > 0 {
		return
	}
	w.levels = w.levels[:depth]
	if depth > 0 {
		w.levels[depth-1].Index++
	}
}

// tags is over the next part of a block of tags.
func (w *walker) tags(l *level, b []byte, left int64) (s step, n int, f found) {
	if !l.Begun {
		count, n, ok := uvarint(b)
		if !ok || count > uint64(left) {
			return bad, 0, f
		}
		if n == 0 {
			return more, 0, f
		}
		l.Begun, l.Left = true, int64(count)
		w.endTags()
		return moved, n, f
	}
	_, n, ok := uvarint(b)
	if !ok {
		return bad, 0, f
	}
	if n == 0 {
		return more, 0, f
	}
	size, m, ok := uvarint(b[n:])
	if !ok || size > uint64(max(left-int64(n+m), 0)) {
		return bad, 0, f
	}
	if m == 0 {
		return more, 0, f
	}
	l.Left--
	w.endTags()
	return long, n + m, found{length: int64(size)}
}

// endTags ends a block of tags if it has no more.
func (w *walker) endTags() {
	depth := len(w.levels) - 1
	if w.levels[depth].Left > 0 {
		return
	}
	header := w.inHeader()
	w.levels = w.levels[:depth]
	if !header {
		w.endElement()
	}
}

// field is over a field, or the first bytes of one.
func (w *walker) field(d *field, b []byte, left int64) (s step, n int, f found) {
	f.role, f.kind = d.role, d.kind
	switch d.kind {
	case kindString, kindBytes:
		length, n, ok := w.length(d.kind, b)
		if !ok || length > left-int64(n) {
			return bad, 0, f
		}
		if n == 0 {
			return more, 0, f
		}
		if length < 0 {
			w.endField()
			return moved, n, f
		}
		f.length = length
		switch {
		case int64(n)+length <= int64(len(b)):
			w.endField()
			f.value = b[n : n+int(length)]
			return item, n + int(length), f
		case length <= maxHeld && d.role != 0:
			return more, 0, f
		}
		w.endField()
		return long, n, f
	case kindArray, kindList:
		count, n, ok := w.count(b)
		if !ok || count > left-int64(n) {
			return bad, 0, f
		}
		if n == 0 {
			return more, 0, f
		}
		if count <= 0 {
			w.endField()
			return moved, n, f
		}
		if e := &d.elem[0]; d.kind == kindList && e.role == 0 && e.kind <= 8 {
			size := count * int64(e.kind)
			if size > left-int64(n) {
				return bad, 0, f
			}
			w.endField()
			f.role, f.kind = 0, 0
			f.length = size
			return long, n, f
		}
		w.levels = append(w.levels, level{Left: count})
		return moved, n, f
	case kindStruct:
		w.levels = append(w.levels, level{Left: 1})
		return moved, 0, f
	case kindOption:
		if left < 1 {
			return bad, 0, f
		}
		if len(b) == 0 {
			return more, 0, f
		}
		if b[0] == 0xff {
			w.endField()
		} else {
			w.levels = append(w.levels, level{Left: 1})
		}
		return moved, 1, f
	}
	size := int(d.kind)
	if d.kind == kindUUID {
		size = sizeUUID
	}
	if int64(size) > left {
		return bad, 0, f
	}
	if len(b) < size {
		return more, 0, f
	}
	w.endField()
	f.value, f.length = b[:size], int64(size)
	return item, size, f
}

// endField goes on behind a value.
func (w *walker) endField() { w.levels[len(w.levels)-1].Index++ }

// length returns the length of a string or of bytes, -1 for null, and its size; 0 if
// that is not all there.
func (w *walker) length(kind byte, b []byte) (length int64, n int, ok bool) {
	switch {
	case w.flexible:
		u, n, ok := uvarint(b)
		return int64(u) - 1, n, ok && u < 1<<32
	case kind == kindString:
		if len(b) < 2 {
			return 0, 0, true
		}
		length = int64(int16(binary.BigEndian.Uint16(b)))
		return length, 2, length >= -1
	}
	return w.count(b)
}

// count returns the number of elements of an array, -1 for null, and its size; 0 if that
// is not all there.
func (w *walker) count(b []byte) (count int64, n int, ok bool) {
	if w.flexible {
		u, n, ok := uvarint(b)
		return int64(u) - 1, n, ok && u < 1<<32
	}
	if len(b) < 4 {
		return 0, 0, true
	}
	count = int64(int32(binary.BigEndian.Uint32(b)))
	return count, 4, count >= -1
}

// sizeUUID is how many bytes the number of a topic has.
const sizeUUID = 16

// uvarint returns a number of variable length, and its size; 0 if that is not all there.
func uvarint(b []byte) (u uint64, n int, ok bool) {
	u, n = binary.Uvarint(b[:min(len(b), 10)])
	return u, max(n, 0), n > 0 || n == 0 && len(b) < 10
}

// fits reports whether b, the body of a message of size bytes or the beginning of it, is
// as the walker expects.
func (w *walker) fits(b []byte, size int64) bool {
	for {
		s, n, f := w.next(b, size)
		switch s {
		case bad:
			return false
		case more:
			return int64(len(b)) < size
		case end:
			return size == 0
		case long:
			n64 := min(int64(n)+f.length, int64(len(b)))
			if int64(n)+f.length > int64(len(b)) && int64(len(b)) == size {
				return false
			}
			if int64(n)+f.length > int64(len(b)) {
				return true
			}
			n = int(n64)
		}
		b = b[n:]
		size -= int64(n)
	}
}
