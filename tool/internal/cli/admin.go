package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"

	"github.com/spf13/cobra"
)

// defaultAdmin is where MOSN's admin server listens by default.
const defaultAdmin = "http://127.0.0.1:34901"

// Requests of the admin API.
const (
	adminStatus = "/api/v1/tcpcopy"
	adminConfig = "/api/v1/tcpcopy/config"
	adminWindow = "/api/v1/tcpcopy/window"
	adminStream = "/api/v1/tcpcopy/stream"
)

// adminTimeout bounds each request but the stream. Closing a window waits for
// its records to be on disk.
const adminTimeout = 30 * time.Second

// maxReply bounds the answers that are read, but the stream.
const maxReply = 4 << 20

// adminFlags is the part of a command line that names the admin server.
type adminFlags struct {
	address   string
	tokenFile string
}

func (t *tool) adminFlags(cmd *cobra.Command) *adminFlags {
	a := &adminFlags{}
	address := t.getenv("TCPCOPY_ADMIN")
	if address == "" {
		address = defaultAdmin
	}
	cmd.Flags().StringVar(&a.address, "admin", address, "`address` of MOSN's admin server (or TCPCOPY_ADMIN)")
	cmd.Flags().StringVar(&a.tokenFile, "token-file", "", "`file` with the token that the server asks for")
	return a
}

// adminClient sends requests to one server.
type adminClient struct {
	base  *url.URL
	token string
	http  *http.Client
}

func (a *adminFlags) client(cmd *cobra.Command) (*adminClient, error) {
	address := a.address
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, misused(cmd, "%v", &model.FieldError{Field: "--admin", Value: a.address, Valid: "an address such as " + defaultAdmin})
	}
	c := &adminClient{base: base, http: &http.Client{}}
	if a.tokenFile != "" {
		token, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("read token: %w", err)
		}
		if c.token = strings.TrimSpace(string(token)); c.token == "" {
			return nil, fmt.Errorf("read token: %s is empty", a.tokenFile)
		}
	}
	return c, nil
}

// refusedError is an answer of the server other than OK.
type refusedError struct {
	address string
	status  int
	reason  string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("%s refuses: %s (%d)", e.address, e.reason, e.status)
}

// open sends a request and returns the answer's body, for the caller to close.
func (c *adminClient) open(ctx context.Context, method, path string, query url.Values, body []byte) (io.ReadCloser, error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, fmt.Errorf("ask %s: %w", c.base.Host, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, &refusedError{address: c.base.Host, status: resp.StatusCode, reason: refusalOf(resp)}
}

// refusalOf returns the reason in an answer.
func refusalOf(resp *http.Response) string {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return resp.Status
	}
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &answer) == nil && answer.Error != "" {
		return answer.Error
	}
	if resp.StatusCode == http.StatusNotFound {
		return "there is no tcpcopy in this server, or its admin API is not MOSN's"
	}
	if reason := strings.TrimSpace(string(text)); reason != "" {
		return reason
	}
	return http.StatusText(resp.StatusCode)
}

// do sends a request and decodes the answer into v.
func (c *adminClient) do(ctx context.Context, method, path string, query url.Values, body []byte, v any) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	answer, err := c.open(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	text, err := io.ReadAll(io.LimitReader(answer, maxReply))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base.Host, err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base.Host, err)
	}
	return nil
}
