package logdir

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// Archived files go when they are too old, and the log itself never does.
func TestOldArchivesGo(t *testing.T) {
	dir := t.TempDir()
	names := []string{"dump_tcp_copy-2024-05-06T07-08-09.000.log", "dump_tcp_copy-2024-05-06T07-08-10.000.log.gz", layout.FlowLog}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("text\n"), FileMode); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-25 * time.Hour)
	for _, name := range []string{names[0], layout.FlowLog} {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	d := Open(Options{Path: dir})
	defer d.Close()
	if err := d.archive.prune(layout.FlowLog, Roll{Age: 24 * time.Hour}, time.Now()); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var after []string
	for _, e := range entries {
		if e.Name() != layout.Index { // which has the mark
			after = append(after, e.Name())
		}
	}
	if !slices.Equal(after, names[1:]) {
		t.Errorf("with age=1 of %q remain %q", names, after)
	}
}

// Of two processes that compress a file at once, one does.
func TestOneCompressesAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dump_tcp_copy-2024-05-06T07-08-09.000.log")
	text := strings.Repeat("a line\n", 200_000)
	if err := os.WriteFile(path, []byte(text), FileMode); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for range 4 {
		work.Add(1)
		go func() {
			defer work.Done()
			r := newArchive(newQuotaAt(t, dir, 0), nil)
			defer r.close()
			if err := r.compress(filepath.Base(path)); err != nil {
				t.Error(err)
			}
		}()
	}
	work.Wait()
	f, err := os.Open(path + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(zip); err != nil || string(got) != text {
		t.Errorf("%d bytes of %d, %v", len(got), len(text), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

// A file that cannot be compressed stays, and so does one whose compressing is
// stopped.
func TestCompressingThatFailsKeepsTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dump_tcp_copy-2024-05-06T07-08-09.000.log")
	if err := os.WriteFile(path, []byte("text\n"), FileMode); err != nil {
		t.Fatal(err)
	}
	r := newArchive(newQuotaAt(t, dir, 0), nil)
	r.close()
	r.close()
	if err := r.compress(filepath.Base(path)); err == nil || !exists(path) || exists(path+".gz") {
		t.Errorf("stopped: %v", err)
	}
	if err := r.compress("gone.log"); err != nil {
		t.Errorf("a file that is gone: %v", err)
	}
	r = newArchive(newQuotaAt(t, dir, 0), nil)
	defer r.close()
	if err := os.MkdirAll(filepath.Join(path+".gz", "in the way"), DirMode); err != nil {
		t.Fatal(err)
	}
	if err := r.compress(filepath.Base(path)); err == nil || !exists(path) || exists(path+".gz.tmp") {
		t.Errorf("with its name taken: %v", err)
	}
}

// Names of rolled files are never taken again, not even within a millisecond.
func TestNamesOfArchivesAreNew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, layout.FlowLog)
	r := newArchive(newQuotaAt(t, dir, 0), nil)
	defer r.close()
	now := time.Date(2024, 5, 6, 7, 8, 9, 0, time.Local)
	for i := range 3 {
		if err := os.WriteFile(path, []byte{byte(i)}, FileMode); err != nil {
			t.Fatal(err)
		}
		name, err := r.rename(layout.FlowLog, now, func(string) {})
		want := fmt.Sprintf("dump_tcp_copy-2024-05-06T07-08-09.%03d.log", 2*i)
		if err != nil || name != want {
			t.Errorf("%s, %v, want %s", name, err, want)
		}
		taken := filepath.Join(dir, fmt.Sprintf("dump_tcp_copy-2024-05-06T07-08-09.%03d.log.gz", 2*i+1))
		if err := os.WriteFile(taken, nil, FileMode); err != nil {
			t.Fatal(err)
		}
	}
}

// However often a log is rolled while files are compressed, one goroutine does it.
func TestOneGoroutineKeepsHouse(t *testing.T) {
	dir := t.TempDir()
	r := newArchive(newQuotaAt(t, dir, 0), nil)
	defer r.close()
	rolled := filepath.Join(dir, "dump_tcp_copy-2024-05-06T07-08-09.000.log")
	if err := os.WriteFile(rolled, []byte("text\n"), FileMode); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	r.quota.mu.Lock() // which compressing waits for
	for range 100 {
		r.logRolled(layout.FlowLog, Roll{Compress: true})
		r.segmentsFinished(Roll{Compress: true}, []string{"one.pcapng"})
	}
	if more := runtime.NumGoroutine() - before; more > 1 {
		t.Errorf("%d goroutines", more)
	}
	r.quota.mu.Unlock()
	r.work.Wait()
	if !exists(rolled + ".gz") {
		t.Error("the rolled log has not been compressed")
	}
}

// A panic in the background is an alert, and the process goes on.
func TestAPanicOfTheHousekeepingIsAnAlert(t *testing.T) {
	var alerts []string
	r := newArchive(nil, func(what string, _ error) { alerts = append(alerts, what) })
	r.attempt(housekeeping{expire: time.Hour}) // without a quota
	if len(alerts) != 1 || alerts[0] != "panic" {
		t.Errorf("alerts %q", alerts)
	}
}
