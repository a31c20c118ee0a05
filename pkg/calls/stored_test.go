package calls

import (
	"reflect"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// A connection that comes back from the temporary file goes on with the answer that is due, and still knows its fallback.
func TestStoredFallback(t *testing.T) {
	var found []string
	s := New(Options{}, func(c *Call) error {
		found = append(found, c.Protocol+" "+c.Method+" "+c.Status+" "+c.Instead)
		return nil
	})
	of := &dump.Connection{Identity: record.Identity{Window: "w", Conn: "k3v9qa-1", Port: "2046"}}
	at := time.Date(2026, 11, 27, 10, 32, 0, 0, time.UTC)
	own := s.connection(of)
	own.decoder.Data(record.In, 0, at, []byte("GET / HTTP/1.1\r\n\r\n\x00"))
	want := Fallback{Protocol: call.HTTP1, Direction: record.In, Offset: 18, Reason: `"\x00" begins no first line of HTTP/1`}
	if own.fallback != want {
		t.Fatalf("fallback %+v, want %+v", own.fallback, want)
	}
	stored, err := s.parse(own.AppendState(nil))
	if err != nil {
		t.Fatal(err)
	}
	again, ok := stored.(*connection)
	if !ok || again.fallback != want {
		t.Fatalf("stored fallback %+v, want %+v", again.fallback, want)
	}
	again.belongTo(of)
	again.decoder.Data(record.Out, 0, at, []byte("HTTP/1.1 204 No Content\r\n\r\nbye"))
	again.end(of)
	if want := []string{"http/1.1 GET 204 ", "tcp turn  http/1.1"}; !reflect.DeepEqual(found, want) {
		t.Errorf("calls %q, want %q", found, want)
	}
}

// texts is a Keeper of the values of one call of each connection.
type texts map[string]string

func (k texts) Size(c *dump.Connection) int { return len(k[c.Conn]) }

func (k texts) Store(dst []byte, c *dump.Connection) []byte {
	defer delete(k, c.Conn)
	return append(dst, k[c.Conn]...)
}

func (k texts) Restore(c *dump.Connection, b []byte) error {
	k[c.Conn] = string(b)
	return nil
}

func (k texts) Forget(c *dump.Connection) { delete(k, c.Conn) }

// What a keeper has of a connection goes to the temporary file with it, and comes back with the next event of it, also where the
// file had no space.
func TestKeeper(t *testing.T) {
	k, found := texts{}, 0
	s := New(Options{Keeper: k, Span: func(c *dump.Connection, s call.Span) { k[c.Conn] += string(s.Value) + "|" }}, func(*Call) error {
		found++
		return nil
	})
	of := &dump.Connection{Identity: record.Identity{Window: "w", Conn: "k3v9qa-1", Port: "2046"}}
	at := time.Date(2026, 11, 27, 10, 32, 0, 0, time.UTC)
	event := func(c *dump.Connection, dir record.Direction, offset uint64, text string) {
		t.Helper()
		if err := s.event(c, &record.Record{Kind: record.KindData, Time: at, Direction: dir, Offset: offset, Length: uint64(len(text)), Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	event(of, record.In, 0, "GET /long/enough HTTP/1.1\r\n\r\n")
	want := k[of.Conn]
	if want == "" {
		t.Fatal("no values")
	}
	own, _ := of.State.(*connection)
	size := own.Size()
	state := own.AppendState(nil)
	if len(k) > 0 || own.Size() != size {
		t.Errorf("the keeper has %v; the size is %d, want %d", k, own.Size(), size)
	}
	if again := own.AppendState(nil); !reflect.DeepEqual(again, state) {
		t.Errorf("stored twice: %q, want %q", again, state)
	}
	event(of, record.In, 29, "") // it stays in memory
	if k[of.Conn] != want {
		t.Errorf("restored %q, want %q", k[of.Conn], want)
	}
	delete(k, of.Conn)
	stored, err := s.parse(state)
	if err != nil {
		t.Fatal(err)
	}
	again := &dump.Connection{Identity: of.Identity, State: stored}
	event(again, record.Out, 0, "HTTP/1.1 204 No Content\r\n\r\n")
	if got := k[of.Conn]; len(got) <= len(want) || got[:len(want)] != want {
		t.Errorf("restored from the file %q, want more than %q", got, want)
	}
	if err := s.done(again); err != nil || found != 1 || len(k) > 0 {
		t.Errorf("%v; %d calls; at the end the keeper has %v", err, found, k)
	}
}
