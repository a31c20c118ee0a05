package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// live says what it waits for, when windows do not open and when the guard pauses one, once each.
func TestLiveSaysWhyNothingComes(t *testing.T) {
	var out bytes.Buffer
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tool := &tool{stderr: &out, now: func() time.Time { return at }}
	o := &output{t: tool, utc: true}
	skipped := func(n uint64) *status {
		s := &status{}
		s.Skipped.Windows = n
		s.Skipped.List = []record.Skip{{Reason: record.SkipGuard, Trigger: record.TriggerSchedule, Windows: n, First: at, Last: at.Add(time.Duration(n) * time.Second), Why: "guard: cpu\x1b"}}
		return s
	}
	open := func(s *status, paused bool) *status {
		w := status{Skipped: s.Skipped}
		w.Guard.Source = "host cpu 99 >= 80"
		w.Window = &struct {
			ID       string           `json:"id"`
			Trigger  string           `json:"trigger"`
			Opened   time.Time        `json:"opened"`
			Closes   time.Time        `json:"closes"`
			Paused   bool             `json:"paused"`
			Guard    string           `json:"guard"`
			Accounts *record.Accounts `json:"accounts"`
		}{Paused: paused}
		return &w
	}
	due := func(in time.Duration) *status {
		s, next := skipped(2), at.Add(in)
		s.Next = &next
		return s
	}
	opening := func() *status {
		s := due(2 * time.Minute)
		s.Opening = &transition{ID: "5f3c9a52-7f4e-4b5e-9d7b-0c8f3f1e2a44"}
		return s
	}
	news := liveNews{t: tool, output: o}
	for i, step := range []struct {
		now  *status
		want string
	}{
		{&status{}, "waiting for a window; the switch is OFF"},
		{skipped(1), `not opened: a schedule window, 03:04:06: guard (cpu\x1b)`},
		{skipped(1), ""},
		{skipped(2), "not opened: 2 schedule windows, 03:04:05 to 03:04:07: guard"},
		{open(skipped(2), false), ""},
		{open(skipped(2), true), "the guard pauses the window: host cpu 99 >= 80"},
		{open(skipped(2), true), ""},
		{open(skipped(2), false), "the window goes on"},
		{open(skipped(2), true), "the guard pauses the window"},
		{skipped(2), ""}, // as before the window
		{opening(), ""},  // for record
		{open(skipped(2), false), ""},
		{opening(), ""},
		{skipped(2), ""},
		{due(2 * time.Minute), "waiting for the next window, which is due 03:06:05, in 2m"},
		{due(2 * time.Minute), ""},
		{opening(), ""},
		{open(opening(), false), ""},
		{due(2 * time.Minute), ""}, // that was one of record, and the next one is due as before
		{due(4 * time.Minute), "which is due 03:08:05, in 4m"},
		{skipped(2), "waiting for a window"},
	} {
		out.Reset()
		news.print(step.now)
		got := out.String()
		if (step.want == "") != (got == "") || !strings.Contains(got, step.want) || strings.Count(got, "\n") > 1 {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	out.Reset()
	(&liveNews{t: tool, output: o}).print(skipped(3)) // what was when it began
	if !strings.Contains(out.String(), "3 schedule windows") || !strings.Contains(out.String(), "waiting for a window") {
		t.Errorf("at the start: %q", out.String())
	}
	out.Reset()
	(&liveNews{t: tool, output: o}).print(open(skipped(0), false))
	if !strings.Contains(out.String(), "is open until") || !strings.Contains(out.String(), "waiting for traffic") {
		t.Errorf("at the start, with a window: %q", out.String())
	}
	out.Reset()
	(&liveNews{t: tool, output: o}).print(opening())
	if !strings.Contains(out.String(), "waiting for window 5f3c9a52, which is being opened") {
		t.Errorf("at the start, with a window that is being opened: %q", out.String())
	}
}

// Of a live-only window live says when the guard pauses it, and nothing of others.
func TestLiveSaysWhenTheGuardPausesItsOwnWindow(t *testing.T) {
	var out bytes.Buffer
	tool := &tool{stderr: &out, now: time.Now}
	news := liveNews{t: tool, output: &output{t: tool, utc: true}, own: "mine"}
	at := func(paused bool) *status {
		s := &status{Windows: []openWindow{{ID: "other", Trigger: "schedule", Paused: !paused}, {ID: "mine", Trigger: "live", Paused: paused}}}
		s.Guard.Source = "host cpu 99 >= 80"
		s.Skipped.Windows, s.Skipped.List = 1, []record.Skip{{Reason: record.SkipGuard, Trigger: record.TriggerSchedule, Windows: 1}}
		return s
	}
	for i, step := range []struct {
		now  *status
		want string
	}{
		{at(false), ""},
		{at(true), "the guard pauses the window: host cpu 99 >= 80"},
		{at(true), ""},
		{at(false), "the window goes on"},
		{at(true), "the guard pauses the window"},
		{&status{}, ""}, // it has ended
	} {
		out.Reset()
		news.print(step.now)
		if got := out.String(); (step.want == "") != (got == "") || !strings.Contains(got, step.want) {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}
