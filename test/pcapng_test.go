package test

import (
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump"
)

// Every byte of many connections at once, over IPv4, IPv6, TLS and a Unix socket,
// is in a window's capture: Wireshark, which knows nothing of the recorder, joins
// the streams that the clients saw and finds no fault with any packet. So is it
// in what pkg/dump reads of each format.
func TestWiresharkFollowsEveryStream(t *testing.T) {
	t.Parallel()
	const connections = 64
	messages := 2
	if testing.Short() || raceEnabled {
		messages = 1
	}
	for name, output := range map[string]block{
		"one file":                {"formats": []string{"pcapng"}, "roll": "size=1024"},
		"segments and a flow log": {"formats": []string{"hex_meta", "pcapng"}, "roll": "size=1 keep=10000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := newBase(t)
			output["dir"] = dumpDir(base)
			listeners, dials := allKinds(t, base, recorder(base, roomy(), block{"output": output}))
			m := start(t, base, configOf(upstream(t, answerExchanges), listeners...))

			id := m.open()
			var dialled atomic.Int32
			taps := exchangeAll(t, connections, messages, func() (net.Conn, error) {
				return dials[int(dialled.Add(1))%len(dials)]()
			})
			w := m.close(id)

			complete(t, w)
			if len(w.Ports) != len(listeners) || w.Connections != connections {
				t.Errorf("index line %+v", w)
			}
			m.ownersOnly()
			for _, format := range output["formats"].([]string) {
				sameBytes(t, m.decoded(w, readAs[format]), taps)
				if format == "hex_meta" {
					sameBytes(t, m.connections(w), taps)
				}
			}
			segments := m.segments(w)
			if several := len(segments) > 1; several != (len(output["formats"].([]string)) > 1) {
				t.Errorf("the capture has %d segments", len(segments))
			}
			c := openCapture(t, segments...)
			c.opaque(listeners...)
			c.whole()
			c.clean(damaged + " || " + broken)
			sameBytes(t, c.streams(connections), taps)
		})
	}
}

// What Wireshark cannot know is shown as such: a connection that began before the
// window has no handshake and no loss, bytes beyond a limit are a loss with its
// reason, and a datagram is a packet of its own.
func TestWiresharkShowsWhatIsMissing(t *testing.T) {
	t.Parallel()
	const limit = 1000
	base := newBase(t)
	filter := recorder(base, block{"output": block{"dir": dumpDir(base), "formats": []string{"pcapng"}}})
	limited := recorder(base, block{"output": filter.Config["output"], "capture": block{"direction": "both", "max_bytes_per_connection": limit}})
	whole, short := freeAddress(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("whole", whole, filter, mosnproc.TCPProxy()),
		mosnproc.NewListener("short", short, limited, mosnproc.TCPProxy())))
	early, err := net.Dial("tcp", whole)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	late, err := net.Dial("tcp", short)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()

	sendAndReceive(t, early, "before the window")
	var result strings.Builder
	w := m.window(func() {
		for i := range 10 {
			text := strings.Repeat(strconv.Itoa(i), limit/5)
			sendAndReceive(t, early, text)
			sendAndReceive(t, late, text)
			result.WriteString(text)
		}
	})
	all, kept := result.String(), result.String()[:limit]

	lost := uint64(limit) // in each direction
	if w.Lost != (oracle.PerDirection{In: lost, Out: lost}) || w.LostBy["limit"] != 2*lost {
		t.Errorf("index line %+v", w)
	}
	c := openCapture(t, m.segments(w)...)
	c.opaque(mosnproc.NewListener("", whole), mosnproc.NewListener("", short))
	c.clean(damaged)
	if rows := c.fields("tcp.flags.syn == 1 && tcp.port == "+portOf(early.LocalAddr().String()), "frame.number"); len(rows) != 0 {
		t.Errorf("a connection from before the window has a handshake: %v", rows)
	}
	c.clean(broken + " && tcp.port == " + portOf(early.LocalAddr().String()))

	losses := c.fields("tcp.analysis.lost_segment", "tcp.srcport", "frame.comment")
	for _, loss := range losses {
		if (loss[0] != portOf(short) && loss[0] != portOf(late.LocalAddr().String())) || !strings.Contains(loss[1], fmt.Sprintf(" %d %d limit", limit, limit)) {
			t.Errorf("a loss of port %s with the comment %q", loss[0], loss[1])
		}
	}
	if len(losses) != 2 {
		t.Errorf("%d losses shown, want one in each direction", len(losses))
	}
	for _, s := range c.streams(2) {
		in, out := mustBytes(t, s.In), mustBytes(t, s.Out)
		if s.Client == early.LocalAddr().String() {
			if string(in) != all || string(out) != all {
				t.Errorf("followed %d and %d bytes of the connection from before the window", len(in), len(out))
			}
			continue
		}
		if string(in) != kept || string(out) != kept { // what is missing at the end is not drawn
			t.Errorf("followed %d and %d bytes of the limited connection, want the first %d", len(in), len(out), len(kept))
		}
	}
}

func TestWiresharkReadsDatagrams(t *testing.T) {
	t.Parallel()
	m, w, conn, sent := recordDatagrams(t, "pcapng")
	address := conn.RemoteAddr().String()
	c := openCapture(t, m.segments(w)...)
	c.options = append(c.options, "-d", "udp.port=="+portOf(address)+",data") // some ports stand for a protocol
	c.clean(damaged)
	var want, got []string
	for _, text := range sent {
		payload := hex.EncodeToString([]byte(text))
		want = append(want, portOf(conn.LocalAddr().String())+" "+payload, portOf(address)+" "+payload)
	}
	for _, row := range c.fields("udp", "udp.srcport", "udp.payload") {
		got = append(got, strings.Join(row, " "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d datagrams of %d: %.200q", len(got), len(want), got)
	}
	datagrams := m.decoded(w, dump.FormatPcapng)
	if len(datagrams) != 1 || len(datagrams[0].In.Pieces) != len(sent) || len(datagrams[0].Out.Pieces) != len(sent) {
		t.Errorf("%d connections decoded", len(datagrams))
	}
}
