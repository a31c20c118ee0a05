package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
)

// footprint is the memory, goroutines and files of a process.
type footprint struct {
	rss        int // KiB of memory
	goroutines int
	files      int // open ones
}

var (
	rssLine       = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)
	goroutineLine = regexp.MustCompile(`goroutine profile: total (\d+)`)
)

// footprint measures the process, which serves pprof at that address.
func (m *mosn) footprint(pprof string) (f footprint) {
	t := m.t
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(m.Pid()))
	number := func(line *regexp.Regexp, text []byte) int {
		t.Helper()
		found := line.FindSubmatch(text)
		if found == nil {
			t.Fatalf("%s is not in %.500q", line, text)
		}
		n, err := strconv.Atoi(string(found[1]))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	f.rss = number(rssLine, mustRead(t, filepath.Join(proc, "status")))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	f.files = len(files)
	req, err := http.NewRequestWithContext(deadline(t), http.MethodGet, "http://"+pprof+"/debug/pprof/goroutine?debug=1", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	f.goroutines = number(goroutineLine, text)
	return f
}

// highWater looks at the size of a directory all the time.
type highWater struct {
	dir     string
	stop    context.CancelFunc
	running sync.WaitGroup
	scans   int
	peak    int64
	files   string // of the peak
}

func watchSize(t *testing.T, dir string) *highWater {
	h := &highWater{dir: dir}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	h.running.Add(1)
	go func() { // ends with level
		defer h.running.Done()
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			// A directory cannot be measured at one moment: what is seen twice was so
			// at some moment in between.
			size, files := measure(h.dir)
			if _, again := measure(h.dir); again != files {
				continue
			}
			if h.scans++; size > h.peak {
				h.peak, h.files = size, files
			}
		}
	}()
	t.Cleanup(func() { h.level() })
	return h
}

// level ends the watch and returns the largest size.
func (h *highWater) level() int64 {
	h.stop()
	h.running.Wait()
	return h.peak
}

// measure returns the size of dir's files together, and their names and sizes.
func measure(dir string) (total int64, files string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err.Error()
	}
	var list bytes.Buffer
	for _, e := range entries {
		// The pointer to the spool, of some fifty bytes, is not among the files that
		// the limit is for.
		if info, err := e.Info(); err == nil && !strings.HasPrefix(e.Name(), ".") {
			total += info.Size()
			fmt.Fprintf(&list, "%s %d\n", e.Name(), info.Size())
		}
	}
	return total, list.String()
}

// typical is the median of each measure.
func typical(prints []footprint) footprint {
	median := func(of func(footprint) int) int {
		var all []int
		for _, f := range prints {
			all = append(all, of(f))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return footprint{
		rss:        median(func(f footprint) int { return f.rss }),
		goroutines: median(func(f footprint) int { return f.goroutines }),
		files:      median(func(f footprint) int { return f.files }),
	}
}

// indexMarks checks that the index has a line of each window and says which of
// its files are gone.
func (m *mosn) indexMarks(ids []string) {
	t := m.t
	t.Helper()
	exists := func(name string) bool {
		for _, name := range []string{name, name + ".gz"} {
			if _, err := os.Stat(filepath.Join(m.dump, name)); err == nil {
				return true
			}
		}
		return false
	}
	all, err := oracle.ReadIndex(m.dump)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	removed, there := 0, 0
	for _, w := range all {
		got = append(got, w.Window)
		for _, name := range w.Files {
			gone := slices.Contains(w.Removed, name)
			if !strings.HasSuffix(name, ".log") || strings.Contains(name, "-") { // a log has its name for the time being
				if gone == exists(name) {
					t.Errorf("window %s: file %s is there: %t, marked as removed: %t", w.Window, name, exists(name), gone)
				}
			}
			if gone {
				removed++
			} else {
				there++
			}
		}
	}
	t.Logf("of the files in the index %d are removed, %d are there", removed, there)
	if !slices.Equal(got, ids) || removed == 0 {
		t.Errorf("the index has the windows %v, with %d removed files; there were %v", got, removed, ids)
	}
}
