package test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"mosn.io/tcpcopy/internal/wiretap"
)

func TestEveryByteOfHTTPConnectionsIsRecorded(t *testing.T) {
	t.Parallel()
	const clients, requests = 8, 6
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(httpUpstream(t), httpListener(base, address, roomy())))

	taps := make([]*wiretap.Conn, clients)
	errs := make([]error, clients)
	ctx := deadline(t)
	w := m.window(func() {
		var running sync.WaitGroup
		for i := range clients {
			running.Add(1)
			go func() { // ends with its requests or the first error
				defer running.Done()
				c := newHTTPClient("tcp", address)
				defer c.CloseIdleConnections()
				for j := range requests {
					length := []int64{0, 1, 1000, 70_000, 5, 300_000}[(i+j)%6]
					url := fmt.Sprintf("http://%s/client/%d/%d", address, i, j)
					if errs[i] = c.post(ctx, url, randomBytes(int64(i*requests+j), length), nil); errs[i] != nil {
						return
					}
				}
				taps[i] = c.tap
			}()
		}
		running.Wait()
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	complete(t, w)
	recorded := m.connections(w)
	sameBytes(t, recorded, taps)
	for _, c := range recorded {
		sent, err := c.In.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(sent, []byte("POST /client/")); n != requests {
			t.Errorf("connection %s has %d requests, want %d", c.Conn, n, requests)
		}
	}
}
