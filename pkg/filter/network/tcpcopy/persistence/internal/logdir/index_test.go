package logdir

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

const (
	testWindow = "3f0c9b9e-0000-4000-8000-000000000000"
	testRun    = "aaaaaa"
)

// testSegment returns the name of a segment of testWindow.
func testSegment(run string, number int) string {
	return layout.Segment{Opened: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC), Window: testWindow, Run: run, Number: number}.Name()
}

// putFile writes a file that was changed so long ago.
func putFile(t *testing.T, dir, name string, text []byte, age time.Duration) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, FileMode); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// indexText returns what the files of the index have.
func indexText(t *testing.T, dir string) (text []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "dump_windows*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		part, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	return text
}

// marksOf returns the marks in dir as JSON lines.
func marksOf(t *testing.T, dir string) (marks []string) {
	t.Helper()
	if err := layout.EachMark(filepath.Join(dir, layout.Index), func(m *layout.Mark) error {
		marks = append(marks, strings.TrimSuffix(string(m.AppendJSON(nil)), "\n"))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return marks
}

// What is removed is marked with the id of its window: known from the window itself, or
// read from the segment, compressed or not; otherwise with what the name has of it.
// Archived logs are marked for all windows, files of the index for none.
func TestRemovedFilesAreMarked(t *testing.T) {
	dir := t.TempDir()
	d := Open(Options{Path: dir, Run: testRun})
	defer d.Close()
	text := []byte("a packet's comment: conn=x window=" + testWindow + " port=2045")
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, _ = zip.Write(text)
	_ = zip.Close()
	archive := layout.Archive(layout.FlowLog, time.Date(2024, 5, 6, 7, 8, 9, 0, time.Local))
	for _, c := range []struct {
		name string
		text []byte
		want string
	}{
		{testSegment("bbbbbb", 1), text, `{"mark":"` + testWindow + `","run":"bbbbbb","removed":["` + testSegment("bbbbbb", 1) + `"]}`},
		{testSegment("cccccc", 2) + ".gz", zipped.Bytes(), `{"mark":"` + testWindow + `","run":"cccccc","removed":["` + testSegment("cccccc", 2) + `"]}`},
		{testSegment("dddddd", 3), []byte("window=other"), `{"mark":"3f0c9b9e","run":"dddddd","removed":["` + testSegment("dddddd", 3) + `"]}`},
		{archive + ".gz", nil, `{"mark":"*","run":"","removed":["` + archive + `"]}`},
		{layout.Archive(layout.Index, time.Now()), nil, ""},
	} {
		putFile(t, dir, c.name, c.text, time.Hour)
		before := len(indexTextOrNone(dir))
		d.quota.removeAll([]dumpFile{{name: c.name}})
		if exists(filepath.Join(dir, c.name)) {
			t.Errorf("%s is there", c.name)
		}
		if got := strings.TrimSpace(string(indexTextOrNone(dir)[before:])); got != c.want {
			t.Errorf("%s: the index has %q more, want %q", c.name, got, c.want)
		}
	}
	// A window of this process is known, whatever is in the file.
	d.Segments(record.Window{ID: testWindow, Opened: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)}, Roll{}, nil)
	putFile(t, dir, testSegment(testRun, 1), nil, time.Hour)
	d.quota.removeAll([]dumpFile{{name: testSegment(testRun, 1)}})
	if marks := marksOf(t, dir); !strings.HasPrefix(marks[len(marks)-1], `{"mark":"`+testWindow+`","run":"aaaaaa"`) {
		t.Errorf("marks %q", marks)
	}
}

func indexTextOrNone(dir string) []byte {
	text, _ := os.ReadFile(filepath.Join(dir, layout.Index))
	return text
}

// A burst of removals is few marks, whose lists are bounded.
func TestABurstOfRemovalsIsFewMarks(t *testing.T) {
	dir := t.TempDir()
	d := Open(Options{Path: dir, Run: testRun})
	defer d.Close()
	d.Segments(record.Window{ID: testWindow, Opened: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)}, Roll{}, nil)
	const files = 1000
	var all []dumpFile
	for n := range files {
		putFile(t, dir, testSegment(testRun, n+1), nil, time.Hour)
		all = append(all, dumpFile{name: testSegment(testRun, n+1)})
	}
	d.quota.removeAll(all)
	marks := marksOf(t, dir)
	if want := (files + maxNames - 1) / maxNames; len(marks) != want {
		t.Errorf("%d marks, want %d", len(marks), want)
	}
	for _, m := range marks {
		if len(m) > d.index.MaxLine() {
			t.Errorf("a mark of %d bytes", len(m))
		}
	}
}

