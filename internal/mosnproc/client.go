package mosnproc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Client calls a process's admin server. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// newClient returns a client of the admin server on port of the loopback.
func newClient(port int) *Client {
	return &Client{
		base: fmt.Sprintf("http://127.0.0.1:%d", port),
		// An own transport, so that no idle connection outlives the process in
		// the default one's pool.
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute},
	}
}

// URL returns the URL of a path of the admin server, for requests that Do cannot send.
func (c *Client) URL(path string) string { return c.base + path }

// StatusError is an answer that refuses the request.
type StatusError struct {
	Request string // method and path
	Code    int    // HTTP status
	Body    string // what the server said
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: status %d: %s", e.Request, e.Code, e.Body)
}

// Do sends one request and returns the body of an answer 2xx, which belongs to
// the caller. Any other answer is a *StatusError. An empty token sends none.
func (c *Client) Do(ctx context.Context, method, path, token string, body []byte) ([]byte, error) {
	what := method + " " + path
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: read answer: %w", what, err)
	}
	if res.StatusCode/100 != 2 {
		return nil, &StatusError{Request: what, Code: res.StatusCode, Body: string(bytes.TrimSpace(answer))}
	}
	return answer, nil
}

// Status is the answer to GET /api/v1/tcpcopy, as far as tests need it.
type Status struct {
	Switch struct {
		Effective string `json:"effective"`
	} `json:"switch"`
	Window *struct {
		ID       string `json:"id"`
		Trigger  string `json:"trigger"`
		Accounts struct {
			Lost struct {
				In  uint64 `json:"in"`  // bytes
				Out uint64 `json:"out"` // bytes
			} `json:"lost"`
		} `json:"accounts"` // up to now
	} `json:"window"` // nil when none is open
	Guard struct {
		Available bool `json:"available"`
	} `json:"guard"`
	Buffer struct {
		Used   int64 `json:"used"`   // bytes
		Size   int64 `json:"size"`   // bytes, as configured
		Window int64 `json:"window"` // bytes of the open window's
	} `json:"buffer"`
	Live struct {
		Streams int    `json:"streams"` // that are being read
		Lost    uint64 `json:"lost"`    // bytes that live streams have missed
	} `json:"live"`
	Refused []struct {
		Listener string `json:"listener"`
		Error    string `json:"error"`
	} `json:"refused"` // listeners whose configuration was refused
}

// Status returns the recorder's status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	answer, err := c.Do(ctx, http.MethodGet, "/api/v1/tcpcopy", "", nil)
	if err != nil {
		return Status{}, err
	}
	var s Status
	if err := json.Unmarshal(answer, &s); err != nil {
		return Status{}, fmt.Errorf("decode status %s: %w", answer, err)
	}
	return s, nil
}

// OpenWindow opens a manual window and returns its UUID.
func (c *Client) OpenWindow(ctx context.Context, length time.Duration) (string, error) {
	path := fmt.Sprintf("/api/v1/tcpcopy/window?seconds=%d", int(length/time.Second))
	answer, err := c.Do(ctx, http.MethodPost, path, "", nil)
	if err != nil {
		return "", err
	}
	var opened struct {
		Window string    `json:"window"`
		Closes time.Time `json:"closes"`
	}
	if err := json.Unmarshal(answer, &opened); err != nil {
		return "", fmt.Errorf("decode the opened window %s: %w", answer, err)
	}
	return opened.Window, nil
}

// CloseWindow closes the open window and returns when its records are on disk.
func (c *Client) CloseWindow(ctx context.Context) error {
	_, err := c.Do(ctx, http.MethodDelete, "/api/v1/tcpcopy/window", "", nil)
	return err
}

// Configure sets a layer, "app" or "global", from a DumpConfig in JSON.
func (c *Client) Configure(ctx context.Context, layer, config string) error {
	_, err := c.Do(ctx, http.MethodPut, "/api/v1/tcpcopy/config?layer="+layer, "", []byte(config))
	return err
}
