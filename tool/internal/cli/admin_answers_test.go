package cli_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// adminCommands are the commands that ask an admin server.
var adminCommands = [][]string{{"status"}, {"status", "-o", "json"}, {"on"}, {"off"}, {"off", "--force"}, {"record", "--for", "1s"}, {"live"}, {"live", "-w", "-"}}

// failsWith checks that a command ends with exit code 3, one line on standard error with the
// words, and nothing on standard output.
func failsWith(t *testing.T, args []string, words ...string) {
	t.Helper()
	run := start(context.Background(), args...)
	if run.lines.Scan() {
		t.Errorf("%q prints %q", args, run.lines.Text())
	}
	code := <-run.code
	said := run.stderr.String()
	if code != 3 || strings.Count(said, "\n") != 1 {
		t.Errorf("%q: exit code %d, %q", args, code, said)
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			t.Errorf("%q says %q, want %q in it", args, said, word)
		}
	}
}

// What answers, but not as a tcpcopy does, is named.
func TestAnswersOfOtherServersAreNoSuccess(t *testing.T) {
	const status = `"switch":{"effective":"OFF","app":{"switch":"OFF"},"global":{"switch":"OFF"}}`
	for name, c := range map[string]struct {
		body string
		kind string
	}{
		"an empty object": {`{}`, "application/json"},
		"null":            {`null`, "application/json"},
		"a list":          {`[]`, "application/json"},
		"a word":          {`"OK"`, "application/json"},
		"a number":        {`1`, "text/plain"},
		"OK":              {"OK", "text/plain"},
		"nothing":         {"", ""},
		"a page":          {"<!DOCTYPE html><html><body>Welcome to nginx!</body></html>", "text/html"},
		"health":          {`{"status":"UP","window":null}`, "application/json"},
		"other types":     {`{"window":5,"switch":"ON","effective":true}`, "application/json"},
		"another switch":  {`{"switch":{"effective":"MAYBE"},"effective":"MAYBE"}`, "application/json"},
		"half of it":      {`{` + status[:20], "application/json"},
		"more than one":   {`{` + status + `}{}`, "application/json"},
		"too much":        {`{` + status + `,"x":"` + strings.Repeat("x", 5<<20) + `"}`, "application/json"},
		"gzip":            {"\x1f\x8b\x08\x00", "application/octet-stream"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				_, _ = io.WriteString(w, c.body)
			}))
			defer server.Close()
			for _, args := range adminCommands {
				failsWith(t, append(args, "--admin", server.URL), "not the admin server of a tcpcopy", strings.TrimPrefix(server.URL, "http://"))
			}
			file := filepath.Join(t.TempDir(), "file")
			failsWith(t, []string{"live", "-w", file, "--admin", server.URL}, "not pcapng")
			if _, err := os.Stat(file); err == nil {
				t.Error("live has written a file")
			}
		})
	}
}

// A token goes to the server that --admin names and to no other.
func TestTheTokenFollowsNoRedirect(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked := 0
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
	}))
	defer thief.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{thief.URL, thief.URL + "/api/v1/tcpcopy", "//" + strings.TrimPrefix(thief.URL, "http://") + "/x", "/elsewhere", "https://127.0.0.1:1/"} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.URL.Path == "/elsewhere" {
					t.Errorf("%d: it follows", code)
				}
				w.Header().Set("Location", to)
				w.WriteHeader(code)
			}))
			for _, args := range adminCommands {
				failsWith(t, append(args, "--admin", server.URL, "--token-file", token), "redirects to "+to, fmt.Sprint(code), "--admin")
			}
			server.Close()
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if asked != 0 {
		t.Errorf("the other server is asked %d times", asked)
	}
}

// A server that begins an answer and does not end it is left when the command is.
func TestAnInterruptEndsTheWaitForAnAnswer(t *testing.T) {
	asked := make(chan bool, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.(http.Flusher).Flush()
		asked <- true
		<-req.Context().Done()
	}))
	defer server.Close()
	for _, args := range adminCommands {
		if args[0] == "record" {
			continue // it closes its window before it ends
		}
		ctx, cancel := context.WithCancel(context.Background())
		run := start(ctx, append(args, "--admin", server.URL)...)
		<-asked
		cancel()
		select {
		case <-run.code:
		case <-time.After(20 * time.Second):
			t.Errorf("%q does not end", args)
		}
	}
}
