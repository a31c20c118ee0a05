package dump_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/record"
)

// exportOf exports a file and checks that the streams of what comes out are those of
// the file: their records, with times and bytes, and their gaps.
func exportOf(t *testing.T, source []byte) []byte {
	t.Helper()
	var file bytes.Buffer
	e := dump.NewExporter(&file, "test")
	eachRecord(t, source, e.Write)
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	want, got := streamsOf(t, source), streamsOf(t, file.Bytes())
	if len(got) != len(want) {
		t.Errorf("%d connections, want %d", len(got), len(want))
	}
	for conn := range want {
		if !reflect.DeepEqual(got[conn], want[conn]) {
			t.Fatalf("%s: after the export\n%.600q\nbefore\n%.600q", conn, got[conn], want[conn])
		}
	}
	return file.Bytes()
}

func eachRecord(t *testing.T, file []byte, f func(*record.Record) error) {
	t.Helper()
	d, err := dump.Open([]string{"-"}, dump.Options{Stdin: bytes.NewReader(file)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = f(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// streamsOf returns the events of each connection. The pieces of a record are one.
func streamsOf(t *testing.T, file []byte) map[string][]string {
	t.Helper()
	records := map[string][]record.Record{}
	s := dump.NewStreams(func(_ *dump.Connection, r *record.Record) error {
		if r.Kind == record.KindData && r.Length == 0 && r.Network != "udp" {
			return nil
		}
		all := records[r.Conn]
		if n := len(all); n > 0 && r.Kind == record.KindData && all[n-1].Kind == r.Kind && all[n-1].Time.Equal(r.Time) &&
			all[n-1].Direction == r.Direction && all[n-1].Offset+all[n-1].Length == r.Offset && r.Network != "udp" {
			all[n-1].Data = append(all[n-1].Data, r.Data...)
			all[n-1].Length += r.Length
			return nil
		}
		c := *r
		c.Data = bytes.Clone(r.Data)
		records[r.Conn] = append(all, c)
		return nil
	}, nil)
	eachRecord(t, file, s.Add)
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	events := map[string][]string{}
	for conn, all := range records {
		for _, r := range all {
			events[conn] = append(events[conn], fmt.Sprintf("%v %s %v %v %d %d %s %+v %x", r.Time.UTC(), r.Window, r.Kind, r.Direction, r.Offset, r.Length, r.Reason, r.Totals, r.Data))
		}
	}
	return events
}

const (
	firstWindow  = "11111111-2222-4333-8444-555555555555"
	secondWindow = "22222222-2222-4333-8444-555555555555"
)

// hexMeta makes lines of "open", "> <offset> <text>", "gap …" and "close …" of
// connections, each with "<window> <conn> " before it.
func hexMeta(port, addresses string, events ...string) []byte {
	var b bytes.Buffer
	for i, event := range events {
		w, rest, _ := strings.Cut(event, " ")
		conn, rest, _ := strings.Cut(rest, " ")
		var third, after string
		switch kind, more, _ := strings.Cut(rest, " "); kind {
		case "open":
			third, after = kind, " "+addresses
		case "close":
			third, after = kind, " "+more
		case "gap":
			at := strings.LastIndexByte(rest, ' ')
			third, after = rest[:at], rest[at:]
		default:
			offset, text, _ := strings.Cut(more, " ")
			third, after = kind+" "+offset, fmt.Sprintf("% x", text)
		}
		window := map[string]string{"A": firstWindow, "B": secondWindow}[w]
		fmt.Fprintf(&b, "2026-11-27 12:%02d:%02d,000000 [INFO] [%s][%s][%s %s]%s\n", i/60, i%60, window, port, conn, third, after)
	}
	return b.Bytes()
}

var missingInFile = regexp.MustCompile(`\[\d+ bytes missing in capture file\]\.?\x00?`)

// Whatever connections have the same addresses, began before the window, or lost bytes:
// Wireshark has each as one stream with all its bytes, and so has this package.
func TestExportedConnectionsAreOneStreamEach(t *testing.T) {
	const tcp, socket = "10.0.0.1:40000 -> 10.0.0.2:2046", "@ -> /run/a.sock"
	const gib = 1 << 30
	at := func(format string, offsets ...any) string { return fmt.Sprintf(format, offsets...) }
	// What Wireshark says where nothing is missing; new ports of an old connection are
	// what was on the wire.
	const lost = "tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment"
	const faults = "_ws.malformed || tcp.checksum.status == 0 || (tcp.analysis.flags && !tcp.analysis.reused_ports)"
	for name, c := range map[string]struct {
		addresses string
		events    []string
		want      [][2]string // by stream
		gaps      bool
	}{
		"both directions older than the window": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 500 a", "A abcdef-1 < 1000 b", "A abcdef-1 > 501 c", "A abcdef-1 close RemoteClose > 502 < 1001"},
			[][2]string{{"ac", "b"}}, false},
		"the server's more than 2 GiB older": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 500 a", at("A abcdef-1 < %d b", 3*gib), "A abcdef-1 > 501 c", at("A abcdef-1 < %d d", 3*gib+1)},
			[][2]string{{"ac", "bd"}}, false},
		"the server first, both much older": {tcp, []string{"A abcdef-1 open", at("A abcdef-1 < %d a", 9*gib), at("A abcdef-1 > %d b", 7*gib), at("A abcdef-1 < %d c", 9*gib+1)},
			[][2]string{{"b", "ac"}}, false},
		"a client that said nothing yet": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 a", "A abcdef-1 < 1000 b", "A abcdef-1 > 1 c"},
			[][2]string{{"ac", "b"}}, false},
		"a line without bytes": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 a", "A abcdef-1 < 7 ", "A abcdef-1 < 7 b", "A abcdef-1 > 1 "},
			[][2]string{{"a", "b"}}, false},
		"one direction alone": {tcp, []string{"A abcdef-1 open", at("A abcdef-1 < %d a", 5*gib), at("A abcdef-1 close LocalClose > 3 < %d", 5*gib+1)},
			[][2]string{{"", "a"}}, false},
		"gaps that no line mentions": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 a", "A abcdef-1 < 0 b", at("A abcdef-1 > %d c", 10), at("A abcdef-1 > %d d", 3*gib), at("A abcdef-1 < %d e", 4*gib+1), at("A abcdef-1 > %d f", 8*gib), at("A abcdef-1 close RemoteClose > %d < %d", 90*gib, 4*gib+2)},
			[][2]string{{"acdf", "be"}}, true},
		"a gap of 2 GiB": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 a", at("A abcdef-1 gap > 1 %d limit", 2*gib), at("A abcdef-1 > %d b", 2*gib+1), "A abcdef-1 < 0 c"},
			[][2]string{{"ab", "c"}}, true},
		"bytes that were there before": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 one", "A abcdef-1 > 1 next", "A abcdef-1 > 0 one", at("A abcdef-1 > %d x", 5*gib), "A abcdef-1 > 2 ext", "A abcdef-1 < 0 y"},
			[][2]string{{"onextx", "y"}}, true},
		"a port that is used again": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 one", "A abcdef-1 < 0 ONE", "A abcdef-1 close RemoteClose > 3 < 3", "A abcdef-2 open", "A abcdef-2 > 0 second", "A abcdef-2 < 0 SECOND", "A abcdef-2 close LocalClose > 6 < 6"},
			[][2]string{{"one", "ONE"}, {"second", "SECOND"}}, false},
		"the same after a connection that was joined": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 70 one", "A abcdef-1 close RemoteClose > 73 < 5000", "A abcdef-2 open", "A abcdef-2 > 0 second", "A abcdef-2 < 0 SECOND"},
			[][2]string{{"one", ""}, {"second", "SECOND"}}, false},
		"a late close": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 one", "A abcdef-2 open", "A abcdef-2 > 0 second", "A abcdef-1 < 0 ONE", "A abcdef-1 > 3 more", "A abcdef-1 close RemoteClose > 7 < 3", "A abcdef-2 < 0 SECOND", "A abcdef-2 close RemoteClose > 6 < 6"},
			[][2]string{{"onemore", "ONE"}, {"second", "SECOND"}}, false},
		"a hot upgrade": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 one", "A abcdef-1 < 0 ONE", "B bbbbbb-7 open", "B bbbbbb-7 > 0 two", "A abcdef-1 < 3 MORE", "A abcdef-1 close moved > 3 < 7", "B bbbbbb-7 < 0 TWO"},
			[][2]string{{"one", "ONEMORE"}, {"two", "TWO"}}, false},
		"a connection that has moved": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 one", "A abcdef-1 < 0 ONE", "A abcdef-1 close moved > 3 < 3", "B bbbbbb-7 open", "B bbbbbb-7 > 0 two", "B bbbbbb-7 < 0 TWO"},
			[][2]string{{"one", "ONE"}, {"two", "TWO"}}, false},
		"Unix clients of two runs": {socket, []string{"A abcdef-1 open", "B bbbbbb-1 open", "A abcdef-1 > 0 one", "B bbbbbb-1 > 0 two", "A abcdef-1 < 0 ONE", "B bbbbbb-1 < 0 TWO"},
			[][2]string{{"one", "ONE"}, {"two", "TWO"}}, false},
		"two windows": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 one", "A abcdef-1 < 0 ONE", "B abcdef-1 open", at("B abcdef-1 > %d two", 3*gib), at("B abcdef-1 < %d TWO", 3*gib), at("B abcdef-1 > %d two", 3*gib+3)},
			[][2]string{{"onetwotwo", "ONETWO"}}, true},
		"no close before another window": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 one", "A abcdef-1 < 0 ONE", "B abcdef-9 open", "B abcdef-9 > 0 two", "B abcdef-9 < 0 TWO"},
			[][2]string{{"one", "ONE"}, {"two", "TWO"}}, false},
		"no close before one that is older": {tcp, []string{"A abcdef-1 open", "A abcdef-1 > 0 one", "A abcdef-1 < 0 ONE", "B abcdef-9 open", "B abcdef-9 > 40 two", "B abcdef-9 < 0 TWO"},
			[][2]string{{"one", "ONE"}, {"two", "TWO"}}, false},
		"no bytes": {tcp, []string{"A abcdef-1 open", "A abcdef-2 open", "A abcdef-2 close RemoteClose > 0 < 0"}, [][2]string{{"", ""}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			port := "2046"
			if c.addresses == socket {
				port = "/run/a.sock"
			}
			file := exportOf(t, hexMeta(port, c.addresses, c.events...))
			filter := faults
			if c.gaps {
				filter += " && !(" + lost + ")"
			}
			complaints, streams := dumptest.FollowAll(t, file, len(c.want)+1, filter)
			if complaints != "" {
				t.Errorf("tshark complains of\n%s", complaints)
			}
			for i, got := range streams {
				want := [2]string{} // one more than there are
				if i < len(c.want) {
					want = c.want[i]
				}
				in, out := missingInFile.ReplaceAllString(string(got[0]), ""), missingInFile.ReplaceAllString(string(got[1]), "")
				if in != want[0] || out != want[1] {
					t.Errorf("stream %d is %q and %q, want %q", i, in, out, want)
				}
			}
		})
	}
}

