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
	indexed := map[string]bool{} // by the WindowPrefix of the window's id
	if d.HasIndex {
		lines, _ := layout.ReadIndex(filepath.Join(d.Path, layout.Index)) // its own damage is for those who list windows
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
					missing = append(missing, filepath.Join(d.Path, name))
				}
			}
		}
	}
	for i := range d.Sets {
		set := &d.Sets[i]
		if indexed[set.Window] || !f.wantsSet(set) {
			continue
		}
		for _, name := range set.Missing() {
			missing = append(missing, filepath.Join(d.Path, name))
		}
	}
	return missing
}
