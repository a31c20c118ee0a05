package buffer

import (
	"encoding/binary"
	"sync/atomic"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// Conn is the recorder's side of one connection. The filter has one for each
// connection, by value; it must not be copied once it is used.
type Conn struct {
	// ID is the proxy's number of the connection. It chooses the shard.
	ID uint64
	// Limit is how many bytes of each direction are kept in a window; 0 means all.
	Limit uint64
	// Datagrams says that a record must not be split.
	Datagrams bool
	// Describe is called when the connection takes part in a window for the first
	// time, from whichever goroutine reads or writes it.
	Describe func() record.Endpoint
	// Sent returns how many bytes the proxy itself has sent on the connection by now.
	// EndAll calls it. It is nil where nobody counts them.
	Sent func() uint64

	description atomic.Pointer[description] // of Describe's answer

	// The rest is guarded by the lock of shard.
	shard      *Shard // of the session that the connection last took part in
	slot       uint32
	batch      uint64      // number of the batch that has the connection's header
	named      bool        // any batch has
	gapped     int         // its place in the shard's list of gapped connections, from 1; 0 when it is not there
	ended      bool        // it has had its close event
	closeEvent *CloseEvent // while that waits for room
	streams    [2]stream
}

// stream is one direction of a connection in a session.
type stream struct {
	begun bool   // bytes have passed in the session
	next  uint64 // offset of the next byte that passes
	kept  uint64 // bytes accepted, to compare with Limit

	// The gap that has no entry yet: the last gap bytes before next.
	gap    uint64
	reason record.Reason
}

// description is what the batches need of a record.Endpoint.
type description struct {
	text     []byte // for connection headers
	headroom int    // bytes of a packet's block before the payload
}

// describe returns the description, made at the first call. That call asks the
// proxy, so it must not come under a shard's lock.
func (c *Conn) describe() *description {
	if d := c.description.Load(); d != nil {
		return d
	}
	return c.makeDescription()
}

func (c *Conn) makeDescription() *description {
	d := &description{text: appendEndpoint(nil, c.Describe())}
	var f record.Flow
	decodeEndpoint(d.text, &f.Endpoint) // as the worker does
	d.headroom = pcapng.Headroom(&f)
	c.description.Store(d)
	return d
}

// firstOffset returns the offset from which the entries after a connection header
// go on.
func (c *Conn) firstOffset(dir record.Direction) uint64 {
	return c.streams[dir].next - c.streams[dir].gap
}

// maxText bounds each text of a description, in bytes: paths of Unix sockets and
// names of listeners are shorter.
const maxText = 256

// appendEndpoint encodes e: each text with its length before it, then the
// binary forms of the addresses likewise.
func appendEndpoint(dst []byte, e record.Endpoint) []byte {
	client, _ := e.ClientAddr.MarshalBinary()
	server, _ := e.ServerAddr.MarshalBinary()
	for _, s := range []string{e.Conn, e.Port, e.ListenerName, e.Network, e.Peer, e.Listener, string(client), string(server)} {
		s = s[:min(len(s), maxText)]
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// decodeEndpoint fills in the description that a connection header carries. It
// reports whether data is one.
func decodeEndpoint(data []byte, e *record.Endpoint) (ok bool) {
	var client, server string
	for _, s := range []*string{&e.Conn, &e.Port, &e.ListenerName, &e.Network, &e.Peer, &e.Listener, &client, &server} {
		if len(data) < 2 {
			return false
		}
		n := int(binary.LittleEndian.Uint16(data))
		if data = data[2:]; len(data) < n {
			return false
		}
		*s, data = string(data[:n]), data[n:]
	}
	return e.ClientAddr.UnmarshalBinary([]byte(client)) == nil &&
		e.ServerAddr.UnmarshalBinary([]byte(server)) == nil
}
