package tcpcopy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"mosn.io/tcpcopy/internal/netsocket"
)

const (
	// maxVerdicts bounds what an ownPeers remembers.
	maxVerdicts = 1024
	// maxLookers is how many requests may wait for their turn to look.
	maxLookers = 32
	// lookTimeout is how long a request waits for its turn.
	lookTimeout = 5 * time.Second
	// lookRest is how many times as long as a look nobody looks after it: looks use a tenth of
	// a processor. No rest is longer than maxLookRest.
	lookRest    = 9
	maxLookRest = 2 * time.Second
)

// ownPeers finds the admin requests that this process sends to itself: a route of the proxy
// may lead to its own admin server, and then each of its clients would be a loopback peer.
// It looks at the socket at the other end of the connection. It is safe for concurrent use.
//
// A look costs as much as the process has descriptors. So there is one for a connection and
// not one for a request, one at a time, and they have a bounded share of a processor.
type ownPeers struct {
	sockets sockets
	turn    chan struct{} // has room for the one who looks
	lookers chan struct{} // has room for those who look or wait for it

	mu       sync.Mutex // guards the rest
	verdicts map[peerSocket]bool
	next     time.Time // nobody looks before
}

// peerSocket is the socket at the other end of a connection. Numbers of sockets are used
// again only after four thousand million others.
type peerSocket struct {
	peer, admin netip.AddrPort
	inode       uint32
}

// sockets is what ownPeers needs of the system.
type sockets interface {
	// inode returns the number of the open socket with these addresses.
	inode(local, remote netip.AddrPort) (uint32, error)
	// held reports whether the proxy has a descriptor of the socket of that number.
	held(inode uint32) (bool, error)
}

func newOwnPeers(s sockets) *ownPeers {
	return &ownPeers{
		sockets:  s,
		turn:     make(chan struct{}, 1),
		lookers:  make(chan struct{}, maxLookers),
		verdicts: map[peerSocket]bool{},
	}
}

var errManyLookers = errors.New("many callers are being checked at once; try again later")

// isOther returns nil if another process has the socket at the other end of the request's
// connection, which is a loopback peer. Otherwise the error says who has, or why that is
// not known.
func (o *ownPeers) isOther(req *http.Request) error {
	peer, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil {
		return err
	}
	address, ok := req.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return errors.New("one whose connection is not known")
	}
	s := peerSocket{peer: peer, admin: address.AddrPort()}
	if s.inode, err = o.sockets.inode(s.peer, s.admin); err != nil {
		return fmt.Errorf("one that cannot be found on this host (%w)", err)
	}
	own, known := o.verdict(s)
	if !known {
		if own, err = o.look(s); err != nil {
			return err
		}
	}
	if own {
		return errors.New("this proxy itself, a route of which leads to its admin server")
	}
	return nil
}

func (o *ownPeers) verdict(s peerSocket) (own, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	own, known = o.verdicts[s]
	return own, known
}

// look waits for its turn, finds out whether the proxy has the socket, and remembers it.
func (o *ownPeers) look(s peerSocket) (own bool, err error) {
	select {
	case o.lookers <- struct{}{}:
		defer func() { <-o.lookers }()
	default:
		return false, errManyLookers
	}
	timeout := time.NewTimer(lookTimeout)
	defer timeout.Stop()
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-timeout.C:
		return false, errManyLookers
	}
	o.mu.Lock()
	rest := time.NewTimer(time.Until(o.next))
	o.mu.Unlock()
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-timeout.C:
		return false, errManyLookers
	}
	begun := time.Now()
	own, err = o.sockets.held(s.inode)
	if err == nil && !own {
		// It has been there all the time: nobody has closed it while descriptors were read.
		var now uint32
		if now, err = o.sockets.inode(s.peer, s.admin); err == nil && now != s.inode {
			err = netsocket.ErrNone
		}
	}
	if err != nil {
		err = fmt.Errorf("one that cannot be checked (%w)", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next = time.Now().Add(min(maxLookRest, lookRest*time.Since(begun)))
	if err != nil {
		return false, err
	}
	if len(o.verdicts) >= maxVerdicts {
		clear(o.verdicts)
	}
	o.verdicts[s] = own
	return own, nil
}

// systemSockets are those of this network namespace.
type systemSockets struct {
	upgrading func() bool // reports whether this process is being replaced by a successor
}

func (systemSockets) inode(local, remote netip.AddrPort) (uint32, error) {
	return netsocket.Inode(local, remote)
}

// held implements sockets. During a hot upgrade, the process that is replaced and its
// successor are one proxy: both accept connections of the one admin listener.
func (s systemSockets) held(inode uint32) (bool, error) {
	for _, pid := range append([]int{os.Getpid()}, netsocket.Successors(s.upgrading())...) {
		if held, err := netsocket.Holds(pid, inode); held || err != nil && !errors.Is(err, os.ErrNotExist) {
			return held, err
		}
	}
	return false, nil
}
