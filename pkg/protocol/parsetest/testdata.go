package parsetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Sessions returns the sessions in the files testdata/*.talk by their names.
func Sessions(t testing.TB) map[string]Session {
	t.Helper()
	files, err := filepath.Glob("testdata/*.talk")
	if err != nil || len(files) == 0 {
		t.Fatal("no sessions: ", err)
	}
	all := map[string]Session{}
	for _, file := range files {
		all[strings.TrimSuffix(filepath.Base(file), ".talk")] = Load(t, file)
	}
	return all
}

// Stream returns the bytes of a direction.
func (s Session) Stream(dir record.Direction) []byte {
	var b []byte
	for _, p := range s {
		if p.Dir == dir {
			b = append(b, p.Data...)
		}
	}
	return b
}

// Golden compares the calls of each session in testdata with the file beside it, NAME.calls. With update it writes
// these files.
func Golden(t *testing.T, p *parse.Protocol, update bool) {
	t.Helper()
	for name, session := range Sessions(t) {
		t.Run(name, func(t *testing.T) {
			got, err := Decode(p, session, true)
			text := Lines(got.Calls)
			if err != nil {
				text += err.Error() + "\n"
			}
			file := filepath.Join("testdata", name+".calls")
			if update {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("calls\n%swant\n%s", text, want)
			}
		})
	}
}

// Lines returns calls as short lines, for people: see Text for all fields.
func Lines(calls []call.Call) string {
	var b strings.Builder
	for i := range calls {
		c := &calls[i]
		latency := "-"
		if d, ok := c.Latency(); ok {
			latency = d.Round(time.Microsecond).String()
		}
		fmt.Fprintf(&b, "%d %s %q %s failed=%v %v request %d+%d answer %d+%d latency %s\n", c.N, c.Method, c.Target, c.Status, c.Failed, c.Incomplete.Words(),
			c.Request.Offset, c.Request.Length, c.Response.Offset, c.Response.Length, latency)
	}
	return b.String()
}
