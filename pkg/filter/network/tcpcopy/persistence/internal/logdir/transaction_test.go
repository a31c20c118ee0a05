package logdir

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// destinations returns a log and the segments of a window, in directories of their own,
// which are full with 64 KiB.
func destinations(t *testing.T) map[string]FileDestination {
	t.Helper()
	open := func() *Dir {
		d := Open(Options{Path: t.TempDir(), Run: "aaaaaa", Clock: clock.Func(func() time.Time { return time.Unix(1e9, 0) })})
		t.Cleanup(d.Close)
		return d
	}
	roll := Roll{Size: 64 << 10}
	log := open().Log(layout.FlowLog, roll)
	log.SetMemory(pages(t, 1<<20))
	window := record.Window{ID: "3f0c9b9e-0000-4000-8000-000000000000", Opened: time.Unix(1e9, 0)}
	segments := open().Segments(window, roll, pages(t, 1<<20))
	t.Cleanup(func() { segments.Finish(time.Unix(1e9, 0)) })
	return map[string]FileDestination{"log": log, "segments": segments}
}

// pages returns page-aligned memory of n bytes for the time of the test.
func pages(t *testing.T, n int) []byte {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	return mem
}

// begin begins a transaction of files.
func begin(t *testing.T, d Destination) FileTransaction {
	t.Helper()
	tx, err := d.Begin()
	if err != nil {
		t.Fatal(err)
	}
	return tx.(FileTransaction)
}

// put appends text, for which there must be room.
func put(t *testing.T, tx Transaction, text string) {
	t.Helper()
	dst, err := tx.Room(len(text))
	if err != nil {
		t.Fatal(err)
	}
	tx.Put(append(dst, text...))
}

// dirOf returns the directory of a destination.
func dirOf(d FileDestination) string {
	if log, ok := d.(*AppendLog); ok {
		return filepath.Dir(log.Path())
	}
	return d.(*Segments).folder.Path()
}

// content returns what all files of a directory hold together.
func content(t *testing.T, dir string) []byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	return all
}

func TestAnAbortedChunkIsInNoFile(t *testing.T) {
	for name, d := range destinations(t) {
		t.Run(name, func(t *testing.T) {
			tx := begin(t, d)
			put(t, tx, "committed line\n")
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			put(t, tx, "aborted line\n")
			tx.Abort(errors.New("a test"))
			tx.End()
			if all := string(content(t, dirOf(d))); !strings.Contains(all, "committed line\n") || strings.Contains(all, "aborted") {
				t.Errorf("the files hold %q", all)
			}
			if _, err := d.Begin(); !errors.Is(err, ErrWaiting) {
				t.Errorf("after a failure: %v", err)
			}
			d.Retry()
			tx = begin(t, d)
			put(t, tx, "another line\n")
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
			tx.End()
			if all := string(content(t, dirOf(d))); strings.Count(all, " line\n") != 2 {
				t.Errorf("after a retry the files hold %q", all)
			}
		})
	}
}

// What does not fit into a file goes to the next one, entirely.
func TestAFullFileIsFollowedByAnother(t *testing.T) {
	for name, d := range destinations(t) {
		t.Run(name, func(t *testing.T) {
			chunk := strings.Repeat("x", 30<<10) + "\n"
			tx := begin(t, d)
			defer tx.End()
			var inodes []uint64
			for range 4 {
				if _, err := tx.Room(len(chunk)); errors.Is(err, ErrFull) {
					if err := tx.Next(); err != nil {
						t.Fatal(err)
					}
				}
				put(t, tx, chunk)
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				inode, size := tx.Position()
				if len(inodes) == 0 || inodes[len(inodes)-1] != inode {
					inodes = append(inodes, inode)
				}
				if size > 64<<10 {
					t.Errorf("a file has %d bytes", size)
				}
			}
			if len(inodes) < 2 {
				t.Errorf("all chunks are in %d files", len(inodes))
			}
			if n := bytes.Count(content(t, dirOf(d)), []byte(chunk)); n != 4 {
				t.Errorf("%d whole chunks of 4", n)
			}
		})
	}
}

// What a killed process has not committed is cut off.
func TestUncommittedBytesAreCutOff(t *testing.T) {
	for name, d := range destinations(t) {
		t.Run(name, func(t *testing.T) {
			const window = "3f0c9b9e-0000-4000-8000-000000000000"
			tx := begin(t, d)
			put(t, tx, "[x]["+window+"]first\n")
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			inode, size := tx.Position()
			put(t, tx, "[x]["+window+"]second\n")
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			tx.End()
			if err := d.TruncateUncommitted(inode+1, size, window); err != nil || !bytes.Contains(content(t, dirOf(d)), []byte("second")) {
				t.Errorf("another file's inode: %v", err)
			}
			if err := d.TruncateUncommitted(inode, size, window); err != nil {
				t.Fatal(err)
			}
			if all := content(t, dirOf(d)); uint64(len(all)) != size || !bytes.HasSuffix(all, []byte("first\n")) {
				t.Errorf("%d bytes remain of %d", len(all), size)
			}
		})
	}
}
