package logdir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

func TestIndexMarksTheFilesOfAWindow(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.Local)
	rolled := layout.Archive(layout.FlowLog, at)
	for name, c := range map[string]struct {
		closed  time.Time
		files   []string
		gone    string
		removed []string
	}{
		"by its name":              {at.Add(time.Hour), []string{rolled}, rolled, []string{rolled}},
		"compressed":               {at.Add(time.Hour), []string{rolled}, rolled + ".gz", []string{rolled}},
		"rolled later":             {at.Add(-time.Hour), []string{layout.FlowLog}, rolled, []string{rolled}},
		"rolled at once":           {at.Add(999 * time.Microsecond), []string{layout.FlowLog}, rolled + ".gz", []string{rolled}},
		"rolled before":            {at.Add(time.Hour), []string{layout.FlowLog}, rolled, nil},
		"another log's":            {at.Add(-time.Hour), []string{layout.PortraitLog}, rolled, nil},
		"no time in the name":      {at.Add(-time.Hour), []string{layout.FlowLog}, "dump_tcp_copy-x.log", nil},
		"a segment":                {at, []string{"a.pcapng", "b.pcapng"}, "b.pcapng.gz", []string{"b.pcapng"}},
		"a segment of another one": {at, []string{"a.pcapng"}, "b.pcapng", nil},
	} {
		w := layout.WindowLine{Closed: c.closed, Files: c.files}
		for range 2 {
			markLine(&w, []dumpFile{{name: c.gone}})
		}
		if !slices.Equal(w.Removed, c.removed) {
			t.Errorf("%s: removed %q, want %q", name, w.Removed, c.removed)
		}
		for _, f := range w.Removed {
			if !slices.Contains(w.Files, f) {
				t.Errorf("%s: %s is removed but not among %q", name, f, w.Files)
			}
		}
	}
}

// Lines of the index that cannot be read stay as they are when others are marked.
func TestMarkingKeepsLinesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	d := Open(Options{Path: dir})
	defer d.Close()
	window := layout.WindowLine{Window: "3f0c9b9e-0000-4000-8000-000000000000", Files: []string{layout.FlowLog}}
	text := window.AppendJSON(nil)
	path := filepath.Join(dir, layout.Index)
	damaged := "not JSON\n" + string(text) + "{\"half\":"
	if err := os.WriteFile(path, []byte(damaged), FileMode); err != nil {
		t.Fatal(err)
	}
	if err := d.index.markRemoved([]dumpFile{{name: layout.FlowLog}}); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(after); !strings.HasPrefix(s, "not JSON\n") || !strings.Contains(s, `"removed":["dump_tcp_copy.log"]`) || strings.Count(s, "\n") != 2 {
		t.Errorf("index %q", s)
	}
}
