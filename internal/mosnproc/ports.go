package mosnproc

import (
	"errors"
	"fmt"
	"math/rand"
	"net"
	"sync"
)

// The range lies below the ports that systems use for outgoing connections, so that a
// port stays free between the check and its use.
const (
	firstPort = 10000
	lastPort  = 32000
)

// Ports returns loopback ports on which nothing listens, none of them twice.
// Its zero value is ready; it is safe for concurrent use.
type Ports struct {
	mu   sync.Mutex // guards next
	next int        // 0 before the first use
}

// Next returns a port that is free for TCP and for UDP.
func (p *Ports) Next() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == 0 {
		// Processes that run at the same time start at different places.
		p.next = firstPort + rand.Intn(lastPort-firstPort)
	}
	var last error
	for range lastPort - firstPort {
		port := p.next
		if p.next++; p.next >= lastPort {
			p.next = firstPort
		}
		if last = free(port); last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port in %d … %d: %w", firstPort, lastPort, last)
}

// free returns an error if port is in use.
func free(port int) error {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		return errors.Join(err, tcp.Close())
	}
	return errors.Join(udp.Close(), tcp.Close())
}
