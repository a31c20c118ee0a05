package tcpcopy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/netsocket"
)

// fakeSockets are sockets as a test has them.
type fakeSockets struct {
	mu     sync.Mutex // guards the rest
	number uint32
	own    bool
	fault  error // of inode
	unread error // of held
	closes bool  // the socket is closed while held looks
	looks  atomic.Int64
	under  atomic.Int64
	most   atomic.Int64
	lasts  time.Duration
}

func (f *fakeSockets) inode(netip.AddrPort, netip.AddrPort) (uint32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.number, f.fault
}

func (f *fakeSockets) held(uint32) (bool, error) {
	f.looks.Add(1)
	if n := f.under.Add(1); n > f.most.Load() {
		f.most.Store(n)
	}
	defer f.under.Add(-1)
	if f.lasts > 0 {
		<-time.After(f.lasts)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closes {
		f.number = 0
		f.fault = netsocket.ErrNone
	}
	return f.own, f.unread
}

// from is a request of a loopback peer with that port.
func from(port int) *http.Request {
	req := httptest.NewRequest(http.MethodGet, streamPath, http.NoBody)
	req.RemoteAddr = fmt.Sprintf("127.0.0.1:%d", port)
	return req.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 34901})))
}

func TestOwnRequestsAreNotThoseOfALoopbackPeer(t *testing.T) {
	for name, c := range map[string]struct {
		sockets *fakeSockets
		why     string
	}{
		"another process":     {&fakeSockets{number: 7}, ""},
		"this one":            {&fakeSockets{number: 7, own: true}, "this proxy itself"},
		"closed":              {&fakeSockets{fault: netsocket.ErrNone}, "cannot be found"},
		"closed meanwhile":    {&fakeSockets{number: 7, closes: true}, "cannot be checked"},
		"no table of sockets": {&fakeSockets{fault: errors.New("no netlink")}, "no netlink"},
		"no descriptors":      {&fakeSockets{number: 7, unread: errors.New("no /proc")}, "no /proc"},
	} {
		err := newOwnPeers(c.sockets).isOther(from(1))
		if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
	req := from(1)
	if err := newOwnPeers(&fakeSockets{number: 7}).isOther(req.WithContext(context.Background())); err == nil {
		t.Error("a connection without an address is another process's")
	}
}

// There is one look for a connection, and a new one when its addresses are another's.
func TestAConnectionIsLookedAtOnce(t *testing.T) {
	s := &fakeSockets{number: 7}
	o := newOwnPeers(s)
	for range 1000 {
		if err := o.isOther(from(1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.looks.Load(); n != 1 {
		t.Errorf("%d looks for one connection", n)
	}
	s.number, s.own = 8, true
	if err := o.isOther(from(1)); err == nil {
		t.Error("the next connection with these addresses has the verdict of the one before")
	}
}

// Many callers do not make the proxy do nothing but look, and do not wait for long.
func TestLooksAreFew(t *testing.T) {
	s := &fakeSockets{number: 7, lasts: 20 * time.Millisecond}
	o := newOwnPeers(s)
	var wg sync.WaitGroup
	var busy atomic.Int64
	begun := time.Now()
	for i := range 2000 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := o.isOther(from(1 + i)); errors.Is(err, errManyLookers) {
				busy.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	lasted := time.Since(begun)
	if s.most.Load() != 1 {
		t.Errorf("%d looks at a time", s.most.Load())
	}
	if n := s.looks.Load(); busy.Load() != 2000-n || float64(n) > 2+10*lasted.Seconds() {
		t.Errorf("%d looks in %v, %d callers are sent away", n, lasted, busy.Load())
	}
	for i := range maxVerdicts {
		if len(o.verdicts) < maxVerdicts {
			o.verdicts[peerSocket{inode: uint32(i)}] = true
		}
	}
	s.lasts = 0
	<-time.After(time.Until(o.next))
	if err := o.isOther(from(60000)); err != nil || len(o.verdicts) > maxVerdicts {
		t.Errorf("%v, %d verdicts", err, len(o.verdicts))
	}
}

// Through real sockets, this process is its own peer.
func TestThisProcessIsItsOwnPeer(t *testing.T) {
	h := newHarness(t, object{})
	a := &admin{recorder: h.recorder, peers: newOwnPeers(systemSockets{upgrading: func() bool { return true }})}
	server := httptest.NewServer(http.HandlerFunc(a.window))
	defer server.Close()
	for range 3 {
		answer, err := http.Post(server.URL+"/api/v1/tcpcopy/window?seconds=1", "", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("%d", answer.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if h.recorder.controller.Open() != nil {
		t.Error("a window is open")
	}
}
