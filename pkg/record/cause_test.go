package record_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mosn.io/tcpcopy/pkg/record"
)

// The fields of a cause are those that users' programs read.
func TestTheFieldsOfACause(t *testing.T) {
	at := time.Date(2026, 11, 27, 10, 32, 0, 0, time.UTC)
	latency := 12.4
	for want, c := range map[string]record.Cause{
		`{"trigger":"errors","reason":"","time":"2026-11-27T10:32:00Z","conn":"lk3xtg-2","call":{"id":"lk3xtg-2#5","protocol":"http/1.1","time":"2026-11-27T10:32:00Z","status":"503","failed":true,"latency_ms":12.4}}`: {
			Trigger: "errors", Time: at, Conn: "lk3xtg-2",
			Call: &record.CauseCall{ID: "lk3xtg-2#5", Protocol: "http/1.1", Time: at, Status: "503", Failed: true, LatencyMS: &latency},
		},
		`{"trigger":"request","reason":"ticket 7","time":"2026-11-27T10:32:00Z","conn":"","call":null}`: {Trigger: record.CauseRequest, Reason: "ticket 7", Time: at},
		`{"trigger":"slow","reason":"","time":"2026-11-27T10:32:00Z","conn":"a-1","call":{"id":"a-1#1","protocol":"","time":"2026-11-27T10:32:00Z","status":"","failed":false,"latency_ms":null}}`: {
			Trigger: "slow", Time: at, Conn: "a-1", Call: &record.CauseCall{ID: "a-1#1", Time: at},
		},
	} {
		if text, err := json.Marshal(&c); err != nil || string(text) != want {
			t.Errorf("%s, %v, want %s", text, err, want)
		}
	}
}

// A cause has bounded texts, whatever a connection or a caller has sent.
func TestACauseIsBounded(t *testing.T) {
	long := strings.Repeat("ä\x00\xff", 4000)
	c := &record.Cause{Trigger: long, Reason: long, Conn: long, Call: &record.CauseCall{ID: long, Protocol: long, Status: long}}
	b := c.Bounded()
	for limit, texts := range map[int][]string{
		record.MaxTriggerName: {b.Trigger}, record.MaxReason: {b.Reason}, 128: {b.Conn, b.Call.ID, b.Call.Protocol, b.Call.Status},
	} {
		for _, s := range texts {
			if len(s) > limit || len(s) < limit-8 || !utf8.ValidString(s) || !strings.HasSuffix(s, "…") {
				t.Errorf("%d bytes of %d: %q", len(s), limit, s)
			}
		}
	}
	if c.Reason != long || c.Call.Status != long {
		t.Error("the cause itself has changed")
	}
	if short := (&record.Cause{Reason: "why"}).Bounded(); short.Reason != "why" || short.Call != nil {
		t.Errorf("%+v", short)
	}
	if (*record.Cause)(nil).Bounded() != nil {
		t.Error("a cause where there is none")
	}
}
