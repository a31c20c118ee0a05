package layout_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

func TestReadIndexGoesOnBehindDamage(t *testing.T) {
	dir := t.TempDir()
	good := func(window string) []byte {
		text, err := json.Marshal(layout.WindowLine{Window: window, Accounts: record.Accounts{Seen: record.PerDirection{In: 7}}})
		if err != nil {
			t.Fatal(err)
		}
		return append(text, '\n')
	}
	first := good("a")
	long := append(bytes.Repeat([]byte(" "), 1<<20), '\n')
	path := filepath.Join(dir, layout.Index)
	text := slices.Concat(first, []byte("{\"window\": garbage\n"), good("b"), []byte("\n{}\n"), long, good("c"), first[:20])
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	lines, err := layout.ReadIndex(path)
	var got []string
	for _, w := range lines {
		got = append(got, fmt.Sprint(w.Window, w.Seen.In))
	}
	if fmt.Sprint(got) != "[a7 b7 c7]" {
		t.Errorf("windows %v", got)
	}
	var d *record.DamageError
	if !errors.As(err, &d) || d.Offset != int64(len(first)) || strings.Count(err.Error(), "damaged at byte") != 4 {
		t.Errorf("damage %v, want four faults, the first at %d", err, len(first))
	}
}

// indexOf writes the files of an index in a new directory and returns its path. The
// lines of each are WindowLines, Marks or text.
func indexOf(t *testing.T, files map[string][]any) string {
	t.Helper()
	dir := t.TempDir()
	for name, lines := range files {
		var text []byte
		for _, line := range lines {
			switch line := line.(type) {
			case string:
				text = append(text, line...)
			case layout.WindowLine:
				text = line.AppendJSON(text)
			case layout.Mark:
				text = line.AppendJSON(text)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, layout.Index)
}

const (
	firstID  = "3f0c9b9e-0000-4000-8000-000000000000"
	secondID = "3f0c9b9e-1111-4000-8000-000000000000"
)

// A window's line is read as the marks amend it, wherever in the index they are.
func TestMarksAmendTheLinesOfWindows(t *testing.T) {
	closed := time.Date(2024, 5, 6, 7, 8, 9, 0, time.Local)
	earlier, later := layout.Archive(layout.FlowLog, closed.Add(-time.Hour)), layout.Archive(layout.FlowLog, closed.Add(time.Hour))
	atOnce := layout.Archive(layout.FlowLog, closed)
	last := layout.Archive(layout.FlowLog, closed.Add(2*time.Hour))
	window := layout.WindowLine{Window: firstID, Run: "aaaaaa", Closed: closed.Add(999 * time.Microsecond), Files: []string{"a.pcapng", "b.pcapng", layout.FlowLog}}
	mark := layout.Mark{Window: firstID, Run: "aaaaaa", Removed: []string{"a.pcapng"}}
	all := func(names ...string) layout.Mark { return layout.Mark{Window: layout.AllWindows, Removed: names} }
	rewritten := window // as the version before has left it
	rewritten.Removed = []string{"a.pcapng"}
	for name, c := range map[string]struct {
		files   map[string][]any
		want    []string // removed
		hasFile string
	}{
		"without a mark":            {files: map[string][]any{layout.Index: {window}}},
		"behind":                    {files: map[string][]any{layout.Index: {window, mark}}, want: []string{"a.pcapng"}},
		"before":                    {files: map[string][]any{layout.Index: {mark, window}}, want: []string{"a.pcapng"}},
		"twice":                     {files: map[string][]any{layout.Index: {mark, window, mark}}, want: []string{"a.pcapng"}},
		"of a compressed file":      {files: map[string][]any{layout.Index: {window, layout.Mark{Window: firstID, Run: "aaaaaa", Removed: []string{"a.pcapng.gz"}}}}, want: []string{"a.pcapng"}},
		"by the id's beginning":     {files: map[string][]any{layout.Index: {window, layout.Mark{Window: firstID[:8], Run: "aaaaaa", Removed: []string{"b.pcapng"}}}}, want: []string{"b.pcapng"}},
		"of another run":            {files: map[string][]any{layout.Index: {window, layout.Mark{Window: firstID, Run: "bbbbbb", Removed: []string{"a.pcapng"}}}}},
		"of another window":         {files: map[string][]any{layout.Index: {window, layout.Mark{Window: secondID, Run: "aaaaaa", Removed: []string{"a.pcapng"}}}}},
		"a file that it has not":    {files: map[string][]any{layout.Index: {window, layout.Mark{Window: firstID, Run: "aaaaaa", Removed: []string{"c.pcapng"}}}}},
		"with words of the future":  {files: map[string][]any{layout.Index: {window, `{"mark":"` + firstID + `","run":"aaaaaa","unshipped":["a.pcapng"],"mood":{"n":1},"removed":["b.pcapng"]}` + "\n", `{"mark":"` + firstID + `","run":"aaaaaa","removed":7}` + "\n"}}, want: []string{"b.pcapng"}},
		"in a later file":           {files: map[string][]any{layout.Archive(layout.Index, closed): {window}, layout.Index: {mark}}, want: []string{"a.pcapng"}},
		"in an earlier file":        {files: map[string][]any{layout.Archive(layout.Index, closed): {mark}, layout.Index: {window}}, want: []string{"a.pcapng"}},
		"without the last file":     {files: map[string][]any{layout.Archive(layout.Index, closed): {window, mark}}, want: []string{"a.pcapng"}},
		"rotated by logrotate":      {files: map[string][]any{layout.Index + ".1": {window}, layout.Index: {mark}}, want: []string{"a.pcapng"}},
		"rotated with a date":       {files: map[string][]any{layout.Index + "-20261127": {window}, layout.Index: {mark}}, want: []string{"a.pcapng"}},
		"rewritten":                 {files: map[string][]any{layout.Index: {rewritten}}, want: []string{"a.pcapng"}},
		"rewritten and marked":      {files: map[string][]any{layout.Index: {rewritten, mark, layout.Mark{Window: firstID, Run: "aaaaaa", Removed: []string{"b.pcapng"}}}}, want: []string{"a.pcapng", "b.pcapng"}},
		"a log rotated later":       {files: map[string][]any{layout.Index: {window, all(later)}}, want: []string{later}, hasFile: later},
		"a log rotated at once":     {files: map[string][]any{layout.Index: {window, all(atOnce + ".gz")}}, want: []string{atOnce}, hasFile: atOnce},
		"a log rotated before":      {files: map[string][]any{layout.Index: {window, all(earlier)}}, hasFile: layout.FlowLog},
		"the first of several":      {files: map[string][]any{layout.Index: {all(last), window, all(earlier, later)}}, want: []string{later}, hasFile: later},
		"another log's":             {files: map[string][]any{layout.Index: {window, all(layout.Archive(layout.PortraitLog, closed.Add(time.Hour)))}}},
		"a file that came later":    {files: map[string][]any{layout.Index: {window, layout.Mark{Window: firstID, Run: "aaaaaa", Files: []string{layout.StaticConfigs}}}}, hasFile: layout.StaticConfigs},
		"of a file that came later": {files: map[string][]any{layout.Index: {layout.Mark{Window: firstID, Run: "aaaaaa", Files: []string{"z.log"}}, window, layout.Mark{Window: firstID, Run: "aaaaaa", Removed: []string{"z.log"}}}}, want: []string{"z.log"}, hasFile: "z.log"},
	} {
		lines, err := layout.ReadIndex(indexOf(t, c.files))
		if err != nil || len(lines) != 1 {
			t.Errorf("%s: %d windows, %v", name, len(lines), err)
			continue
		}
		if !slices.Equal(lines[0].Removed, c.want) {
			t.Errorf("%s: removed %q, want %q", name, lines[0].Removed, c.want)
		}
		if c.hasFile != "" && !slices.Contains(lines[0].Files, c.hasFile) {
			t.Errorf("%s: %s is not among the files %q", name, c.hasFile, lines[0].Files)
		}
	}
}

// Of a window that comes twice the first line counts; windows of two runs are two.
func TestAWindowIsReadOnce(t *testing.T) {
	first, again, other := layout.WindowLine{Window: firstID, Run: "aaaaaa"}, layout.WindowLine{Window: firstID, Run: "aaaaaa", Recovered: true}, layout.WindowLine{Window: firstID, Run: "bbbbbb"}
	lines, err := layout.ReadIndex(indexOf(t, map[string][]any{layout.Index: {first, other, again}}))
	if err != nil || len(lines) != 2 || lines[0].Recovered || lines[1].Run != "bbbbbb" {
		t.Errorf("%+v, %v", lines, err)
	}
}

// An index of any size is read in little memory, and all of it.
func TestALongIndexIsReadInLittleMemory(t *testing.T) {
	const windows, marked = 60_000, 7
	dir := t.TempDir()
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	var text []byte
	name := func(n int) string {
		return layout.Segment{Opened: at, Window: fmt.Sprintf("%08x-", n), Run: "aaaaaa", Number: 1}.Name()
	}
	file := 0
	end := func(path string) {
		if err := os.WriteFile(filepath.Join(dir, path), text, 0o600); err != nil {
			t.Fatal(err)
		}
		text, file = text[:0], file+1
	}
	var marks []layout.Mark
	for n := range windows {
		w := layout.WindowLine{Window: fmt.Sprintf("%08x-0000-4000-8000-000000000000", n), Run: "aaaaaa", Opened: at, Closed: at, Ports: []string{"2045"}, Files: []string{name(n), layout.FlowLog}}
		text = w.AppendJSON(text)
		if n%marked == 0 {
			marks = append(marks, layout.Mark{Window: w.Window, Run: w.Run, Removed: w.Files[:1]})
		}
		if len(text) > 8<<20 {
			end(layout.Archive(layout.Index, at.Add(time.Duration(file)*time.Hour)))
		}
	}
	for i := range marks {
		text = marks[i].AppendJSON(text)
	}
	end(layout.Index)
	if file < 3 {
		t.Fatalf("%d files", file)
	}
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, n, removed := live(), uint64(0), 0, 0
	if err := layout.EachWindow(filepath.Join(dir, layout.Index), func(w *layout.WindowLine) error {
		if w.Window != fmt.Sprintf("%08x-0000-4000-8000-000000000000", n) || len(w.Removed) != 0 != (n%marked == 0) {
			return fmt.Errorf("window %d: %+v", n, w)
		}
		if n%12_000 == 6000 {
			now := live()
			most = max(most, now-min(before, now))
		}
		n++
		removed += len(w.Removed)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n != windows || removed != (windows+marked-1)/marked {
		t.Errorf("%d windows, %d removed files", n, removed)
	}
	if most > 40<<20 {
		t.Errorf("%d MiB are used for it", most>>20)
	}
	t.Logf("%d files, %d KiB at most", file, most>>10)
}

// The lists of a line become shorter, and the line says by how much. The accounts stay.
func TestALineIsShortened(t *testing.T) {
	many := func(n int, format string) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf(format, i))
		}
		return names
	}
	for name, w := range map[string]layout.WindowLine{
		"short":              {Ports: many(3, "%d"), Files: many(3, "f%d"), Removed: many(1, "f%d")},
		"many files":         {Ports: many(3, "%d"), Files: many(5000, "20240506T070809Z_5f3c9a52_k3v9qa_%03d.pcapng")},
		"many removed":       {Files: many(5000, "20240506T070809Z_5f3c9a52_k3v9qa_%03d.pcapng"), Removed: many(4990, "20240506T070809Z_5f3c9a52_k3v9qa_%03d.pcapng")},
		"many ports":         {Ports: many(20000, "%05d"), Files: many(3, "f%d")},
		"much of everything": {Ports: many(20000, "/run/a path with \"quotes\" and \u2028/%05d"), Files: many(9000, "f%d"), Removed: many(8000, "f%d")},
		"one long name":      {Ports: []string{strings.Repeat("\x00", 100_000)}},
	} {
		ports, files, removed := len(w.Ports), len(w.Files), len(w.Removed)
		w.Window, w.Accounts = firstID, record.Accounts{Seen: record.PerDirection{In: 7}, LostBy: map[string]uint64{"limit": 7}}
		const limit = 16 << 10
		w.Shorten(limit)
		text := w.AppendJSON(nil)
		if len(text) > limit || len(w.Ports)+w.PortsLeftOut != ports || len(w.Files)+w.FilesLeftOut != files || len(w.Removed)+w.RemovedLeftOut != removed {
			t.Errorf("%s: %d bytes, %d+%d ports of %d, %d+%d files of %d, %d+%d removed of %d", name, len(text),
				len(w.Ports), w.PortsLeftOut, ports, len(w.Files), w.FilesLeftOut, files, len(w.Removed), w.RemovedLeftOut, removed)
		}
		for _, f := range w.Removed {
			if !slices.Contains(w.Files, f) {
				t.Errorf("%s: %s is removed but not among the files", name, f)
			}
		}
		if name == "many removed" && !slices.Contains(w.Files, "20240506T070809Z_5f3c9a52_k3v9qa_4999.pcapng") {
			t.Errorf("%s: a file that is there is left out: %q", name, w.Files)
		}
		var back layout.WindowLine
		if err := json.Unmarshal(text, &back); err != nil || back.Seen.In != 7 || back.LostBy["limit"] != 7 {
			t.Errorf("%s: %s, %v", name, text, err)
		}
		if name == "short" && w.FilesLeftOut+w.PortsLeftOut > 0 {
			t.Errorf("%s: %+v", name, w)
		}
	}
}

// The removed files of a window are those that are not there, whatever the marks say.
func TestTheDirectoryDecidesWhatIsRemoved(t *testing.T) {
	dir := t.TempDir()
	closed := time.Date(2024, 5, 6, 7, 8, 9, 0, time.Local)
	archive := layout.Archive(layout.FlowLog, closed.Add(time.Hour))
	for _, name := range []string{"a.pcapng", "b.pcapng.gz", archive + ".gz"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := layout.NewPresent(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := layout.WindowLine{Closed: closed, Files: []string{"a.pcapng", "b.pcapng", "c.pcapng", layout.FlowLog, archive, layout.PortraitLog}, Removed: []string{"a.pcapng"}}
	p.Amend(&w)
	if want := []string{"c.pcapng", layout.PortraitLog}; !slices.Equal(w.Removed, want) {
		t.Errorf("removed %q, want %q", w.Removed, want)
	}
}
