package persistence

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
)

// contents is what a window's line in the index says beside its accounts: listeners'
// ports and files. Each change is stored in the spool at once, so that the line of a
// killed process has them too.
type contents struct {
	state *buffer.WindowState // nil in the recovery of a spool that has none

	mu sync.Mutex // guards the rest; locked after a log's and the segments'
	storedContents
	seen map[string]bool // ports, those that are left out too
	size int             // of Ports as JSON, bytes
}

// storedContents is the form in which contents are in a spool.
type storedContents struct {
	Ports        []string                    `json:"ports"` // in the order in which they came
	PortsLeftOut int                         `json:"ports_left_out,omitempty"`
	Logs         map[string]logdir.FileNames `json:"logs"`     // by the log's name
	Segments     int                         `json:"segments"` // how many have been begun
}

const (
	// maxPorts bounds the ports that a window names, in bytes of JSON.
	maxPorts = 12 << 10
	// maxSeenPorts bounds the ports that are told from one another.
	maxSeenPorts = 1 << 14
)

func newContents(state *buffer.WindowState) *contents {
	return &contents{state: state, storedContents: storedContents{Logs: map[string]logdir.FileNames{}}, seen: map[string]bool{}}
}

// load makes c what a killed process has stored. It accepts nothing that the recorder
// would not have stored.
func (c *contents) load() {
	var stored storedContents
	if c.state == nil || json.Unmarshal(c.state.Text(), &stored) != nil {
		return
	}
	for _, port := range stored.Ports {
		c.addPort(port)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.PortsLeftOut = max(c.PortsLeftOut, stored.PortsLeftOut)
	c.Segments = max(0, stored.Segments)
	for log, files := range stored.Logs {
		files.Names = slices.DeleteFunc(files.Names, func(name string) bool {
			_, archived := layout.ParseArchive(name, log)
			return filepath.Base(name) != name || name != log && !archived
		})
		if layout.IsLog(log) && len(files.Names) > 0 {
			c.Logs[log] = files
		}
	}
}

// addPort adds the port of a listener of which there are records.
func (c *contents) addPort(port string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[port] || len(c.seen) >= maxSeenPorts {
		return
	}
	c.seen[port] = true
	text, _ := json.Marshal(port) // a string cannot fail
	if c.size+len(text)+1 > maxPorts {
		c.PortsLeftOut++
	} else {
		c.size += len(text) + 1
		c.Ports = append(c.Ports, port)
	}
	c.storeLocked()
}

// setFiles sets the names of the files that a log has had in the window.
func (c *contents) setFiles(log string, files logdir.FileNames) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Logs[log] = files
	c.storeLocked()
}

// setSegments sets how many segments have been begun.
func (c *contents) setSegments(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Segments = n
	c.storeLocked()
}

// storeLocked stores c in the spool.
func (c *contents) storeLocked() {
	if c.state == nil {
		return
	}
	s := c.storedContents
	for {
		text, err := json.Marshal(s)
		if err != nil {
			return // no field can fail
		}
		if len(text) <= buffer.MaxWindowText {
			c.state.SetText(text)
			return
		}
		s.Logs = halved(s.Logs)
	}
}

// halved returns logs without the first half of the names of each.
func halved(logs map[string]logdir.FileNames) map[string]logdir.FileNames {
	all := map[string]logdir.FileNames{}
	for log, files := range logs {
		n := (len(files.Names) + 1) / 2
		all[log] = logdir.FileNames{Names: files.Names[n:], LeftOut: files.LeftOut + n}
	}
	return all
}

// ports returns the ports, sorted, and how many more there are.
func (c *contents) ports() (ports []string, leftOut int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ports = append([]string{}, c.Ports...)
	slices.Sort(ports)
	return ports, c.PortsLeftOut
}

// stored returns what c has. The map is the caller's, the lists are not changed any more.
func (c *contents) stored() storedContents {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.storedContents
	s.Logs = maps.Clone(s.Logs)
	return s
}

// alive stores that the process is alive at t, in nanoseconds since the Unix epoch.
func (c *contents) alive(t int64) {
	if c.state != nil {
		c.state.SetAlive(t)
	}
}

// died returns when a killed process died, as far as it is known: it was alive at last, of
// which the records know, and later if the spool says so. Where the window was closed, it
// is the moment of that.
func (s *Session) died(last time.Time) time.Time {
	w := s.contents.state
	if w == nil {
		return last
	}
	plausible := func(t int64) bool { // whatever is in the spool
		return t > s.window.Opened.UnixNano() && time.Unix(0, t).Before(time.Now().Add(time.Hour))
	}
	if t := w.Closed(); plausible(t) {
		return time.Unix(0, t)
	}
	if t := w.Alive(); plausible(t) && t > last.UnixNano() {
		return time.Unix(0, t)
	}
	return last
}