// Whatever the connections of two processes, with few addresses between them: an export
// of the recorder's packets and one of its lines have the streams that they had.
func TestExportKeepsStreamsOfTheSameAddresses(t *testing.T) {
	for seed := range uint64(10) {
		events := dumptest.RandomEvents(seed, 40)
		random := rand.New(rand.NewPCG(seed, 7))
		changed := map[*record.Flow]bool{}
		for i := range events {
			f := events[i].Flow
			if !changed[f] {
				changed[f] = true
				if random.IntN(2) == 0 { // of another process, which has other windows
					f.Conn, f.Window = "abcdef"+f.Conn[strings.IndexByte(f.Conn, '-'):], secondWindow
				}
				if f.Network != "unix" {
					f.Peer = []string{"10.0.0.1:40000", "[2001:db8::1]:50000"}[random.IntN(2)]
					f.ClientAddr = netip.MustParseAddrPort(f.Peer)
				}
			}
			events[i].Record.Identity = f.Identity
		}
		lines := dumptest.Encode(nil, hexlog.NewMetaEncoder(), events)
		exportOf(t, exportOf(t, lines))
		for i := range events {
			events[i].Flow.State = nil
		}
		file, encoder := dumptest.NewFile()
		file = dumptest.Encode(file, encoder, events)
		exportOf(t, exportOf(t, file))
	}
}

