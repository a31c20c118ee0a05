package rpc_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/thrift"
	"mosn.io/tcpcopy/pkg/record"
)

// message returns one of Thrift, which is the simplest protocol with numbers that clients choose.
func message(kind byte, id uint32, name string) string {
	b := []byte{0, 0, 0, byte(13 + len(name)), 0x80, 1, 0, kind}
	b = binary.BigEndian.AppendUint32(b, uint32(len(name)))
	b = append(b, name...)
	return string(binary.BigEndian.AppendUint32(b, id)) + "\x00"
}

func ask(id uint32, name string) string    { return ">" + message(1, id, name) }
func answer(id uint32, name string) string { return "<" + message(2, id, name) }

// talk gives texts to a new parser: as parsetest.Talk has them, but those that have an "x" in front were not
// recorded. It returns the calls as lines.
func talk(t *testing.T, base [2]uint64, texts ...string) string {
	t.Helper()
	r := &parsetest.Recorder{}
	n := uint64(0)
	env := parse.Env{Sink: r, Memory: 1 << 20, FromStart: [2]bool{base[0] == 0, base[1] == 0}, Next: func() uint64 { n++; return n }}
	runner := parse.NewRunner(&thrift.Protocol, env)
	next := base
	for i, text := range texts {
		lost := text[0] == 'x'
		text = strings.TrimPrefix(text, "x")
		dir, _ := record.ParseArrow(text[0])
		var err error
		if lost {
			err = runner.Gap(dir, next[dir], uint64(len(text)-1))
		} else {
			err = runner.Data(dir, next[dir], parsetest.Start.Add(time.Duration(i)), []byte(text[1:]))
		}
		if err != nil {
			t.Fatal(err)
		}
		next[dir] += uint64(len(text) - 1)
	}
	runner.End(parse.End{At: parsetest.Start, Closed: true, Recorded: [2]bool{true, true}})
	var lines []string
	for i := range r.Calls {
		c := &r.Calls[i]
		line := fmt.Sprintf("%d %s", c.N, c.Method)
		if c.Response.Present {
			line += " answered at " + fmt.Sprint(c.Response.Offset)
		}
		if c.Failed {
			line += " failed"
		}
		lines = append(lines, strings.Join(append([]string{line}, c.Incomplete.Words()...), " "))
	}
	return strings.Join(lines, "\n")
}

