package dump

import (
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// capturedWindows tells which windows of a directory are there as whole captures,
// so that the same records in the flow log are left out.
type capturedWindows struct {
	dir   string
	live  bool            // captures may appear while the log is read
	whole map[string]bool // by the first characters of the window's id
	last  string
	has   bool // what is known of last
}

func newCapturedWindows(l *layout.Directory, live bool) *capturedWindows {
	w := &capturedWindows{dir: l.Path, live: live}
	w.learn(l)
	return w
}

func (w *capturedWindows) learn(l *layout.Directory) {
	w.whole = map[string]bool{}
	for i := range l.Sets {
		if l.Sets[i].Whole() {
			w.whole[l.Sets[i].Window] = true
		}
	}
}

// contain tells whether a capture has r too.
func (w *capturedWindows) contain(r *record.Record) bool {
	if r.Window == w.last {
		return w.has
	}
	if w.live {
		if l, err := layout.Scan(w.dir); err == nil {
			w.learn(l)
		}
	}
	w.last, w.has = r.Window, w.whole[layout.WindowPrefix(r.Window)]
	return w.has
}
