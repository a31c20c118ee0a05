// Package wiretap keeps a copy of what passes through a connection at the client's
// end. The end-to-end tests and examples/demo compare a recording with it.
package wiretap

import (
	"bytes"
	"net"
	"sync"
)

// Conn is a connection that keeps all that was written to it and read from it.
// It is safe for concurrent use as far as the connection inside is.
type Conn struct {
	net.Conn

	mu      sync.Mutex // guards the rest
	written []byte
	read    []byte
}

// New wraps conn, of which nothing may have passed yet.
func New(conn net.Conn) *Conn { return &Conn{Conn: conn} }

// Write writes b to the connection inside and keeps a copy of what was written.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.mu.Lock()
	c.written = append(c.written, b[:n]...)
	c.mu.Unlock()
	return n, err
}

// Read reads from the connection inside and keeps a copy.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	c.read = append(c.read, b[:n]...)
	c.mu.Unlock()
	return n, err
}

// Written returns a copy of all that was written so far.
func (c *Conn) Written() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.written)
}

// WasRead returns a copy of all that was read so far.
func (c *Conn) WasRead() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.read)
}
