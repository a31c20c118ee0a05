package test

import (
	"context"
	"errors"
	"math/rand"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/wiretap"
)

// callers are gRPC clients that call until a call fails, each on one connection that it
// keeps open until the test ends.
type callers struct {
	taps    []*wiretap.Conn
	running sync.WaitGroup
}

// wait returns when the last call of each client has failed.
func (c *callers) wait() { c.running.Wait() }

// callUntilItFails starts n callers and returns when they are connected.
func callUntilItFails(t *testing.T, address string, n int) *callers {
	t.Helper()
	c := &callers{taps: make([]*wiretap.Conn, n)}
	for i := range c.taps {
		conn := c.dial(t, address, i)
		random := rand.New(rand.NewSource(int64(i)))
		c.running.Add(1)
		go func() { // ends when the connection has moved
			defer c.running.Done()
			pace := time.NewTicker(10 * time.Millisecond)
			defer pace.Stop()
			for {
				ctx, cancel := context.WithTimeout(context.Background(), timeout)
				_, err := grpcecho.Echo(ctx, conn, randomBytes(random.Int63(), 1+random.Int63n(40_000)))
				cancel()
				if err != nil {
					t.Logf("%s: caller %d: %v", time.Now().Format(time.StampMilli), i, err)
					return
				}
				<-pace.C
			}
		}()
	}
	return c
}

var errOneConnection = errors.New("this client has had its connection")

// dial connects caller i, from an address of its own and once only.
func (c *callers) dial(t *testing.T, address string, i int) *grpc.ClientConn {
	t.Helper()
	var dialled atomic.Bool
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 9, 0, byte(i+1))}}
	conn, err := grpc.DialContext(deadline(t), address, grpc.WithInsecure(), grpc.WithBlock(),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			if dialled.Swap(true) {
				return nil, errOneConnection
			}
			raw, err := from.DialContext(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			c.taps[i] = wiretap.New(raw)
			return c.taps[i], nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
