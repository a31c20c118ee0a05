package cli

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/pkg/replay"
)

func TestReplayProgressHasEveryCount(t *testing.T) {
	got := replayLine(replay.Progress{Connections: 3, Total: 9, Sent: 40, Answered: 38, Different: 2, Failed: 1})
	if want := "40 sent, 38 answered, 2 different, 1 failed (3 of 9 connections)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDifferencesAreEscapedAndShowWhatDiffers(t *testing.T) {
	c := &replay.Conn{Identity: record.Identity{Conn: "k3v9qa-17"}, Loop: 2}
	d := &replay.Difference{
		Turn: 3, Verdict: replay.Different, Label: "GET /\x1b[2J", At: 9, Note: "a note",
		Recorded: replay.Excerpt{Bytes: []byte("one\ntwo\nthree\n"), Total: 14}, Replayed: replay.Excerpt{Bytes: []byte("one\ntwo\ntree\x1b\n"), Total: 13},
	}
	got := string(appendDifference(nil, c, d, colours{failed: "<R>", reset: "<0>"}))
	want := `k3v9qa-17 turn 3 of loop 2 GET /\x1b[2J: different from byte 9 on, recorded are 14 bytes, 13 came
  a note
- 00000000  6f 6e 65 0a 74 77 6f 0a  74 68 72 65 65 0a        |one.two.three.|
<R>+ 00000000  6f 6e 65 0a 74 77 6f 0a  74 72 65 65 1b 0a        |one.two.tree..|<0>

`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	d.Replayed.Bytes = []byte("one\ntwo\ntree\n")
	got = string(appendDifference(nil, c, d, colours{}))
	if !strings.Contains(got, "- three\n+ tree\n") {
		t.Errorf("no text in\n%s", got)
	}
}

func TestReplaysThatFindDifferencesExitWithOne(t *testing.T) {
	cause := errors.New("connect: refused")
	for _, c := range []struct {
		result replay.Result
		code   int
	}{
		{replay.Result{Connections: 2}, exitDone},
		{replay.Result{Connections: 2, Counts: replay.Counts{Turns: 1, Late: 1}}, exitDone},
		{replay.Result{Connections: 2, Counts: replay.Counts{Turns: 1, Missing: 1}}, exitFound},
		{replay.Result{Connections: 2, Failed: 1, Unconnected: 1}, exitFound},
		{replay.Result{Connections: 2, Interrupted: true}, exitFound},
		{replay.Result{Connections: 2, Failed: 2, Unconnected: 2, Conns: []*replay.Conn{{Err: cause}}}, exitUnread},
	} {
		tool := &tool{stderr: &strings.Builder{}}
		tool.damage.w = tool.stderr
		if got := tool.exit(replayError(&c.result)); got != c.code {
			t.Errorf("%+v: exit code %d, want %d", c.result.Counts, got, c.code)
		}
	}
}

func TestLatenciesAreInTheirUnit(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.00 ms", 1234 * time.Microsecond: "1.23 ms", 123 * time.Millisecond: "123 ms", 90 * time.Second: "90.00 s",
	} {
		if got := briefly(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestSpeedsAreFactorsOrMax(t *testing.T) {
	if _, err := parseSpeed("max"); err != nil {
		t.Error(err)
	}
	if speed, err := parseSpeed("0.5"); err != nil || math.Abs(speed-0.5) > 0 {
		t.Errorf("%v, %v", speed, err)
	}
}
