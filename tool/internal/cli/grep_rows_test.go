package cli

import "testing"

func TestContextFitsIntoALine(t *testing.T) {
	for _, c := range []struct {
		before, text, after string
		columns             int
		want                [3]string
	}{
		{"abc", "MATCH", "def", 11, [3]string{"abc", "MATCH", "def"}},
		{"abcdef", "MATCH", "ghijkl", 11, [3]string{"…ef", "MATCH", "gh…"}},
		{"a", "MATCH", "ghijkl", 11, [3]string{"a", "MATCH", "ghij…"}},
		{"abcdef", "MATCH", "g", 11, [3]string{"…cdef", "MATCH", "g"}},
		{"abcdef", "MATCH", "ghi", 5, [3]string{"", "MATCH", ""}},
		{"abcdef", "MATCHES", "ghi", 5, [3]string{"", "MATC…", ""}},
		{"", "MATCH", "", 0, [3]string{"", "MAT…", ""}},
		{"日本語", "M", "", 4, [3]string{"…語", "M", ""}},
	} {
		before, text, after := fitContext(c.before, c.text, c.after, c.columns)
		if got := [3]string{before, text, after}; got != c.want {
			t.Errorf("%q %q %q in %d: %q, want %q", c.before, c.text, c.after, c.columns, got, c.want)
		}
		if n := textWidth(before + text + after); n > max(c.columns, leastOfAny) {
			t.Errorf("%q %q %q in %d: %d columns", c.before, c.text, c.after, c.columns, n)
		}
	}
}
