package test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var snapshotLine = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[INFO\] \[([0-9a-f-]{36})\](.*)$`)

type snapshot struct{ window, text string }

func snapshots(t *testing.T, path string) []snapshot {
	t.Helper()
	var all []snapshot
	for _, line := range strings.Split(strings.TrimSuffix(string(mustRead(t, path)), "\n"), "\n") {
		field := snapshotLine.FindStringSubmatch(line)
		if field == nil {
			t.Fatalf("%s: not a snapshot's line: %.200q", path, line)
		}
		all = append(all, snapshot{field[1], field[2]})
	}
	return all
}

// snapshotsOf is snapshots of a file that has the window's: they are written behind its
// index line.
func snapshotsOf(t *testing.T, path, window string) []snapshot {
	t.Helper()
	eventually(t, "a snapshot of window "+window, func() bool {
		text, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(text), "["+window+"]") && strings.HasSuffix(string(text), "\n")
	})
	return snapshots(t, path)
}

// holdsNone fails the test if a file under dir has one of the secrets in it.
func holdsNone(t *testing.T, dir string, secrets []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s holds the secret %q", path, secret)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
