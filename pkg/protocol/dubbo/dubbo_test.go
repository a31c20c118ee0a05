package dubbo

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/rpc/rpctest"
	"mosn.io/tcpcopy/pkg/record"
)

func TestKnown(t *testing.T) { rpctest.Known(t, &Protocol) }

func TestProperties(t *testing.T) {
	others := map[string]parsetest.Session{}
	for name, s := range sessions {
		others[name] = s.session
	}
	rpctest.Check(t, &Protocol, others)
}

func FuzzParser(f *testing.F) { rpctest.Fuzz(f, &Protocol) }

func BenchmarkParser(b *testing.B) {
	for name, session := range parsetest.Sessions(b) {
		b.Run(name, func(b *testing.B) { rpctest.Bench(b, &Protocol, session) })
	}
}

func frame(flags, status byte, id uint64, body string) string {
	b := []byte{0xda, 0xbb, flags, status}
	b = binary.BigEndian.AppendUint64(b, id)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return string(b) + body
}

// short returns a string of less than 32 characters in Hessian 2.
func short(text string, chars int) string { return string(rune(chars)) + text }

const longService = "com.example.a.service.with.a.name.of.more.than.thirty-two.characters.Cart"

func request(id uint64, method string) string {
	return frame(flagRequest|flagTwoWay|hessian2, 0, id, "\x052.0.2\x30"+string(rune(len(longService)))+longService+"N"+method+"\x12Ljava/lang/String;\x06secretHZ")
}

func answer(id uint64, body string) string { return frame(hessian2, statusOK, id, body) }

var sessions = map[string]struct {
	session parsetest.Session
	want    string
}{
	"strings and values": {parsetest.Talk(
		">"+request(1, short("größe", 5))+request(2, "S\x00\x03add")+request(3, short("\U0001f600x", 3)),
		"<"+answer(3, "\x91\x01x")+answer(1, "\x92")+answer(2, "\x93\x01xHZ"),
		">"+request(4, short("$invoke", 7)), "<"+answer(4, "\x94\x01xHZ"), ">"+request(5, short("a", 1)), "<"+answer(5, "\x90Cxx"), ">"+request(6, short("b", 1)), "<"+answer(6, "\x95HZ"),
	), `größe "` + longService + `" "` + longService + `" "OK" 20
add "` + longService + `" "` + longService + `" "OK" 20 failed
` + "\U0001f600x" + ` "` + longService + `" "` + longService + `" "OK" 20
$invoke "` + longService + `" "` + longService + `" "OK" 20
a "` + longService + `" "` + longService + `" "OK" 20 failed
b "` + longService + `" "` + longService + `" "OK" 20
`},
	"other serializations": {parsetest.Talk(
		">"+frame(flagRequest|flagTwoWay|fastjson, 0, 1, "\"2.0.2\"\r\n\"com.x.S\"\r\nnull\r\n\"m\"\r\n\"I\"\r\n5\r\n"), "<"+frame(fastjson, statusOK, 1, "0\r\n{}\r\n"),
		">"+frame(flagRequest|flagTwoWay|22, 0, 2, "\x0a\x05protobuf"), "<"+frame(22, statusOK, 2, "\x0a\x01x"),
		">"+frame(flagRequest|flagTwoWay|hessian2, 0, 3, "\x052.0.2R\x00\x01x"), "<"+frame(hessian2, statusOK, 3, ""),
		">"+frame(flagRequest|flagTwoWay|gson, 0, 4, "\"2.0.2\"\n\"com.x.S\"\n\"1.0\"\n\"n\"\n\"I\"\n5\n"), "<"+frame(gson, statusOK, 4, "1\n{}\n"),
		">"+request(5, short("b", 1)), "<"+answer(5, "\x92"),
	), `m "com.x.S" "com.x.S" "OK" 20 failed
 "" "" "OK" 20 unknown_fields
 "" "" "OK" 20 unknown_fields
n "com.x.S" "com.x.S" "OK" 20
b "` + longService + `" "` + longService + `" "OK" 20
`},
	"heartbeats of both sides": {parsetest.Talk(
		">"+request(1, short("a", 1)), ">"+frame(flagRequest|flagTwoWay|flagEvent|hessian2, 0, 2, "N"), "<"+frame(flagRequest|flagTwoWay|flagEvent|hessian2, 0, 1, "N"),
		"<"+frame(flagEvent|hessian2, statusOK, 2, "N"), ">"+frame(flagEvent|hessian2, statusOK, 1, "N"), "<"+answer(1, "\x92"),
		"<"+frame(flagRequest|flagEvent|hessian2, 0, 2, "\x01R"), ">"+request(3, short("b", 1)), "<"+frame(hessian2, 70, 3, "\x02no"),
	), `a "` + longService + `" "` + longService + `" "OK" 20
heartbeat "" "" "OK" 20
heartbeat "" "" "OK" 20 no_request
readonly "" "" "" 0 no_request
b "` + longService + `" "` + longService + `" "SERVICE_ERROR" 70 failed
`},
}

func TestSessions(t *testing.T) {
	for name, s := range sessions {
		got, err := parsetest.Decode(&Protocol, s.session, true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		lines := make([]string, len(got.Calls)+1)
		for i := range got.Calls {
			lines[got.Calls[i].N-1], _, _ = strings.Cut(rpctest.Line(&got.Calls[i]), " request ")
		}
		if got := strings.Join(lines, "\n"); got != s.want {
			t.Errorf("%s: calls\n%swant\n%s", name, got, s.want)
		}
	}
}

// A gap within the body loses nothing else, one within a frame only that.
func TestGaps(t *testing.T) {
	first, second, third := request(1, short("a", 1)), request(2, short("b", 1)), request(3, short("c", 1))
	for _, c := range []struct {
		from, length int
		want         string
	}{
		{len(first) + headerSize + 100, 10, "a OK 1 false [] b OK 2 false [gap] c OK 3 false []"},
		{len(first) + 5, 30, "a OK 1 false [] OK 2 false [gap no_request] c OK 3 false [gap]"},
		{len(first) + headerSize + 30, 30, "a OK 1 false [] OK 2 false [gap no_request] c OK 3 false []"},
		{len(first) + headerSize + 100, 60, "a OK 1 false [] b OK 2 false [gap] OK 3 false [gap no_request]"},
	} {
		in := first + second + third
		r := &parsetest.Recorder{}
		n := uint64(0)
		runner := parse.NewRunner(&Protocol, parse.Env{Sink: r, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }})
		err := runner.Data(record.In, 0, parsetest.Start, []byte(in[:c.from]))
		if err == nil {
			err = runner.Gap(record.In, uint64(c.from), uint64(c.length))
		}
		if err == nil {
			err = runner.Data(record.In, uint64(c.from+c.length), parsetest.Start, []byte(in[c.from+c.length:]))
		}
		for id := uint64(1); id <= 3 && err == nil; id++ {
			err = runner.Data(record.Out, (id-1)*(headerSize+1), parsetest.Start, []byte(answer(id, "\x92")))
		}
		if err != nil {
			t.Fatal(err)
		}
		runner.End(parse.End{At: parsetest.Start, Closed: true, Recorded: [2]bool{true, true}})
		var got []string
		for _, x := range r.Calls {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %d %v %v", x.Method, x.Status, 1+x.Response.Offset/(headerSize+1), x.Failed, x.Incomplete.Words())))
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("gap of %d bytes at %d: %s, want %s", c.length, c.from, got, c.want)
		}
	}
}
