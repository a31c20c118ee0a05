package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// live says which captures begin, and when the ring goes off, once each; the status has the
// same.
func TestCapturesAndTheRingAreTold(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	of := func(text string) *status {
		s := &status{}
		if err := json.Unmarshal([]byte(text), s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	const (
		on      = `"flight":{"on":true,"size":1048576,"used":5,"holds_ms":1500,"captures":1,"suppressed":0}`
		capture = `"windows":[{"id":"5f3c9a52-1","trigger":"manual"},{"id":"aa000001-1","trigger":"flight","state":"open","opened":"2026-01-02T03:03:35Z","closes":"2026-01-02T03:04:10Z","scope":"process","cause":{"trigger":"errors\u001b"}}]`
		closing = `"windows":[{"id":"aa000001-1","trigger":"flight","state":"closing","scope":"listener","listener":"in","cause":{"trigger":"errors"}}]`
	)
	var before *status
	for i, step := range []struct{ status, want string }{
		{`{` + on + `}`, ""},
		{`{` + on + `,` + capture + `}`, `capture aa000001, errors\x1b, of all connections, 03:03:35 to 03:04:10`},
		{`{` + on + `,` + capture + `}`, ""},
		{`{` + on + `,` + closing + `}`, ""},
		{`{"flight":{"on":true,"size":1048576,"paused":true,"reason":"guard: cpu 99"}}`, "the flight recorder is paused: guard: cpu 99"},
		{`{` + on + `}`, "the flight recorder is on"},
		{`{"flight":{"on":false,"size":1048576,"reason":"FORCE_OFF"}}`, "the flight recorder is off: FORCE_OFF"},
		{`{"flight":{"on":false,"size":0,"reason":"flight.size is 0"}}`, ""},
		{`{}`, ""},
	} {
		var out bytes.Buffer
		tool := &tool{stderr: &out, now: func() time.Time { return at }}
		now := of(step.status)
		news := liveNews{t: tool, output: &output{t: tool, utc: true}, before: before}
		_, news.waits = waiting(now, nil)
		news.print(now)
		got := out.String()
		if (step.want == "") != (got == "") || !strings.Contains(got, step.want) || strings.Count(got, "\n") > 1 {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
		before = now
	}
	w := of(`{` + closing + `}`).openWindow("aa000001-1")
	o := &output{t: &tool{now: func() time.Time { return at }}, utc: true}
	if text := captureLine(o, w); !strings.Contains(text, "of listener in, ") || !strings.HasSuffix(text, "is being written") {
		t.Errorf("%q", text)
	}
	if w := of(`{` + on + `}`).openWindow("aa000001-1"); w != nil {
		t.Errorf("%+v", w)
	}
}
