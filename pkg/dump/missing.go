package dump

import (
	"path/filepath"
	"strings"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// missingFiles names the captures' files that ought to be in the directory and
// are not, of windows that f can want. What retention has removed is marked in
// the index, and not missing.
func missingFiles(l *layout.Directory, f *Filter) []string {
	present := map[string]bool{}
	for i := range l.Sets {
		for _, s := range l.Sets[i].Segments {
			present[layout.TrimGzip(filepath.Base(s.Path))] = true
		}
	}
	var missing []string
	indexed := map[string]bool{} // by the first characters of the window's id
	if l.HasIndex {
		lines, _ := layout.ReadIndex(filepath.Join(l.Path, layout.Index)) // its own damage is for those who list windows
		for _, line := range lines {
			indexed[layout.WindowPrefix(line.Window)] = true
			if !strings.HasPrefix(line.Window, f.Window) || line.Closed.Before(f.Since) || !f.Until.IsZero() && line.Opened.After(f.Until) {
				continue
			}
			removed := map[string]bool{}
			for _, name := range line.Removed {
				removed[layout.TrimGzip(name)] = true
			}
			for _, name := range line.Files {
				name = layout.TrimGzip(name)
				if strings.HasSuffix(name, layout.SegmentExtension) && !present[name] && !removed[name] {
					missing = append(missing, filepath.Join(l.Path, name))
				}
			}
		}
	}
	for i := range l.Sets {
		c := &l.Sets[i]
		if indexed[c.Window] || !f.wantsCapture(c) {
			continue
		}
		for _, name := range c.Missing() {
			missing = append(missing, filepath.Join(l.Path, name))
		}
	}
	return missing
}
