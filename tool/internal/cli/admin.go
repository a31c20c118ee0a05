package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
)

// defaultAdmin is where MOSN's admin server listens by default.
const defaultAdmin = "http://127.0.0.1:34901"

// Requests of the admin API.
const (
	adminStatus = "/api/v1/tcpcopy"
	adminConfig = "/api/v1/tcpcopy/config"
	adminWindow = "/api/v1/tcpcopy/window"
	adminStream = "/api/v1/tcpcopy/stream"

	adminCapture = "/api/v1/tcpcopy/capture"
)

// adminTimeout bounds each request, of the stream the wait for its beginning. Closing a
// window waits for its records to be on disk.
const adminTimeout = 30 * time.Second

// maxToken bounds the token file, bytes.
const maxToken = 4 << 10

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
	c := &adminClient{base: base, http: newHTTPClient()}
	if a.tokenFile != "" {
		token, err := readArgument(cmd.Context(), a.tokenFile, maxToken)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) && !namesPlace(a.tokenFile) { // perhaps the token itself, which no error shows
				return nil, errors.New("read token: no file has the name that --token-file gives, valid: the name of a file, not the token itself")
			}
			return nil, fmt.Errorf("read token: %w", err)
		}
		if c.token = strings.TrimSpace(string(token)); c.token == "" {
			return nil, fmt.Errorf("read token: %s is empty", a.tokenFile)
		}
	}
	return c, nil
}

// namesPlace reports whether a path has a folder in it that is there.
func namesPlace(path string) bool {
	folder, _ := filepath.Split(path)
	if folder == "" {
		return false
	}
	info, err := os.Stat(folder)
	return err == nil && info.IsDir()
}

// newHTTPClient returns a client that follows no redirect: where it leads is not where the
// token belongs. It waits for the beginning of an answer up to adminTimeout.
func newHTTPClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = adminTimeout
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
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
	stream, _, err := c.openWithHeader(ctx, method, path, query, body)
	return stream, err
}

// openWithHeader is open, and returns the answer's header too.
func (c *adminClient) openWithHeader(ctx context.Context, method, path string, query url.Values, body []byte) (io.ReadCloser, http.Header, error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
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
		return nil, nil, c.unasked(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, resp.Header, nil
	}
	defer resp.Body.Close()
	reason, own := refusalOf(resp)
	if !own {
		return nil, nil, c.stranger(ctx, method, path, fmt.Errorf("%s%s", resp.Status, reason))
	}
	return nil, nil, &refusedError{address: c.base.Host, status: resp.StatusCode, reason: reason}
}

// unasked returns the error for a request without an answer.
func (c *adminClient) unasked(err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("ask %s: %w: is MOSN running there? --admin or TCPCOPY_ADMIN names another address", c.base.Host, syscall.ECONNREFUSED)
	case strings.Contains(text, "malformed HTTP") || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s is no MOSN's admin server: it does not speak HTTP (%w); --admin or TCPCOPY_ADMIN names another address", c.base.Host, err)
	default:
		return fmt.Errorf("ask %s: %w", c.base.Host, err)
	}
}

// maxQuoted bounds what is shown of an answer that nobody expected, in bytes.
const maxQuoted = 40

// refusalOf returns the reason in an answer, and whether the answer has the form of the
// admin API's refusals, or of a redirect, which names another server itself. The reason of
// any other answer is how it begins, in brackets.
func refusalOf(resp *http.Response) (reason string, own bool) {
	if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 && to != "" {
		return fmt.Sprintf("it redirects to %s, which is not followed; name that server with --admin if it is the right one", to), true
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return "", false
	}
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &answer) == nil && answer.Error != "" {
		return answer.Error, true
	}
	if begins := strings.TrimSpace(string(text[:min(len(text), maxQuoted)])); begins != "" {
		return fmt.Sprintf(" (%q)", begins), false
	}
	return "", false
}

// answer is what a request is answered with.
type answer interface {
	// missing returns the first field that an answer of the admin API has and this one has
	// not, or not with such a value; "" when all are there.
	missing() string
}

// do sends a request and decodes the answer into v. An answer that is not one of the admin
// API is an error.
func (c *adminClient) do(ctx context.Context, method, path string, query url.Values, body []byte, v answer) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	stream, err := c.open(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer stream.Close()
	text, err := io.ReadAll(io.LimitReader(stream, maxReply+1))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base.Host, err)
	}
	if len(text) > maxReply {
		return c.stranger(ctx, method, path, fmt.Errorf("more than %d bytes", maxReply))
	}
	if err := json.Unmarshal(text, v); err != nil {
		return c.stranger(ctx, method, path, fmt.Errorf("%.40q: %w", text, err))
	}
	if field := v.missing(); field != "" {
		return c.stranger(ctx, method, path, fmt.Errorf("JSON without %q", field))
	}
	return nil
}

// stranger returns the error for an answer that is not one of the admin API. It says
// whether a MOSN answers at all.
func (c *adminClient) stranger(ctx context.Context, method, path string, err error) error {
	what := "is no MOSN, or at least"
	if version := c.mosnVersion(ctx); version != "" {
		what = fmt.Sprintf("is a MOSN (version %s) whose program does not have tcpcopy, and", version)
	}
	return fmt.Errorf("%s %s not the admin server of a tcpcopy: it answers %s %s with %w", c.base.Host, what, method, path, err)
}

const (
	adminVersion   = "/api/v1/version" // of every MOSN
	versionTimeout = 2 * time.Second   // how long it may take
	maxVersion     = 80                // bytes of it that are shown
)

// mosnVersion returns the version that a MOSN says it has. It is empty for any other server.
func (c *adminClient) mosnVersion(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.JoinPath(adminVersion).String(), nil)
	if err != nil {
		return ""
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxVersion))
	version, ok := strings.CutPrefix(string(text), "mosn version: ")
	if err != nil || resp.StatusCode != http.StatusOK || !ok {
		return ""
	}
	if version = strings.TrimSpace(version); version == "" {
		return "unknown"
	}
	return version
}

// streamWindow is the header of an answer that has the id of the live-only window that a
// stream is of.
const streamWindow = "X-Tcpcopy-Window"

// openStream opens a live stream, with the parameters of query, and returns the id of the
// live-only window that it is of, "" if it is of none. The caller closes it.
func (c *adminClient) openStream(ctx context.Context, query url.Values) (io.ReadCloser, string, error) {
	body, header, err := c.openWithHeader(ctx, http.MethodGet, adminStream, query, nil)
	if err != nil {
		return nil, "", err
	}
	stream, err := c.headed(ctx, body)
	return stream, header.Get(streamWindow), err
}

// headed reads the head of a live stream and returns the whole of it. With an error it closes
// body.
func (c *adminClient) headed(ctx context.Context, body io.ReadCloser) (io.ReadCloser, error) {
	head := make([]byte, pcapng.HeadLength)
	n, err := io.ReadFull(body, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.Join(fmt.Errorf("read the answer of %s: %w", c.base.Host, err), body.Close())
	}
	if !pcapng.IsSection(head[:n]) {
		return nil, errors.Join(c.stranger(ctx, http.MethodGet, adminStream, fmt.Errorf("%q, which is not pcapng", head[:n])), body.Close())
	}
	return &headedStream{io.MultiReader(bytes.NewReader(head), body), body}, nil
}

// headedStream is a stream whose head has been read already.
type headedStream struct {
	io.Reader
	io.Closer
}
