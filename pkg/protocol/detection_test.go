package protocol_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// decode gives a session to a decoder, in pieces of at most most bytes, from the piece
// with the index from on. With resume it goes on from a checkpoint in the middle.
func decode(t *testing.T, s parsetest.Session, from, most int, random *rand.Rand, resume bool) string {
	t.Helper()
	r := &parsetest.Recorder{}
	d := protocol.New(r, protocol.Limits{})
	var next [2]uint64
	for i, p := range s {
		data := p.Data
		if i < from {
			next[p.Dir] += uint64(len(data))
			continue
		}
		if i == from {
			d.Open(record.PerDirection{In: next[0], Out: next[1]})
		}
		for len(data) > 0 {
			n := 1 + random.IntN(min(most, len(data)))
			d.Data(p.Dir, next[p.Dir], p.At, data[:n])
			next[p.Dir] += uint64(n)
			data = data[n:]
			if resume && random.IntN(20) == 0 {
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
	var lines []string
	for i := range r.Calls {
		c := &r.Calls[i]
		lines = append(lines, fmt.Sprintf("%d %s %s %s %s %d+%d %d+%d %v", c.N, c.Protocol, c.Method, c.Target, c.Status,
			c.Request.Offset, c.Request.Length, c.Response.Offset, c.Response.Length, c.Incomplete.Words()))
	}
	return strings.Join(lines, "\n")
}

const (
	get  = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n" // 28 bytes
	ok   = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	down = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
)

func TestDetection(t *testing.T) {
	cases := []struct {
		name    string
		session parsetest.Session
		from    int
		want    []string
	}{
		{"http", parsetest.Talk(">"+get, "<"+ok), 0, []string{"1 http/1.1 GET /a 200 0+28 0+40 []"}},
		{"http behind a proxy", parsetest.Talk(">PROXY TCP4 10.1.1.1 10.2.2.2 4711 80\r\n"+get, "<"+ok), 0, []string{"1 http/1.1 GET /a 200 38+28 0+40 []"}},
		{"http behind a proxy, version 2", parsetest.Talk(">\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x01\x01\x01\x0a\x02\x02\x02\x12\x67\x00\x50"+get, "<"+ok), 0,
			[]string{"1 http/1.1 GET /a 200 28+28 0+40 []"}},
		{"the end of an answer, then http", parsetest.Talk(">"+get, "<HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "<"+strings.Repeat("body ", 100), ">"+get, "<"+ok), 2,
			[]string{"1 http/1.1 GET /a 200 28+28 540+40 [began_before]"}},
		{"nothing known", parsetest.Talk(">EHLO x\r\n", "<250 hello\r\n", ">QUIT\r\n"), 0,
			[]string{"1 tcp turn   0+8 0+11 []", "2 tcp turn   8+6 0+0 [no_answer]"}},
		{"a greeting of nothing known", parsetest.Talk("<220 ready\r\n", ">QUIT\r\n"), 0,
			[]string{"1 tcp turn   0+0 0+11 [no_request]", "2 tcp turn   0+6 0+0 [no_answer]"}},
		{"http that is none any more", parsetest.Talk(">"+get, "<"+ok, ">\x00\x01\x02 no http\n", "<no\n", ">"+get), 0,
			[]string{"1 http/1.1 GET /a 200 0+28 0+40 []", "2 tcp turn   28+12 40+3 []", "3 tcp turn   40+28 0+0 [no_answer]"}},
		{"websocket", parsetest.Talk(">GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "<"+down, ">\x81\x82\x00\x00\x00\x01hh", "<\x81\x02yo"), 0,
			[]string{"1 http/1.1 GET /ws 101 0+61 0+77 []", "2 websocket text /ws  61+8 0+0 []", "3 websocket text /ws  0+0 77+4 []"}},
		{"no upgrade after all", parsetest.Talk(">GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "<"+ok, ">"+get, "<"+ok), 0,
			[]string{"1 http/1.1 GET /ws 200 0+61 0+40 []", "2 http/1.1 GET /a 200 61+28 40+40 []"}},
		{"a tunnel", parsetest.Talk(">CONNECT shop:80 HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n", ">"+get, "<"+ok), 0,
			[]string{"1 http/1.1 CONNECT shop:80 200 0+28 0+19 []", "2 http/1.1 GET /a 200 28+28 19+40 []"}},
		{"tls", parsetest.Talk(">\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", "<\x15\x03\x03\x00\x02\x02\x28"), 0, []string{"1 tls handshake  handshake_failure 0+10 0+7 []"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for round := range 100 {
				random := rand.New(rand.NewPCG(uint64(round), 7))
				got := decode(t, c.session, c.from, []int{1, 5, 1000}[round%3], random, round%2 == 1)
				if want := strings.Join(c.want, "\n"); got != want {
					t.Fatalf("round %d: calls\n%s\nwant\n%s", round, got, want)
				}
			}
		})
	}
}

// The protocol that a decoder is made with goes before what the bytes say.
func TestProtocolThatIsTold(t *testing.T) {
	for _, name := range protocol.Names() {
		r := &parsetest.Recorder{}
		d := protocol.New(r, protocol.Limits{Protocol: name})
		d.Data(record.In, 0, parsetest.Start, []byte("\xff\xfe\xfd no protocol at all \x00\x01\r\n\r\n"))
		d.Data(record.Out, 0, parsetest.Start, []byte("\xff\xfe\xfd nor this \x00\x01\r\n\r\n"))
		d.End(parsetest.Start)
		if d.Protocol() != call.TCP && d.Protocol() != name {
			t.Errorf("%s became %s", name, d.Protocol())
		}
	}
}

// A connection is recognised also if its first line, or what is there of an answer before the next message, is long and
// comes in many pieces.
func TestDetectionInManyPieces(t *testing.T) {
	long := strings.Repeat("a", 20_000)
	target := parsetest.Talk(">GET http://x/"+long+" HTTP/1.1\r\n\r\n", "<"+ok)
	within := parsetest.Talk(">"+get, "<HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", "<"+strings.Repeat("body ", 1000), ">"+get, "<"+ok)
	for most := range 3 {
		random := rand.New(rand.NewPCG(uint64(most), 7))
		if got, want := decode(t, target, 0, 1+most, random, false), fmt.Sprintf("1 http/1.1 GET http://x/%s 200 0+%d 0+40 []", long, len(target[0].Data)); got != want {
			t.Errorf("pieces of at most %d bytes: calls\n%s\nwant\n%s", 1+most, got, want)
		}
		if got, want := decode(t, within, 2, 1+most, random, false), "1 http/1.1 GET /a 200 28+28 5041+40 [began_before]"; got != want {
			t.Errorf("pieces of at most %d bytes: calls\n%s\nwant\n%s", 1+most, got, want)
		}
	}
}

// A line of the PROXY protocol is passed over also where the protocol is given.
func TestProxyLineOfAProtocolThatIsTold(t *testing.T) {
	r := &parsetest.Recorder{}
	d := protocol.New(r, protocol.Limits{Protocol: call.HTTP1})
	const line = "PROXY TCP4 10.1.1.1 10.2.2.2 4711 80\r\n"
	for i, c := range line + get {
		d.Data(record.In, uint64(i), parsetest.Start, []byte(string(c)))
	}
	d.Data(record.Out, 0, parsetest.Start, []byte(ok))
	d.End(parsetest.Start)
	if len(r.Calls) != 1 || r.Calls[0].Status != "200" || r.Calls[0].Request.Offset != uint64(len(line)) {
		t.Errorf("calls:\n%s", parsetest.Text(r.Calls))
	}
}

// A recording may end before a message was found that changes the protocol.
func TestUpgradeAtTheEnd(t *testing.T) {
	for _, name := range []string{"foo", "websocket", "h2c"} {
		r := &parsetest.Recorder{}
		d := protocol.New(r, protocol.Limits{})
		d.Open(record.PerDirection{In: 50, Out: 50})
		d.Data(record.Out, 50, parsetest.Start, []byte("HTTP/1.1 101 x\r\nA: b\r\nUpgrade: "+name+"\r\n\r\nraw"))
		d.End(parsetest.Start)
		if len(r.Calls) == 0 {
			t.Errorf("%s: no calls", name)
		}
	}
}
