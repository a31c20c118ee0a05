package test

import (
	"net"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/internal/wiretap"
)

// With the smallest buffer that there is, load beyond what can be written leaves
// gaps: each in its place, all of them in the accounts, and none of them felt by
// the traffic.
func TestOverloadLeavesGapsInTheirPlaces(t *testing.T) {
	t.Parallel()
	const connections, rounds = 16, 20
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, answerExchanges), mosnproc.NewListener("tcp", address,
		recorder(base, block{"buffer": block{"size": "64KiB", "workers": 1}}), mosnproc.TCPProxy())))

	id := m.open()
	stop := watchBuffer(t, m)
	var taps []*wiretap.Conn
	for range rounds {
		taps = append(taps, exchangeAll(t, connections, 2, func() (net.Conn, error) { return net.Dial("tcp", address) })...)
		if lost(t, m) > 0 {
			break
		}
	}
	stop()
	w := m.close(id)

	if w.LostBy["buffer_full"] == 0 || w.Written == (oracle.PerDirection{}) {
		t.Fatalf("%d connections at once were not too much for a buffer of 64 KiB: written %+v, lost %+v by %v", connections, w.Written, w.Lost, w.LostBy)
	}
	var in, out uint64
	for _, tap := range taps {
		in, out = in+uint64(len(tap.Written())), out+uint64(len(tap.WasRead()))
	}
	if w.Seen.In != in || w.Seen.Out != out {
		t.Errorf("seen %+v, the clients sent %d and received %d", w.Seen, in, out)
	}
	byClient := map[string]*oracle.Connection{}
	for _, c := range m.connections(w) {
		byClient[c.Client] = c
	}
	for _, tap := range taps {
		c := byClient[tap.LocalAddr().String()]
		if c == nil {
			t.Errorf("nothing is recorded of the connection from %s", tap.LocalAddr())
			continue
		}
		sent, received := tap.Written(), tap.WasRead()
		if err := c.In.Agrees(sent); err != nil || c.In.End() != uint64(len(sent)) || c.In.Begin() != 0 {
			t.Errorf("connection %s: %d … %d of %d bytes sent: %v", c.Conn, c.In.Begin(), c.In.End(), len(sent), err)
		}
		if err := c.Out.Agrees(received); err != nil || c.Out.End() != uint64(len(received)) || c.Out.Begin() != 0 {
			t.Errorf("connection %s: %d … %d of %d bytes received: %v", c.Conn, c.Out.Begin(), c.Out.End(), len(received), err)
		}
	}
}

// A connection's limit leaves one gap at the end of each direction.
func TestALimitLeavesAGap(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo), mosnproc.NewListener("tcp", address,
		recorder(base, block{"capture": block{"direction": "both", "max_bytes_per_connection": "10"}}), mosnproc.TCPProxy())))
	const first, second, third = "12345", "6789abcdef", "beyond"
	w := m.window(func() {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, text := range []string{first, second, third} {
			sendAndReceive(t, conn, text)
		}
	})
	const all = first + second + third
	want := oracle.PerDirection{In: uint64(len(all)), Out: uint64(len(all))}
	if w.Seen != want || w.LostBy["limit"] != w.Lost.In+w.Lost.Out || w.Written != (oracle.PerDirection{In: 10, Out: 10}) {
		t.Errorf("index %+v", w)
	}
	c := m.connections(w)[0]
	for _, s := range []oracle.Stream{c.In, c.Out} {
		if err := s.Agrees([]byte(all)); err != nil || s.End() != uint64(len(all)) {
			t.Errorf("ends at %d, %v", s.End(), err)
		}
	}
}
