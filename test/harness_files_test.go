package test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// hangingMount mounts a file system that answers nothing, as one whose server has gone, and
// returns its path. Whoever touches it waits until the test ends.
func hangingMount(t *testing.T) string {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("no FUSE here:", err)
	}
	dir, err := os.MkdirTemp("", "hang-") //nolint:usetesting // removing t.TempDir would wait for the mount
	if err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", fd, os.Getuid(), os.Getgid())
	if err := unix.Mount("tcpcopy-test", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		_ = unix.Close(fd)
		_ = os.Remove(dir)
		t.Skip("this user may not mount:", err)
	}
	t.Cleanup(func() {
		// The mount first, so that nobody new comes; closing ends those who wait.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// mkfifo makes a named pipe.
func mkfifo(t *testing.T, path string) string {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// replaceFile has a file with that text replace what is at path.
func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// replaceWithLink has a link to target replace what is at path.
func replaceWithLink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// threads returns how many threads of the system the process has.
func (m *mosn) threads() int {
	m.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.Pid()))
	if err != nil {
		m.t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if count, ok := strings.CutPrefix(lines.Text(), "Threads:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(count))
			if err != nil {
				m.t.Fatal(err)
			}
			return n
		}
	}
	m.t.Fatal("the system does not say how many threads there are")
	return 0
}

// extended starts an echo proxy with that extends block.
func extended(t *testing.T, base string, extends block) (m *mosn, address string) {
	t.Helper()
	address = freeAddress(t)
	config := configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy()))
	config.Extends = []mosnproc.Filter{{Type: "tcpcopy", Config: extends}}
	return start(t, base, config), address
}

// flood sends n requests from as many callers as are given, without a token, and returns how
// often each status was the answer; 0 is none in time.
func (m *mosn) flood(callers, n int, method, path string) map[int]int {
	ctx := deadline(m.t)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	counts := map[int]int{}
	var mu sync.Mutex // guards counts
	var wg sync.WaitGroup
	for range callers {
		wg.Add(1)
		go func() { // ends after its share of the requests
			defer wg.Done()
			for range n / callers {
				code := request(ctx, client, method, m.Admin.URL(path), nil)
				mu.Lock()
				counts[code]++
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	return counts
}

// request sends a request and returns the status, 0 without an answer in time.
func request(ctx context.Context, client *http.Client, method, url string, header http.Header) int {
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return 0
	}
	for name, values := range header {
		req.Header[name] = values
	}
	answer, err := client.Do(req)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// bearer is the header that shows a token.
func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// inFolder returns a path in a folder of its own under base.
func inFolder(t *testing.T, base, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp(base, "files-") //nolint:usetesting // it is in the folder of the process
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}
