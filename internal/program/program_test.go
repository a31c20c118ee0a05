package program

import (
	"path/filepath"
	"testing"
)

// ended records how a test ended.
type ended struct {
	testing.TB
	how string
}

func (e *ended) Helper()               {}
func (e *ended) Skipf(string, ...any)  { e.end("skipped") }
func (e *ended) Fatalf(string, ...any) { e.end("failed") }

// end stands for the end of the test's goroutine, which the first call is.
func (e *ended) end(how string) {
	if e.how == "" {
		e.how = how
	}
}

func TestAMissingProgramSkipsOrFails(t *testing.T) {
	for _, c := range []struct{ name, required, want string }{
		{"no-such-program", "", "skipped"},
		{"no-such-program", "1", "failed"},
		{"go", "", ""},
		{"go", "1", ""},
	} {
		t.Setenv("REQUIRE_TOOLS", c.required)
		e := &ended{TB: t}
		path := Require(e, c.name)
		if e.how != c.want || (c.want == "") != filepath.IsAbs(path) {
			t.Errorf("%s, REQUIRE_TOOLS=%q: %q, path %q; want %q", c.name, c.required, e.how, path, c.want)
		}
	}
}
