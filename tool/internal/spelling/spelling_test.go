package spelling

import (
	"slices"
	"testing"
)

func TestWordsThatAreCloseAreFound(t *testing.T) {
	commands := []string{"windows", "conns", "show", "export", "on", "off", "record", "live", "recover", "replay"}
	for word, want := range map[string][]string{
		"window": {"windows"}, "widnows": {"windows"}, "shwo": {"show"}, "expotr": {"export"}, "con": {"conns", "on"}, "reco": {"record", "recover"},
		"LIVE": {"live"}, "nope": nil, "": nil, "x": nil, "windows": nil,
	} {
		if got := Closest(word, commands); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestHintsAreQuestions(t *testing.T) {
	if got, want := Ask(Closest("reco", []string{"record", "recover"})), `; did you mean "record" or "recover"?`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := Ask(Closest("nothing like it", []string{"record"})); got != "" {
		t.Error(got)
	}
}

func TestDistancesCountMistakes(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "ab", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"5f3c", "5f3d", 1}} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != c.want {
			t.Errorf("%q to %q is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
