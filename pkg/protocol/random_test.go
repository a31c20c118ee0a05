package protocol_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// changes are sessions in which the protocol changes, or may.
var changes = []parsetest.Session{
	parsetest.Talk(">PROXY TCP4 10.1.1.1 10.2.2.2 4711 80\r\n"+get, "<"+ok, ">"+get, "<HTTP/1.1 100 Continue\r\n\r\n", "<"+ok),
	parsetest.Talk(">GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "<"+down, ">\x81\x82\x00\x00\x00\x01hh", "<\x81\x02yo\x89\x00", "<\x88\x02\x03\xe8"),
	parsetest.Talk(">GET /ws HTTP/1.1\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n", "<HTTP/1.1 101 x\r\nUpgrade: foo\r\n\r\n220 hello\r\n", ">QUIT\r\n", "<221 bye\r\n"),
	parsetest.Talk(">CONNECT shop:80 HTTP/1.1\r\n\r\n"+get, "<HTTP/1.1 200 OK\r\n\r\n", "<"+ok, ">"+get, "<"+ok),
	parsetest.Talk(">CONNECT shop:80 HTTP/1.1\r\n\r\n", "<HTTP/1.1 407 OK\r\nContent-Length: 0\r\n\r\n", ">CONNECT shop:80 HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n",
		">\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", "<\x15\x03\x03\x00\x02\x02\x28"),
	parsetest.Talk(">GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: \r\n\r\n", "<HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		">PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "<\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88"),
	parsetest.Talk(">"+get, "<"+ok, ">\x00\x01\x02 no http\n", "<no\n", ">"+get),
	parsetest.Talk(">"+get+get+"\x00\x01", "<"+ok, "<"+ok+"bye", ">\x02", "<x"),
	parsetest.Talk(">"+get, "<"+ok+"junk", ">"+get, "<"+ok, ">"+get+"\x00", "<"+ok),
	parsetest.Talk(">*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n*x\r\n", "<+PONG\r\n", "<+PONG\r\n-ERR Protocol error\r\n"),
}

// Whatever is lost, changed or not recorded at all, a decoder goes on: without a panic, after a checkpoint at any place, and with
// calls that lie within what passed.
func TestRandomConnections(t *testing.T) {
	for round := range 4000 {
		random := rand.New(rand.NewPCG(uint64(round), 8))
		session := changes[random.IntN(len(changes))]
		r := &parsetest.Recorder{}
		d := protocol.New(r, protocol.Limits{Memory: []int{0, 200}[random.IntN(2)]})
		var next [2]uint64
		if random.IntN(3) == 0 {
			next = [2]uint64{uint64(random.IntN(5)), uint64(random.IntN(5))}
			d.Open(record.PerDirection{In: next[0], Out: next[1]})
		}
		base := next
		from := random.IntN(2) * random.IntN(len(session))
		only := random.IntN(8) // a direction that is the only one that is recorded, if less than 2
		at := parsetest.Start
		for _, p := range session[from:] {
			at = p.At
			for data := p.Data; len(data) > 0; {
				n := 1 + random.IntN(min(30, len(data)))
				piece := append([]byte(nil), data[:n]...)
				data = data[n:]
				if random.IntN(200) == 0 {
					piece[random.IntN(n)] ^= 1 << random.IntN(8)
				}
				switch {
				case only < 2 && int(p.Dir) != only:
				case random.IntN(15) == 0:
					d.Gap(p.Dir, next[p.Dir], uint64(n), record.ReasonLimit)
				default:
					d.Data(p.Dir, next[p.Dir], p.At, piece)
				}
				next[p.Dir] += uint64(n)
				if random.IntN(15) == 0 {
					var err error
					if d, err = protocol.Resume(r, d.Checkpoint()); err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
				}
			}
		}
		if random.IntN(2) == 0 {
			d.Close(at.Add(time.Second), record.CloseRemote, record.PerDirection{In: next[0], Out: next[1]})
		}
		d.End(at.Add(time.Second))
		for i := range r.Calls {
			c := &r.Calls[i]
			if c.Request.Present && c.Request.End() > next[record.In] || c.Response.Present && c.Response.End() > next[record.Out] {
				t.Fatalf("round %d: a call beyond %d of the bytes that passed: %s", round, next, parsetest.Text(r.Calls[i:i+1]))
			}
			if c.Failed && c.Status == "" && only == int(record.In) && next[record.Out] > base[record.Out] {
				t.Fatalf("round %d: failed, but answers are not recorded: %s", round, parsetest.Text(r.Calls[i:i+1]))
			}
		}
	}
}
