package dump

import (
	"cmp"
	"hash/maphash"

	"mosn.io/tcpcopy/pkg/dump/internal/spill"
)

// maxHeld is how many connections are in memory before some of them go to a temporary
// file: about 16 MiB.
const maxHeld = 1 << 14

// heldPages is how many bytes there are in memory at most to find connections.
const heldPages = 8 << 20

// streamWindow is the connections of one process in a window that are not done, in the
// order of their first records.
type streamWindow struct {
	key   windowKey
	index *spill.Index // positions in slots, by the hash of a connection's identity
	slots *spill.Queue // of connectionSlot
}

// connectionSlot is where a connection is. From the second bit on it has the connection's
// position in the file, or its index among those in memory.
type connectionSlot uint64

const (
	slotOver     connectionSlot = 1 << iota // it has ended and is done once those before it are
	slotInMemory                            // else it is in the file

	slotShift = iota
)

// with returns the slot of a connection that is at another place now.
func (s connectionSlot) with(place uint64, rest connectionSlot) connectionSlot {
	return connectionSlot(place)<<slotShift | rest | s&slotOver
}

// has reports whether a connection is one of the window's process.
func (w *streamWindow) has(conn string) bool {
	n := len(w.key.run)
	return len(conn) > n && conn[n] == '-' && conn[:n] == w.key.run
}

// slot returns the slot of a connection by its number.
func (w *streamWindow) slot(number uint64) (connectionSlot, error) {
	s, err := w.slots.Get(number)
	return connectionSlot(s), err
}

// set replaces the slot of a connection.
func (w *streamWindow) set(number uint64, s connectionSlot) error {
	return w.slots.Set(number, uint64(s))
}

