package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/internal/program"
	"mosn.io/tcpcopy/internal/wiretap"
	"mosn.io/tcpcopy/pkg/record"
)

// What the tool shows and exports of many connections is what they exchanged,
// from each format.
func ctlReadsWhatWasExchanged(t *testing.T, c ctlBinary) {
	const connections = 64
	base, address := newBase(t), freeAddress(t)
	output := block{"output": block{"dir": dumpDir(base), "formats": []string{"hex_meta", "pcapng"}, "roll": "size=1"}}
	listener := mosnproc.NewListener("tcp", address, recorder(base, roomy(), output), mosnproc.TCPProxy())
	m := start(t, base, configOf(upstream(t, answerExchanges), listener))
	conns := make([]net.Conn, connections)
	for i := range conns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
	}
	taps := map[string]*wiretap.Conn{} // by the client's address
	var all []*wiretap.Conn
	id := m.open()
	for i, conn := range conns {
		tap := wiretap.New(conn)
		taps[conn.LocalAddr().String()], all = tap, append(all, tap)
		if err := exchange(tap, int64(i+1), int64(1+i*i*3), 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, tap := range all {
		tap.Close()
	}
	eventually(t, "the connections' ends are in the log", func() bool {
		return strings.Count(c.run(t, "show", "--format=hex", m.dump).stdout, " close ") == connections
	})
	complete(t, m.close(id))

	for _, format := range []string{"hex", "pcapng"} {
		listed := rows[struct {
			Conn, Peer, Listener, Port, Window string
			Bytes                              oracle.PerDirection
			Gaps                               []any
			Complete                           bool
		}](t, c.run(t, "conns", "-o", "json", "--format", format, m.dump))
		if len(listed) != connections {
			t.Errorf("%s: conns lists %d, want %d", format, len(listed), connections)
		}
		for _, l := range listed {
			tap := taps[l.Peer]
			if tap == nil {
				t.Errorf("%s: conns lists %+v, which nobody had", format, l)
				continue
			}
			sent, received := tap.Written(), tap.WasRead()
			want := oracle.PerDirection{In: uint64(len(sent)), Out: uint64(len(received))}
			if l.Bytes != want || !l.Complete || len(l.Gaps) != 0 || l.Window != id || l.Listener != address || l.Port != portOf(address) {
				t.Errorf("%s: conns lists %+v, want %+v", format, l, want)
			}
			for direction, passed := range map[string][]byte{"in": sent, "out": received} {
				s := c.run(t, "show", "--raw", "--format", format, "--conn", l.Conn, "--direction", direction, m.dump).ok(t)
				if s.stdout != string(passed) {
					t.Errorf("%s: show gives %d bytes of %s %s that differ from the %d that passed", format, len(s.stdout), l.Conn, direction, len(passed))
				}
			}
		}
		c.run(t, "conns", "--check", "--format", format, m.dump).ok(t)

		exported := filepath.Join(t.TempDir(), "all.pcapng")
		c.run(t, "export", "--format", format, "-o", exported, m.dump).ok(t)
		t.Run("export "+format, func(t *testing.T) {
			seen := openCapture(t, exported)
			seen.opaque(listener)
			seen.clean(damaged + " || " + broken)
			sameBytes(t, seen.streams(connections), all)
		})
	}
}

// "live" shows each request before the next one is sent, and soon.
func ctlShowsRequestsSoon(t *testing.T, c ctlBinary) {
	m, address := echoMosn(t, newBase(t))
	live := c.begin(t, "live", m.admin())
	eventually(t, "the stream has begun", func() bool { return mustStatus(deadline(t), t, m).Live.Streams == 1 })
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	shown := pace{m: m}
	m.window(func() {
		for i := range 11 {
			text := fmt.Sprintf("request %d of them", i)
			sent := time.Now()
			sendAndReceive(t, conn, text)
			eventually(t, "live shows "+text, func() bool { return bytes.Contains(live.stdout.bytes(), []byte(text)) })
			shown.add(time.Since(sent))
		}
	})
	shown.check("requests are shown", 500*time.Millisecond)
	live.interrupt(t).saysItWaits(t)
}

// What "live -w -" writes is a capture that Wireshark follows.
func ctlStreamsToWireshark(t *testing.T, c ctlBinary) {
	program.Require(t, "tshark")
	const connections = 16
	base, address := newBase(t), freeAddress(t)
	listener := mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())
	m := start(t, base, configOf(upstream(t, answerExchanges), listener))
	live := c.begin(t, "live", "-w", "-", m.admin())
	eventually(t, "the stream has begun", func() bool { return mustStatus(deadline(t), t, m).Live.Streams == 1 })
	var taps []*wiretap.Conn
	w := m.window(func() {
		for i := range connections {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			tap := wiretap.New(conn)
			taps = append(taps, tap)
			if err := exchange(tap, int64(i+1), int64(1+i*i*300), 1); err != nil {
				t.Fatal(err)
			}
		}
	})
	complete(t, w)
	path := filepath.Join(t.TempDir(), "live.pcapng")
	eventually(t, "the stream has all bytes", func() bool {
		var got uint64
		for _, records := range readStreams(t, live.stdout.bytes()) {
			for _, r := range records {
				if r.Kind == record.KindData {
					got += r.Length
				}
			}
		}
		return got == w.Seen.In+w.Seen.Out
	})
	live.interrupt(t).saysItWaits(t)
	if err := os.WriteFile(path, live.stdout.bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := openCapture(t, path)
	seen.opaque(listener)
	seen.clean(damaged + " || " + broken)
	sameBytes(t, seen.streams(connections), taps)
}
