package logdir

import (
	"os"
	"path/filepath"
	"testing"
)

// newQuotaAt returns the quota of a directory that the test closes.
func newQuotaAt(t *testing.T, dir string, limit int64) *quota {
	d := Open(Options{Path: dir, MaxTotal: limit})
	t.Cleanup(d.Close)
	return d.quota
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// What two processes write during a hot upgrade counts for both.
func TestTheQuotaSeesOtherProcesses(t *testing.T) {
	dir := t.TempDir()
	q := newQuotaAt(t, dir, 1<<20)
	if err := q.Reserve(100); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "dump_tcp_copy-2024-05-06T07-08-09.000.log")
	if err := os.WriteFile(other, make([]byte, 1<<20), FileMode); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		if err := q.Reserve(1 << 10); err != nil {
			t.Fatal(err)
		}
	}
	q.keeper.Wait()
	if exists(other) {
		t.Error("the other process's file has not been noticed")
	}
}

// A look at the directory does not see what is about to be written.
func TestReservationsCountUntilTheyAreWritten(t *testing.T) {
	const limit, most = 1 << 20, 600 << 10
	q := newQuotaAt(t, t.TempDir(), limit)
	if err := q.Reserve(most); err != nil {
		t.Fatal(err)
	}
	if q.Reserve(most) == nil {
		t.Errorf("room for %d bytes twice in %d", most, limit)
	}
	q.Release(most) // it was not written
	if err := q.Reserve(most); err != nil {
		t.Error(err)
	}
}
