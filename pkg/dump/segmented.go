package dump

import (
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// segmentedWindows knows which windows of a directory are there as whole segment
// sets, so that the same records in the flow log are left out.
type segmentedWindows struct {
	dir   string
	live  bool            // segments may appear while the log is read
	whole map[string]bool // by the WindowPrefix of the window's id
	last  string          // the window of contain's last argument
	has   bool            // what contain returned for last
}

// newSegmentedWindows returns what d holds. If live, it is looked up again for each
// window.
func newSegmentedWindows(d *layout.Directory, live bool) *segmentedWindows {
	w := &segmentedWindows{dir: d.Path, live: live}
	w.learn(d)
	return w
}

// learn replaces what is known by what d holds.
func (w *segmentedWindows) learn(d *layout.Directory) {
	w.whole = map[string]bool{}
	for i := range d.Sets {
		if d.Sets[i].Whole() {
			w.whole[d.Sets[i].Window] = true
		}
	}
}

// contain reports whether a segment set has r too.
func (w *segmentedWindows) contain(r *record.Record) bool {
	if r.Window == w.last {
		return w.has
	}
	if w.live {
		if d, err := layout.Scan(w.dir); err == nil {
			w.learn(d)
		}
	}
	w.last, w.has = r.Window, w.whole[layout.WindowPrefix(r.Window)]
	return w.has
}
