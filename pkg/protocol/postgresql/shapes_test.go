package postgresql

import (
	"errors"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

const (
	ready = "Z\x00\x00\x00\x05I"
	done  = "C\x00\x00\x00\x0dSELECT 1\x00"
)

func start() []string {
	login := "\x00\x03\x00\x00user\x00me\x00database\x00shop\x00\x00"
	n := len(login) + 4
	return []string{">" + string([]byte{0, 0, 0, byte(n)}) + login, "<R\x00\x00\x00\x08\x00\x00\x00\x00" + ready}
}

// Messages that are longer than what is needed are understood, and their statements are where they are.
func TestLongMessages(t *testing.T) {
	statement := "SELECT '" + strings.Repeat("x", 300<<10) + "'"
	value := strings.Repeat("v", 200<<10)
	length := func(s string) string {
		n := len(s)
		return string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	long := clientMessage('D', "\x00\x01"+length(value)+value) // a row has the same head
	session := parsetest.Talk(append(start(),
		">"+clientMessage('Q', statement+"\x00"), "<"+long+done+ready,
		">"+clientMessage('P', "s\x00"+statement+"\x00\x00\x01\x00\x00\x00\x17")+clientMessage('B', "\x00s\x00\x00\x00\x00\x02"+length(value)+value+"\xff\xff\xff\xff\x00\x00")+
			clientMessage('E', "\x00\x00\x00\x00\x00")+clientMessage('S', ""),
		"<1\x00\x00\x00\x042\x00\x00\x00\x04"+long+done+ready,
		">"+clientMessage('B', "\x00s\x00\x00\x00\x00\x01\x00\x00\x00\x01a\x00\x00")+clientMessage('E', "\x00\x00\x00\x00\x00")+clientMessage('S', ""),
		"<2\x00\x00\x00\x04"+done+ready)...)
	got, err := parsetest.Decode(&Protocol, session, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Calls) != 4 {
		t.Fatalf("calls\n%s", parsetest.Lines(got.Calls))
	}
	for _, c := range got.Calls[1:] {
		if c.Status != "OK" || !strings.HasSuffix(c.Target, cutMark) || !strings.HasPrefix(statement, strings.TrimSuffix(c.Target, cutMark)) || len(c.Target) > maxBuffered || c.Incomplete != 0 {
			t.Errorf("%s %.20q… (%d bytes) %s %v", c.Method, c.Target, len(c.Target), c.Status, c.Incomplete.Words())
		}
	}
	var statements, values strings.Builder
	for _, s := range got.Spans {
		switch {
		case s.Kind == call.KindTarget:
			statements.Write(s.Value)
		case s.Kind == call.KindArgument:
			values.Write(s.Value)
		}
	}
	if statements.String() != statement+statement {
		t.Errorf("the statements have %d bytes, want %d", statements.Len(), 2*len(statement))
	}
	if values.String() != value+"a" {
		t.Errorf("the values have %d bytes, want %d", values.Len(), len(value)+1)
	}
	parsetest.WithoutSpans(t, &Protocol, session)
}

// The spans of a session are where passwords, parameters, statements and errors are.
func TestSpans(t *testing.T) {
	session := parsetest.Talk(start()[0], "<R\x00\x00\x00\x08\x00\x00\x00\x03", ">"+clientMessage('p', "secret\x00"), "<R\x00\x00\x00\x08\x00\x00\x00\x00"+ready,
		">"+clientMessage('P', "\x00SELECT $1\x00\x00\x00")+clientMessage('B', "\x00\x00\x00\x00\x00\x02\x00\x00\x00\x03one\xff\xff\xff\xff\x00\x00")+clientMessage('E', "\x00\x00\x00\x00\x00")+clientMessage('S', ""),
		"<1\x00\x00\x00\x042\x00\x00\x00\x04"+clientMessage('D', "\x00\x03\x00\x00\x00\x01a\xff\xff\xff\xff\x00\x00\x00\x00")+done+ready,
		">"+clientMessage('Q', "SELEC\x00"), "<"+clientMessage('E', "SERROR\x00VERROR\x00C42601\x00Mwrong\x00\x00")+ready,
		">"+clientMessage('Q', "COPY t TO STDOUT\x00"), "<"+clientMessage('H', "\x00\x00\x00")+clientMessage('d', "7\ta\n")+clientMessage('d', "8\tb\n")+clientMessage('c', "")+done+ready)
	got, err := parsetest.Decode(&Protocol, session, true)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, s := range got.Spans {
		list = append(list, s.Kind.String()+" "+s.Name+"="+string(s.Value))
	}
	const want = "header user=me, header database=shop, password =secret\x00, target =SELECT $1, argument 1=one, body 1=a, body 2 null=, body 3=, status tag=SELECT 1, target =SELEC, " +
		"status code=42601, status message=wrong, target =COPY t TO STDOUT, body =7\ta\n, body =8\tb\n, status tag=SELECT 1"
	if got := strings.Join(list, ", "); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// A server that agrees to encrypt goes on in TLS, one that does not goes on.
func TestNegotiation(t *testing.T) {
	ask := ">\x00\x00\x00\x08\x04\xd2\x16\x2f"
	got, err := parsetest.Decode(&Protocol, parsetest.Talk(ask, "<S"), false)
	var upgrade *parse.Upgrade
	if !errors.As(err, &upgrade) || upgrade.To != call.TLS || upgrade.Other != 8 || len(got.Calls) > 0 {
		t.Errorf("%v (%+v), %d calls", err, upgrade, len(got.Calls))
	}
	talk := append([]string{">\x00\x00\x00\x08\x04\xd2\x16\x30", "<N", ask, "<N"}, start()...)
	got, err = parsetest.Decode(&Protocol, parsetest.Talk(talk...), true)
	if err != nil || len(got.Calls) != 1 || got.Calls[0].Status != "OK" || got.Calls[0].Target != "shop" || got.Calls[0].Request.Offset != 16 || got.Calls[0].Response.Offset != 2 {
		t.Errorf("%v, calls\n%s", err, parsetest.Lines(got.Calls))
	}
	// The answer was lost: what the client sends next shows it.
	sink, n := &parsetest.Calls{}, uint64(0)
	r := parse.NewRunner(&Protocol, parse.Env{Sink: sink, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }})
	if err := r.Data(record.In, 0, parsetest.Start, []byte(ask[1:])); err != nil {
		t.Fatal(err)
	}
	if err := r.Gap(record.Out, 0, 1); err != nil {
		t.Fatal(err)
	}
	if err := r.Data(record.In, 8, parsetest.Start, []byte(start()[0][1:])); err != nil {
		t.Fatal(err)
	}
	r.End(parse.End{Closed: true})
	if len(sink.List) != 1 || !strings.HasPrefix(parsetest.Lines(sink.List), "1 CONNECT ") || sink.List[0].Incomplete&call.Gap == 0 {
		t.Errorf("calls\n%s", parsetest.Lines(sink.List))
	}
}

// The names of prepared statements that SQL may have changed are not trusted.
func TestStatementsThatSQLChanges(t *testing.T) {
	execute := clientMessage('B', "\x00s\x00\x00\x00\x00\x00\x00\x00") + clientMessage('E', "\x00\x00\x00\x00\x00") + clientMessage('S', "")
	session := parsetest.Talk(append(start(),
		">"+clientMessage('P', "s\x00SELECT 1\x00\x00\x00")+clientMessage('S', ""), "<1\x00\x00\x00\x04"+ready,
		">"+execute, "<2\x00\x00\x00\x04"+done+ready,
		">"+clientMessage('Q', "deallocate s; prepare s as select 2\x00"), "<"+done+done+ready,
		">"+execute, "<2\x00\x00\x00\x04"+done+ready)...)
	got, err := parsetest.Decode(&Protocol, session, true)
	if err != nil || len(got.Calls) != 5 {
		t.Fatalf("%v, calls\n%s", err, parsetest.Lines(got.Calls))
	}
	if c := got.Calls[2]; c.Target != "SELECT 1" || c.Incomplete != 0 {
		t.Errorf("before: %q %v", c.Target, c.Incomplete.Words())
	}
	if c := got.Calls[4]; c.Incomplete&call.UnknownFields == 0 {
		t.Errorf("after: %q %v", c.Target, c.Incomplete.Words())
	}
}

// A replication stream ends with its connection, which is no failure.
func TestReplicationEndsWithTheConnection(t *testing.T) {
	session := parsetest.Talk(append(start(), ">"+clientMessage('Q', "START_REPLICATION 0/0\x00"), "<W\x00\x00\x00\x07\x00\x00\x00"+clientMessage('d', "k1234567890123456x"),
		">"+clientMessage('d', "r"+strings.Repeat("x", 33)), "<"+clientMessage('d', "k1234567890123456y"))...)
	got, err := parsetest.Decode(&Protocol, session, true)
	if err != nil || len(got.Calls) != 2 {
		t.Fatalf("%v, calls\n%s", err, parsetest.Lines(got.Calls))
	}
	if c := got.Calls[1]; c.Failed || c.Response.Length != 8+2*23 || c.Response.Ended {
		t.Errorf("calls\n%s", parsetest.Lines(got.Calls))
	}
	parsetest.Check(t, &Protocol, session)
}

// A ReadyForQuery that says that it is longer than one can be is none, however much of it is there.
func TestLongReadyForQuery(t *testing.T) {
	for _, total := range []int{6, 7, 66 << 10, 1 << 20} {
		n := total - 1
		long := "Z" + string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + strings.Repeat("I", min(total, 67<<10)-5)
		got, err := parsetest.Decode(&Protocol, parsetest.Talk(append(start(), "<"+long)...), true)
		if (err == nil) != (total == 6) || len(got.Calls) != 1 {
			t.Errorf("%d bytes: %v, %d calls", total, err, len(got.Calls))
		}
	}
}
