package dump

import (
	"path/filepath"
	"strings"
)

// missingFiles names the captures' files that ought to be in the directory and
// are not, of windows that f can want. What retention has removed is marked in
// the index, and not missing.
func (l *listing) missingFiles(f *Filter) []string {
	present := map[string]bool{}
	for i := range l.captures {
		for _, s := range l.captures[i].segments {
			present[trimGzip(filepath.Base(s.path))] = true
		}
	}
	var missing []string
	indexed := map[string]bool{} // by the first characters of the window's id
	if l.hasIndex {
		lines, _ := ReadIndex(filepath.Join(l.dir, Index)) // its own damage is for those who list windows
		for _, line := range lines {
			indexed[line.Window[:min(len(line.Window), capturePrefix)]] = true
			if !strings.HasPrefix(line.Window, f.Window) || line.Closed.Before(f.Since) || !f.Until.IsZero() && line.Opened.After(f.Until) {
				continue
			}
			removed := map[string]bool{}
			for _, name := range line.Removed {
				removed[trimGzip(name)] = true
			}
			for _, name := range line.Files {
				name = trimGzip(name)
				if strings.HasSuffix(name, SegmentExtension) && !present[name] && !removed[name] {
					missing = append(missing, filepath.Join(l.dir, name))
				}
			}
		}
	}
	for i := range l.captures {
		c := &l.captures[i]
		if indexed[c.window] || !f.wantsCapture(c) {
			continue
		}
		for _, name := range c.missing() {
			missing = append(missing, filepath.Join(l.dir, name))
		}
	}
	return missing
}
