package dump_test

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/layout"
)

// followed reads a directory while steps change it: each is taken when there is
// nothing more to read. It returns the payloads in the order in which they came.
func followed(t *testing.T, path string, steps ...func()) []string {
	t.Helper()
	wait := func() error {
		if len(steps) == 0 {
			return io.EOF
		}
		steps[0]()
		steps = steps[1:]
		return nil
	}
	texts, damage := payloads(t, dump.Options{Wait: wait}, path)
	if len(damage) > 0 {
		t.Errorf("damage %v", damage)
	}
	return texts
}

func appendTo(t *testing.T, path string, content []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestALogIsFollowedThroughItsRotation(t *testing.T) {
	dir := t.TempDir()
	active := filepath.Join(dir, layout.FlowLog)
	archive := func(n string) string { return filepath.Join(dir, "dump_tcp_copy-2024-05-06T10-00-00.00"+n+".log") }
	put(t, dir, filepath.Base(archive("0"))+".gz", line(windowA, 0, 0, "zero"))
	two := line(windowA, 2, 0, "two")
	got := followed(t, dir,
		func() { appendTo(t, active, line(windowA, 1, 0, "one")) },
		func() { appendTo(t, active, two[:30]) },
		func() { appendTo(t, active, two[30:]) },
		func() { // rotated with lines that were not read yet
			appendTo(t, active, line(windowA, 3, 0, "three"))
			rename(t, active, archive("1"))
			appendTo(t, active, line(windowA, 4, 0, "four"))
		},
		func() { // rotated twice, and the first one compressed
			appendTo(t, active, line(windowA, 5, 0, "five"))
			rename(t, active, archive("2"))
			put(t, dir, filepath.Base(archive("2"))+".gz", slices.Concat(line(windowA, 4, 0, "four"), line(windowA, 5, 0, "five")))
			if err := os.Remove(archive("2")); err != nil {
				t.Fatal(err)
			}
			appendTo(t, archive("3"), line(windowA, 6, 0, "six"))
		},
		func() { appendTo(t, active, line(windowA, 7, 0, "seven")) },
	)
	if want := []string{"zero", "one", "two", "three", "four", "five", "six", "seven"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSegmentsAreFollowedAcrossWindows(t *testing.T) {
	dir := t.TempDir()
	name := func(window string, seconds, n int) string { return filepath.Join(dir, segmentName(window, seconds, n)) }
	one := segment(windowA, 1, 1, 0, "one")
	got := followed(t, dir,
		func() { appendTo(t, name(windowA, 0, 1), one[:len(one)-10]) },
		func() {
			appendTo(t, name(windowA, 0, 1), one[len(one)-10:])
			// The same window as lines is not shown again.
			appendTo(t, filepath.Join(dir, layout.FlowLog), line(windowA, 1, 0, "one"))
		},
		func() { appendTo(t, name(windowA, 0, 2), segment(windowA, 1, 2, 3, "two")) },
		func() { appendTo(t, name(windowB, 9, 1), segment(windowB, 1, 10, 0, "three")) },
		func() { appendTo(t, name(windowB, 9, 1), segment(windowB, 2, 11, 0, "four")) },
	)
	if want := []string{"one", "two", "three", "four"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAFileIsFollowedWhenItIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some.log")
	appendTo(t, path, line(windowA, 1, 0, "one"))
	got := followed(t, path,
		func() { appendTo(t, path, line(windowA, 2, 0, "two")) },
		func() {
			appendTo(t, path, line(windowA, 3, 0, "three"))
			rename(t, path, path+".old")
			appendTo(t, path, line(windowA, 4, 0, "four"))
		},
	)
	if want := []string{"one", "two", "three", "four"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
