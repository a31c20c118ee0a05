package http1_test

import (
	"net/http"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/http1"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// The end of an answer is lost that could have changed the protocol, and did not: the client goes on.
func TestLostAnswerToUpgrade(t *testing.T) {
	ask := "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
	answer := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n"
	next := "GET /2 HTTP/1.1\r\n\r\n"
	r, n := &parsetest.Recorder{}, uint64(0)
	runner := parse.NewRunner(&http1.Protocol, parse.Env{
		Sink: r, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n },
	})
	for _, err := range []error{
		runner.Data(record.In, 0, parsetest.Start, []byte(ask)),
		runner.Data(record.Out, 0, parsetest.Start, []byte(answer)),
		runner.Gap(record.Out, uint64(len(answer)), 10),
		runner.Data(record.In, uint64(len(ask)), parsetest.Start, []byte(next)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	runner.End(parse.End{At: parsetest.Start})
	if len(r.Calls) != 2 || r.Calls[0].Code != 200 || r.Calls[0].Incomplete&call.Gap == 0 || r.Calls[1].Target != "/2" {
		t.Errorf("calls\n%s", parsetest.Text(r.Calls))
	}
}

// A call that was given up because too many wait, while its answer goes on, is there once.
func TestForgottenCall(t *testing.T) {
	ask := ">GET / HTTP/1.1\r\n\r\n"
	talk := []string{ask, "<HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"}
	const more = 1000
	for range more {
		talk = append(talk, ask)
	}
	talk = append(talk, "<"+strings.Repeat("x", 97)+"HTTP/1.1 204 No Content\r\n\r\n")
	got, err := parsetest.Decode(&http1.Protocol, parsetest.Talk(talk...), true)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]int{}
	for _, c := range got.Calls {
		if seen[c.N]++; seen[c.N] > 1 || c.Method != http.MethodGet {
			t.Errorf("call %d of %q is there %d times", c.N, c.Method, seen[c.N])
		}
	}
	if len(seen) != 1+more {
		t.Errorf("%d calls, want %d", len(seen), 1+more)
	}
}

// A checkpoint has whose message goes on after its call was given up.
func TestForgottenCallInCheckpoint(t *testing.T) {
	const ask, answer = "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
	r, n := &parsetest.Recorder{}, uint64(0)
	env := parse.Env{Sink: r, Spans: true, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }}
	runner := parse.NewRunner(&http1.Protocol, env)
	for i, err := range []error{
		runner.Data(record.In, 0, parsetest.Start, []byte(ask)),
		runner.Data(record.Out, 0, parsetest.Start, []byte(answer)),
		runner.Data(record.In, uint64(len(ask)), parsetest.Start, []byte(strings.Repeat(ask, 1000))),
	} {
		if err != nil {
			t.Fatal(i, err)
		}
	}
	if len(r.Calls) == 0 {
		t.Fatal("no call was given up")
	}
	state, err := runner.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	runner = parse.NewRunner(&http1.Protocol, env)
	if err := runner.Restore(state); err != nil {
		t.Fatal(err)
	}
	before := len(r.Spans)
	if err := runner.Data(record.Out, uint64(len(answer)), parsetest.Start, []byte("3\r\ndef\r\n")); err != nil {
		t.Fatal(err)
	}
	if after := r.Spans[before:]; len(after) == 0 || after[0].Call != 1 || string(after[0].Value) != "def" {
		t.Errorf("spans %+v, want those of call 1", after)
	}
}

// Answers that come before the head of a request has ended need no memory without end, however many they are.
func TestManyEarlyAnswers(t *testing.T) {
	const answers, answer = 3000, "HTTP/1.1 204 No Content\r\n\r\n"
	r, n := &parsetest.Recorder{}, uint64(0)
	runner := parse.NewRunner(&http1.Protocol, parse.Env{
		Sink: r, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n },
	})
	if err := runner.Data(record.In, 0, parsetest.Start, []byte("GET / HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := runner.Data(record.Out, 0, parsetest.Start, []byte(strings.Repeat(answer, answers))); err != nil {
		t.Fatal(err)
	}
	if open := answers - len(r.Calls); open > 1000 {
		t.Errorf("%d calls are open", open)
	}
	runner.End(parse.End{At: parsetest.Start})
	if len(r.Calls) != answers {
		t.Errorf("%d calls, want %d", len(r.Calls), answers)
	}
}

// Answers without a request let no more calls be open than there may be.
func TestManyAnswersWithoutRequests(t *testing.T) {
	const messages, answer, ask = 3000, "HTTP/1.1 204 No Content\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"
	r, n := &parsetest.Recorder{}, uint64(0)
	runner := parse.NewRunner(&http1.Protocol, parse.Env{
		Sink: r, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n },
	})
	if err := runner.Data(record.Out, 0, parsetest.Start, []byte(strings.Repeat(answer, messages))); err != nil {
		t.Fatal(err)
	}
	if err := runner.Data(record.In, 0, parsetest.Start, []byte(strings.Repeat(ask, messages))); err != nil {
		t.Fatal(err)
	}
	if open := 2*messages - len(r.Calls); open > 1000 {
		t.Errorf("%d calls are open", open)
	}
}