// Lines of the index never change, not even those that cannot be read.
func TestLinesOfTheIndexNeverChange(t *testing.T) {
	window := layout.WindowLine{Window: testWindow, Run: testRun, Files: []string{testSegment(testRun, 1)}}
	line := string(window.AppendJSON(nil))
	for name, c := range map[string]struct{ before, stays string }{
		"whole":                   {line, line},
		"damaged":                 {"not JSON\n" + line + "{\"half\":\n", "not JSON\n" + line + "{\"half\":\n"},
		"a torn line":             {line + `{"window":"3f0c`, line},
		"only a torn line":        {`{"window":"3f0c`, ""},
		"zeroes after a crash":    {line + strings.Repeat("\x00", 5000), line},
		"without its newline":     {strings.TrimSuffix(line, "\n"), line},
		"two, without a newline":  {line + strings.TrimSuffix(line, "\n"), line + line},
		"an empty file":           {"", ""},
		"a newline":               {"\n", "\n"},
		"a line of another shape": {`{"mark":"x","y":[1]}`, `{"mark":"x","y":[1]}` + "\n"},
	} {
		dir := t.TempDir()
		putFile(t, dir, layout.Index, []byte(c.before), 0)
		putFile(t, dir, testSegment(testRun, 1), nil, time.Hour)
		d := Open(Options{Path: dir, Run: testRun})
		d.quota.removeAll([]dumpFile{{name: testSegment(testRun, 1)}})
		if err := d.Index().Append([]byte(line)); err != nil {
			t.Error(err)
		}
		d.Close()
		want := c.stays + `{"mark":"3f0c9b9e","run":"aaaaaa","removed":["` + testSegment(testRun, 1) + `"]}` + "\n" + line
		if got := string(indexText(t, dir)); got != want {
			t.Errorf("%s: index %q, want %q", name, got, want)
		}
	}
}

// The index is rolled, and takes no more than its share of the directory: the oldest
// files of it go.
func TestTheIndexIsRolledAndBounded(t *testing.T) {
	const limit = 1 << 20
	dir := t.TempDir()
	d := Open(Options{Path: dir, Run: testRun, MaxTotal: limit})
	defer d.Close()
	payload := filepath.Join(dir, testSegment(testRun, 1))
	putFile(t, dir, testSegment(testRun, 1), make([]byte, limit/4), time.Hour)
	for n := range 3000 {
		w := layout.WindowLine{Window: fmt.Sprintf("%08x-0000-4000-8000-000000000000", n), Run: testRun}
		if err := d.Index().Append(w.AppendJSON(nil)); err != nil {
			t.Fatal(err)
		}
	}
	// What the others have of the directory is used now.
	putFile(t, dir, "dump_tcp_copy-2024-05-06T07-08-09.000.log", make([]byte, limit/2), time.Minute)
	if err := d.quota.look(); err != nil {
		t.Fatal(err)
	}
	if err := d.quota.Reserve(limit / 8); err != nil {
		t.Fatal(err)
	}
	d.Wait()
	var total, most int64
	files, err := filepath.Glob(filepath.Join(dir, "dump_windows*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		total, most = total+info.Size(), max(most, info.Size())
	}
	if most > limit/32 || len(files) < 3 {
		t.Errorf("%d files of the index, of %d bytes at most", len(files), most)
	}
	t.Logf("the index has %d bytes in %d files, the payload is there: %v", total, len(files), exists(payload))
	lines, err := layout.ReadIndex(filepath.Join(dir, layout.Index))
	if err != nil || len(lines) == 0 || !strings.HasPrefix(lines[len(lines)-1].Window, fmt.Sprintf("%08x", 2999)) {
		t.Errorf("%d windows, %v", len(lines), err)
	}
	for i := 1; i < len(lines); i++ { // the others are the last ones, without a hole
		if lines[i].Window < lines[i-1].Window {
			t.Fatalf("window %s after %s", lines[i].Window, lines[i-1].Window)
		}
	}
}

// The index counts once in the size of the directory.
func TestTheIndexCountsOnce(t *testing.T) {
	dir := t.TempDir()
	putFile(t, dir, layout.Index, bytes.Repeat([]byte("x\n"), 100_000), 0)
	q := newQuotaAt(t, dir, 1<<20)
	if err := q.look(); err != nil || q.used != 200_000 {
		t.Errorf("%d bytes are used, want 200000; %v", q.used, err)
	}
}

// Marks that cannot be written wait, and come with the next ones.
func TestMarksWaitForTheIndex(t *testing.T) {
	dir := t.TempDir()
	d := Open(Options{Path: dir, Run: testRun})
	defer d.Close()
	if err := os.Mkdir(filepath.Join(dir, layout.Index), DirMode); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		putFile(t, dir, testSegment(testRun, n+1), nil, time.Hour)
		d.quota.removeAll([]dumpFile{{name: testSegment(testRun, n+1)}})
		if exists(filepath.Join(dir, testSegment(testRun, n+1))) {
			t.Error("what cannot be marked is not removed")
		}
	}
	if err := os.Remove(filepath.Join(dir, layout.Index)); err != nil {
		t.Fatal(err)
	}
	d.index.log.Retry()
	if err := d.Index().Mark(layout.Mark{Window: testWindow, Run: testRun, Files: []string{layout.FlowLog}}); err != nil {
		t.Fatal(err)
	}
	if marks := marksOf(t, dir); len(marks) != 3 {
		t.Errorf("marks %q", marks)
	}
}

