package protocol_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

var update = flag.Bool("update", false, "write testdata/checkpoints.txt")

// A time that no checkpoint can have is not known.
func TestImpossibleTimes(t *testing.T) {
	for _, at := range []time.Time{time.Unix(1<<40, 0), time.Unix(-1<<40, 0), time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -3600))} {
		r := &parsetest.Recorder{}
		d := protocol.New(r, protocol.Limits{})
		d.Open(record.PerDirection{})
		d.Data(record.In, 0, at, []byte(get))
		d, err := protocol.Resume(r, d.Checkpoint())
		if err != nil {
			t.Fatal(err)
		}
		d.Data(record.Out, 0, parsetest.Start, []byte(ok))
		d.End(parsetest.Start)
		if len(r.Calls) != 1 || !r.Calls[0].Request.First.IsZero() || !r.Calls[0].Response.First.Equal(parsetest.Start) {
			t.Errorf("at %v: calls\n%s", at, parsetest.Text(r.Calls))
		}
	}
}

// A checkpoint with any byte changed or missing is refused, or the decoder goes on with it.
func TestDamagedCheckpoints(t *testing.T) {
	for name, c := range map[string]struct {
		limits  protocol.Limits
		in, out string
	}{
		"detection": {protocol.Limits{}, "GE", ""},
		"http/1.1":  {protocol.Limits{}, get + get[:10], ok[:len(ok)/2]},
		"tcp":       {protocol.Limits{Protocol: call.TCP}, "a", "b"},
	} {
		d := protocol.New(&parsetest.Recorder{}, c.limits)
		d.Open(record.PerDirection{})
		d.Data(record.In, 0, parsetest.Start, []byte(c.in))
		d.Data(record.Out, 0, parsetest.Start, []byte(c.out))
		state := d.Checkpoint()
		try := func(b []byte) bool {
			d, err := protocol.Resume(&parsetest.Recorder{}, b)
			if err != nil {
				return false
			}
			d.Data(record.In, uint64(len(c.in)), parsetest.Start, []byte(get))
			d.Data(record.Out, uint64(len(c.out)), parsetest.Start, []byte(ok))
			d.Gap(record.Out, uint64(len(c.out)+len(ok)), 10, record.ReasonLimit)
			d.Checkpoint()
			d.Close(parsetest.Start, record.CloseRemote, record.PerDirection{})
			d.End(parsetest.Start)
			return true
		}
		if !try(state) {
			t.Fatalf("%s: refused as it is", name)
		}
		refused := 0
		for at := range state {
			for _, value := range []byte{0, 1, '-', '9', 0x7f, 0x80, 0xff, state[at] ^ 1} {
				b := bytes.Clone(state)
				b[at] = value
				if !try(b) {
					refused++
				}
			}
			if try(state[:at]) {
				t.Errorf("%s: %d bytes of %d are enough", name, at, len(state))
			}
			try(append(bytes.Clone(state[:at]), state[at+1:]...))
		}
		if refused == 0 {
			t.Errorf("%s: nothing was refused", name)
		}
	}
}

// Recordings have checkpoints in them, so a state with another form needs another version.
// The golden file has the checkpoints of this version, in the middle of sessions.
func TestCheckpointsKeepTheirForm(t *testing.T) {
	sessions := map[string]parsetest.Session{
		"grpc":      parsetest.GRPC(t, 10),
		"http1":     parsetest.Talk(">"+get+get+get[:10], "<"+ok[:len(ok)-2]),
		"redis":     parsetest.Talk(">*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n", "<$1\r\n1\r\n"),
		"tcp":       parsetest.Talk(">what is this?", "<nobody knows \x00\x01\x02", ">again"),
		"detection": parsetest.Talk(">G"),
	}
	files, err := filepath.Glob("*/testdata/*.talk")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		sessions[filepath.ToSlash(file)] = parsetest.Load(t, file)
	}
	var lines []string
	for name, s := range sessions {
		d := protocol.New(&parsetest.Recorder{}, protocol.Limits{})
		var next [2]uint64
		for _, p := range s[:(2*len(s)+2)/3] {
			d.Data(p.Dir, next[p.Dir], p.At, p.Data)
			next[p.Dir] += uint64(len(p.Data))
		}
		state := d.Checkpoint()
		lines = append(lines, fmt.Sprintf("%s: version %d, %x", name, state[0], sha256.Sum256(state)))
	}
	slices.Sort(lines)
	const file = "testdata/checkpoints.txt"
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("checkpoints\n%s\nwant\n%s\nIf the form of a state has changed, checkpointVersion has to, and then go test -run KeepTheirForm -update", got, want)
	}
}
