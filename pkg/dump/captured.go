package dump

import "mosn.io/tcpcopy/pkg/record"

// capturedWindows tells which windows of a directory are there as whole captures,
// so that the same records in the flow log are left out.
type capturedWindows struct {
	dir   string
	live  bool            // captures may appear while the log is read
	whole map[string]bool // by the first characters of the window's id
	last  string
	has   bool // what is known of last
}

func newCapturedWindows(l *listing, live bool) *capturedWindows {
	w := &capturedWindows{dir: l.dir, live: live}
	w.learn(l)
	return w
}

func (w *capturedWindows) learn(l *listing) {
	w.whole = map[string]bool{}
	for i := range l.captures {
		if l.captures[i].whole() {
			w.whole[l.captures[i].window] = true
		}
	}
}

// contain tells whether a capture has r too.
func (w *capturedWindows) contain(r *record.Record) bool {
	if r.Window == w.last {
		return w.has
	}
	if w.live {
		if l, err := list(w.dir); err == nil {
			w.learn(l)
		}
	}
	w.last, w.has = r.Window, w.whole[r.Window[:min(len(r.Window), capturePrefix)]]
	return w.has
}

// capturePrefix is how many characters of a window's id a capture's name has.
const capturePrefix = 8
