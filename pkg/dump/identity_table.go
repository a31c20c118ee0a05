package dump

import (
	"bytes"
	"slices"

	"mosn.io/tcpcopy/pkg/record"
)

// maxKnown bounds the connections that a decoder remembers, whatever a file
// contains.
const maxKnown = 1 << 16

// knownFlow is what a decoder remembers of a connection between its records.
type knownFlow struct {
	record.Identity
	next uint64 // of legacy lines: the offset behind the last one
}

// identityTable remembers connections by the text that names them in a line, so
// that decoding a line allocates nothing for a connection that is known. Many have
// no end in their window, and are never heard of again: it keeps two generations,
// of which the older one goes when another window begins or there are too many.
// Forgetting a connection that is still in use costs its addresses.
type identityTable struct {
	young, old map[string]*knownFlow
	windows    recentWindows
	lastKey    []byte
	last       *knownFlow // of lastKey; nil when there is none
}

// find returns the connection with that key, or nil.
func (t *identityTable) find(key []byte) *knownFlow {
	if t.last != nil && bytes.Equal(key, t.lastKey) {
		return t.last
	}
	f := t.young[string(key)]
	if f == nil {
		if f = t.old[string(key)]; f == nil {
			return nil
		}
		t.add(key, f)
	}
	t.remember(key, f)
	return f
}

// add remembers a connection.
func (t *identityTable) add(key []byte, f *knownFlow) {
	if t.windows.begins(f.Window) || len(t.young) >= maxKnown/2 {
		t.young, t.old = map[string]*knownFlow{}, t.young
	}
	t.young[string(key)] = f
	t.remember(key, f)
}

func (t *identityTable) remember(key []byte, f *knownFlow) {
	t.lastKey, t.last = append(t.lastKey[:0], key...), f
}

// remove forgets a connection that has ended.
func (t *identityTable) remove(key []byte) {
	delete(t.young, string(key))
	delete(t.old, string(key))
	t.last = nil
}

// recentWindows are the windows that began last. Processes that overlap have one
// each. Of the zero value, every window begins, the one without a name too.
type recentWindows struct {
	names [4]string
	n     int // of them, how many are set
}

// begins tells whether a window is not among them, and puts it there.
func (r *recentWindows) begins(window string) bool {
	if slices.Contains(r.names[:r.n], window) {
		return false
	}
	copy(r.names[1:], r.names[:])
	r.names[0] = window
	r.n = min(r.n+1, len(r.names))
	return true
}
