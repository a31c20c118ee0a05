package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/wiretap"
)

// httpUpstream answers every request with its body and returns the address.
func httpUpstream(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		w.Header().Set("X-Path", r.URL.Path)
		_, _ = w.Write(body) // or it has gone now
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// httpListener is an HTTP/1.1 proxy listener that records.
func httpListener(base, address string, blocks ...block) mosnproc.Listener {
	return mosnproc.NewListener("http", address, recorder(base, blocks...), mosnproc.Proxy("Http1"))
}

// httpClient has one connection, which it keeps open between requests and keeps
// the bytes of.
type httpClient struct {
	http.Client
	tap *wiretap.Conn // nil before the first request
}

// newHTTPClient returns a client that connects to address whatever its requests'
// URLs say.
func newHTTPClient(network, address string) *httpClient {
	c := &httpClient{}
	c.Transport = &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if c.tap != nil {
				return nil, errors.New("the proxy did not keep the connection open")
			}
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			c.tap = wiretap.New(conn)
			return c.tap, nil
		},
	}
	return c
}

// post sends body and expects it back.
func (c *httpClient) post(ctx context.Context, url string, body []byte, header http.Header) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if res.StatusCode != http.StatusOK || !bytes.Equal(got, body) {
		return fmt.Errorf("POST %s of %d bytes: status %s, %d bytes", url, len(body), res.Status, len(got))
	}
	return nil
}
