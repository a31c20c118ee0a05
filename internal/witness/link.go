package witness

import (
	"bytes"
	"net"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Chunk is a part of one direction as one end wrote or read it.
type Chunk struct {
	Direction record.Direction
	Offset    uint64    // bytes of the direction before it
	At        time.Time // when the write began, or when the read returned
	Data      []byte
}

// end is what one end of a connection wrote and read. It is safe for concurrent use.
type end struct {
	mu     sync.Mutex // guards the rest
	chunks [2][]Chunk // by direction
	next   [2]uint64  // bytes of each direction so far
}

// add keeps a copy of b.
func (e *end) add(dir record.Direction, at time.Time, b []byte) {
	if len(b) == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.chunks[dir] = append(e.chunks[dir], Chunk{dir, e.next[dir], at, bytes.Clone(b)})
	e.next[dir] += uint64(len(b))
}

// at returns the time of the byte at offset; ok is false if the end has not had it.
func (e *end) at(dir record.Direction, offset uint64) (t time.Time, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if offset >= e.next[dir] {
		return time.Time{}, false
	}
	list := e.chunks[dir]
	i := sort.Search(len(list), func(i int) bool { return list[i].Offset > offset })
	return list[i-1].At, true
}

// bytes returns all bytes of a direction.
func (e *end) bytes(dir record.Direction) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []byte
	for _, c := range e.chunks[dir] {
		all = append(all, c.Data...)
	}
	return all
}

// Link is one connection of a Path with its two ends: the client's, and that of the relay
// behind the proxy. It is safe for concurrent use.
type Link struct {
	ID     string // Client, and for a later connection from the same address "/" and which one it is
	Client string // the client's address, which is the peer of the recorded connection
	Server string // the address that the server sees as its client's

	client, relay end
	open          atomic.Int32 // directions that have not ended behind the proxy
}

// Ended reports whether the connection has ended behind the proxy.
func (l *Link) Ended() bool { return l.open.Load() == 0 }

// Bytes returns a copy of all bytes of a direction as the client wrote or read them.
func (l *Link) Bytes(dir record.Direction) []byte { return l.client.bytes(dir) }

// Sent returns a copy of all bytes of a direction as the end that sends them sent
// them: the client's for In, the relay's for Out.
func (l *Link) Sent(dir record.Direction) []byte {
	if dir == record.In {
		return l.client.bytes(dir)
	}
	return l.relay.bytes(dir)
}

// Passed returns between which times a byte passed the middle of the link; ok is false
// if it did not come to both ends.
func (l *Link) Passed(dir record.Direction, offset uint64) (earliest, latest time.Time, ok bool) {
	from, to := &l.client, &l.relay
	if dir == record.Out {
		from, to = to, from
	}
	earliest, ok1 := from.at(dir, offset)
	latest, ok2 := to.at(dir, offset)
	return earliest, latest, ok1 && ok2
}

// Whole reports whether the two ends have had the same bytes of a direction.
func (l *Link) Whole(dir record.Direction) bool {
	return bytes.Equal(l.client.bytes(dir), l.relay.bytes(dir))
}

// Chunks returns what passed the relay, in the order in which it did.
func (l *Link) Chunks() []Chunk {
	l.relay.mu.Lock()
	defer l.relay.mu.Unlock()
	all := append(append([]Chunk{}, l.relay.chunks[0]...), l.relay.chunks[1]...)
	sort.SliceStable(all, func(i, j int) bool { return all[i].At.Before(all[j].At) })
	return all
}

// Conn is the client's end of a link. What is written and read is kept.
type Conn struct {
	net.Conn
	Link *Link
}

// Write writes b to the connection inside.
func (c *Conn) Write(b []byte) (int, error) {
	c.Link.client.mu.Lock()
	began := time.Now()
	c.Link.client.mu.Unlock()
	// The bytes are kept before they are sent, so that an answer never comes before its request.
	c.Link.client.add(record.In, began, b)
	return c.Conn.Write(b)
}

// Read reads from the connection inside.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.Link.client.add(record.Out, time.Now(), b[:n])
	return n, err
}

// Mark returns how many bytes of each direction the client has written and read.
func (c *Conn) Mark() Mark {
	c.Link.client.mu.Lock()
	defer c.Link.client.mu.Unlock()
	return Mark{c.Link.client.next[record.In], c.Link.client.next[record.Out]}
}

// Mark is a place in both directions of a connection.
type Mark struct{ In, Out uint64 }
