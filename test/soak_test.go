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

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

// footprint is what a process takes.
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

// Windows one after the other, with connections that come and go, leave nothing
// behind: no memory, no goroutines, no files, and no more on disk than is allowed.
func TestManyWindowsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	const maxTotal = 16 << 20
	windows, clients, pace := 15, 1000, 500*time.Millisecond
	if testing.Short() || raceEnabled {
		windows, clients, pace = 8, 300, 600*time.Millisecond
	}
	base, address, pprof := newBase(t), freeAddress(t), freePort(t)
	config := configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, recorder(base, block{"output": block{
		"dir": dumpDir(base), "formats": []string{"hex_meta", "pcapng"}, "roll": "size=1 keep=1000 compress=on", "max_total": strconv.Itoa(maxTotal),
	}}), mosnproc.TCPProxy()))
	m := startTuned(t, base, config, block{"pprof": block{"debug": true, "port_value": pprof, "endpoint": "127.0.0.1"}}, nil)
	at := fmt.Sprintf("127.0.0.1:%d", pprof)
	idle := m.footprint(at)
	size := watchSize(t, m.dump)
	visitors := newVisitors(t)
	visitors.visit(clients/2, manner{kind: "long", address: address, pace: pace, say: sayEcho})
	visitors.visit(clients/2, manner{kind: "short", address: address, pace: pace, most: 5, say: sayEcho})

	var ids []string
	var prints []footprint
	for range windows {
		eventually(t, "the next window opens", func() bool {
			id, err := m.Admin.OpenWindow(deadline(t), 2*time.Second)
			if err == nil {
				ids = append(ids, id)
			}
			return err == nil
		})
		prints = append(prints, m.footprint(at))
	}
	eventually(t, "the last window is closed", func() bool { return mustStatus(deadline(t), t, m).Window == nil })
	visitors.leave()
	t.Logf("%d connections, %d messages, faults %v", len(visitors.visits), visitors.messages(), visitors.faults)
	if len(visitors.faults) > 0 {
		t.Errorf("the clients have noticed: %v", visitors.faults)
	}

	for _, f := range prints {
		t.Logf("%+v", f)
	}
	third := len(prints) / 3
	early, late := typical(prints[third:2*third]), typical(prints[2*third:])
	if late.goroutines > early.goroutines*11/10+20 || late.files > early.files*11/10+20 || late.rss > early.rss*12/10+20<<10 {
		t.Errorf("what the process takes has grown from %+v to %+v", early, late)
	}
	eventually(t, "the connections' goroutines and files are gone", func() bool {
		f := m.footprint(at)
		return f.goroutines <= idle.goroutines+10 && f.files <= idle.files+10
	})
	t.Logf("at first %+v, at last %+v", idle, m.footprint(at))

	if peak := size.level(); peak > maxTotal {
		t.Errorf("the directory has held %d bytes of %d, in %s", peak, maxTotal, size.files)
	}
	t.Logf("largest size of %d seen: %d of %d", size.scans, size.peak, maxTotal)
	if size.peak < maxTotal/2 {
		t.Error("that is too little to tell anything of the limit")
	}
	if err := m.Stop(deadline(t)); err != nil { // it is still compressing files
		t.Fatal(err)
	}
	m.indexMarks(ids)
	m.lines() // which are whole
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

// indexMarks checks that the index has a line of each window and tells which of
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
