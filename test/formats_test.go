package test

import (
	"net"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/internal/wiretap"
)

// Equal messages are two records, offsets count from the connection's start, in
// or out of windows, and a connection has one identity in all of them, whatever
// the format.
func TestOffsetsGoOnThroughTwoWindowsInEachFormat(t *testing.T) {
	eachFormat(t, func(t *testing.T, base string, output block, formats []string) {
		address := freeAddress(t)
		m := start(t, base, configOf(upstream(t, echo),
			mosnproc.NewListener("tcp", address, recorder(base, output), mosnproc.TCPProxy())))
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sendAndReceive(t, conn, "before")
		first := m.window(func() {
			sendAndReceive(t, conn, "again")
			sendAndReceive(t, conn, "again")
		})
		sendAndReceive(t, conn, "between")
		second := m.window(func() { sendAndReceive(t, conn, "second") })

		for _, format := range formats {
			var conns []string
			for _, want := range []struct {
				window oracle.Window
				begin  int
				pieces []string
			}{
				{first, len("before"), []string{"again", "again"}},
				{second, len("before" + "again" + "again" + "between"), []string{"second"}},
			} {
				complete(t, want.window)
				all := m.decoded(want.window, readAs[format])
				if len(all) != 1 {
					t.Fatalf("%s: %d connections", format, len(all))
				}
				conns = append(conns, all[0].Conn)
				for _, s := range []oracle.Stream{all[0].In, all[0].Out} {
					var pieces []string
					for _, p := range s.Pieces {
						pieces = append(pieces, string(p.Payload))
					}
					if strings.Join(pieces, "|") != strings.Join(want.pieces, "|") || s.Begin() != uint64(want.begin) {
						t.Errorf("%s: %q at %d, want %q at %d", format, pieces, s.Begin(), want.pieces, want.begin)
					}
				}
			}
			if conns[0] != conns[1] {
				t.Errorf("%s: one connection is %v", format, conns)
			}
		}
	})
}

// Load beyond what the smallest buffer takes leaves gaps in their places, the
// same ones in each format.
func TestOverloadLeavesTheSameGapsInEachFormat(t *testing.T) {
	const connections, rounds = 16, 10
	eachFormat(t, func(t *testing.T, base string, output block, formats []string) {
		address := freeAddress(t)
		listener := mosnproc.NewListener("tcp", address,
			recorder(base, output, block{"buffer": block{"size": "64KiB", "workers": 1}}), mosnproc.TCPProxy())
		m := start(t, base, configOf(upstream(t, answerExchanges), listener))
		id := m.open()
		var taps []*wiretap.Conn
		for range rounds {
			taps = append(taps, exchangeAll(t, connections, 2, func() (net.Conn, error) { return net.Dial("tcp", address) })...)
			if lost(t, m) > 0 {
				break
			}
		}
		w := m.close(id)
		if w.LostBy["buffer_full"] == 0 || w.Written == (oracle.PerDirection{}) {
			t.Fatalf("the load was not too much for a buffer of 64 KiB: index line %+v", w)
		}

		gaps := map[string]int{} // by format
		for _, format := range formats {
			byClient := map[string]*oracle.Connection{}
			for _, c := range m.decoded(w, readAs[format]) {
				byClient[c.Client] = c
				gaps[format] += gapsOf(c.In) + gapsOf(c.Out)
			}
			for _, tap := range taps {
				c := byClient[tap.LocalAddr().String()]
				if c == nil {
					t.Errorf("%s: nothing is recorded of the connection from %s", format, tap.LocalAddr())
					continue
				}
				sent, received := tap.Written(), tap.WasRead()
				if err := c.In.Agrees(sent); err != nil || c.In.End() != uint64(len(sent)) || c.In.Begin() != 0 {
					t.Errorf("%s: connection %s: %d … %d of %d bytes sent: %v", format, c.Conn, c.In.Begin(), c.In.End(), len(sent), err)
				}
				if err := c.Out.Agrees(received); err != nil || c.Out.End() != uint64(len(received)) || c.Out.Begin() != 0 {
					t.Errorf("%s: connection %s: %d … %d of %d bytes received: %v", format, c.Conn, c.Out.Begin(), c.Out.End(), len(received), err)
				}
			}
		}
		if len(formats) > 1 && gaps["hex_meta"] != gaps["pcapng"] {
			t.Errorf("gaps by format: %v", gaps)
		}
		if segments := m.segments(w); len(segments) > 0 {
			c := openCapture(t, segments...)
			c.opaque(listener)
			c.clean(damaged)
			if shown := len(c.fields("tcp.analysis.lost_segment", "frame.number")); shown != gaps["pcapng"] {
				t.Errorf("Wireshark shows %d losses, the capture has %d gaps", shown, gaps["pcapng"])
			}
		}
	})
}