// heldConnections moves connections between memory and a temporary file. The zero value
// is empty and ready to use.
type heldConnections struct {
	file   spill.File
	full   bool         // nothing more can be put into the file
	pages  *spill.Pages // of the windows' indexes and slots; nil before the first window
	seed   maphash.Seed
	memory []*Connection // that are in memory; nil where free
	free   []int         // indexes in memory
	limit  int           // connections in memory at which some are moved to the file
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

// window returns a window without connections.
func (h *heldConnections) window(key windowKey) *streamWindow {
	if h.pages == nil {
		h.pages, h.seed = spill.NewPages(heldPages), maphash.MakeSeed()
	}
	return &streamWindow{key: key, index: spill.NewIndex(h.pages), slots: spill.NewQueue(h.pages)}
}

// hash returns the hash of a connection's identity.
func (h *heldConnections) hash(conn string) uint64 { return maphash.String(h.seed, conn) }

// find returns the connection of a window with that identity, or nil.
func (h *heldConnections) find(w *streamWindow, conn string) (*Connection, error) {
	found := &h.found[nameHash(conn)]
	if c := *found; c != nil && c.window == w && c.Conn == conn {
		h.clock++
		c.used = h.clock
		return c, nil
	}
	hash := h.hash(conn)
	for nth := 0; ; nth++ {
		number, ok, err := w.index.Find(hash, nth)
		if !ok || err != nil {
			return nil, err
		}
		c, err := h.load(w, number)
		if err != nil {
			return nil, err
		}
		if c.Conn == conn {
			h.clock++
			c.used = h.clock
			*found = c
			return c, nil
		}
	}
}

// load returns the connection of that number, from the file where it is there.
func (h *heldConnections) load(w *streamWindow, number uint64) (*Connection, error) {
	slot, err := w.slot(number)
	if err != nil {
		return nil, err
	}
	place := slot >> slotShift
	if slot&slotInMemory != 0 {
		return h.memory[place], nil
	}
	state, err := h.file.Get(int64(place))
	if err != nil {
		return nil, err
	}
	c, err := h.parseStored(state)
	if err != nil {
		return nil, err
	}
	c.Window = w.key.window // the same string for all
	c.place = int64(place) + 1
	h.keep(w, c, number)
	if err := w.set(number, slot.with(uint64(c.at), slotInMemory)); err != nil {
		h.release(c)
		return nil, err
	}
	h.limitMemory(c)
	return c, nil
}

// add adds a connection that has begun.
func (h *heldConnections) add(w *streamWindow, c *Connection) error {
	h.keep(w, c, w.slots.First()+uint64(w.slots.Len()))
	number, err := w.slots.Add(uint64(connectionSlot(0).with(uint64(c.at), slotInMemory)))
	if err != nil {
		h.release(c)
		return err
	}
	if err := w.index.Add(h.hash(c.Conn), number); err != nil {
		return err
	}
	h.limitMemory(c)
	return nil
}

// keep adds a connection to those in memory.
func (h *heldConnections) keep(w *streamWindow, c *Connection, number uint64) {
	h.clock++
	c.window, c.number, c.used = w, number, h.clock
	if last := len(h.free) - 1; last >= 0 {
		c.at, h.free = h.free[last], h.free[:last]
		h.memory[c.at] = c
		return
	}
	c.at = len(h.memory)
	h.memory = append(h.memory, c)
}

// limitMemory moves connections that have not been used for long to the file where there
// are many, but not one. Those stay whose State cannot go there, and those that may be done
// soon.
func (h *heldConnections) limitMemory(not *Connection) {
	if len(h.memory)-len(h.free) <= max(h.limit, maxHeld) {
		return
	}
	for _, c := range h.memory {
		if c != nil && c != not && !c.ending && !h.pinned(c) && c.used+maxHeld/2 <= h.clock {
			h.store(c)
		}
	}
	h.limit = len(h.memory) - len(h.free) + maxHeld/2
}

// store moves a connection to the file, where there is space.
func (h *heldConnections) store(c *Connection) {
	if h.full {
		return
	}
	slot, err := c.window.slot(c.number)
	if err != nil {
		return
	}
	h.buf = h.appendStored(h.buf[:0], c)
	at := c.place - 1
	if at < 0 {
		at, err = h.file.Put(h.buf)
	} else {
		at, err = h.file.Replace(at, h.buf)
	}
	if err != nil {
		h.full = true // what does not fit stays in memory
		return
	}
	c.place = at + 1
	if err := c.window.set(c.number, slot.with(uint64(at), 0)); err != nil {
		return
	}
	h.release(c)
}

// release says that c is not one of its window's connections in memory any more.
func (h *heldConnections) release(c *Connection) {
	c.window = nil
	h.memory[c.at] = nil
	h.free = append(h.free, c.at)
	h.states -= c.size
	c.size = 0
	if found := &h.found[nameHash(c.Conn)]; *found == c {
		*found = nil // it may have a large State
	}
}

// finished says that c has ended. The caller drains its window then.
func (h *heldConnections) finished(c *Connection) error {
	slot, err := c.window.slot(c.number)
	if err != nil {
		return err
	}
	return c.window.set(c.number, slot|slotOver)
}

// drain calls done for the connections of w, in their order: for all of them, or for those
// that have ended up to the first one that has not. It returns the first error, which
// ends it unless all are wanted.
func (h *heldConnections) drain(w *streamWindow, done func(*Connection) error, all bool) (first error) {
	for w.slots.Len() > 0 {
		number := w.slots.First()
		if !all {
			if slot, err := w.slot(number); err != nil || slot&slotOver == 0 {
				return err
			}
		}
		c, err := h.load(w, number)
		if err == nil {
			if !all {
				err = w.index.Remove(h.hash(c.Conn), number)
			}
			h.release(c)
		}
		w.slots.Remove()
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
	if all {
		w.index.Clear()
		w.slots.Clear()
	}
	return first
}

// close removes the files.
func (h *heldConnections) close() error {
	h.memory, h.free = nil, nil
	clear(h.found[:])
	var err error
	if h.pages != nil {
		err = h.pages.Close()
	}
	return cmp.Or(err, h.file.Close())
}
