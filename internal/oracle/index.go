package oracle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// PerDirection is a count in each direction.
type PerDirection struct {
	In  uint64 `json:"in"`
	Out uint64 `json:"out"`
}

// Window is one line of the index. Counts are bytes unless named otherwise.
type Window struct {
	Window      string            `json:"window"`
	Trigger     string            `json:"trigger"`
	Opened      time.Time         `json:"opened"`
	Closed      time.Time         `json:"closed"`
	Run         string            `json:"run"`
	Ports       []string          `json:"ports"`
	Connections int               `json:"connections"`
	Records     PerDirection      `json:"records"`
	Seen        PerDirection      `json:"seen"`
	Written     PerDirection      `json:"written"`
	Lost        PerDirection      `json:"lost"`
	LostBy      map[string]uint64 `json:"lost_by"`
	Files       []string          `json:"files"`
	Removed     []string          `json:"removed"`
	Recovered   bool              `json:"recovered"`
	Guard       string            `json:"guard"` // "off" or ""

	PortsLeftOut   int `json:"ports_left_out"`
	FilesLeftOut   int `json:"files_left_out"`
	RemovedLeftOut int `json:"removed_left_out"`
}

// Skip is a line of the index about windows that did not open.
type Skip struct {
	Reason  string    `json:"skipped"`
	Trigger string    `json:"trigger"`
	Windows int       `json:"windows"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Why     string    `json:"why"`
	Run     string    `json:"run"`
}

// skipMark begins a line about windows that did not open.
var skipMark = []byte(`{"skipped":`)

// ReadSkips returns the lines about windows that did not open in dir's index, oldest
// first. It refuses unknown fields.
func ReadSkips(dir string) ([]Skip, error) {
	lines, err := indexLines(dir)
	if err != nil {
		return nil, err
	}
	var skips []Skip
	for _, line := range lines {
		if !bytes.HasPrefix(line, skipMark) {
			continue
		}
		var s Skip
		if err := strict(line, &s); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		skips = append(skips, s)
	}
	return skips, nil
}

// indexLines returns the lines of all files of dir's index, in their order.
func indexLines(dir string) ([][]byte, error) {
	const base = "dump_windows"
	archives, err := filepath.Glob(filepath.Join(dir, base+"-*.jsonl"))
	if err != nil {
		return nil, err
	}
	slices.Sort(archives)
	var text []byte
	for _, path := range append(archives, filepath.Join(dir, base+".jsonl")) {
		part, err := os.ReadFile(path)
		if err != nil && !(errors.Is(err, os.ErrNotExist) && len(archives) > 0) {
			return nil, fmt.Errorf("read index: %w", err)
		}
		text = append(text, part...)
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")), nil
}

// mark is a line of the index that amends the line of a window.
type mark struct {
	Mark    string   `json:"mark"` // the window, its first eight characters, or "*"
	Run     string   `json:"run"`
	Removed []string `json:"removed"`
	Files   []string `json:"files"`
}

// ReadIndex returns the windows in dir's index, oldest first, as its marks amend them. It
// refuses unknown fields, a window that comes twice and accounts that do not add up.
func ReadIndex(dir string) ([]Window, error) {
	lines, err := indexLines(dir)
	if err != nil {
		return nil, err
	}
	var windows []Window
	var marks []mark
	for n, line := range lines {
		if len(line) == 0 || bytes.HasPrefix(line, skipMark) {
			continue
		}
		if bytes.HasPrefix(line, []byte(`{"mark":`)) {
			var m mark
			if err := strict(line, &m); err != nil {
				return nil, fmt.Errorf("index of %s: line %d: %w", dir, n+1, err)
			}
			marks = append(marks, m)
			continue
		}
		var w Window
		if err := errors.Join(strict(line, &w), w.balance()); err != nil {
			return nil, fmt.Errorf("index of %s: line %d: %w", dir, n+1, err)
		}
		if slices.ContainsFunc(windows, func(o Window) bool { return o.Window == w.Window && o.Run == w.Run }) {
			return nil, fmt.Errorf("index of %s: line %d: window %s comes twice", dir, n+1, w.Window)
		}
		windows = append(windows, w)
	}
	for i := range windows {
		for _, m := range marks {
			windows[i].amend(m)
		}
	}
	return windows, nil
}

// strict decodes a line into v and refuses what v does not have.
func strict(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// amend applies a mark.
func (w *Window) amend(m mark) {
	if m.Mark != "*" && (m.Run != w.Run || m.Mark != w.Window && !(len(m.Mark) == 8 && strings.HasPrefix(w.Window, m.Mark))) {
		return
	}
	for _, name := range m.Files {
		if !slices.Contains(w.Files, name) {
			w.Files = append(w.Files, name)
		}
	}
	for _, name := range m.Removed {
		if m.Mark == "*" && !slices.Contains(w.Files, name) {
			// A log that was rotated when the window was closed, or later.
			stem, stamp, _ := strings.Cut(strings.TrimSuffix(name, ".log"), "-")
			at, err := time.ParseInLocation("2006-01-02T15-04-05.000", stamp, time.Local)
			if i := slices.Index(w.Files, stem+".log"); i >= 0 && err == nil && !at.Before(w.Closed.Truncate(time.Millisecond)) {
				w.Files[i] = name
			}
		}
		if slices.Contains(w.Files, name) && !slices.Contains(w.Removed, name) {
			w.Removed = append(w.Removed, name)
		}
	}
}

// balance returns an error unless seen = written + lost, and lost is the sum of its
// reasons.
func (w Window) balance() error {
	var errs []error
	if w.Seen.In != w.Written.In+w.Lost.In {
		errs = append(errs, fmt.Errorf("in: seen %d, written %d, lost %d", w.Seen.In, w.Written.In, w.Lost.In))
	}
	if w.Seen.Out != w.Written.Out+w.Lost.Out {
		errs = append(errs, fmt.Errorf("out: seen %d, written %d, lost %d", w.Seen.Out, w.Written.Out, w.Lost.Out))
	}
	var reasons uint64
	for _, n := range w.LostBy {
		reasons += n
	}
	if lost := w.Lost.In + w.Lost.Out; lost != reasons {
		errs = append(errs, fmt.Errorf("lost %d, by reason %d: %v", lost, reasons, w.LostBy))
	}
	return errors.Join(errs...)
}

// FindWindow returns the index line of the window with that UUID.
func FindWindow(dir, id string) (Window, error) {
	windows, err := ReadIndex(dir)
	if err != nil {
		return Window{}, err
	}
	for _, w := range windows {
		if w.Window == id {
			return w, nil
		}
	}
	return Window{}, fmt.Errorf("window %s is not among the %d of %s's index", id, len(windows), dir)
}

// Agrees returns an error unless the index's accounts are those of the log's
// connections in the window.
func (w Window) Agrees(all []*Connection) error {
	var connections int
	var records, written, lost PerDirection
	lostBy := map[string]uint64{}
	for _, c := range all {
		if c.Window != w.Window {
			continue
		}
		connections++
		written.In, written.Out = written.In+c.In.Kept(), written.Out+c.Out.Kept()
		lost.In, lost.Out = lost.In+c.In.Lost(), lost.Out+c.Out.Lost()
		records.In, records.Out = records.In+c.In.records(lostBy), records.Out+c.Out.records(lostBy)
	}
	var errs []error
	differ := func(what string, index, log any) {
		if index != log {
			errs = append(errs, fmt.Errorf("%s: the index has %v, the log %v", what, index, log))
		}
	}
	differ("connections", w.Connections, connections)
	differ("records", w.Records, records)
	differ("written", w.Written, written)
	differ("lost", w.Lost, lost)
	for reason, n := range lostBy {
		differ("lost by "+reason, w.LostBy[reason], n)
	}
	return errors.Join(errs...)
}

// records counts data lines, and adds gaps to lostBy.
func (s Stream) records(lostBy map[string]uint64) (n uint64) {
	for _, p := range s.Pieces {
		if p.Kind == Gap {
			lostBy[p.Reason] += p.Length
		} else {
			n++
		}
	}
	return n
}
