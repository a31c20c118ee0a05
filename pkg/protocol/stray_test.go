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
	noByteTwice(t, want.Calls)
	return want
}

// noByteTwice checks that no byte of a turn is in another call, too.
func noByteTwice(t *testing.T, calls []call.Call) {
	t.Helper()
	for i := range calls {
		if calls[i].Protocol != call.TCP {
			continue
		}
		for k := range calls {
			for _, m := range [][2]call.Message{{calls[i].Request, calls[k].Request}, {calls[i].Response, calls[k].Response}} {
				if i != k && m[0].Present && m[1].Present && m[0].Offset < m[1].End() && m[1].Offset < m[0].End() {
					t.Errorf("two calls have the same bytes:\n%s", strayLines(calls))
				}
			}
		}
	}
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
	for name, c := range strayCases() {
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

// Where bytes are missing too, what has no mark is as it is in the whole connection.
func TestStrayBytesAndGaps(t *testing.T) {
	unmarked := 0
	for name, c := range strayCases() {
		session := parsetest.Talk(c.talk...)
		whole := map[string]bool{}
		for _, c := range find(t, session, 1<<20, rand.New(rand.NewPCG(1, 1)), false).Calls {
			c.N = 0
			whole[parsetest.Text([]call.Call{c})] = true
			whole[fmt.Sprint(c.Protocol == call.TCP, c.Request.Range, c.Response.Range)] = true
		}
		for round := range 300 {
			random := rand.New(rand.NewPCG(uint64(round), 5))
			r := &strayRecorder{}
			d := protocol.New(r, protocol.Limits{})
			var next [2]uint64
			hole := random.IntN(20)
			for _, p := range session {
				for data := p.Data; len(data) > 0; hole-- {
					n := 1 + random.IntN(min(30, len(data)))
					if hole == 0 {
						d.Gap(p.Dir, next[p.Dir], uint64(n), record.ReasonLimit)
					} else {
						d.Data(p.Dir, next[p.Dir], p.At, data[:n])
					}
					next[p.Dir] += uint64(n)
					data = data[n:]
				}
			}
			end := session[len(session)-1].At
			d.Close(end, record.CloseRemote, record.PerDirection{In: next[0], Out: next[1]})
			d.End(end)
			noByteTwice(t, r.Calls)
			for _, c := range r.Calls {
				c.N = 0
				switch {
				case c.Incomplete&(call.Gap|call.BeganBefore) != 0 || c.Protocol == call.TCP && c.Instead == "":
				case whole[fmt.Sprint(c.Protocol != call.TCP, c.Request.Range, c.Response.Range)]: // it is also, or not, a turn
				case !whole[parsetest.Text([]call.Call{c})]:
					t.Errorf("%s, round %d: a call is wrong without a mark:\n%s", name, round, strayLines(r.Calls))
				default:
					unmarked++
				}
			}
		}
	}
	if unmarked < 1000 {
		t.Errorf("only %d calls are not marked", unmarked)
	}
}

// strayCase is a connection with bytes that are not of its protocol.
type strayCase struct {
	talk      []string
	want      string // calls, as strayLines has them
	fallbacks string
}

func strayCases() map[string]strayCase {
	return map[string]strayCase{
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
			[]string{">POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n", "<" + bad},
			"1 http/1.1 POST 400 0+58 0+47 []", "", // the rest of the direction is the body, whose end nobody knows
		},
		"redis": {
			[]string{">*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*x\r\n", "<+PONG\r\n$1\r\nv\r\n-ERR Protocol error: invalid multibulk length\r\n"},
			"1 redis PING OK 0+14 0+7 []\n2 redis GET OK 14+20 7+7 []\n3 tcp turn  34+4 14+47 []", "redis in 34",
		},
		"dubbo": {
			[]string{">" + dubboRequest(1) + dubboRequest(2) + "\x00", "<" + dubboAnswer(2), "<" + dubboAnswer(1) + "bye"},
			"2 dubbo m OK 34+34 0+17 []\n1 dubbo m OK 0+34 17+17 []\n3 tcp turn  68+1 34+3 []", "dubbo in 68",
		},
		"the server says it is tired of waiting": {
			[]string{">" + get, "<" + ok, "<HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\nbye"},
			"1 http/1.1 GET 200 0+28 0+40 []\n2 http/1.1  408 0+0 40+54 [no_request]", "",
		},
		"the server answers twice": {
			[]string{">" + get, "<" + ok + bad, ">" + get, "<" + ok},
			"1 http/1.1 GET 200 0+28 0+40 []\n2 http/1.1  400 0+0 40+47 [no_request]\n3 http/1.1 GET 200 28+28 87+40 []", "",
		},
		"empty lines of the server": {
			[]string{">" + get, "<" + ok + "\r\n", ">" + get, "<" + ok + "\r\n\r\n"},
			"1 http/1.1 GET 200 0+28 0+40 []\n2 http/1.1 GET 200 28+28 42+40 []", "",
		},
		"bytes of the server between two calls": {
			[]string{">" + get, "<" + ok, "<junk", "<more", ">" + get, "<" + ok, ">" + get, "<" + ok},
			"1 http/1.1 GET 200 0+28 0+40 []\n2 tcp turn  0+0 40+8 [no_request]\n3 http/1.1 GET 200 28+28 48+40 []\n4 http/1.1 GET 200 56+28 88+40 []", "http/1.1 out 40",
		},
		"an answer to HEAD that has a body": {
			[]string{">HEAD / HTTP/1.1\r\n\r\n", "<" + ok, ">" + get, "<" + ok},
			"1 http/1.1 HEAD 200 0+19 0+38 []\n2 tcp turn  0+0 38+2 [no_request]\n3 http/1.1 GET 200 19+28 40+40 []", "http/1.1 out 38",
		},
		"bytes of the server that go on": {
			[]string{">" + get, "<" + ok, "<junk", ">" + get, "<more", ">" + get, "<" + ok},
			"1 http/1.1 GET 200 0+28 0+40 []\n2 tcp turn  0+0 40+4 [no_request]\n3 http/1.1 GET  28+28 0+0 [gap no_answer]\n" +
				"4 tcp turn  0+0 44+4 [no_request]\n5 tcp turn  56+28 48+40 []", "http/1.1 out 40|http/1.1 out 44",
		},
		"bytes of the server in a pipeline": {
			[]string{">" + get + get, "<" + ok + "junk", "<" + ok, ">" + get, "<" + ok},
			"1 http/1.1 GET 200 0+28 0+40 []\n2 http/1.1 GET  28+28 0+0 [gap no_answer]\n3 tcp turn  0+0 40+44 [no_request]\n4 tcp turn  56+28 84+40 []", "http/1.1 out 40",
		},
		"bytes of both": {
			[]string{">" + get, "<" + ok + "junk", ">" + get + "\x00", "<" + ok + "more"},
			"1 http/1.1 GET 200 0+28 0+40 []\n2 tcp turn  0+0 40+4 [no_request]\n3 http/1.1 GET 200 28+28 44+40 []\n4 tcp turn  56+1 84+4 []", "http/1.1 out 40|http/1.1 in 56",
		},
		"an unasked answer of redis": {
			[]string{">*1\r\n$4\r\nPING\r\n", "<+PONG\r\n+OK\r\n", ">*1\r\n$4\r\nPING\r\n", "<+PONG\r\n"},
			"1 redis PING OK 0+14 0+7 []\n2 redis  OK 0+0 7+5 [no_request]\n3 redis PING OK 14+14 12+7 [gap]", "",
		},
		"bytes of redis": {
			[]string{">*1\r\n$4\r\nPING\r\n", "<+PONG\r\n$x\r\n", ">*1\r\n$4\r\nPING\r\n", "<+PONG\r\n"},
			"1 redis PING OK 0+14 0+7 []\n2 tcp turn  0+0 7+4 [no_request]\n3 redis PING OK 14+14 11+7 []", "redis out 7",
		},
		"an answer of redis that is none": {
			[]string{">*1\r\n$4\r\nPING\r\n", "<xyz\r\n"},
			"1 redis PING  0+14 0+0 [gap no_answer]\n2 tcp turn  0+0 0+5 [no_request]", "redis out 0",
		},
		"a command of redis that goes wrong": {
			[]string{">*2\r\n$3\r\nGET\r\n$1\r\nkxx", "<-ERR Protocol error\r\n"},
			"1 redis GET  0+13 0+0 [gap no_answer]\n2 tcp turn  13+7 0+21 []", "redis in 13",
		},
		"bytes of dubbo": {
			[]string{">" + dubboRequest(1), "<" + dubboAnswer(1) + "\x00", ">" + dubboRequest(2), "<" + dubboAnswer(2)},
			"1 dubbo m OK 0+34 0+17 []\n2 tcp turn  0+0 17+1 [no_request]\n3 dubbo m OK 34+34 18+17 []", "dubbo out 17",
		},
		"http/2, in two streams of which one is not all there": {
			[]string{
				">PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "<\x00\x00\x00\x04\x00\x00\x00\x00\x00",
				">\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x86\x84" + "\x00\x00\x03\x01\x04\x00\x00\x00\x03\x83\x86\x84" + "\xff\xff\xff\x01\x00\x00\x00\x00\x00",
				"<\x00\x00\x01\x01\x05\x00\x00\x00\x03\x8c", "<\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88", "<\x00\x00\x08\x07\x00\x00\x00\x00\x00", "<\x00\x00\x00\x01\x00\x00\x00\x01",
			},
			"2 http/2 POST 400 45+12 9+10 [gap]\n1 http/2 GET 200 33+12 19+10 []\n3 tcp turn  57+9 29+17 []", "http/2 in 57",
		},
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

// In sessions of RPC protocols, what the server sends between two calls is a turn, and changes no call.
func TestStrayBytesOfServers(t *testing.T) {
	const stray = "\x00\x00\x00\x00\x00\x00"
	between := map[string]int{}
	for name, spoken := range sessions(t) {
		folder, _, _ := strings.Cut(name, ":")
		if folder != "dubbo" && folder != "bolt" && folder != "tars" && folder != "thrift" {
			continue
		}
		session := spoken.session
		want := find(t, session, 1<<20, rand.New(rand.NewPCG(1, 1)), false)
		for at := 1; at < len(session); at += 1 + len(session)/12 {
			if session[at-1].Dir != record.Out {
				continue
			}
			var offset uint64
			for _, p := range session[:at] {
				if p.Dir == record.Out {
					offset += uint64(len(p.Data))
				}
			}
			strayed := slices.Insert(slices.Clone(session), at, parsetest.Piece{Dir: record.Out, At: session[at-1].At, Data: []byte(stray)})
			got := same(t, strayed, 4)
			i := slices.IndexFunc(got.Calls, func(c call.Call) bool { return c.Protocol == call.TCP })
			if i < 0 || got.Calls[i].Response.Range != (call.Range{Offset: offset, Length: uint64(len(stray))}) || got.Calls[i].Request.Present {
				continue // a call was not complete there
			}
			between[folder]++
			n := got.Calls[i].N
			got.Calls = slices.Delete(got.Calls, i, i+1)
			for i := range got.Calls {
				c := &got.Calls[i]
				if c.N > n {
					c.N--
				}
				if c.Response.Present && c.Response.Offset >= offset {
					c.Response.Offset -= uint64(len(stray))
					if c.Response.HasBody {
						c.Response.Body.Offset -= uint64(len(stray))
					}
				}
			}
			if g, w := parsetest.Text(got.Calls), parsetest.Text(want.Calls); g != w {
				t.Errorf("%s at %d: calls\n%swant\n%s", name, at, g, w)
			}
		}
	}
	if len(between) != 4 {
		t.Errorf("between two calls are the bytes of %v", between)
	}
}