// A look finds the oldest files of many, and few looks are enough for many removals.
func TestALookIsGoodForManyRemovals(t *testing.T) {
	const files, size, limit = 4000, 1 << 10, 5000 << 10
	dir := t.TempDir()
	for n := range files {
		putFile(t, dir, testSegment(testRun, n+1), make([]byte, size), time.Duration(files-n+10)*time.Second)
	}
	q := newQuotaAt(t, dir, limit)
	looks, last := 0, time.Time{}
	for range 3000 {
		if err := q.Reserve(size); err != nil {
			t.Fatal(err)
		}
		q.Release(size)
		q.making.Lock()
		if q.ended != last {
			looks, last = looks+1, q.ended
		}
		q.making.Unlock()
		// What is reserved is written to a log.
		f, err := os.OpenFile(filepath.Join(dir, layout.FlowLog), os.O_APPEND|os.O_CREATE|os.O_WRONLY, FileMode)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write(make([]byte, size))
		_ = f.Close()
	}
	q.keeper.Wait()
	left := 0
	for n := range files {
		if exists(filepath.Join(dir, testSegment(testRun, n+1))) {
			left++
		} else if left > 0 {
			t.Fatalf("segment %d is gone, and an older one is not", n+1)
		}
	}
	if most := limit/size - 3000; left > most || left < most-3*64-maxNames {
		t.Errorf("%d segments are left, want %d or a little less", left, most)
	}
	// One for each headroom that was written, the first one, and one for each time
	// that all which were found are gone.
	if most := 3000/(limit/64/size) + files/maxOldest + 3; looks > most {
		t.Errorf("%d looks, want %d at most", looks, most)
	}
	t.Logf("%d looks", looks)
}

// What changes while somebody looks at the directory counts once.
func TestALookCountsWhatChangesMeanwhileOnce(t *testing.T) {
	dir := t.TempDir()
	const size = 10_000
	d := Open(Options{Path: dir, Run: testRun, MaxTotal: 1 << 30})
	defer d.Close()
	log := d.Log(layout.FlowLog, Roll{Size: 3 * size})
	done := make(chan error)
	go func() { // ends after its appends
		for range 600 {
			if err := log.Append(bytes.Repeat([]byte("x\n"), size/2)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for looking := true; looking; {
		d.quota.making.Lock()
		if err := d.quota.look(); err != nil {
			t.Error(err)
		}
		d.quota.making.Unlock()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			looking = false
		default:
		}
		resume := d.Pause()
		total := int64(0)
		names, err := d.folder.Names()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if info, err := d.folder.Stat(name); err == nil {
				total += info.Size
			}
		}
		// One chunk may be reserved and not written yet, and one may have been in its file
		// and reserved when the look ended.
		if used := d.quota.used; used < total || used > total+2*size {
			t.Errorf("%d bytes are counted, there are %d", used, total)
			looking = false
		}
		resume()
	}
}

// Names of a log that has been rolled very often are remembered up to a bound.
func TestNamesAreBounded(t *testing.T) {
	var f fileNames
	const all = 3 * maxFileNames
	for n := range all {
		f.add(fmt.Sprint(n))
	}
	got := f.list()
	if len(got.Names) != maxFileNames || got.LeftOut != all-maxFileNames || got.Names[maxFileNames-1] != fmt.Sprint(all-1) {
		t.Errorf("%d names and %d more, the last one %s", len(got.Names), got.LeftOut, got.Names[len(got.Names)-1])
	}
	if f.add(got.Names[3]) || !slices.Equal(f.list().Names, got.Names) {
		t.Error("a name comes twice")
	}
}
