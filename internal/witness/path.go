package witness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Path is how clients reach one server. It is safe for concurrent use.
type Path struct {
	server  func() (net.Conn, error) // connects to the server
	relay   net.Listener             // where the proxy connects to
	running sync.WaitGroup
	arrived chan net.Conn // connections of the proxy that belong to a client
	dialing atomic.Bool   // a client connects
	strays  atomic.Int32  // connections of the proxy that belong to none

	mu    sync.Mutex // guards the rest, and lets one client connect at a time
	proxy string     // where clients connect to
	links []*Link
	conns []net.Conn
	done  bool
}

// NewPath returns a path to the server at address. Until Through, nothing is between the
// clients and the relay.
func NewPath(address string) (*Path, error) {
	return newPath(func() (net.Conn, error) { return net.DialTimeout("tcp", address, 10*time.Second) })
}

func newPath(server func() (net.Conn, error)) (*Path, error) {
	relay, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	p := &Path{server: server, relay: relay, proxy: relay.Addr().String(), arrived: make(chan net.Conn)}
	p.running.Add(1)
	go func() { // ends when Close closes the listener
		defer p.running.Done()
		defer close(p.arrived)
		for {
			conn, err := relay.Accept()
			if err != nil {
				return
			}
			if !p.dialing.Load() { // somebody looks whether the proxy serves
				conn.Close()
				p.strays.Add(1)
				continue
			}
			p.arrived <- conn
		}
	}()
	return p, nil
}

// Relay returns the address that the proxy must forward to.
func (p *Path) Relay() string { return p.relay.Addr().String() }

// Through says that clients connect to a proxy, which forwards to Relay.
func (p *Path) Through(proxy string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proxy = proxy
}

// Strays returns how many connections of the proxy have come while no client connected.
// Whoever started the proxy and looked whether it serves waits for them, since they must
// not be counted as a client's.
func (p *Path) Strays() int { return int(p.strays.Load()) }

// Ended reports whether all connections have ended behind the proxy.
func (p *Path) Ended() bool {
	for _, l := range p.Links() {
		if !l.Ended() {
			return false
		}
	}
	return true
}

// Dial connects a client. The caller closes the connection.
func (p *Path) Dial(ctx context.Context) (*Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return nil, errors.New("the path is closed")
	}
	p.dialing.Store(true)
	defer p.dialing.Store(false)
	var dialer net.Dialer
	front, err := dialer.DialContext(ctx, "tcp", p.proxy)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", p.proxy, err)
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var behind net.Conn
	select {
	case behind = <-p.arrived:
	case <-wait.Done():
		return nil, errors.Join(fmt.Errorf("the proxy at %s does not connect to %s: %w", p.proxy, p.Relay(), wait.Err()), front.Close())
	}
	server, err := p.server()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the server: %w", err), front.Close(), behind.Close())
	}
	link := &Link{Client: front.LocalAddr().String(), Server: server.LocalAddr().String()}
	link.ID = link.Client
	if n := p.earlier(link.Client); n > 0 {
		link.ID = fmt.Sprintf("%s/%d", link.Client, n+1)
	}
	p.links = append(p.links, link)
	p.conns = append(p.conns, front, behind, server)
	p.running.Add(2)
	link.open.Store(2)
	go p.copy(link, record.In, server, behind)
	go p.copy(link, record.Out, behind, server)
	return &Conn{Conn: front, Link: link}, nil
}

// copy moves one direction of link until it ends, or Close.
func (p *Path) copy(link *Link, dir record.Direction, to, from net.Conn) {
	defer p.running.Done()
	defer link.open.Add(-1)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		link.relay.add(dir, time.Now(), buffer[:n])
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			break
		}
	}
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite() // it may be closed
	}
	if dir == record.Out {
		to.Close()
	}
}

// Front lets a client connect that has no Dial: it returns an address that
// forwards each connection through Dial, until Close.
func (p *Path) Front() (string, error) {
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	p.conns = append(p.conns, listenerCloser{Listener: front})
	p.mu.Unlock()
	p.running.Add(1)
	go func() { // ends when Close closes the listener
		defer p.running.Done()
		for {
			client, err := front.Accept()
			if err != nil {
				return
			}
			through, err := p.Dial(context.Background())
			if err != nil {
				client.Close()
				continue
			}
			p.running.Add(2)
			pass := func(to, from net.Conn) {
				defer p.running.Done()
				buffer := make([]byte, 64<<10)
				for {
					n, err := from.Read(buffer)
					if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
						break
					}
				}
				to.Close()
			}
			go pass(through, client)
			go pass(client, through)
		}
	}()
	return front.Addr().String(), nil
}

type listenerCloser struct {
	net.Listener
	net.Conn
}

func (l listenerCloser) Close() error { return l.Listener.Close() }

// earlier returns how many connections there were from a client's address. p.mu is held.
func (p *Path) earlier(client string) int {
	n := 0
	for _, l := range p.links {
		if l.Client == client {
			n++
		}
	}
	return n
}

// Links returns the connections so far, in the order in which they were made.
func (p *Path) Links() []*Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*Link{}, p.links...)
}

// Close closes all connections and waits for what Path has started.
func (p *Path) Close() {
	p.mu.Lock()
	p.done = true
	p.relay.Close()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	for conn := range p.arrived {
		conn.Close()
	}
	p.running.Wait()
}
