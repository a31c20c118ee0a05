package replay

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestJSONPathsReplaceWhatTheyName(t *testing.T) {
	const document = `{"a":{"b":[{"c":1},{"c":2}]},"d":[[1,2],[3,4]],"e":5}`
	for path, want := range map[string]string{
		"e":                  `{"a":{"b":[{"c":1},{"c":2}]},"d":[[1,2],[3,4]],"e":"X"}`,
		"$.a.b[*].c":         `{"a":{"b":[{"c":"X"},{"c":"X"}]},"d":[[1,2],[3,4]],"e":5}`,
		"a.*[1]":             `{"a":{"b":[{"c":1},"X"]},"d":[[1,2],[3,4]],"e":5}`,
		"d[*][0]":            `{"a":{"b":[{"c":1},{"c":2}]},"d":[["X",2],["X",4]],"e":5}`,
		"nothing.here[7].is": document,
		"e.f":                document,
	} {
		p, err := parseJSONPath(path)
		if err != nil {
			t.Error(err)
			continue
		}
		var v any
		if err := json.Unmarshal([]byte(document), &v); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(p.cutOut(v))
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.ReplaceAll(string(got), ignored, "X"); text != want {
			t.Errorf("%s: %s, want %s", path, text, want)
		}
	}
	for _, path := range []string{"", "$", "$.", "a..b", "a[", "a[x]", "a[-1]"} {
		if p, err := parseJSONPath(path); err == nil {
			t.Errorf("%q is %+v", path, p)
		}
	}
}

func TestIgnoreReplacesGroupsOrWholeMatches(t *testing.T) {
	for _, c := range []struct{ expression, want string }{
		{`\d+`, "id=X, n=X"},
		{`id=(\d+)`, "id=X, n=9"},
		{`(id)=(\d+)`, "X=X, n=9"},
		{`((i)d)=7`, "X=7, n=9"},
		{`z`, "id=7, n=9"},
		{`(z)?n=`, "id=7, n=9"},
	} {
		got := strings.ReplaceAll(string(cutOut([]byte("id=7, n=9"), regexp.MustCompile(c.expression))), ignored, "X")
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.expression, got, c.want)
		}
	}
}

func TestOptionsNameAllFaults(t *testing.T) {
	_, err := New(&Recording{}, Options{
		Target: Server{Address: "nowhere"}, Baseline: &Server{Network: "udp", Address: "a:1"}, Mode: "x", Speed: -1, Loops: -2, Concurrency: -3, Rate: -4,
		TurnTimeout: -5, ConnectTimeout: -6, MaxAnswer: -7, MaxDifferences: -8, MaxConns: -9, SendOnly: true,
		Rules: Rules{Headers: []string{"a b"}, JSON: []string{"a[x]"}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, word := range []string{
		`"nowhere"`, `"udp"`, "nothing is compared", `mode "x"`, "speed -1", "loops -2", "concurrency -3", "rate -4", "turn timeout -5ns", "connect timeout -6ns",
		"answer -7", "connection -8", "result -9", `"a b"`, `"a[x]"`,
	} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("nothing of %s in: %v", word, err)
		}
	}
	for address, network := range map[string]string{"127.0.0.1:80": "", "[::1]:80": "", "/run/a.sock": "unix", "unix:a.sock": "unix"} {
		if s, err := ParseServer(address); err != nil || s.Network != network {
			t.Errorf("%s: %+v, %v", address, s, err)
		}
	}
	for _, address := range []string{"", ":80", "a", "a:", "a:0", "a:99999", "unix:"} {
		if s, err := ParseServer(address); err == nil {
			t.Errorf("%q is %s", address, fmt.Sprint(s))
		}
	}
}
