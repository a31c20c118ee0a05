package layout

import (
	"encoding/json"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// The index is a log of JSON lines that never change: a WindowLine for each finished
// window, and Marks, which amend the lines of windows. It is rotated like the other
// logs: the file named Index is the last of a sequence, its archives come before it.

// WindowLine is one line of the index: a finished window and its accounts.
type WindowLine struct {
	Window  string         `json:"window"`
	Trigger record.Trigger `json:"trigger"`
	Opened  time.Time      `json:"opened"`
	Closed  time.Time      `json:"closed"`
	Run     string         `json:"run"`
	Ports   []string       `json:"ports"`
	record.Accounts
	Files     []string `json:"files"`               // base names, in the order of writing
	Removed   []string `json:"removed,omitempty"`   // those of them that retention has removed
	Recovered bool     `json:"recovered,omitempty"` // written from what a killed process left
	Guard     string   `json:"guard,omitempty"`     // record.GuardOff where the guard had no say; otherwise empty

	// Calls are the calls of the window by protocol, where they were counted. A mark says
	// it.
	Calls map[string]CallCount `json:"calls,omitempty"`

	// How many elements of the lists are not in the line, because it would be too
	// long: the window has had more ports and files than it names.
	PortsLeftOut   int `json:"ports_left_out,omitempty"`
	FilesLeftOut   int `json:"files_left_out,omitempty"`
	RemovedLeftOut int `json:"removed_left_out,omitempty"` // of FilesLeftOut, those that are known to be removed
}

// AppendJSON appends w as a line of the index and returns the extended slice.
func (w *WindowLine) AppendJSON(dst []byte) []byte { return appendLine(dst, w) }

// Shorten makes the lists of w shorter until its line has at most limit bytes, and
// counts what it leaves out. The accounts stay. Of the files, those that retention has
// removed are left out first, and of the others the first ones.
func (w *WindowLine) Shorten(limit int) {
	for {
		over := len(w.AppendJSON(nil)) - limit
		if over <= 0 || len(w.Ports)+len(w.Files)+len(w.Removed) == 0 {
			return
		}
		// Of the longer list, what is too much, and a little more for the counts.
		ports, files := jsonLength(w.Ports), jsonLength(w.Files)+jsonLength(w.Removed)
		switch {
		case ports >= files:
			n := prefixOf(w.Ports, over, true)
			w.PortsLeftOut += n
			w.Ports = append([]string{}, w.Ports[:len(w.Ports)-n]...)
		case len(w.Removed) > 0:
			w.leaveRemovedOut(prefixOf(w.Removed, over/2, false))
		default:
			n := prefixOf(w.Files, over, false)
			w.FilesLeftOut += n
			w.Files = append([]string{}, w.Files[n:]...)
		}
	}
}

// leaveRemovedOut leaves out the first n of the files that are removed.
func (w *WindowLine) leaveRemovedOut(n int) {
	gone := map[string]bool{}
	for _, name := range w.Removed[:n] {
		gone[name] = true
	}
	before := len(w.Files)
	w.Files = slices.DeleteFunc(slices.Clone(w.Files), func(name string) bool { return gone[name] })
	w.Removed = slices.Clone(w.Removed[n:])
	w.FilesLeftOut += before - len(w.Files)
	w.RemovedLeftOut += before - len(w.Files)
}

// prefixOf returns how many strings of the list, from its end or its start, take size
// bytes in JSON: one at least.
func prefixOf(list []string, size int, fromEnd bool) (n int) {
	for n < len(list) && (n == 0 || size > 0) {
		i := n
		if fromEnd {
			i = len(list) - 1 - n
		}
		size -= jsonLength(list[i : i+1])
		n++
	}
	return n
}

// jsonLength returns how many bytes the list takes in a line.
func jsonLength(list []string) (n int) {
	for _, s := range list {
		text, _ := json.Marshal(s) // a string cannot fail
		n += len(text) + 1
	}
	return n
}

// Mark is a line of the index that amends the line of a window. It may come before
// that line, and more than once. Readers pass over what they do not know in it.
type Mark struct {
	// Window is the window's id, or its WindowPrefix where the recorder knows no more.
	// AllWindows stands for each window that has one of the files.
	Window  string   `json:"mark"`
	Run     string   `json:"run"`               // the window's
	Removed []string `json:"removed,omitempty"` // base names of files that retention has removed
	Files   []string `json:"files,omitempty"`   // base names of files that were written for the window later

	// Calls are the calls of the window by protocol. nil means that they were not counted.
	Calls map[string]CallCount `json:"calls,omitempty"`
}

// CallCount counts the calls of a protocol.
type CallCount struct {
	Calls  uint64 `json:"calls"`
	Failed uint64 `json:"failed"`
}

// AllWindows is the Mark.Window of files that many windows share: archived logs.
const AllWindows = "*"

// AppendJSON appends m as a line of the index and returns the extended slice.
func (m *Mark) AppendJSON(dst []byte) []byte { return appendLine(dst, m) }

// appendLine appends line as JSON with a newline.
func appendLine(dst []byte, line any) []byte {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err) // no field of a line can fail
	}
	return append(append(dst, text...), '\n')
}

// addRemoved adds name to the removed files of w, which has it among its files.
func (w *WindowLine) addRemoved(name string) {
	if !slices.Contains(w.Removed, name) {
		w.Removed = append(w.Removed, name)
	}
}

// hasFile reports whether w has a file of that name, compressed or not.
func (w *WindowLine) hasFile(name string) bool { return slices.Contains(w.Files, TrimGzip(name)) }