// A program that reads with libpcap ends at the second interface of this link type.
func TestAnExportHasOneInterface(t *testing.T) {
	var lines []byte
	for i, addresses := range []string{"10.0.0.1:40000 -> 10.0.0.2:2046", "[2001:db8::1]:40000 -> [2001:db8::2]:2047", "@ -> /run/a.sock"} {
		conn := fmt.Sprintf("abcdef-%d", i+1)
		lines = append(lines, hexMeta([]string{"2046", "2047", "/run/a.sock"}[i], addresses, "A "+conn+" open", "A "+conn+" > 0 text", "A "+conn+" < 0 TEXT")...)
	}
	file := exportOf(t, lines)
	interfaces := 0
	for at := 0; at < len(file); {
		if file[at] == 1 && file[at+1] == 0 {
			interfaces++
		}
		at += int(file[at+4]) | int(file[at+5])<<8 | int(file[at+6])<<16
	}
	if interfaces != 1 {
		t.Errorf("%d interface blocks, want 1", interfaces)
	}
	frames := len(strings.Fields(dumptest.Tshark(t, file, "-T", "fields", "-e", "frame.number")))
	if got := dumptest.Tcpdump(t, file); got != frames {
		t.Errorf("tcpdump reads %d packets, tshark %d", got, frames)
	}
}

