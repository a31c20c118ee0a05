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
