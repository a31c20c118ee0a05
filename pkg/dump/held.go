package dump

import (
	"hash/maphash"

	"mosn.io/tcpcopy/pkg/dump/internal/spill"
)

// maxHeld is how many connections are in memory before some of them go to a temporary
// file: about 16 MiB.
const maxHeld = 1 << 14

// streamWindow is the connections of one process in a window that are not done, in the
// order of their first records.
type streamWindow struct {
	key   windowKey
	index map[uint64]uint64 // number of a connection, by the hash of its identity
	slots []connectionSlot
	first uint64 // number of slots[0]
}

// connectionSlot is where a connection is.
type connectionSlot struct {
	c *Connection // nil while it is in the file

	// position is twice the connection's place in the file plus two, less than two where
	// it has none. It is odd when the connection has ended and is done once those before
	// it are.
	position int64
}

func (s *connectionSlot) over() bool { return s.position&1 != 0 }

func newStreamWindow(key windowKey) *streamWindow {
	return &streamWindow{key: key, index: map[uint64]uint64{}}
}

// has reports whether a connection is one of the window's process.
func (w *streamWindow) has(conn string) bool {
	n := len(w.key.run)
	return len(conn) > n && conn[n] == '-' && conn[:n] == w.key.run
}

// slot returns the slot of a connection by its number.
func (w *streamWindow) slot(number uint64) *connectionSlot { return &w.slots[number-w.first] }

// heldConnections moves connections between memory and a temporary file. The zero value
// is empty and ready to use.
type heldConnections struct {
	file   spill.File
	full   bool // nothing more can be put into the file
	seed   maphash.Seed
	memory []*Connection // that are in memory, and some that are done
	limit  int           // length of memory at which some of it is moved to the file
	clock  uint64        // counts what is used
	buf    []byte

	parse  func(b []byte) (StoredState, error) // see Streams.StoreStates; nil where States stay in memory
	states int                                 // bytes of the States in memory, as far as they were counted
	most   int                                 // that they may have, where more than maxStates had to stay
	state  []byte                              // of one connection, while it is stored

	found [256]*Connection // the connections in memory that were found last, by nameHash
}

// nameHash returns which of found a connection is.
func nameHash(conn string) byte {
	const looked = 8 // bytes at the end: the number in the process
	h := uint32(0)
	for i := max(len(conn)-looked, 0); i < len(conn); i++ {
		h = h*31 + uint32(conn[i])
	}
	return byte(h ^ h>>8)
}

// hash returns the hash of a connection's identity.
func (h *heldConnections) hash(conn string) uint64 {
	if h.seed == (maphash.Seed{}) {
		h.seed = maphash.MakeSeed()
	}
	return maphash.String(h.seed, conn)
}

// find returns the connection of a window with that identity, or nil.
func (h *heldConnections) find(w *streamWindow, conn string) (*Connection, error) {
	found := &h.found[nameHash(conn)]
	if c := *found; c != nil && c.window == w && c.Conn == conn {
		h.clock++
		c.used = h.clock
		return c, nil
	}
	number, ok := w.index[h.hash(conn)]
	if !ok {
		return nil, nil
	}
	c, err := h.load(w, number)
	if err != nil || c.Conn != conn {
		return nil, err // two identities with the same hash do not occur
	}
	h.clock++
	c.used = h.clock
	*found = c
	return c, nil
}

// load returns the connection of that number, from the file where it is there.
func (h *heldConnections) load(w *streamWindow, number uint64) (*Connection, error) {
	slot := w.slot(number)
	if slot.c != nil {
		return slot.c, nil
	}
	state, err := h.file.Get(slot.position/2 - 1)
	if err != nil {
		return nil, err
	}
	c, err := h.parseStored(state)
	if err != nil {
		return nil, err
	}
	c.Window = w.key.window // the same string for all
	slot.c = c
	h.keep(w, c, number)
	return c, nil
}

// add adds a connection that has begun.
func (h *heldConnections) add(w *streamWindow, c *Connection) {
	number := w.first + uint64(len(w.slots))
	w.slots = append(w.slots, connectionSlot{c: c})
	w.index[h.hash(c.Conn)] = number
	h.keep(w, c, number)
}

// keep adds a connection to those in memory.
func (h *heldConnections) keep(w *streamWindow, c *Connection, number uint64) {
	h.clock++
	c.window, c.number, c.used = w, number, h.clock
	h.memory = append(h.memory, c)
	if len(h.memory) > max(h.limit, maxHeld) {
		h.shrink(c)
	}
}

// shrink moves connections that have not been used for long to the file, but not one.
// Those stay whose State cannot go there, and those that may be done soon.
func (h *heldConnections) shrink(not *Connection) {
	rest := h.memory[:0]
	for _, c := range h.memory {
		switch {
		case c.window == nil:
		case c == not || c.ending || h.pinned(c) || c.used+maxHeld/2 > h.clock || !h.store(c):
			rest = append(rest, c)
		}
	}
	clear(h.memory[len(rest):])
	h.memory = rest
	h.limit = len(rest) + maxHeld/2
}

// store moves a connection to the file. It is false where there is no space.
func (h *heldConnections) store(c *Connection) bool {
	if h.full {
		return false
	}
	slot := c.window.slot(c.number)
	h.buf = h.appendStored(h.buf[:0], c)
	at := slot.position/2 - 1
	var err error
	if at < 0 {
		at, err = h.file.Put(h.buf)
	} else {
		at, err = h.file.Replace(at, h.buf)
	}
	if err != nil {
		h.full = true // what does not fit stays in memory
		return false
	}
	slot.c, slot.position = nil, (at+1)*2|slot.position&1
	h.release(c)
	return true
}

// release says that c is not one of its window's connections in memory any more.
func (h *heldConnections) release(c *Connection) {
	c.window = nil
	h.states -= c.size
	c.size = 0
	if found := &h.found[nameHash(c.Conn)]; *found == c {
		*found = nil // it may have a large State
	}
}

// finished says that c has ended. The caller drains its window then.
func (h *heldConnections) finished(c *Connection) { c.window.slot(c.number).position |= 1 }

// drain calls done for the connections of w, in their order: for all of them, or for those
// that have ended up to the first one that has not. It returns the first error, which
// ends it unless all are wanted.
func (h *heldConnections) drain(w *streamWindow, done func(*Connection) error, all bool) (first error) {
	for len(w.slots) > 0 && (all || w.slots[0].over()) {
		c, err := h.load(w, w.first)
		if err == nil {
			if hash := h.hash(c.Conn); w.index[hash] == w.first {
				delete(w.index, hash)
			}
			h.release(c)
		}
		w.slots[0] = connectionSlot{}
		w.slots = w.slots[1:]
		w.first++
		if err == nil {
			err = done(c)
		}
		if err != nil {
			if !all {
				return err
			}
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// close removes the file.
func (h *heldConnections) close() error {
	h.memory = nil
	clear(h.found[:])
	return h.file.Close()
}
