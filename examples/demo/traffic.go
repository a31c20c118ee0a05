package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"mosn.io/tcpcopy/internal/wiretap"
)

const (
	connections = 4
	requests    = 5 // on each connection
)

// answer is the upstream: it repeats the request's body behind a greeting.
func answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "you sent %d bytes to %s\n%s", len(body), r.URL.Path, body)
}

// sendRequests sends requests of growing sizes, on several connections with
// keep-alive, and returns the connections with what passed through them.
func sendRequests(ctx context.Context, url string) ([]*wiretap.Conn, error) {
	var taps []*wiretap.Conn
	for i := range connections {
		tap, err := sendOn(ctx, url, i)
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", i, err)
		}
		taps = append(taps, tap)
	}
	return taps, nil
}

// sendOn sends the requests of the i-th connection and closes it.
func sendOn(ctx context.Context, url string, i int) (*wiretap.Conn, error) {
	var tap *wiretap.Conn
	transport := &http.Transport{
		MaxConnsPerHost: 1,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			if tap != nil {
				return nil, fmt.Errorf("a second connection to %s: keep-alive does not hold", address)
			}
			tap = wiretap.New(conn)
			return tap, nil
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for j := range requests {
		// From nothing to some 90 KB, more than one read of the proxy.
		body := strings.Repeat("take-off and landing, ", (i+1)*j*j*j*16)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("%s/flight/%d/%d", url, i, j), strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		res, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		got, err := io.ReadAll(res.Body)
		if err != nil {
			return nil, fmt.Errorf("read the answer to request %d: %w", j, err)
		}
		if err := res.Body.Close(); err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusOK || !strings.HasSuffix(string(got), "\n"+body) {
			return nil, fmt.Errorf("request %d of %d bytes: status %s, %d bytes", j, len(body), res.Status, len(got))
		}
	}
	return tap, nil
}
