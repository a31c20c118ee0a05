package replay

import (
	"bytes"
	"testing"
)

// diffSeeds are what the unit test and the fuzz target share.
var diffSeeds = []struct {
	a, b    string
	changed []string // parts of a, as far as the test names them
}{
	{"", "", nil},
	{"same", "same", nil},
	{"id=17 at noon", "id=18 at noon", []string{"id=17"}},
	{"id=17 at noon", "id=1777 at night", []string{"id=17", "noon"}},
	{"", "all new", []string{""}},
	{"all gone", "", []string{"all gone"}},
	{"a b c d", "a c d", []string{"b "}},
	{"a c d", "a b c d", []string{""}},
	{"x-1f\r\nDate: Mon, 23 Nov\r\n\r\nbody", "x-2e\r\nDate: Tue, 24 Nov\r\n\r\nbody", []string{"x-1f", "Mon", "23"}},
	{"\x00\x01\x02\x03\x04", "\x00\x09\x02\x08\x04", []string{"\x01\x02\x03"}}, // few equal bytes between are chance
	{"aaaa", "aaaaa", []string{"aaaa"}},
	{"abab", "baba", []string{"abab"}},
}

func TestChangesMakeOneTextFromTheOther(t *testing.T) {
	for _, c := range diffSeeds {
		checkDiff(t, []byte(c.a), []byte(c.b))
		var got []string
		for _, change := range diff([]byte(c.a), []byte(c.b)) {
			got = append(got, c.a[change.aFrom:change.aTo])
		}
		if len(got) != len(c.changed) {
			t.Errorf("%q to %q changes %q, want %q", c.a, c.b, got, c.changed)
			continue
		}
		for i := range got {
			if got[i] != c.changed[i] {
				t.Errorf("%q to %q changes %q, want %q", c.a, c.b, got, c.changed)
			}
		}
	}
}

// checkDiff makes b from a with the changes.
func checkDiff(t *testing.T, a, b []byte) {
	t.Helper()
	var made []byte
	atA, atB := 0, 0
	for _, c := range diff(a, b) {
		if c.aFrom < atA || c.aTo < c.aFrom || c.bFrom < atB || c.bTo < c.bFrom || c.aTo > len(a) || c.bTo > len(b) {
			t.Fatalf("%q to %q: change %+v after %d, %d", a, b, c, atA, atB)
		}
		made = append(made, a[atA:c.aFrom]...)
		made = append(made, b[c.bFrom:c.bTo]...)
		atA, atB = c.aTo, c.bTo
	}
	made = append(made, a[atA:]...)
	if !bytes.Equal(made, b) {
		t.Fatalf("%q to %q: the changes make %q", a, b, made)
	}
}

func FuzzDiff(f *testing.F) {
	for _, c := range diffSeeds {
		f.Add([]byte(c.a), []byte(c.b))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a) > 1<<12 || len(b) > 1<<12 {
			return
		}
		checkDiff(t, a, b)
		checkDiff(t, b, a)
	})
}

func TestDiffOfLongTextsIsBounded(t *testing.T) {
	a, b := bytes.Repeat([]byte("one two "), 1<<16), bytes.Repeat([]byte("two three "), 1<<16)
	checkDiff(t, a, b)
	checkDiff(t, a[:1<<14], b[:1<<14])
	c := bytes.Clone(a)
	c[len(c)/2] = '!'
	checkDiff(t, a, c)
	if changes := diff(a, c); len(changes) != 1 || changes[0].aTo-changes[0].aFrom > 4 {
		t.Errorf("%+v", changes)
	}
}

func TestWordsBeforeAChangeNameItsPlace(t *testing.T) {
	for _, c := range []struct{ answer, change, want string }{
		{"HTTP/1.1 200 OK\nX-Request-Id: 17f\n\n", "17f", "X-Request-Id: "},
		{`{"a": 1, "id": "x"}`, "x", `"id": "`},
		{"+17\r\n", "+17", ""},
		{"VALUE 42 id 9\r\n", "9", "VALUE # id "},
	} {
		at := bytes.Index([]byte(c.answer), []byte(c.change))
		if c.change == "x" {
			at = bytes.LastIndex([]byte(c.answer), []byte(c.change))
		}
		if got := placeOf([]byte(c.answer), at); got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.change, c.answer, got, c.want)
		}
	}
}
