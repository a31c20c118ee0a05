package dump

import (
	"path/filepath"
	"strings"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// missingFiles returns the paths of segments that ought to be in a directory and are
// not, of windows that f can want. What retention has removed is marked in the index,
// and not missing.
func missingFiles(d *layout.Directory, f *Filter) []string {
	present := map[string]bool{}
	for i := range d.Sets {
		for _, s := range d.Sets[i].Segments {
			present[layout.TrimGzip(filepath.Base(s.Path))] = true
		}
	}
	var missing []string
	indexed := map[string]bool{} // of sets that are there, by the WindowPrefix of the window's id
	gone := map[string]bool{}    // files that marks have as removed, of windows without a line
	sets, windows := map[string]bool{}, map[string]bool{}
	for i := range d.Sets {
		sets[d.Sets[i].Name], windows[d.Sets[i].Window] = true, true
	}
	if d.HasIndex {
		index := filepath.Join(d.Path, layout.Index)
		_ = layout.EachWindow(index, func(line *layout.WindowLine) error { // its own damage is for those who list windows
			if prefix := layout.WindowPrefix(line.Window); windows[prefix] {
				indexed[prefix] = true
			}
			if !strings.HasPrefix(line.Window, f.Window) || line.Closed.Before(f.Since) || !f.Until.IsZero() && line.Opened.After(f.Until) {
				return nil
			}
			removed := map[string]bool{}
			for _, name := range line.Removed {
				removed[layout.TrimGzip(name)] = true
			}
			for _, name := range line.Files {
				name = layout.TrimGzip(name)
				if strings.HasSuffix(name, layout.SegmentExtension) && !present[name] && !removed[name] {
					missing = append(missing, filepath.Join(d.Path, name))
				}
			}
			return nil
		})
		_ = layout.EachMark(index, func(m *layout.Mark) error {
			for _, name := range m.Removed {
				if s, ok := layout.ParseSegment(layout.TrimGzip(name)); ok && sets[s.Set()] && !indexed[s.Window] {
					gone[layout.TrimGzip(name)] = true
				}
			}
			return nil
		})
	}
	for i := range d.Sets {
		set := &d.Sets[i]
		if indexed[set.Window] || !f.wantsSet(set) {
			continue
		}
		for _, name := range set.Missing() {
			if !gone[name] {
				missing = append(missing, filepath.Join(d.Path, name))
			}
		}
	}
	return missing
}
