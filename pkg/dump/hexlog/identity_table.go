package hexlog

import (
	"bytes"

	"mosn.io/tcpcopy/pkg/dump/internal/recent"
	"mosn.io/tcpcopy/pkg/record"
)

// knownFlow is what a decoder remembers of a connection between its records.
type knownFlow struct {
	record.Identity
	next uint64 // of legacy lines: the offset after the last one
}

// identityTable remembers connections by the text that names them in a line, so
// that decoding a line allocates nothing for a connection that is known. Forgetting
// a connection that is still in use costs its addresses.
type identityTable struct {
	flows   recent.Table[string, *knownFlow]
	lastKey []byte
	last    *knownFlow // of lastKey; nil when there is none
}

// find returns the connection with that key, or nil.
func (t *identityTable) find(key []byte) *knownFlow {
	if t.last != nil && bytes.Equal(key, t.lastKey) {
		return t.last
	}
	f, ok := recent.FindBytes(&t.flows, key)
	if !ok {
		return nil
	}
	t.remember(key, f)
	return f
}

// add remembers a connection.
func (t *identityTable) add(key []byte, f *knownFlow) {
	t.flows.Add(string(key), f.Window, f)
	t.remember(key, f)
}

func (t *identityTable) remember(key []byte, f *knownFlow) {
	t.lastKey, t.last = append(t.lastKey[:0], key...), f
}

// remove forgets a connection that has ended.
func (t *identityTable) remove(key []byte) {
	t.flows.Remove(string(key))
	t.last = nil
}
