package replay_test

import (
	"math"
	"net"
	"os"
	"path/filepath"
	"testing"

	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/pkg/replay"
)

func TestObstaclesAreFound(t *testing.T) {
	t.Parallel()
	r := newScenario()
	r.open(0, 1).in("ab").out("cd").close("RemoteClose")
	r.open(0, 1).skip(5, 5).in("ab").out("cd").close("RemoteClose")
	r.open(0, 1).in("ab").gap(record.In, 3).out("cd").close("RemoteClose")
	r.open(0, 1).in("ab").gap(record.Out, 3).out("cd").close("RemoteClose")
	r.open(0, 1).in("ab").out("cd").in("e")
	r.open(0, 1).in("ab")
	r.open(0, 1).in("ab").close("RemoteClose") // got no answer
	r.open(0, 1).close("RemoteClose")
	r.open(0, 2).in("ab").close("RemoteClose") // of a listener whose answers were not recorded
	r.open(0, 1).out("hello").close("RemoteClose")
	wanted := [][]replay.ObstacleKind{
		nil, {replay.BeganBefore}, {replay.HasGaps}, {replay.HasGaps}, {replay.CutOff}, {replay.CutOff, replay.Unanswered}, nil, {replay.Empty}, {replay.OneWay}, nil,
	}
	plan := replay.NewPlan(r.load(t, replay.LoadOptions{}), replay.Options{Speed: 2, Loops: 3})
	for i, c := range plan.Conns {
		var got []replay.ObstacleKind
		for _, o := range c.Obstacles {
			got = append(got, o.Kind)
		}
		if len(got) != len(wanted[i]) {
			t.Errorf("%s: %q, want %q", c.Conn, got, wanted[i])
			continue
		}
		for j := range got {
			if got[j] != wanted[i][j] {
				t.Errorf("%s: %q, want %q", c.Conn, got, wanted[i])
			}
		}
	}
	// The one that was cut off is replayed as far as it was answered.
	if plan.Replayed != 4 || plan.Skipped != 6 || plan.Sends != 9 || plan.Bytes != 18 {
		t.Errorf("%d replayed, %d skipped, %d sends, %d bytes", plan.Replayed, plan.Skipped, plan.Sends, plan.Bytes)
	}
	partial := replay.NewPlan(r.load(t, replay.LoadOptions{}), replay.Options{Partial: true})
	if partial.Skipped != 1 || partial.Sends != 9 {
		t.Errorf("partial: %d skipped, %d sends", partial.Skipped, partial.Sends)
	}
}

// Partial replays send what is there; answers that were not recorded as a whole
// are not compared.
func TestPartialReplaysSendWhatWasRecorded(t *testing.T) {
	t.Parallel()
	r := newScenario()
	r.open(0, 1).in("a\n").out("you said a\n").gap(record.Out, 11).close("RemoteClose")
	r.open(0, 1).in("a\n").gap(record.In, 2).in("b\n").out("you said a\nyou said b\n").close("RemoteClose")
	r.open(0, 2).in("a\n").close("RemoteClose")
	result := r.run(t, replay.Options{Target: serve(t, lines(shout)), Speed: math.Inf(1), TurnTimeout: silenceTimeout})
	if result.Sent != 0 || result.Skipped != 3 || len(result.Conns) != 3 || !result.Conns[0].Skipped {
		t.Errorf("%+v", result)
	}
	result = r.run(t, replay.Options{Target: serve(t, lines(shout)), Speed: math.Inf(1), TurnTimeout: silenceTimeout, Partial: true})
	if result.Sent != 4 || result.Skipped != 0 || result.Equal != 1 || result.Different+result.Missing != 0 || len(result.Conns) != 3 {
		t.Errorf("%+v", result)
	}
}

// A recording that is cut off within an answer says nothing of the rest.
func TestWhatFollowsACutOffAnswerIsNotADifference(t *testing.T) {
	t.Parallel()
	r := newScenario()
	r.open(0, 1).in("a\n").out("you said a\n").in("b\n").out("you s")
	result := r.run(t, replay.Options{Target: serve(t, lines(shout)), Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 2, Equal: 2})
	result = r.run(t, replay.Options{Target: serve(t, lines(func(string) []byte { return []byte("you said a") })), Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 2, Equal: 2})
	result = r.run(t, replay.Options{Target: serve(t, lines(func(string) []byte { return []byte("yours") })), Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 2, Different: 2})
}

// Servers speak first, close the connection, answer before they have all of a
// request, or get requests before they have answered others.
func TestServersThatSpeakFirstAndPipelinedRequestsAreReplayed(t *testing.T) {
	t.Parallel()
	server := serve(t, func(conn net.Conn) {
		_, _ = conn.Write([]byte("hello\n"))
		answers := lines(shout)
		answers(conn)
	})
	r := newScenario()
	r.open(0, 1).out("hello\n").in("a\n").out("you said a\n").close("RemoteClose")
	r.open(0, 1).out("hello\n").close("LocalClose")
	// Pipelined: answers come after later requests.
	r.open(0, 1).in("a\n").in("b\n").out("hello\nyou said a\n").in("c\n").out("you said b\n").out("you said c\n").close("RemoteClose")
	result := r.run(t, replay.Options{Target: server, Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 5, Equal: 5})
}

// Payload that does not fit in memory goes through a file, which has no name.
func TestPayloadBeyondTheMemoryGoesToAFileWithoutAName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	scenario := lineScenario(8, 20)
	recording := scenario.load(t, replay.LoadOptions{Memory: 1, Dir: dir})
	result := run(t, recording, replay.Options{Target: serve(t, lines(shout)), Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 160, Equal: 160})
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) > 0 {
		t.Errorf("%q, %v", files, err)
	}
	if _, err := replay.NewLoader(replay.LoadOptions{}).Finish(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Error(err)
	}
}
