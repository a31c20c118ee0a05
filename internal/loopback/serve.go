// Package loopback serves connections for tests.
package loopback

import (
	"net"
	"sync"
)

// Serve accepts connections on listener and calls handle for each, in a goroutine of
// its own, until stop is called. stop closes the listener and the open connections,
// and waits for the handlers, which must return when their connection is closed.
func Serve(listener net.Listener, handle func(net.Conn)) (stop func()) {
	var (
		mu      sync.Mutex
		open    = map[net.Conn]bool{}
		running sync.WaitGroup
	)
	running.Add(1)
	go func() { // ends when the listener is closed
		defer running.Done()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			running.Add(1)
			go func() { // ends when the connection is closed, by its peer or below
				defer running.Done()
				handle(conn)
				conn.Close()
				mu.Lock()
				delete(open, conn)
				mu.Unlock()
			}()
		}
	}()
	return func() {
		listener.Close()
		mu.Lock()
		for conn := range open {
			conn.Close()
		}
		mu.Unlock()
		running.Wait()
	}
}
