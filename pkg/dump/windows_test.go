package dump_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/record"
)

func TestWindowsAreRebuiltFromRecords(t *testing.T) {
	events := dumptest.RandomEvents(7, 40)
	file, encoder := dumptest.NewFile()
	file = dumptest.Encode(file, encoder, events)
	d, err := dump.Open([]string{"-"}, dump.Options{Stdin: bytes.NewReader(file)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	windows := dump.NewWindows()
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		windows.Add(r)
	}
	var want record.Accounts
	want.LostBy = map[string]uint64{}
	conns := map[string]bool{}
	for _, e := range events {
		conns[e.Record.Conn] = true
		switch e.Record.Kind {
		case record.KindData:
			want.Seen.Add(e.Record.Direction, e.Record.Length)
			want.Written.Add(e.Record.Direction, e.Record.Length)
		case record.KindGap:
			want.Seen.Add(e.Record.Direction, e.Record.Length)
			want.Lost.Add(e.Record.Direction, e.Record.Length)
			want.LostBy[e.Record.Reason] += e.Record.Length
		}
	}
	want.Connections = uint64(len(conns))
	lines := windows.Lines()
	if len(lines) != 1 {
		t.Fatalf("%d windows, want 1", len(lines))
	}
	got := *lines[0]
	want.Records = got.Records // packets, which are more than records
	if fmt.Sprint(got.Accounts) != fmt.Sprint(want) || got.Window != dumptest.Window || got.Run != "k3v9qa" ||
		!slices.Equal(got.Ports, []string{"/run/my [app].sock", "5353", "8080"}) ||
		!got.Opened.Equal(events[0].Record.Time) || !got.Closed.Equal(events[len(events)-1].Record.Time) {
		t.Errorf("window %+v\nwant %+v", got, want)
	}
}
