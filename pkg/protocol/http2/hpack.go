package http2

import (
	"errors"
	"slices"

	"golang.org/x/net/http2/hpack"
)

// entry is an entry of a table of header fields.
type entry struct {
	name, value string
	kind        fieldKind
	lost        bool // its value could not be decoded
}

// fieldKind is what a header field says, as far as calls are made of it.
type fieldKind uint8

const (
	fieldUnknown fieldKind = iota // its name was not recorded
	fieldOther
	fieldMethod
	fieldScheme
	fieldAuthority
	fieldPath
	fieldProtocol
	fieldStatus
	fieldPseudo // another one that begins with a colon
	fieldHost
	fieldContentType
	fieldGRPCStatus
	fieldTrace // what package trace may know
)

// isPseudo reports whether the field's name begins with a colon.
func (k fieldKind) isPseudo() bool { return k >= fieldMethod && k <= fieldPseudo }

func kindOf(name string) fieldKind {
	switch name {
	case ":method":
		return fieldMethod
	case ":scheme":
		return fieldScheme
	case ":authority":
		return fieldAuthority
	case ":path":
		return fieldPath
	case ":protocol":
		return fieldProtocol
	case ":status":
		return fieldStatus
	case "host":
		return fieldHost
	case "content-type":
		return fieldContentType
	case "grpc-status":
		return fieldGRPCStatus
	case "traceparent", "b3", "x-b3-traceid", "x-b3-spanid", "uber-trace-id":
		return fieldTrace
	}
	if len(name) > 0 && name[0] == ':' {
		return fieldPseudo
	}
	return fieldOther
}

// table is the dynamic table of one direction (RFC 7541, section 2.3.2), as far as its
// entries were recorded. An encoder counts entries from the newest one, so those that were
// inserted since something was missed are known by their index, and older ones are
// unknown. An encoder refers to nothing that it has evicted: how large its
// table is matters only for what need not be kept.
type table struct {
	entries []entry // the newest one last
	first   int     // index of the oldest one
	size    int     // of the entries, as RFC 7541 counts it
	max     int     // size that is kept
	limit   int     // size that max may have
}

// entryOverhead is what an entry counts besides its name and value (RFC 7541, section 4.1).
const entryOverhead = 32

// defaultTable is the size of a table of which nothing else was said.
const defaultTable = 4096

// newTable returns an empty table that keeps at most limit. Of a table that is there
// from its beginning the size is known.
func newTable(limit int, fromStart bool) table {
	t := table{max: limit, limit: limit}
	if fromStart {
		t.max = min(defaultTable, limit)
	}
	return t
}

// forget makes all entries unknown: some may have been inserted unseen. The encoder may have
// changed the table's size, too.
func (t *table) forget() {
	clear(t.entries)
	t.entries, t.first, t.size = t.entries[:0], 0, 0
	t.max = t.limit
}

// len returns how many entries are known.
func (t *table) len() int { return len(t.entries) - t.first }

// resize sets the size that the encoder says.
func (t *table) resize(size uint64) {
	t.max = int(min(size, uint64(t.limit)))
	t.evict()
}

func (t *table) insert(e entry) {
	t.entries = append(t.entries, e)
	t.size += len(e.name) + len(e.value) + entryOverhead
	t.evict()
}

func (t *table) evict() {
	for t.size > t.max {
		e := &t.entries[t.first]
		t.size -= len(e.name) + len(e.value) + entryOverhead
		*e = entry{}
		t.first++
	}
	if t.first > 16 && t.first > len(t.entries)/2 {
		n := copy(t.entries, t.entries[t.first:])
		clear(t.entries[n:])
		t.entries, t.first = t.entries[:n], 0
	}
}

// at returns the entry of an index; nil if it is not known.
func (t *table) at(index uint64) *entry {
	if index-1 < uint64(len(staticTable)) {
		return &staticTable[index-1]
	}
	if back := index - uint64(len(staticTable)); back <= uint64(t.len()) && index > 0 {
		return &t.entries[len(t.entries)-int(back)]
	}
	return nil
}

// field is a header field of a block.
type field struct {
	name  string
	kind  fieldKind
	known bool // its value

	// The value is text, or raw if it is in this block alone. raw is a part of the block
	// or of the decoder's memory.
	text string
	raw  []byte

	// at and length are the bytes in the block that encode the value; length is 0 if they refer to
	// an entry.
	at, length int
	huffman    bool
}

// string returns the value.
func (f *field) string() string {
	if f.raw != nil {
		return string(f.raw)
	}
	return f.text
}

// blockReader decodes header blocks. Its memory is used again for the next block.
type blockReader struct {
	most    int // fields of a block, and
	limit   int // bytes of them
	fields  []field
	decoded bytesWriter // what the fields' raw are in
}

// newBlockReader returns a reader of blocks with fields of limit bytes. A few bytes of a block may stand for
// many fields, and long ones.
func newBlockReader(limit int) blockReader {
	const leastFields = 128
	return blockReader{most: max(leastFields, limit/fieldSize), limit: limit}
}

// fieldSize is roughly what a field costs besides its value.
const fieldSize = 128

type bytesWriter []byte

func (w *bytesWriter) Write(b []byte) (int, error) {
	*w = append(*w, b...)
	return len(b), nil
}

var errBlock = errors.New("a header block that is not of HPACK")

