package calls_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/record"
)

// Times choose among calls that are decoded from all of their connection: a call keeps its
// number, and one that began in time keeps an answer that came later.
func TestTimesChooseAmongWholeCalls(t *testing.T) {
	at := start
	var records []record.Record
	a := &session{window: "w", conn: "k3v9qa-1", at: &at, records: &records}
	a.open() // 1 ms after start, and so on
	for range 4 {
		a.data(record.In, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
		a.data(record.Out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
	a.close()
	dropped := 0
	o := calls.Options{
		Since: start.Add(4 * time.Millisecond), Until: start.Add(7 * time.Millisecond),
		Dropped: func(*calls.Call) { dropped++ },
	}
	got, coverage := run(t, o, records)
	want := []string{"w k3v9qa-1#2 http/1.1 GET /a 200 []", "w k3v9qa-1#3 http/1.1 GET /a 200 []"}
	if !slices.Equal(got, want) || dropped != 2 {
		t.Errorf("calls are %q, and %d are dropped, want %q and 2", got, dropped, want)
	}
	if coverage.Windows != 1 || coverage.Seen != 4*(28+38) {
		t.Errorf("coverage is %+v, want all of the window", coverage)
	}
	o.Since, o.Until = start.Add(time.Hour), time.Time{}
	if got, coverage := run(t, o, records); len(got) != 0 || coverage.Windows != 0 || coverage.Seen != 0 {
		t.Errorf("after the window there are %q, %+v", got, coverage)
	}
}

// The coverage has what only the index knows, and no byte twice.
func TestCoverageWithIndex(t *testing.T) {
	at := start
	var records []record.Record
	a := &session{window: "w", conn: "k3v9qa-1", at: &at, records: &records}
	a.open()
	a.data(record.In, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n") // 28 bytes
	a.gap(record.Out, 100, "buffer_full")
	a.close()
	opened, closed := start.Add(-time.Second), start.Add(time.Second)
	of := func(window string, seen, lost uint64, part bool) calls.Indexed {
		return calls.Indexed{Window: window, Opened: opened, Closed: closed, Seen: seen, Lost: lost, Part: part}
	}
	for _, c := range []struct {
		name                       string
		indexed                    []calls.Indexed
		windows                    int
		seen, lost, undecoded      uint64
		onlyLost, onlyUndecoded, x uint64
	}{
		{"nothing is known", nil, 1, 128, 100, 0, 0, 0, 0},
		{"the index agrees", []calls.Indexed{of("w", 128, 100, false)}, 1, 128, 100, 0, 0, 0, 0},
		{"more was lost", []calls.Indexed{of("w", 178, 150, false)}, 1, 178, 150, 0, 50, 0, 0},
		{"a file is gone", []calls.Indexed{of("w", 1128, 100, false)}, 1, 1128, 100, 1000, 0, 1000, 0},
		{"another window lost all", []calls.Indexed{of("w", 128, 100, false), of("v", 70, 70, false)}, 2, 198, 170, 0, 70, 0, 0},
		{"other connections lost too", []calls.Indexed{of("w", 5000, 150, true)}, 1, 128, 100, 0, 0, 0, 50},
		{"the index knows less", []calls.Indexed{of("w", 28, 0, false)}, 1, 128, 100, 0, 0, 0, 0},
	} {
		_, got := run(t, calls.Options{}, records)
		got.AddIndexed(c.indexed...)
		if got.Windows != c.windows || got.Seen != c.seen || got.Lost != c.lost || got.Undecoded != c.undecoded ||
			got.OnlyIndexed.Lost != c.onlyLost || got.OnlyIndexed.Undecoded != c.onlyUndecoded || got.Elsewhere != c.x {
			t.Errorf("%s: %+v, want %+v", c.name, got, c)
		}
		if c.indexed != nil && (!got.From.Equal(opened) || !got.To.Equal(closed)) {
			t.Errorf("%s: from %v to %v", c.name, got.From, got.To)
		}
	}
}

// The JSON form has these fields and no others; those of fallbacks only where there are some.
func TestCoverageAsJSON(t *testing.T) {
	for _, c := range []struct {
		coverage calls.Coverage
		want     string
	}{
		{calls.Coverage{}, `{"windows":0,"from":null,"to":null,"seen":0,"lost":0,"undecoded":0}`},
		{
			calls.Coverage{Windows: 2, From: start, To: start.Add(time.Second), Seen: 3, Lost: 2, Undecoded: 1, More: 7, Elsewhere: 8},
			`{"windows":2,"from":"2026-11-27T10:32:00Z","to":"2026-11-27T10:32:01Z","seen":3,"lost":2,"undecoded":1}`,
		},
		{
			calls.Coverage{Fallbacks: []calls.Fallback{{Window: "w", Conn: "k3v9qa-1", Port: "2046", Protocol: "redis", Direction: record.Out, Offset: 7, Reason: "why"}}, MoreFallbacks: 2},
			`{"windows":0,"from":null,"to":null,"seen":0,"lost":0,"undecoded":0,"fallbacks":[{"window":"w","conn":"k3v9qa-1","port":"2046","protocol":"redis","direction":"out","offset":7,"reason":"why"}],"more_fallbacks":2}`,
		},
	} {
		if got, err := json.Marshal(c.coverage); err != nil || string(got) != c.want {
			t.Errorf("%s, %v, want %s", got, err, c.want)
		}
	}
}