// What the export says is enough for Wireshark.
func TestWiresharkDecodesAsTheExportSays(t *testing.T) {
	const frame = "\x00\x00\x04\x00\x00\x00\x00\x00\x01text"
	const joined = "\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88" + frame
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings
	type exchange struct {
		name    string
		port    string
		request string
		base    int // offset of the request; the answer is at twice that
		answer  string
		want    string // of DecodeAs
		layer   string
	}
	for name, exchanges := range map[string][]exchange{
		"begun in the window": {
			{"HTTP/1.1", "2046", "GET / HTTP/1.1\r\n\r\n", 0, "HTTP/1.1 204 No Content\r\n\r\n", "", "http"},
			{"HTTP/1.1 on another one's port", "5000", "GET / HTTP/1.1\r\n\r\n", 0, "HTTP/1.1 204 No Content\r\n\r\n", "tcp.port==5000,http", "http"},
			{"HTTP/2", "2047", preface, 0, settings, "tcp.port==2047,http2", "http2"},
			{"HTTP/2 on a usual port", "8080", preface, 0, settings, "", "http2"},
			{"HTTP/2 on a Unix socket", "/run/a.sock", preface, 0, settings, "tcp.port==1,http2", "http2"},
			{"Redis", "2048", "*1\r\n$4\r\nPING\r\n", 0, "+PONG\r\n", "tcp.port==2048,resp", "resp"},
			{"Redis on its port", "6379", "*1\r\n$4\r\nPING\r\n", 0, "+PONG\r\n", "", "resp"},
			{"PostgreSQL", "2049", "\x00\x00\x00\x11\x00\x03\x00\x00user\x00pg\x00\x00", 0, "R\x00\x00\x00\x08\x00\x00\x00\x00", "tcp.port==2049,pgsql", "pgsql"},
			{"bytes", "2050", "hello", 0, "HELLO", "", "data"},
		},
		"joined": {
			{"HTTP/2", "2046", frame, 500, joined, "tcp.port==2046,http2", "http2"},
			{"HTTP/2 on a usual port", "8080", frame, 500, joined, "tcp.port==8080,http2", "http2"},
			{"bytes", "2050", "hello", 500, "HELLO", "", "data"},
		},
	} {
		var file bytes.Buffer
		var want []string
		e := dump.NewExporter(&file, "test")
		for i, c := range exchanges {
			addresses := "10.0.0.1:40000 -> 10.0.0.2:" + c.port
			if c.port[0] == '/' {
				addresses = "@ -> " + c.port
			}
			conn := fmt.Sprintf("A abcdef-%d ", i+1)
			eachRecord(t, hexMeta(c.port, addresses, conn+"open", fmt.Sprintf("%s> %d %s", conn, c.base, c.request), fmt.Sprintf("%s< %d %s", conn, 2*c.base, c.answer)), e.Write)
			if c.want != "" {
				want = append(want, c.want)
			}
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		options := e.DecodeAs()
		slices.Sort(want)
		if got := slices.Sorted(slices.Values(options)); !slices.Equal(got, want) {
			t.Errorf("%s: decode as %q, want %q", name, got, want)
		}
		args := []string{"-Y", "tcp.len > 0", "-T", "fields", "-e", "tcp.stream", "-e", "frame.protocols"}
		for _, o := range options {
			args = append(args, "-d", o)
		}
		decoded := make([]int, len(exchanges)) // packets
		for _, line := range strings.Split(strings.TrimSpace(dumptest.Tshark(t, file.Bytes(), args...)), "\n") {
			number, layers, _ := strings.Cut(line, "\t")
			i, err := strconv.Atoi(number)
			if err != nil || i >= len(exchanges) {
				t.Fatalf("%s: tshark prints %q", name, line)
			}
			if slices.Contains(strings.Split(layers, ":"), exchanges[i].layer) {
				decoded[i]++
			}
		}
		for i, c := range exchanges {
			if decoded[i] < 2 {
				t.Errorf("%s: tshark decodes %d packets of %s on %s as %s, want 2", name, decoded[i], c.name, c.port, c.layer)
			}
		}
	}
}

// Among many connections of no protocol one may look like one by chance.
func TestAFewConnectionsDoNotDecideHowAPortIsDecoded(t *testing.T) {
	var file bytes.Buffer
	e := dump.NewExporter(&file, "test")
	for i := range 20 {
		text := "hello"
		if i == 7 {
			text = "*1\r\n$4\r\nPING\r\n"
		}
		conn := fmt.Sprintf("abcdef-%d", i)
		eachRecord(t, hexMeta("2046", fmt.Sprintf("10.0.0.1:%d -> 10.0.0.2:2046", 40000+i), "A "+conn+" open", "A "+conn+" > 0 "+text), e.Write)
	}
	if got := e.DecodeAs(); len(got) != 0 {
		t.Errorf("decode as %q, want nothing", got)
	}
}

// Bytes from before the base that an opening has are not left out.
func TestExportKeepsBytesBeforeTheBase(t *testing.T) {
	file, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("tcp", 1, "10.0.0.1:40000", "10.0.0.2:2046")
	f.FromStart, f.Next = false, record.PerDirection{In: 1000, Out: 7}
	file = encoder.Open(file, dumptest.Time, f)
	file = encoder.Data(file, dumptest.Time+1, f, record.In, 500, []byte("earlier"))
	file = encoder.Data(file, dumptest.Time+2, f, record.Out, 7, []byte("answer"))
	if in, out := dumptest.Follow(t, exportOf(t, file), 0); string(in) != "earlier" || string(out) != "answer" {
		t.Errorf("followed %q and %q", in, out)
	}
}
