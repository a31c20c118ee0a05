package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/tool/internal/cli"
)

// running is a command line that is being executed.
type running struct {
	lines  *bufio.Scanner // of standard output
	stderr *bytes.Buffer  // complete once code has been received from
	code   chan int
}

// start executes a command line until ctx ends or it is done.
func start(ctx context.Context, args ...string) *running {
	r, w := io.Pipe()
	run := &running{lines: bufio.NewScanner(r), stderr: &bytes.Buffer{}, code: make(chan int, 1)}
	go func() { // ends with the command
		code := cli.Run(ctx, "", args, strings.NewReader(""), w, run.stderr)
		_ = w.Close()
		run.code <- code
	}()
	return run
}

// wantLine checks that the next line of standard output contains text.
func (r *running) wantLine(t *testing.T, text string) {
	t.Helper()
	if !r.lines.Scan() || !strings.Contains(r.lines.Text(), text) {
		t.Fatalf("line %q, want one with %q", r.lines.Text(), text)
	}
}

// zoneRemarks are what is said of dumps without an index.
var zoneRemarks = regexp.MustCompile(`(?m)^.* the zone of its times is not known: .*\n`)

// endsWell checks that the command ends with exit code 0 and without a word.
func (r *running) endsWell(t *testing.T) {
	t.Helper()
	if got := <-r.code; got != 0 || zoneRemarks.ReplaceAllString(r.stderr.String(), "") != "" {
		t.Fatalf("exit code %d, want 0, standard error %q", got, r.stderr)
	}
}

func TestShowFollowsWhatIsWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, layout.FlowLog)
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString("2024-05-06 07:08:09,000000 [INFO] [w][8080][k3v9qa-1 > " + text + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	run := start(ctx, "show", "-f", dir)
	write("0]6f 6e 65")
	run.wantLine(t, "--- 2024-05-06")
	run.wantLine(t, "one")
	write("3]74 77 6f")
	run.wantLine(t, "two")
	if err := os.Rename(path, filepath.Join(dir, "dump_tcp_copy-2024-05-06T07-08-09.000.log")); err != nil {
		t.Fatal(err)
	}
	write("6]74 68 72 65 65")
	run.wantLine(t, "three")
	cancel()
	run.endsWell(t)
}

func TestLiveShowsRecordsAsTheyCome(t *testing.T) {
	next := make(chan string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !strings.HasSuffix(req.URL.Path, "/stream") { // the status, which live asks for too
			_, _ = io.WriteString(w, `{"output":{"dir":"/nowhere"}}`)
			return
		}
		open, data, _, _ := talk(firstWindow, 1, "10.0.0.1:50000", "10.9.9.9:8080")
		e := pcapng.NewEncoder()
		file := pcapng.AppendInterface(pcapng.AppendSectionHeader(nil, "test"), "ingress", "tcp 8080")
		file = open(e, file, dumpStart.UnixNano())
		for {
			_, _ = w.Write(file)
			w.(http.Flusher).Flush()
			select {
			case text := <-next:
				file = data(0, text)(e, file[:0], dumpStart.UnixNano())
			case <-req.Context().Done():
				return
			}
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	run := start(ctx, "live", "--admin", server.URL)
	run.wantLine(t, "--- 2024-05-06")
	run.wantLine(t, "open 10.0.0.1:50000")
	for _, text := range []string{"one", "two", "three"} {
		next <- text
		run.wantLine(t, text)
	}
	cancel()
	run.endsWell(t)
}

func TestRecordClosesTheWindowWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	closed := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.Method {
		case http.MethodPost:
			_, _ = io.WriteString(w, `{"window":"`+firstWindow+`","closes":"2024-05-06T07:08:09Z"}`)
			time.AfterFunc(10*time.Millisecond, cancel)
		case http.MethodDelete:
			closed = true
			_, _ = io.WriteString(w, `{"window":"`+firstWindow+`"}`)
		default:
			_, _ = io.WriteString(w, `{"output":{"dir":"/nowhere"}}`)
		}
	}))
	defer server.Close()
	run := start(ctx, "record", "--for", "1h", "--admin", server.URL)
	run.lines.Scan()
	if code := <-run.code; code != 0 || !closed || !strings.Contains(run.stderr.String(), "recorded window "+firstWindow) {
		t.Errorf("exit code %d, window closed: %t, standard error %q", code, closed, run.stderr)
	}
}

func TestReadingEndsWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	path := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run := start(ctx, "show", path)
	if run.lines.Scan() {
		t.Errorf("printed %q", run.lines.Text())
	}
	run.endsWell(t)
}
