package cli_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

func mkfifo(t *testing.T) string {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	return pipe
}

// No file of a command line is waited for because it is a named pipe, or read because it is a
// device or has no end.
func TestFilesThatAreNoneAreNamed(t *testing.T) {
	pipe := mkfifo(t)
	dir := t.TempDir()
	link, socket, huge := filepath.Join(dir, "link"), filepath.Join(dir, "socket"), filepath.Join(dir, "huge")
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 8<<30); err != nil {
		t.Fatal(err)
	}
	for path, words := range map[string]string{
		pipe: "is a named pipe, valid: a regular file", link: "is a named pipe", dir: "is a directory", "/dev/zero": "is a device", huge: "bytes", filepath.Join(dir, "none"): "no such file", socket: socket,
	} {
		for _, args := range adminCommands {
			failsWith(t, append(args, "--admin", "127.0.0.1:1", "--token-file", path), "read token: ", words, path)
		}
	}
	// The token itself instead of a file with it.
	for _, token := range []string{"s3cretT0ken", "s3cret/T0ken+abc="} {
		for _, args := range adminCommands {
			run := start(context.Background(), append(args, "--admin", "127.0.0.1:1", "--token-file", token)...)
			if code := <-run.code; code != 3 || strings.Contains(run.stderr.String(), token) || !strings.Contains(run.stderr.String(), "not the token itself") {
				t.Errorf("%q: exit code %d, %s", args, code, run.stderr)
			}
		}
	}
	// A dump directory with a link to a pipe in it.
	dump := t.TempDir()
	if err := os.Symlink(pipe, filepath.Join(dump, layout.FlowLog)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link, dump, "/dev/zero"} {
		for _, command := range []string{"show", "conns", "export", "replay"} {
			args := []string{command, path}
			switch command {
			case "export":
				args = append(args, "-o", filepath.Join(t.TempDir(), "out"))
			case "replay":
				args = append(args, "--to", "127.0.0.1:1", "--dry-run")
			}
			run := start(context.Background(), args...)
			for run.lines.Scan() {
			}
			want := "valid: a regular file"
			if path == dump {
				want = "no dump files here" // what is none of the recorder's files is passed over
			}
			if code := <-run.code; code != 3 || !strings.Contains(run.stderr.String(), want) {
				t.Errorf("%q: exit code %d, %q", args, code, run.stderr)
			}
		}
	}
}

// What the shell opens for <(command) is read.
func TestFilesThatTheShellHasOpenedAreRead(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"switch":{"effective":"OFF","app":{"switch":"OFF"},"global":{"switch":"OFF"}}}`)
	}))
	defer server.Close()
	piped := func(text string) (name string) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		go func() {
			_, _ = io.WriteString(w, text)
			_ = w.Close()
		}()
		return fmt.Sprintf("/dev/fd/%d", r.Fd())
	}
	run := start(context.Background(), "status", "--admin", server.URL, "--token-file", piped("s3cret\n"))
	run.wantLine(t, "OFF")
	for run.lines.Scan() {
	}
	run.endsWell(t)
	run = start(context.Background(), "show", "--raw", piped("2024-05-06 07:08:09,000000 [INFO] [w][8080][k3v9qa-1 > 0]6f 6e 65\n"))
	run.wantLine(t, "one")
	run.endsWell(t)
}

// A pipe that is written to waits for its reader, until the command is interrupted.
func TestAnInterruptEndsTheWaitForAReader(t *testing.T) {
	pipe := mkfifo(t)
	ctx, cancel := context.WithCancel(context.Background())
	run := start(ctx, "export", "-o", pipe, smallDump(t))
	select {
	case code := <-run.code:
		t.Fatalf("it does not wait: exit code %d, %q", code, run.stderr)
	case <-time.After(100 * time.Millisecond):
	}
	cancel()
	select {
	case <-run.code:
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
}
