package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// somebody is a user that is neither root nor the one of these tests.
const somebody = 65534

// Another user's link leads nowhere, and another user's file gets no payload.
func TestOutputsOfOtherUsersAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	dir := t.TempDir()
	file, link, theirs := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "theirs")
	for _, err := range []error{
		os.WriteFile(file, []byte("text"), 0o600), os.Symlink("file", link), os.Lchown(link, somebody, somebody),
		os.Symlink("link", filepath.Join(dir, "own")), // which leads to somebody's
		os.WriteFile(theirs, nil, 0o666), os.Chown(theirs, somebody, somebody),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(w io.Writer) error {
		_, err := io.WriteString(w, "payload")
		return err
	}
	for _, name := range []string{"link", "own"} {
		path := filepath.Join(dir, name)
		if err := writeWhole(t.Context(), "export", path, write); err == nil || !strings.Contains(err.Error(), "a symbolic link of user 65534") {
			t.Errorf("export to %s: %v", path, err)
		}
		if _, err := openPrivate(t.Context(), path); err == nil {
			t.Errorf("stream to %s", path)
		}
	}
	if _, err := openPrivate(t.Context(), theirs); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("stream to somebody's file: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "text" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	// A file in the place of another's is one's own.
	if err := writeWhole(t.Context(), "export", theirs, write); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(theirs); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 7 {
		t.Errorf("%v, %v", info, err)
	}
}

// /dev/stdout leads to what has no path.
func TestLinksToPipesAreOpenedAsTheyAre(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	path := fmt.Sprintf("/proc/self/fd/%d", w.Fd())
	if err := writeWhole(t.Context(), "export", path, func(w io.Writer) error { _, err := io.WriteString(w, "one "); return err }); err != nil {
		t.Error(err)
	}
	f, err := openPrivate(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("two")
	if err = errors.Join(err, f.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "one two" {
		t.Errorf("the pipe got %q, %v", text, err)
	}
}

// A stream that is saved to a file that all may read is for its owner alone.
func TestASavedStreamIsItsOwnersOnly(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("what was there"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	f, err := openPrivate(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 0 {
		t.Errorf("%v with %d bytes, %v", info.Mode(), info.Size(), err)
	}
}
