package dump

import (
	"encoding/binary"
	"slices"
)

// StoredState is a Connection's State that may go to the temporary file with its
// connection, see Streams.StoreStates. It belongs to the goroutine of the Streams.
type StoredState interface {
	// AppendState appends the bytes from which the State can be made again to dst.
	AppendState(dst []byte) []byte

	// Size returns how many bytes of memory the State has, as far as that varies.
	Size() int
}

// maxStates is how many bytes the States of connections in memory may have before some of
// them go to the temporary file.
const maxStates = 16 << 20

// StoreStates says that every State that is not nil is a StoredState, and that parse makes
// it again from what AppendState has appended; parse does not keep b. Then connections with
// a State go to the temporary file as the others do, also when the States have more than
// maxStates together. Without it they stay in memory. It is called before the first Add.
func (s *Streams) StoreStates(parse func(b []byte) (StoredState, error)) { s.held.parse = parse }

// pinned reports whether c has to stay in memory.
func (h *heldConnections) pinned(c *Connection) bool { return c.State != nil && h.parse == nil }

// appendStored appends the bytes of c and its State.
func (h *heldConnections) appendStored(dst []byte, c *Connection) []byte {
	state, ok := c.State.(StoredState)
	if !ok {
		return c.appendState(append(dst, 0))
	}
	h.state = state.AppendState(h.state[:0])
	dst = binary.AppendUvarint(dst, uint64(len(h.state))+1)
	dst = append(dst, h.state...)
	return c.appendState(dst)
}

// parseStored returns the connection whose bytes and State's bytes b has.
func (h *heldConnections) parseStored(b []byte) (*Connection, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size)+1 {
		return nil, errState
	}
	b = b[size:]
	if n == 0 {
		return parseState(b)
	}
	c, err := parseState(b[n-1:])
	if err != nil {
		return nil, err
	}
	state, err := h.parse(b[:n-1])
	if err != nil {
		return nil, err
	}
	c.State = state
	h.count(c)
	return c, nil
}

// count counts the bytes of the State of c.
func (h *heldConnections) count(c *Connection) {
	n := 0
	if state, ok := c.State.(StoredState); ok {
		n = state.Size()
	}
	h.states += n - c.size
	c.size = n
}

// shrinkStates moves connections that have not been used for long to the file, but not
// one, until the States of the others have half of maxStates.
func (h *heldConnections) shrinkStates(not *Connection) {
	byUse := slices.DeleteFunc(slices.Clone(h.memory), func(c *Connection) bool { return c == nil })
	slices.SortFunc(byUse, func(a, b *Connection) int {
		if a.used < b.used {
			return -1
		}
		return 1
	})
	for _, c := range byUse {
		if h.states <= maxStates/2 || h.full {
			break
		}
		if c != not && !c.ending && c.size > 0 {
			h.store(c)
		}
	}
	h.most = 2 * h.states
}
