package mask

import (
	"strings"
	"testing"
)

func TestWhatAnErrorMayShow(t *testing.T) {
	for _, tt := range []struct {
		field string
		value any
		want  string
	}{
		{"capture.direction", "boht", `"boht"`}, {"buffer.workers", 12, "12"}, {"buffer.size", "64 MB", `"64 MB"`}, {"capture.peers", "10.0.0.0/33", `"10.0.0.0/33"`},
		{"capture.peers", "2001:db8::/129", `"2001:db8::/129"`}, {"output.dir", "/var/dump", `"/var/dump"`}, {"watch", "relative/path", `"relative/path"`}, {"switch", "on\n\x1b[31m", `"on\n\x1b[31m"`},
		{"token", "hunter2", "a text of 7 bytes"}, {"extends.password", "x", "a text of 1 bytes"}, {"pin", 1234, "a text of 4 bytes"},
		{"watch", tok("gh", "p_", alnum[:36]), "a text of 40 bytes"}, {"watch", "http://u:hunter2@h/", "a text of 19 bytes"}, {"switch", "Bearer abc.def", "a text of 14 bytes"},
		{"watch", "q83vEjRWeJCrze8SNFZ4", "a text of 20 bytes"}, {"switch", strings.Repeat("x", 1<<20), "a text of 1048576 bytes"}, {"roll", "password=hunter2", "a text of 16 bytes"},
		{"a", KindOf([]byte(`{"token":"x"}`)), "an object with 1 fields"}, {"a", KindOf([]byte(`["x"]`)), "an array of 1 values"}, {"a", KindOf([]byte(`"abc"`)), "a text of 3 bytes"},
		{"a", KindOf([]byte(`12`)), "a number"}, {"a", KindOf([]byte(`null`)), "null"}, {"a", KindOf([]byte(`true`)), "a truth value"}, {"a", KindOf([]byte(`hunter2`)), "a text of 7 bytes that is no JSON"},
		{"a", Scalar([]byte(`"x"`)), `"x"`}, {"a", Scalar([]byte(`12.5`)), `"12.5"`}, {"a", Scalar([]byte(`{"a":"x"}`)), "an object with 1 fields"},
	} {
		if got := Value(tt.field, tt.value); got != tt.want {
			t.Errorf("%s: %.60q is shown as %s, want %s", tt.field, tt.value, got, tt.want)
		}
	}
	for name, want := range map[string]string{
		"token": "token", "max_totl": "max_totl", "a.b-c": "a.b-c", "": "(a name of 0 bytes)", "a b": "(a name of 3 bytes)", "x\n\x1b[31m": "(a name of 7 bytes)",
		tok("gh", "p_", alnum[:36]): "(a name of 40 bytes)", strings.Repeat("x", 1<<20): "(a name of 1048576 bytes)", "http://u:p@h": "(a name of 12 bytes)", "q83vEjRWeJCrze8SNFZ4": "(a name of 20 bytes)",
	} {
		if got := Name(name); got != want {
			t.Errorf("the name %.60q is shown as %s, want %s", name, got, want)
		}
	}
}
