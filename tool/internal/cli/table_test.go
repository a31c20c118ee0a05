package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// terminalOutput returns what prints tables for a terminal with that many columns.
func terminalOutput(b *bytes.Buffer, columns int) (*output, *tool) {
	t := &tool{
		stdout: bufio.NewWriterSize(b, 1), screen: b, now: func() time.Time { return time.Date(2024, 5, 7, 12, 0, 0, 0, time.UTC) },
		getenv: func(name string) string {
			if name == "COLUMNS" {
				return fmt.Sprint(columns)
			}
			return ""
		},
	}
	return &output{t: t, utc: true}, t
}

// written ends the table and returns its lines.
func written(t *testing.T, tab *table, tool *tool, b *bytes.Buffer) []string {
	t.Helper()
	if err := tab.end(); err != nil {
		t.Fatal(err)
	}
	_ = tool.stdout.Flush() // into memory
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func TestTablesFitWhateverIsInThem(t *testing.T) {
	for _, columns := range []int{0, 20, 80, 100, 160} {
		var b bytes.Buffer
		o, tool := terminalOutput(&b, columns)
		tab := o.newTable(column{heading: "ID"}, column{heading: "PEER", least: 15, middle: true}, column{heading: "N", right: true}, column{heading: "TEXT", least: 10})
		for i := range 3 * sampleRows {
			if err := tab.add(texts(strings.Repeat("7", 1+i/100), "[2001:db8:1:2:3:4:5:6]:50000", fmt.Sprint(i*i), strings.Repeat("表 é", i%40))...); err != nil {
				t.Fatal(err)
			}
		}
		limit := max(columns, leastWidth)
		lines := written(t, tab, tool, &b)
		if len(lines) != 1+3*sampleRows {
			t.Fatalf("%d lines", len(lines))
		}
		for i, line := range lines {
			if textWidth(line) > limit || strings.HasSuffix(line, " ") {
				t.Fatalf("%d columns, line %d covers %d: %q", columns, i, textWidth(line), line)
			}
		}
		if last := strings.Fields(lines[len(lines)-1])[0]; last != strings.Repeat("7", 15) {
			t.Errorf("an id is shortened: %q", last)
		}
	}
}

func TestWideTablesShortenNothing(t *testing.T) {
	var b bytes.Buffer
	o, tool := terminalOutput(&b, 80)
	o.wide = true
	tab := o.newTable(column{heading: "A", least: 5}, column{heading: "B", from: 1000}, column{heading: "AT", clock: "15:04"})
	long := strings.Repeat("long ", 40) + "."
	_ = tab.add(cell{text: long}, cell{text: "b"}, cell{at: o.t.now()})
	if lines := written(t, tab, tool, &b); lines[1] != long+"  b  2024-05-07 12:00:00.000" {
		t.Errorf("%q", lines)
	}
}

func TestColumnsAppearWithTheirRoom(t *testing.T) {
	for columns, want := range map[int]string{80: "A  C", 119: "A  C", 120: "A  B  C"} {
		var b bytes.Buffer
		o, tool := terminalOutput(&b, columns)
		tab := o.newTable(column{heading: "A"}, column{heading: "B", from: 120}, column{heading: "C"})
		_ = tab.add(texts("1", "2", "3")...)
		if lines := written(t, tab, tool, &b); lines[0] != want {
			t.Errorf("%d columns: %q, want %q", columns, lines[0], want)
		}
	}
}

func TestTablesWithoutRowsAreEmpty(t *testing.T) {
	var b bytes.Buffer
	o, tool := terminalOutput(&b, 80)
	if lines := written(t, o.newTable(column{heading: "A"}), tool, &b); len(lines) != 1 || lines[0] != "" {
		t.Errorf("%q", lines)
	}
}

func TestDatesAreShownWhereTheyAreNews(t *testing.T) {
	today := time.Date(2024, 5, 7, 10, 32, 5, 0, time.UTC)
	yesterday, lastYear := today.AddDate(0, 0, -1), today.AddDate(-1, 0, 0)
	for name, c := range map[string]struct {
		at   []time.Time
		want []string
	}{
		"today":         {[]time.Time{today, today}, []string{"      AT", "10:32:05", "10:32:05"}},
		"one day":       {[]time.Time{yesterday, yesterday}, []string{"2024-05-06", "  10:32:05", "  10:32:05"}},
		"two days":      {[]time.Time{yesterday, today}, []string{"            AT", "05-06 10:32:05", "      10:32:05"}},
		"long ago":      {[]time.Time{lastYear, today}, []string{"                 AT", "2023-05-07 10:32:05", "           10:32:05"}},
		"none":          {[]time.Time{{}}, []string{"AT", " -"}},
		"the day after": {[]time.Time{today, today.AddDate(0, 0, 1)}, []string{"                 AT", "           10:32:05", "2024-05-08 10:32:05"}},
	} {
		var b bytes.Buffer
		o, tool := terminalOutput(&b, 80)
		tab := o.newTable(column{heading: "AT", clock: "15:04:05", right: true})
		for _, at := range c.at {
			_ = tab.add(cell{at: at})
		}
		if lines := written(t, tab, tool, &b); strings.Join(lines, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: %q, want %q", name, lines, c.want)
		}
	}
}

func TestADateThatComesLateIsShown(t *testing.T) {
	var b bytes.Buffer
	o, tool := terminalOutput(&b, 80)
	tab := o.newTable(column{heading: "AT", clock: "15:04:05"})
	day := o.t.now().AddDate(0, 0, -2)
	for range sampleRows {
		_ = tab.add(cell{at: day})
	}
	_ = tab.add(cell{at: day.AddDate(0, 0, 1)})
	if lines := written(t, tab, tool, &b); lines[0] != "2024-05-05" || lines[sampleRows+1] != "05-06 12:00:00" {
		t.Errorf("%q, %q", lines[0], lines[sampleRows+1])
	}
}

func TestTextsAreShortenedByWhatTheyCover(t *testing.T) {
	for _, c := range []struct {
		text        string
		columns     int
		end, middle string
	}{
		{"short", 5, "short", "short"}, {"longer", 5, "long…", "lo…er"}, {"表表表", 4, "表…", "表…"}, {"e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301", "e\u0301e\u0301e\u0301"},
		{"10.244.13.7:54321", 15, "10.244.13.7:54…", "10.244.…7:54321"}, {"x", 0, "", ""}, {"xy", 1, "…", "…"},
	} {
		if end, middle := shorten(c.text, c.columns), shortenMiddle(c.text, c.columns); end != c.end || middle != c.middle {
			t.Errorf("%q in %d: %q and %q, want %q and %q", c.text, c.columns, end, middle, c.end, c.middle)
		}
	}
}

func FuzzShorten(f *testing.F) {
	f.Add("表e\u0301\u200d", 3)
	f.Fuzz(func(t *testing.T, s string, columns int) {
		columns = min(max(columns, 0), 1000)
		s = printable(s)
		for _, got := range []string{shorten(s, columns), shortenMiddle(s, columns)} {
			if textWidth(got) > columns {
				t.Fatalf("%q in %d columns is %q, which covers %d", s, columns, got, textWidth(got))
			}
		}
	})
}