// read decodes a whole block and changes the table as it says. The fields are valid
// until the next call. whole is false if there are more of them than may be.
func (r *blockReader) read(block []byte, t *table) (fields []field, whole bool, err error) {
	if cap(r.fields)*fieldSize > maxIdle {
		r.fields = nil
	}
	r.fields = r.fields[:0]
	whole = true
	size := 0
	if cap(r.decoded) > maxIdle {
		r.decoded = nil
	}
	r.decoded = r.decoded[:0]
	for at := 0; at < len(block); {
		rep, ok := readRepresentation(block, at)
		if !ok {
			return r.fields, whole, errBlock
		}
		at = rep.end
		f := field{at: rep.start}
		switch rep.kind {
		case resize:
			t.resize(rep.index)
			continue
		case indexed:
			if e := t.at(rep.index); e != nil {
				f.name, f.kind, f.text, f.known = e.name, e.kind, e.value, !e.lost
			}
		default:
			r.literal(&f, block, &rep, t)
		}
		if size += len(f.name) + len(f.text) + len(f.raw); len(r.fields) >= r.most || size > r.limit {
			whole = false
			continue
		}
		r.fields = append(r.fields, f)
	}
	return r.fields, whole, nil
}

// literal decodes a literal representation, and adds it to the table if it says so.
func (r *blockReader) literal(f *field, block []byte, rep *representation, t *table) {
	f.at, f.length, f.huffman = rep.value.at, rep.value.length, rep.value.huffman
	if rep.index > 0 {
		if e := t.at(rep.index); e != nil {
			f.name, f.kind = e.name, e.kind
		}
	} else if name, ok := r.text(block, rep.name); ok {
		f.name = string(name)
		f.kind = kindOf(f.name)
	}
	f.raw, f.known = r.text(block, rep.value)
	if rep.kind == inserted {
		f.text, f.raw = string(f.raw), nil
		t.insert(entry{f.name, f.text, f.kind, !f.known})
	}
}

// text returns what a string of a block says; ok is false if it is no Huffman code.
func (r *blockReader) text(block []byte, s stringRef) (text []byte, ok bool) {
	text = block[s.at : s.at+s.length : s.at+s.length]
	if !s.huffman {
		return text, true
	}
	from := len(r.decoded)
	if _, err := hpack.HuffmanDecode(&r.decoded, text); err != nil {
		return []byte{}, false
	}
	if r.decoded == nil {
		return []byte{}, true
	}
	return r.decoded[from:len(r.decoded):len(r.decoded)], true
}

// representation is one of RFC 7541, section 6.
type representation struct {
	kind        representationKind
	index       uint64 // of the entry, or of that with the name; of resize: the size
	name, value stringRef
	start, end  int // in the block
}

type representationKind uint8

const (
	indexed  representationKind = iota
	inserted                    // literal, and a new entry
	literal                     // in this block alone
	resize                      // the table's size
)

// stringRef is where a block has a string.
type stringRef struct {
	at, length int
	huffman    bool
}

// readRepresentation returns the representation that begins at at.
func readRepresentation(block []byte, at int) (r representation, ok bool) {
	r.start = at
	first := block[at]
	bits := 4
	switch {
	case first&0x80 != 0:
		r.kind, bits = indexed, 7
	case first&0x40 != 0:
		r.kind, bits = inserted, 6
	case first&0x20 != 0:
		r.kind, bits = resize, 5
	default:
		r.kind = literal
	}
	if r.index, at, ok = readInteger(block, at, bits); !ok {
		return r, false
	}
	switch r.kind {
	case indexed:
		ok = r.index > 0
	case inserted, literal:
		if r.index == 0 {
			if r.name, at, ok = readString(block, at); !ok {
				return r, false
			}
		}
		r.value, at, ok = readString(block, at)
	}
	r.end = at
	return r, ok
}

// readInteger reads an integer of RFC 7541, section 5.1, whose first byte has so many bits
// of it.
func readInteger(block []byte, at, bits int) (n uint64, end int, ok bool) {
	if at >= len(block) {
		return 0, at, false
	}
	mask := uint64(1)<<bits - 1
	n = uint64(block[at]) & mask
	at++
	if n < mask {
		return n, at, true
	}
	for shift := 0; shift < 35 && at < len(block); shift += 7 {
		c := block[at]
		at++
		n += uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			return n, at, true
		}
	}
	return 0, at, false
}

func readString(block []byte, at int) (s stringRef, end int, ok bool) {
	if at >= len(block) {
		return s, at, false
	}
	s.huffman = block[at]&0x80 != 0
	n, at, ok := readInteger(block, at, 7)
	if !ok || n > uint64(len(block)-at) {
		return s, at, false
	}
	s.at, s.length = at, int(n)
	return s, at + int(n), true
}

// tableState is what a checkpoint has of a table.
type tableState struct {
	Max, Limit int
	Entries    []entryState `json:",omitempty"`
}

type entryState struct {
	Name, Value []byte
	Unknown     bool `json:",omitempty"` // the name
	Lost        bool `json:",omitempty"`
}

func (t *table) state() tableState {
	s := tableState{Max: t.max, Limit: t.limit}
	for _, e := range t.entries[t.first:] {
		s.Entries = append(s.Entries, entryState{[]byte(e.name), []byte(e.value), e.kind == fieldUnknown, e.lost})
	}
	return s
}

func (s *tableState) table() table {
	limit := max(s.Limit, 0)
	t := table{max: min(max(s.Max, 0), limit), limit: limit, entries: slices.Grow([]entry(nil), len(s.Entries))}
	for _, from := range s.Entries {
		e := entry{name: string(from.Name), value: string(from.Value), lost: from.Lost}
		if !from.Unknown {
			e.kind = kindOf(e.name)
		}
		t.insert(e)
	}
	return t
}
