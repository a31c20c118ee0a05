package oracle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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
	text, err := os.ReadFile(filepath.Join(dir, "dump_windows.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	var skips []Skip
	for _, line := range bytes.Split(text, []byte("\n")) {
		if !bytes.HasPrefix(line, skipMark) {
			continue
		}
		var s Skip
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		skips = append(skips, s)
	}
	return skips, nil
}

// ReadIndex returns the windows in dir's index, oldest first. It refuses unknown
// fields and accounts that do not add up.
func ReadIndex(dir string) ([]Window, error) {
	path := filepath.Join(dir, "dump_windows.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	var windows []Window
	text = slices.Concat(slices.DeleteFunc(bytes.SplitAfter(text, []byte("\n")), func(line []byte) bool {
		return bytes.HasPrefix(line, skipMark)
	})...)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	for {
		var w Window
		switch err := d.Decode(&w); {
		case errors.Is(err, io.EOF):
			return windows, nil
		case err != nil:
			return nil, fmt.Errorf("%s: line %d: %w", path, len(windows)+1, err)
		}
		if err := w.balance(); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(windows)+1, err)
		}
		windows = append(windows, w)
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
