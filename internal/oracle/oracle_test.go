package oracle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	window = "0e1ebbc6-6a8f-4c5e-9d5b-6d9a3b1f2c3d"
	prefix = "2024-05-06 07:08:09,123456 [INFO] [" + window + "][2045]"
)

func connections(t *testing.T, lines ...string) ([]*Connection, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dump_tcp_copy.log"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	parsed, err := ReadMeta(dir)
	if err != nil {
		return nil, err
	}
	return Connections(parsed)
}

func TestStreamsOfAConnectionAreRead(t *testing.T) {
	all, err := connections(t,
		prefix+"[abcdef-7 open] 127.0.0.1:4242 -> 127.0.0.1:2045",
		prefix+"[abcdef-7 > 0]68 65",
		prefix+"[abcdef-7 < 0]0a",
		prefix+"[abcdef-7 gap > 2 3] buffer_full",
		prefix+"[abcdef-7 > 5]6f",
		prefix+"[abcdef-7 close] RemoteClose > 6 < 1")
	if err != nil {
		t.Fatal(err)
	}
	c := all[0]
	if len(all) != 1 || c.Client != "127.0.0.1:4242" || c.Closed == nil || c.In.Kept() != 3 || c.In.Lost() != 3 {
		t.Errorf("read %+v", c)
	}
	if err := c.In.Agrees([]byte("hellho")); err != nil {
		t.Error(err)
	}
	if err := c.In.Agrees([]byte("hEllho")); err == nil {
		t.Error("a stream that differs agrees")
	}
	if _, err := c.In.Bytes(); err == nil {
		t.Error("a stream with a gap is whole")
	}
}

func TestRefusesWhatIsNotExact(t *testing.T) {
	open := prefix + "[abcdef-7 open] 127.0.0.1:4242 -> 127.0.0.1:2045"
	for name, lines := range map[string][]string{
		"milliseconds":        {"2024-05-06 07:08:09,123 [INFO] [" + window + "][2045][abcdef-7 > 0]68"},
		"capitals":            {open, prefix + "[abcdef-7 > 0]6F"},
		"space at the end":    {open, prefix + "[abcdef-7 > 0]6f "},
		"no open line":        {prefix + "[abcdef-7 > 0]6f"},
		"opened twice":        {open, open},
		"a byte twice":        {open, prefix + "[abcdef-7 > 0]6f 6f", prefix + "[abcdef-7 > 1]6f"},
		"a late state":        {open, prefix + "[abcdef-7 > 0]6f", prefix + "[abcdef-7 state] > 1 < 0 AAAAAAA"},
		"a state of nothing":  {open, prefix + "[abcdef-7 state] > 1 < 0 "},
		"a byte left out":     {open, prefix + "[abcdef-7 > 0]6f", prefix + "[abcdef-7 > 2]6f"},
		"wrong totals":        {open, prefix + "[abcdef-7 > 0]6f", prefix + "[abcdef-7 close] RemoteClose > 2 < 0"},
		"on after its end":    {open, prefix + "[abcdef-7 close] RemoteClose > 0 < 0", prefix + "[abcdef-7 > 0]6f"},
		"gap without reason":  {open, prefix + "[abcdef-7 gap > 0 3]"},
		"an empty data line":  {open, prefix + "[abcdef-7 > 0]"},
		"an unknown kind":     {open, prefix + "[abcdef-7 pause] now"},
		"a malformed address": {prefix + "[abcdef-7 open] 127.0.0.1:4242"},
	} {
		if _, err := connections(t, lines...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAnIndexThatDoesNotAddUpIsRefused(t *testing.T) {
	for text, good := range map[string]bool{
		`{"window":"w","seen":{"in":5,"out":1},"written":{"in":3,"out":1},"lost":{"in":2,"out":0},"lost_by":{"guard":2}}`: true,
		`{"window":"w","seen":{"in":5,"out":0},"written":{"in":3,"out":0},"lost":{"in":1,"out":0},"lost_by":{"guard":1}}`: false,
		`{"window":"w","seen":{"in":5,"out":0},"written":{"in":3,"out":0},"lost":{"in":2,"out":0},"lost_by":{"guard":1}}`: false,
		`{"window":"w","sean":{"in":0,"out":0}}`: false,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "dump_windows.jsonl"), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadIndex(dir); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
