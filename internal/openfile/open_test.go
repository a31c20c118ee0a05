package openfile

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// makeFiles makes a file of each kind, by what its error says; "" is one that is read.
func makeFiles(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(path("file"), []byte("good"), 0o600))
	must(unix.Mkfifo(path("fifo"), 0o600))
	must(os.Symlink("fifo", path("link to fifo")))
	must(os.WriteFile(path("long"), []byte("longer than it may be"), 0o600))
	must(os.WriteFile(path("sparse"), nil, 0o600))
	must(os.Truncate(path("sparse"), 8<<30))
	must(os.Symlink("loop", path("loop")))
	ln, err := net.Listen("unix", path("socket"))
	must(err)
	t.Cleanup(func() { _ = ln.Close() })
	return map[string]string{
		path("file"):         "",
		path("fifo"):         "is a named pipe, valid: a regular file",
		path("link to fifo"): "is a named pipe, valid: a regular file",
		path("socket"):       "is a socket, valid: a regular file",
		dir:                  "is a directory, valid: a regular file",
		path("missing"):      "no such file",
		path("file/below"):   "not a directory",
		path("loop"):         "too many levels",
		path("long"):         "has 21 bytes, valid: at most 8",
		path("sparse"):       fmt.Sprintf("has %d bytes, valid: at most 8", int64(8<<30)),
		"/dev/zero":          "is a device, valid: a regular file",
		"/dev/null":          "is a device, valid: a regular file",
		"/dev/tty":           "is a device, valid: a regular file",
		"/proc/self/status":  "has more than 8 bytes",
	}
}

func TestReadFileReadsSmallRegularFilesOnly(t *testing.T) {
	for path, want := range makeFiles(t) {
		text, err := ReadFile(path, 8)
		if want == "" {
			if err != nil || string(text) != "good" {
				t.Errorf("%s: %q, %v", path, text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q and the path", path, err, want)
		}
	}
}

func TestReadFileFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("good"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	if text, err := ReadFile(link, 8); err != nil || string(text) != "good" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestOpenSaysThatAPipeWouldWait(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var special *NotRegularError
	if f, err := Open(pipe); !errors.As(err, &special) || !special.Waits() {
		t.Errorf("%v, %v", f, err)
	}
}

func TestOpenInputAcceptsWhatTheShellHasOpened(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("through a pipe"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fmt.Sprintf("/dev/fd/%d", r.Fd()), fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), r.Fd())} {
		f, err := OpenInput(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if text, err := ReadInput(fmt.Sprintf("/dev/fd/%d", r.Fd()), 100); err != nil || string(text) != "through a pipe" {
		t.Errorf("%q, %v", text, err)
	}
	for path, want := range makeFiles(t) {
		f, err := OpenInput(path)
		if err != nil {
			if want == "" || strings.Contains(want, "bytes") || !strings.Contains(err.Error(), strings.Fields(want)[0]) && !strings.Contains(path, "socket") && path != "/dev/tty" {
				t.Errorf("%s: %v, want %q", path, err, want)
			}
			continue
		}
		if want != "" && !strings.Contains(want, "bytes") {
			t.Errorf("%s is opened, want %q", path, want)
		}
		if _, err := io.CopyN(io.Discard, f, 4); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
