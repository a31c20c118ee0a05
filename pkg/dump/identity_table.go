package dump

import "bytes"

// maxKnown bounds the connections that a decoder remembers, whatever a file
// contains. Beyond it all are forgotten, which costs their addresses.
const maxKnown = 1 << 18

// knownFlow is what a decoder remembers of a connection between its records.
type knownFlow struct {
	Identity
	next uint64 // of legacy lines: the offset behind the last one
}

// identityTable remembers connections by the text that names them in a line, so
// that decoding a line allocates nothing for a connection that is known.
type identityTable struct {
	flows   map[string]*knownFlow
	lastKey []byte
	last    *knownFlow // of lastKey; nil when there is none
}

// find returns the connection with that key, or nil.
func (t *identityTable) find(key []byte) *knownFlow {
	if t.last != nil && bytes.Equal(key, t.lastKey) {
		return t.last
	}
	f := t.flows[string(key)]
	if f != nil {
		t.remember(key, f)
	}
	return f
}

func (t *identityTable) add(key []byte, f *knownFlow) {
	if t.flows == nil || len(t.flows) >= maxKnown {
		t.flows = map[string]*knownFlow{}
	}
	t.flows[string(key)] = f
	t.remember(key, f)
}

func (t *identityTable) remember(key []byte, f *knownFlow) {
	t.lastKey, t.last = append(t.lastKey[:0], key...), f
}

// remove forgets a connection that has ended.
func (t *identityTable) remove(key []byte) {
	delete(t.flows, string(key))
	t.last = nil
}
