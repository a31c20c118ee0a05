package tars

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/rpc/rpctest"
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

func packetOf(fields string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(4+len(fields)))) + fields
}

// buffer returns a simple list with a tag, of text.
func buffer(tag byte, text string) string {
	return string([]byte{tag<<4 | typeSimpleList, 0, typeInt8, byte(len(text))}) + text
}

func str(tag byte, text string) string {
	return string([]byte{tag<<4 | typeString1, byte(len(text))}) + text
}

func request(kind string, id uint16, function string) string {
	return packetOf("\x10\x01" + kind + "\x3c\x41" + string([]byte{byte(id >> 8), byte(id)}) + "\x57\x00\x00\x00\x0aShop.S.Obj" + str(6, function) + buffer(7, "secret") +
		"\x81\x0b\xb8\x98\x00\x01\x06\x05token\x16\x03abc\xa8\x0c")
}

func answer(id uint16, result string) string {
	return packetOf("\x10\x01\x2c\x31" + string([]byte{byte(id >> 8), byte(id)}) + "\x4c" + result + buffer(6, "result") + "\x78\x0c\x86\x00\x98\x0c")
}

var sessions = map[string]struct {
	session parsetest.Session
	want    string
}{
	"results": {parsetest.Talk(
		">"+request("\x2c", 1000, "a")+request("\x2c", 1001, "b")+request("\x20\x01", 1002, "log"), "<"+answer(1001, "\x50\xf7"), "<"+answer(1000, "\x5c"),
		">"+request("\x2c", 1003, "c"), "<"+answer(1003, ""), ">"+request("\x2c", 1004, "d"), "<"+answer(1004, "\x52\xff\xff\x00\x00"),
	), `a "Shop.S.Obj" "Shop.S.Obj" "0" 0
b "Shop.S.Obj" "Shop.S.Obj" "-9" -9 failed
log "Shop.S.Obj" "Shop.S.Obj" "" 0 no_answer
c "Shop.S.Obj" "Shop.S.Obj" "0" 0
d "Shop.S.Obj" "Shop.S.Obj" "-65536" -65536 failed
`},
	"TUP, a push, and no answers": {parsetest.Talk(
		">"+packetOf("\x10\x03\x2c\x3c\x40\x07"+str(5, "A.B.C")+str(6, "tup")+buffer(7, "")+"\x8c\x98\x0c\xa8\x0c"),
		"<"+packetOf("\x10\x03\x2c\x3c\x40\x07"+str(5, "A.B.C")+str(6, "tup")+buffer(7, "x")+"\x8c\x98\x0c\xa8\x0c"),
		"<"+packetOf("\x10\x01\x2c\x3c\x4c\x5c"+buffer(6, "push")), ">"+request("\x2c", 9, "last"), ">"+request("\x2c", 10, "very last"), "<"+answer(10, "\x5c")[:24],
	), `tup "A.B.C" "A.B.C" "" 0 unknown_fields
 "" "" "0" 0 no_request
last "Shop.S.Obj" "Shop.S.Obj" "" 0 failed no_answer
very last "Shop.S.Obj" "Shop.S.Obj" "0" 0 failed
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

func TestSpans(t *testing.T) {
	got, err := parsetest.Decode(&Protocol, parsetest.Talk(">"+request("\x2c", 1, "a"), "<"+answer(1, "\x5c")), true)
	if err != nil {
		t.Fatal(err)
	}
	var spans []string
	for _, s := range got.Spans {
		spans = append(spans, fmt.Sprintf("%s %s %s=%q %s", s.Direction, s.Kind, s.Name, s.Value, s.Encoding))
	}
	want := []string{
		`in target servant="Shop.S.Obj" `, `in method ="a" `, `in body ="secret" `, `in header token="abc" `,
		`out body ="result" `,
	}
	if fmt.Sprint(spans) != fmt.Sprint(want) {
		t.Errorf("spans\n%s\nwant\n%s", strings.Join(spans, "\n"), strings.Join(want, "\n"))
	}
}
