package replay_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/loopback"
	"mosn.io/tcpcopy/pkg/record"
)

// proxy forwards connections and records them in a scenario, as the recorder does: bytes
// of the client when they have been read, bytes of the server before they are written.
type proxy struct {
	address string
	done    sync.WaitGroup // connections

	mu       sync.Mutex
	scenario *scenario // guarded by mu
}

// newProxy serves a loopback port and forwards to a server.
func newProxy(t testing.TB, upstream string) *proxy {
	t.Helper()
	p := &proxy{scenario: newScenario()}
	p.scenario.begin = time.Now()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = listener.Addr().String()
	port := listener.Addr().(*net.TCPAddr).Port
	t.Cleanup(loopback.Serve(listener, func(client net.Conn) {
		p.done.Add(1)
		defer p.done.Done()
		server, err := net.Dial("tcp", upstream)
		if err != nil {
			return
		}
		defer server.Close()
		c := p.open(port)
		reason := "RemoteClose"
		answers := make(chan struct{})
		go func() { // ends with either connection
			defer close(answers)
			p.pass(c, record.Out, server, client)
			client.Close()
		}()
		p.pass(c, record.In, client, server)
		server.Close()
		<-answers
		p.mu.Lock()
		defer p.mu.Unlock()
		c.at(time.Since(p.scenario.begin)).close(reason)
	}))
	return p
}

func (p *proxy) open(port int) *scenarioConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.scenario.open(time.Since(p.scenario.begin), port)
}

// pass records and forwards one direction until it ends.
func (p *proxy) pass(c *scenarioConn, dir record.Direction, from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.mu.Lock()
			c.at(time.Since(p.scenario.begin)).data(dir, string(buf[:n]))
			p.mu.Unlock()
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// recorded waits for the connections to end and returns the scenario.
func (p *proxy) recorded() *scenario {
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.scenario
}
