package hexlog

import (
	"bytes"

	"mosn.io/tcpcopy/pkg/dump/internal/recent"
	"mosn.io/tcpcopy/pkg/record"
)

// knownFlow is what a decoder remembers of a connection between its records. There may
// be many: what their identities have in common is there once, or in key.
type knownFlow struct {
	key            string // [window][port][conn, of legacy lines [window][port]
	conn           string // a part of key, but of legacy lines
	peer, listener string
	next           uint64 // of legacy lines: the offset after the last one
	window, port   uint16 // their lengths
	legacy         bool
}

// newKnownFlow returns the connection with a key; window and port are what it has.
func newKnownFlow(key, window, port []byte) *knownFlow {
	return &knownFlow{key: string(key), window: uint16(len(window)), port: uint16(len(port))} // maxField at most
}

// identity returns the identity of f. Its strings are parts of the key.
func (f *knownFlow) identity() record.Identity {
	portAt := int(f.window) + len("[][")
	id := record.Identity{
		Window: f.key[1 : 1+f.window], Port: f.key[portAt : portAt+int(f.port)], Conn: f.conn,
		Peer: f.peer, Listener: f.listener,
	}
	if !f.legacy {
		id.Network = networkOf(id.Port)
	}
	return id
}

// identityTable remembers connections by the text that names them in a line, so
// that decoding a line allocates nothing for a connection that is known. Forgetting
// a connection that is still in use costs its addresses.
type identityTable struct {
	flows   recent.Table[string, *knownFlow]
	lastKey []byte
	last    *knownFlow // of lastKey; nil when there is none

	listener string // of the connection that was opened last
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
func (t *identityTable) add(f *knownFlow) {
	t.flows.Add(f.key, f.key[1:1+f.window], f)
	t.lastKey, t.last = append(t.lastKey[:0], f.key...), f
}

// setAddresses says which addresses a connection has. Most have the same listener.
func (t *identityTable) setAddresses(f *knownFlow, peer, listener []byte) {
	if t.listener != string(listener) {
		t.listener = string(listener)
	}
	f.peer, f.listener = string(peer), t.listener
}

func (t *identityTable) remember(key []byte, f *knownFlow) {
	t.lastKey, t.last = append(t.lastKey[:0], key...), f
}

// remove forgets a connection that has ended.
func (t *identityTable) remove(key []byte) {
	t.flows.Remove(string(key))
	t.last = nil
}
