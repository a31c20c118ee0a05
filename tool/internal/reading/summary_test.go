package reading_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/tool/internal/reading"
)

// index is that of a directory with two windows, and one that did not open between them.
const index = `{"window":"aaaa0000-1","trigger":"schedule","opened":"2024-05-06T07:00:00Z","closed":"2024-05-06T07:00:10Z","ports":["8080","/run/x.sock"],"seen":{"in":100,"out":10},"lost":{"in":7,"out":1},"lost_by":{"limit":7,"guard":1},"files":[]}
{"skipped":"guard","trigger":"schedule","windows":2,"first":"2024-05-06T07:20:00Z","last":"2024-05-06T07:21:00Z","why":"guard: cpu"}
{"window":"bbbb0000-2","trigger":"manual","opened":"2024-05-06T08:00:00Z","closed":"2024-05-06T08:00:10Z","ports":["900"],"seen":{"in":5,"out":5},"files":["dump_tcp_copy.log"]}
`

// indexed returns a query of a directory with the index.
func indexed(t *testing.T, f dump.Filter) *reading.Query {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dump_windows.jsonl"), []byte(index), 0o600); err != nil {
		t.Fatal(err)
	}
	return &reading.Query{Path: dir, Options: dump.Options{Filter: f}}
}

func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2024-05-06 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

func TestSummariesAreOfTheWindowsThatTheQueryAllows(t *testing.T) {
	for name, c := range map[string]struct {
		filter               dump.Filter
		windows, off, skips  int
		seen, lost           uint64
		before, after, ports string
	}{
		"all":            {dump.Filter{}, 2, 1, 1, 120, 8, "", "", "900,8080,/run/x.sock"},
		"a window":       {dump.Filter{Window: "aaaa"}, 1, 0, 1, 110, 8, "", "", "8080,/run/x.sock"},
		"a port":         {dump.Filter{Port: "900"}, 1, 1, 1, 10, 0, "", "", "900,8080,/run/x.sock"},
		"no port":        {dump.Filter{Port: "1"}, 0, 0, 1, 0, 0, "", "", "900,8080,/run/x.sock"},
		"between":        {dump.Filter{Since: at("07:10:00"), Until: at("07:30:00")}, 0, 0, 1, 0, 0, "aaaa0000-1", "bbbb0000-2", ""},
		"before all":     {dump.Filter{Until: at("06:00:00")}, 0, 0, 0, 0, 0, "", "aaaa0000-1", ""},
		"after all":      {dump.Filter{Since: at("09:00:00")}, 0, 0, 0, 0, 0, "bbbb0000-2", "", ""},
		"in a window":    {dump.Filter{Since: at("07:00:05"), Until: at("07:00:06")}, 1, 0, 0, 110, 8, "", "bbbb0000-2", "8080,/run/x.sock"},
		"another window": {dump.Filter{Window: "cccc"}, 0, 0, 1, 0, 0, "", "", ""},
	} {
		q := indexed(t, c.filter)
		q.Conns = []string{"nobody"} // the index does not know of connections
		got, err := q.Summary()
		if err != nil || !got.Indexed || got.All != 2 {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		id := func(w *reading.Window) string {
			if w == nil || w.WindowLine == nil {
				return ""
			}
			return w.Window
		}
		if got.Windows != c.windows || got.FilesAreOff != c.off || len(got.Skipped) != c.skips || got.Seen.In+got.Seen.Out != c.seen || got.Lost.In+got.Lost.Out != c.lost ||
			id(&reading.Window{WindowLine: got.Before}) != c.before || id(&reading.Window{WindowLine: got.After}) != c.after || strings.Join(got.Ports, ",") != c.ports {
			t.Errorf("%s: %+v", name, got)
		}
		if q.Options.Filter != c.filter {
			t.Errorf("%s: the query is changed", name)
		}
	}
}

func TestSummariesSayWhatAWindowMayHaveBeenMeantToBe(t *testing.T) {
	for text, want := range map[string][]string{"aaba": {"aaaa0000"}, "bbbb0000-1": {"bbbb0000"}, "zzzz": nil} {
		c, err := indexed(t, dump.Filter{Window: text}).Summary()
		if err != nil || c.Known || !slices.Equal(c.Similar, want) {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
}

func TestSummariesWithoutAnIndexAreEmpty(t *testing.T) {
	q := &reading.Query{Path: writeLog(t, line+"0]6f 6e 65")}
	if c, err := q.Summary(); err != nil || c.Indexed {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestConnectionsAreFoundByTheirFirstCharacters(t *testing.T) {
	of := func(conn string) string { return strings.Replace(line, "k3v9qa-1", conn, 1) + "0]6f 6e 65" }
	path := writeLog(t, of("aaaaaa-12"), of("aaaaaa-1"), of("bbbbbb-7"), of("aaaaaa-123"))
	for _, c := range []struct {
		conns, want []string
		unknown     int
		ambiguous   string
	}{
		{[]string{"b"}, []string{"bbbbbb-7"}, 0, ""},
		{[]string{"aaaaaa-1"}, []string{"aaaaaa-1"}, 0, ""},
		{[]string{"aaaaaa-12", "bbbbbb-7", "bbb"}, []string{"aaaaaa-12", "bbbbbb-7"}, 0, ""},
		{[]string{"aaaaaa-123"}, []string{"aaaaaa-123"}, 0, ""},
		{[]string{"zzzzzz-1"}, []string{"zzzzzz-1"}, 1, ""},
		{[]string{"a"}, nil, 0, `"a", which 3 connections begin with: aaaaaa-12, aaaaaa-1, aaaaaa-123`},
	} {
		q := &reading.Query{Path: path, Conns: slices.Clone(c.conns)}
		err := q.ResolveConns(context.Background())
		var ambiguous *reading.AmbiguousError
		if c.ambiguous != "" {
			if !errors.As(err, &ambiguous) || ambiguous.Error() != c.ambiguous {
				t.Errorf("%q: %v", c.conns, err)
			}
			continue
		}
		if err != nil || !slices.Equal(q.Conns, c.want) || len(q.Unknown) != c.unknown {
			t.Errorf("%q: %q, unknown %q, %v", c.conns, q.Conns, q.Unknown, err)
		}
		if n := len(texts(t, q)); n != len(c.want)-c.unknown {
			t.Errorf("%q: %d records", c.conns, n)
		}
	}
}

func TestManyConnectionsAreNotAllNamed(t *testing.T) {
	var lines []string
	for i := range 12 {
		lines = append(lines, strings.Replace(line, "k3v9qa-1", "aaaaaa-"+string(rune('a'+i)), 1)+"0]6f")
	}
	q := &reading.Query{Path: writeLog(t, lines...), Conns: []string{"a"}}
	if err := q.ResolveConns(context.Background()); err == nil || !strings.HasSuffix(err.Error(), "and 7 more") {
		t.Error(err)
	}
}
