package dump

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// listing is what a dump directory holds of records: the flow log with what it
// was rolled to, and the captures of windows.
type listing struct {
	dir      string
	flowLog  []string // rolled ones, oldest first, then the one being written
	captures []capture
	hasIndex bool
}

// capture is the pcapng files of one window of one process.
type capture struct {
	name     string // what the names of its segments have in common
	window   string // the first characters of the window's id
	opened   time.Time
	segments []segmentFile
}

// segmentFile is one file of a capture.
type segmentFile struct {
	path   string
	number int // from 1
}

// whole tells whether no segment is missing before the last one.
func (c *capture) whole() bool {
	return c.segments[0].number == 1 && c.segments[len(c.segments)-1].number == len(c.segments)
}

// list reads the names in dir.
func list(dir string) (*listing, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	l := &listing{dir: dir}
	active := ""
	var rolled []rolledFile
	captures := map[string]*capture{}
	for _, e := range entries {
		name := e.Name()
		if !e.Type().IsRegular() && e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		plain := trimGzip(name)
		switch {
		case name == Index:
			l.hasIndex = true
		case name == FlowLog:
			active = filepath.Join(dir, name)
		case strings.HasSuffix(plain, SegmentExtension):
			addSegment(captures, dir, plain, name)
		default:
			if at, ok := rolledTime(plain); ok {
				rolled = append(rolled, rolledFile{path: filepath.Join(dir, name), at: at})
			}
		}
	}
	l.flowLog = inOrder(rolled)
	if active != "" {
		l.flowLog = append(l.flowLog, active)
	}
	for _, c := range captures {
		slices.SortFunc(c.segments, func(a, b segmentFile) int {
			if a.number != b.number {
				return a.number - b.number
			}
			return strings.Compare(a.path, b.path)
		})
		// While a file is being compressed both forms are there, and equal.
		c.segments = slices.CompactFunc(c.segments, func(a, b segmentFile) bool { return a.number == b.number })
		l.captures = append(l.captures, *c)
	}
	slices.SortFunc(l.captures, func(a, b capture) int { return strings.Compare(a.name, b.name) })
	return l, nil
}

// addSegment enters a file of the name <opened>_<window>_<run>_<number>.pcapng.
func addSegment(captures map[string]*capture, dir, plain, name string) {
	parts := strings.Split(strings.TrimSuffix(plain, SegmentExtension), "_")
	if len(parts) != 4 {
		return
	}
	opened, err := time.Parse(SegmentTimeFormat, parts[0])
	number, err2 := strconv.Atoi(parts[3])
	if err != nil || err2 != nil || number < 0 {
		return
	}
	key := strings.Join(parts[:3], "_")
	c := captures[key]
	if c == nil {
		c = &capture{name: key, window: parts[1], opened: opened}
		captures[key] = c
	}
	c.segments = append(c.segments, segmentFile{path: filepath.Join(dir, name), number: number})
}

// missing names the segments that are not there although later ones are.
func (c *capture) missing() []string {
	var names []string
	want := 1
	for _, s := range c.segments {
		for ; want < s.number && len(names) < 100; want++ {
			names = append(names, fmt.Sprintf("%s_%03d%s", c.name, want, SegmentExtension))
		}
		want = s.number + 1
	}
	return names
}

// rolledFile is a file that the flow log was rolled to.
type rolledFile struct {
	path string
	at   time.Time
}

// rolledTime reads when a file was rolled from its name, without ".gz". MOSN's
// own roller, which wrote the legacy logs, appends a date or a date and hour
// (mosn.io/pkg/log/roller.go).
func rolledTime(name string) (time.Time, bool) {
	base, ext := strings.TrimSuffix(FlowLog, filepath.Ext(FlowLog)), filepath.Ext(FlowLog)
	if stamp, ok := strings.CutPrefix(name, base+"-"); ok {
		if stamp, ok = strings.CutSuffix(stamp, ext); ok {
			at, err := time.ParseInLocation(RolledTimeFormat, stamp, time.Local)
			return at, err == nil
		}
	}
	if stamp, ok := strings.CutPrefix(name, FlowLog+"."); ok {
		for _, layout := range []string{"2006-01-02", "2006-01-02_15"} {
			if at, err := time.ParseInLocation(layout, stamp, time.Local); err == nil {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

// inOrder sorts rolled files by time and leaves out one of the two forms that a
// file has while it is being compressed.
func inOrder(files []rolledFile) []string {
	slices.SortFunc(files, func(a, b rolledFile) int {
		if n := a.at.Compare(b.at); n != 0 {
			return n
		}
		return strings.Compare(a.path, b.path)
	})
	var paths []string
	for i, f := range files {
		if i > 0 && f.path == files[i-1].path+".gz" {
			continue
		}
		paths = append(paths, f.path)
	}
	return paths
}

// rolledBefore tells whether the file was rolled before t, so that it has nothing
// from t on. The names of legacy logs do not say when they were rolled.
func rolledBefore(path string, t time.Time) bool {
	name := trimGzip(filepath.Base(path))
	if strings.HasPrefix(name, FlowLog+".") {
		return false
	}
	at, ok := rolledTime(name)
	return ok && at.Before(t)
}

func trimGzip(path string) string { return strings.TrimSuffix(path, ".gz") }