// What a gap makes uncertain, and what not. Each message has 18 bytes.
func TestGaps(t *testing.T) {
	for _, c := range []struct {
		name  string
		base  [2]uint64
		texts []string
		want  string
	}{
		{"an answer of many", [2]uint64{}, []string{ask(5, "a"), ask(6, "b"), ask(7, "c"), "x" + answer(6, "b"), answer(7, "c"), answer(5, "a"), ask(8, "d"), answer(8, "d")},
			"3 c answered at 18 gap\n1 a answered at 36\n4 d answered at 54\n2 b gap no_answer"},
		{"a request of many", [2]uint64{}, []string{ask(5, "a"), "x" + ask(6, "b"), ask(7, "c"), answer(6, "b"), answer(7, "c"), answer(5, "a")},
			"3 b answered at 0 gap no_request\n2 c answered at 18 gap\n1 a answered at 36"},
		{"an answer, the number is always 0", [2]uint64{}, []string{
			ask(0, "a"), answer(0, "a"), ask(0, "a"), "x" + answer(0, "a"), ask(0, "a"), answer(0, "a"), ask(0, "a"), answer(0, "a"), ask(0, "a"), answer(0, "a"), ask(0, "a"), answer(0, "a"),
		}, "1 a answered at 0\n2 a gap no_answer\n3 a answered at 36 gap\n4 a answered at 54 gap\n5 a answered at 72 gap\n6 a answered at 90"},
		{"a call, the number is always 0", [2]uint64{}, []string{
			ask(0, "a"), answer(0, "a"), "x" + ask(0, "b"), "x" + answer(0, "b"), ask(0, "a"), answer(0, "a"), ask(0, "a"), answer(0, "a"), ask(0, "a"), answer(0, "a"), ask(0, "a"), answer(0, "a"),
		}, "1 a answered at 0\n2 a answered at 36 gap\n3 a answered at 54 gap\n4 a answered at 72 gap\n5 a answered at 90"},
		{"no answers, sent ahead", [2]uint64{}, []string{ask(0, "a") + message(1, 0, "a"), answer(0, "a"), "x" + answer(0, "a"), ask(0, "a"), answer(0, "a"), ask(0, "b"), answer(0, "b")},
			"1 a answered at 0\n2 a gap no_answer\n3 a answered at 36 gap\n4 b answered at 54 gap"},
		{"from the middle", [2]uint64{100, 100}, []string{answer(4, "old"), ask(5, "a"), answer(5, "a"), ask(6, "b"), ask(7, "c"), answer(7, "c")},
			"1 old answered at 100 began_before no_request\n2 a answered at 120\n4 c answered at 138\n3 b failed no_answer"},
		{"a gap that is not in a frame, nothing lost of others", [2]uint64{}, []string{ask(5, "a"), answer(5, "a"), "x" + ask(6, "b"), "x" + answer(6, "b"), ask(7, "c"), ask(8, "d"), answer(8, "d")},
			"1 a answered at 0\n3 d answered at 36 gap\n2 c gap no_answer"},
	} {
		if got := talk(t, c.base, c.texts...); got != c.want {
			t.Errorf("%s: calls\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// Without answers a parser holds no more than it may, and its state is bounded; with the same number again and
// again it is not slow.
func TestMemory(t *testing.T) {
	for _, same := range []bool{false, true} {
		calls, n := 0, uint64(0)
		sink := count{&calls}
		env := parse.Env{Sink: sink, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }}
		runner := parse.NewRunner(&thrift.Protocol, env)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		const total = 50000
		offset := uint64(0)
		for i := range total {
			id := uint32(i)
			if same {
				id = 7
			}
			b := []byte(message(1, id, fmt.Sprintf("method%d", i%1000)))
			if err := runner.Data(record.In, offset, parsetest.Start, b); err != nil {
				t.Fatal(err)
			}
			offset += uint64(len(b))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 2<<20 {
			t.Errorf("%d bytes are held", used)
		}
		state, err := runner.MarshalBinary()
		if err != nil || len(state) > 3<<20 {
			t.Errorf("state of %d bytes, %v", len(state), err)
		}
		runner = parse.NewRunner(&thrift.Protocol, env)
		if err := runner.Restore(state); err != nil {
			t.Fatal(err)
		}
		runner.End(parse.End{At: parsetest.Start})
		if calls != total {
			t.Errorf("%d calls, want %d", calls, total)
		}
	}
}

type count struct{ calls *int }

func (c count) Call(*call.Call) { *c.calls++ }
func (c count) Span(call.Span)  {}

// What other messages have in their bodies is no message.
func TestBodyWithMessages(t *testing.T) {
	inner := strings.Repeat(message(1, 77, "inner"), 20)
	outer := []byte{0, 0, 0, 0, 0x80, 1, 0, 1, 0, 0, 0, 5, 'o', 'u', 't', 'e', 'r', 0, 0, 0, 9, 11, 0, 1}
	outer = binary.BigEndian.AppendUint32(outer, uint32(len(inner)))
	outer = append(append(outer, inner...), 0)
	binary.BigEndian.PutUint32(outer, uint32(len(outer)-4))
	text := string(outer)
	if got, want := talk(t, [2]uint64{}, ">"+text[:200], "x>"+text[200:250], ">"+text[250:], answer(9, "outer")), "1 outer answered at 0 gap"; got != want {
		t.Errorf("calls\n%s\nwant\n%s", got, want)
	}
}
