package protocol_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// strayRecorder is a sink that keeps fallbacks too.
type strayRecorder struct {
	parsetest.Recorder
	fallbacks []string
	skipped   [2]uint64
}

func (r *strayRecorder) Fallback(name string, dir record.Direction, offset uint64, err error) {
	r.fallbacks = append(r.fallbacks, fmt.Sprintf("%s %s %d", name, dir, offset))
	if err == nil {
		panic("no reason")
	}
}

func (r *strayRecorder) Skipped(dir record.Direction, g call.Range) { r.skipped[dir] += g.Length }

// find gives a session to a decoder, in pieces of at most most bytes; with resume it goes on from checkpoints.
func find(t *testing.T, s parsetest.Session, most int, random *rand.Rand, resume bool) *strayRecorder {
	t.Helper()
	r := &strayRecorder{}
	d := protocol.New(r, protocol.Limits{})
	var next [2]uint64
	for _, p := range s {
		for data := p.Data; len(data) > 0; {
			n := 1 + random.IntN(min(most, len(data)))
			piece := slices.Clone(data[:n]) // it must not be kept
			d.Data(p.Dir, next[p.Dir], p.At, piece)
			for i := range piece {
				piece[i] = 0xee
			}
			next[p.Dir] += uint64(n)
			data = data[n:]
			if resume && random.IntN(10) == 0 {
				var err error
				if d, err = protocol.Resume(r, d.Checkpoint()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	end := s[len(s)-1].At
	d.Close(end, record.CloseRemote, record.PerDirection{In: next[0], Out: next[1]})
	d.End(end)
	return r
}

// same checks that the calls and fallbacks of a session do not depend on how it is cut, nor on checkpoints.
func same(t *testing.T, s parsetest.Session, rounds int) *strayRecorder {
	t.Helper()
	want := find(t, s, 1<<20, rand.New(rand.NewPCG(1, 1)), false)
	for round := range rounds {
		got := find(t, s, []int{1, 3, 20, 200}[round%4], rand.New(rand.NewPCG(uint64(round), 2)), round%8 >= 4)
		if g, w := parsetest.Text(got.Calls), parsetest.Text(want.Calls); g != w {
			t.Fatalf("round %d: calls\n%swant\n%s", round, g, w)
		}
		if !slices.Equal(got.fallbacks, want.fallbacks) || got.skipped != want.skipped {
			t.Fatalf("round %d: fallbacks %q, skipped %v, want %q, %v", round, got.fallbacks, got.skipped, want.fallbacks, want.skipped)
		}
	}
	return want
}

// strayLines returns calls as short lines.
func strayLines(calls []call.Call) string {
	var lines []string
	for i := range calls {
		c := &calls[i]
		failed := ""
		if c.Failed {
			failed = "failed "
		}
		lines = append(lines, fmt.Sprintf("%d %s %s %s %d+%d %d+%d %s%v", c.N, c.Protocol, c.Method, c.Status,
			c.Request.Offset, c.Request.Length, c.Response.Offset, c.Response.Length, failed, c.Incomplete.Words()))
	}
	return strings.Join(lines, "\n")
}

const (
	post = "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"    // 44 bytes
	bad  = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" // 47 bytes
)

// dubboRequest and dubboAnswer are frames of Dubbo whose bodies are one string.
func dubboRequest(id byte) string {
	body := "\x052.0.2\x01S\x051.0.0\x01m\x00H"
	return "\xda\xbb\xc2\x00\x00\x00\x00\x00\x00\x00\x00" + string([]byte{id, 0, 0, 0, byte(len(body))}) + body
}

func dubboAnswer(id byte) string {
	return "\xda\xbb\x02\x14\x00\x00\x00\x00\x00\x00\x00" + string([]byte{id, 0, 0, 0, 1}) + "\x92"
}

// Bytes that are not of the protocol are of no harm to the calls before them, which get the answers that are due.
func TestStrayBytes(t *testing.T) {
	for name, c := range map[string]struct {
		talk      []string
		want      string
		fallbacks string
	}{
		"a byte behind a body": {
			[]string{">" + post + "\x00", "<" + ok}, // 2 + 38 bytes
			"1 http/1.1 POST 200 0+44 0+40 []\n2 tcp turn  44+1 0+0 [no_answer]", "http/1.1 in 44",
		},
		"which the server answers": {
			[]string{">" + post + "\x00\r\n\r\n", "<" + ok + bad},
			"1 http/1.1 POST 200 0+44 0+40 []\n2 tcp turn  44+5 40+47 []", "http/1.1 in 44",
		},
		"behind a pipeline": {
			[]string{">" + get + get + get + "\x01\x02", "<" + ok, "<" + ok, ">\x03", "<" + ok, "<" + bad, ">\x04", "<x"},
			"1 http/1.1 GET 200 0+28 0+40 []\n2 http/1.1 GET 200 28+28 40+40 []\n3 http/1.1 GET 200 56+28 80+40 []\n" +
				"4 tcp turn  84+3 120+47 []\n5 tcp turn  87+1 167+1 []", "http/1.1 in 84",
		},
		"nothing is due": {
			[]string{">" + get, "<" + ok, ">\x16\x03\x01", "<" + bad},
			"1 http/1.1 GET 200 0+28 0+40 []\n2 tcp turn  28+3 40+47 []", "http/1.1 in 28",
		},
		"an answer that does not come": {
			[]string{">" + get + "\x00", ">\x01"},
			"1 http/1.1 GET  0+28 0+0 failed [no_answer]\n2 tcp turn  28+2 0+0 [no_answer]", "http/1.1 in 28",
		},
		"an answer that is none": {
			[]string{">" + get + "\x00", "<\x01\x02"},
			"1 http/1.1 GET  0+28 0+0 [gap no_answer]\n2 tcp turn  28+1 0+2 []", "http/1.1 in 28|http/1.1 out 0",
		},
		"an answer that ends with the connection": {
			[]string{">" + get + "\x00", "<HTTP/1.1 200 OK\r\n\r\n", "<abc", ">\x00", "<def"},
			"1 http/1.1 GET 200 0+28 0+25 []\n2 tcp turn  28+2 0+0 [no_answer]", "http/1.1 in 28",
		},
		"an interim answer": {
			[]string{">" + post + "\x00", "<HTTP/1.1 100 Continue\r\n\r\n", "<" + ok},
			"1 http/1.1 POST 200 0+44 0+65 []\n2 tcp turn  44+1 0+0 [no_answer]", "http/1.1 in 44",
		},
		"within a chunked body": {
			[]string{">POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n", "<" + bad, "<more"},
			"1 http/1.1 POST 400 0+54 0+47 [gap]\n2 tcp turn  54+4 47+4 []", "http/1.1 in 54",
		},
		"redis": {
			[]string{">*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*x\r\n", "<+PONG\r\n$1\r\nv\r\n-ERR Protocol error: invalid multibulk length\r\n"},
			"1 redis PING OK 0+14 0+7 []\n2 redis GET OK 14+20 7+7 []\n3 tcp turn  34+4 14+47 []", "redis in 34",
		},
		"dubbo": {
			[]string{">" + dubboRequest(1) + dubboRequest(2) + "\x00", "<" + dubboAnswer(2), "<" + dubboAnswer(1) + "bye"},
			"2 dubbo m OK 34+34 0+17 []\n1 dubbo m OK 0+34 17+17 []\n3 tcp turn  68+1 34+3 []", "dubbo in 68",
		},
		"http/2, in two streams of which one is not all there": {
			[]string{
				">PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "<\x00\x00\x00\x04\x00\x00\x00\x00\x00",
				">\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x86\x84" + "\x00\x00\x03\x01\x04\x00\x00\x00\x03\x83\x86\x84" + "\xff\xff\xff\x01\x00\x00\x00\x00\x00",
				"<\x00\x00\x01\x01\x05\x00\x00\x00\x03\x8c", "<\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88", "<\x00\x00\x08\x07\x00\x00\x00\x00\x00", "<\x00\x00\x00\x01\x00\x00\x00\x01",
			},
			"2 http/2 POST 400 45+12 9+10 [gap]\n1 http/2 GET 200 33+12 19+10 []\n3 tcp turn  57+9 29+17 []", "http/2 in 57",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := same(t, parsetest.Talk(c.talk...), 80)
			if text := strayLines(got.Calls); text != c.want {
				t.Errorf("calls\n%s\nwant\n%s", text, c.want)
			}
			if text := strings.Join(got.fallbacks, "|"); text != c.fallbacks || got.skipped != [2]uint64{} {
				t.Errorf("fallbacks %s, want %s; skipped %v", text, c.fallbacks, got.skipped)
			}
		})
	}
}

// In sessions of real clients and servers of all protocols, what the client sends that is not of the protocol changes no
// call that was asked for before, and is a turn with all of its bytes.
func TestStrayBytesOfSessions(t *testing.T) {
	strays := map[string]string{
		"dubbo": "\x00", "bolt": "\x00", "tars": "\x00\x00\x00\x00\x00", "thrift": "\x00\x00\x00\x00\x00\x00",
		"kafka": "\x80\x00\x00\x00\x00\x00", "postgresql": "\x00\x00\x00\x00\x00", "mysql": "\x00\x00\x00\x00\x01\x00\x00\x07\xff",
	}
	due := map[string]int{}
	for name, spoken := range sessions(t) {
		folder, _, _ := strings.Cut(name, ":")
		stray, session := strays[folder], spoken.session
		if stray == "" {
			continue
		}
		for at := 1; at < len(session); at += 1 + len(session)/12 {
			if session[at-1].Dir != record.In {
				continue
			}
			// The client sends nothing more, or the stray bytes.
			var quiet, strayed parsetest.Session
			quiet = append(quiet, session[:at]...)
			strayed = append(strayed, session[:at]...)
			strayed = append(strayed, parsetest.Piece{Dir: record.In, At: session[at-1].At.Add(time.Nanosecond), Data: []byte(stray)})
			for _, p := range session[at:] {
				if p.Dir == record.Out {
					quiet, strayed = append(quiet, p), append(strayed, p)
				}
			}
			want, got := find(t, quiet, 1<<20, rand.New(rand.NewPCG(1, 1)), false), same(t, strayed, 4)
			if len(got.fallbacks) == 0 {
				t.Logf("%s at %d: the bytes are not stray there", name, at)
				continue
			}
			requests := map[uint64]string{}
			turn := false
			var sent uint64
			for _, p := range strayed {
				if p.Dir == record.In {
					sent += uint64(len(p.Data))
				}
			}
			for i := range got.Calls {
				c := got.Calls[i]
				if turn = turn || c.Protocol == call.TCP && c.Request.End() == sent; c.Request.Present && c.Protocol != call.TCP {
					c.N = 0
					requests[c.Request.Offset] = parsetest.Text([]call.Call{c})
				}
			}
			if !turn {
				t.Errorf("%s at %d: the stray bytes are in no turn:\n%s", name, at, strayLines(got.Calls))
			}
			for i := range want.Calls {
				c := want.Calls[i]
				if !c.Request.Present || !c.Request.Ended || !c.Response.Ended || c.Incomplete != 0 {
					continue
				}
				c.N = 0
				if c.Response.First.After(session[at-1].At) {
					due[folder]++
				}
				if w := parsetest.Text([]call.Call{c}); requests[c.Request.Offset] != w {
					t.Errorf("%s at %d: call\n%swant\n%s", name, at, requests[c.Request.Offset], w)
				}
			}
		}
	}
	for folder := range strays {
		if due[folder] == 0 {
			t.Errorf("%s: no answer was due behind stray bytes", folder)
		}
	}
}
