package cli_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// The windows of the dump that the scripts read.
const (
	firstWindow  = "5f3c9a52-7f4e-4b5e-9d7b-0c8f3f1e2a44"
	secondWindow = "c01dbeef-0000-4000-8000-000000000002"
)

// dumpStart is when the first window opens.
var dumpStart = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// step is one call of an encoder.
type step func(e record.Encoder, dst []byte, t int64) []byte

// talk returns a flow and functions that make its steps.
func talk(window string, id int, client, server string) (open step, data func(record.Direction, string) step, gap func(record.Direction, uint64, record.Reason) step, end func(string) step) {
	base := record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{Window: window, Conn: "k3v9qa-" + strconv.Itoa(id), Network: "tcp", Peer: client, Listener: server, ListenerName: "ingress"}, ClientAddr: netip.MustParseAddrPort(client), ServerAddr: netip.MustParseAddrPort(server)}, FromStart: true}
	base.Port = strconv.Itoa(int(base.ServerAddr.Port()))
	flows := map[record.Encoder]*record.Flow{}
	next := map[record.Encoder]*record.PerDirection{}
	open = func(e record.Encoder, dst []byte, t int64) []byte {
		f := base
		flows[e], next[e] = &f, &record.PerDirection{}
		return e.Open(dst, t, &f)
	}
	data = func(dir record.Direction, text string) step {
		return func(e record.Encoder, dst []byte, t int64) []byte {
			at := next[e].Of(dir)
			next[e].Add(dir, uint64(len(text)))
			return e.Data(dst, t, flows[e], dir, at, []byte(text))
		}
	}
	gap = func(dir record.Direction, n uint64, reason record.Reason) step {
		return func(e record.Encoder, dst []byte, t int64) []byte {
			at := next[e].Of(dir)
			next[e].Add(dir, n)
			return e.Gap(dst, t, flows[e], dir, at, n, reason)
		}
	}
	end = func(reason string) step {
		return func(e record.Encoder, dst []byte, t int64) []byte {
			return e.Close(dst, t, flows[e], record.CloseReason(reason), *next[e])
		}
	}
	return open, data, gap, end
}

// windowSteps are what happens in each of the two windows.
func windowSteps() [2][]step {
	in, out := record.In, record.Out
	openA, dataA, _, endA := talk(firstWindow, 17, "10.0.0.1:50000", "10.9.9.9:8080")
	openB, dataB, gapB, endB := talk(firstWindow, 18, "10.0.0.2:50001", "10.9.9.9:8080")
	openC, dataC, _, _ := talk(secondWindow, 19, "192.168.7.7:40000", "10.9.9.9:9090")
	return [2][]step{{
		openA, dataA(in, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), openB, dataB(in, "one\n"),
		dataA(out, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld"),
		gapB(in, 1000, record.ReasonLimit), dataB(out, "two\n"), dataB(in, "three\n"),
		endA("RemoteClose"), endB("LocalClose"),
	}, {
		openC, dataC(in, "\x1b[2J\x1b]0;owned\x07\xff\xfe caf\u00e9 \u202egnp.exe\r\n"), dataC(out, "plain\n"),
	}}
}

// encodeWindow encodes a window's steps, a millisecond apart.
func encodeWindow(e record.Encoder, dst []byte, steps []step, opened time.Time) []byte {
	for i, s := range steps {
		dst = s(e, dst, opened.Add(time.Duration(i)*time.Millisecond).UnixNano())
	}
	return dst
}

// indexLines are the index of the dump.
func indexLines() []layout.WindowLine {
	first := layout.WindowLine{
		Window: firstWindow, Trigger: record.TriggerSchedule, Opened: dumpStart, Closed: dumpStart.Add(10 * time.Second), Run: "k3v9qa",
		Ports: []string{"8080"}, Files: []string{layout.FlowLog},
		Accounts: record.Accounts{
			Connections: 2, Records: record.PerDirection{In: 3, Out: 2}, Seen: record.PerDirection{In: 1042, Out: 47}, Written: record.PerDirection{In: 42, Out: 47},
			Lost: record.PerDirection{In: 1000}, LostBy: map[string]uint64{"limit": 1000},
		},
	}
	second := layout.WindowLine{
		Window: secondWindow, Trigger: record.TriggerManual, Opened: dumpStart.Add(time.Minute), Closed: dumpStart.Add(61 * time.Second), Run: "k3v9qa",
		Ports: []string{"9090"}, Files: []string{layout.FlowLog},
		Accounts: record.Accounts{Connections: 1, Records: record.PerDirection{In: 1, Out: 1}, Seen: record.PerDirection{In: 36, Out: 6}, Written: record.PerDirection{In: 36, Out: 6}, LostBy: map[string]uint64{}},
	}
	return []layout.WindowLine{first, second}
}

// skipLines returns the index lines of windows that did not open, between the two that
// did and after them.
func skipLines() []layout.SkipLine {
	return []layout.SkipLine{
		{Run: "k3v9qa", Skip: record.Skip{
			Reason: record.SkipGuard, Trigger: record.TriggerSchedule, Windows: 3, First: dumpStart.Add(20 * time.Second), Last: dumpStart.Add(50 * time.Second),
			Why: "guard: host cpu 91.2 >= 80",
		}},
		{Run: "k3v9qa", Skip: record.Skip{
			Reason: record.SkipListener, Trigger: record.TriggerSchedule, Windows: 1, First: dumpStart.Add(2 * time.Minute), Last: dumpStart.Add(2 * time.Minute),
			Why: "nothing would be recorded: \x1b[2Jlistener http is refused",
		}},
	}
}

// makedump DIR WORD… writes a dump. The words are formats (hex, hex_meta,
// pcapng) and variations: index (write it), archived (the first window is in a
// compressed archive), skips (the index has windows that did not open).
func makedump(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: makedump DIR WORD…")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	words := " " + strings.Join(args[1:], " ") + " "
	has := func(word string) bool { return strings.Contains(words, " "+word+" ") }
	write := func(name string, content []byte) { ts.Check(os.WriteFile(filepath.Join(dir, name), content, 0o600)) }
	windows := windowSteps()
	opened := [2]time.Time{dumpStart, dumpStart.Add(time.Minute)}
	var lines record.Encoder
	switch {
	case has("hex_meta"):
		lines = hexlog.NewMetaEncoder()
	case has("hex"):
		lines = hexlog.NewEncoder()
	}
	if lines != nil {
		first, second := encodeWindow(lines, nil, windows[0], opened[0]), encodeWindow(lines, nil, windows[1], opened[1])
		if has("archived") {
			write("dump_tcp_copy-2024-05-06T07-09-00.000.log.gz", zipped(first))
			write(layout.FlowLog, second)
		} else {
			write(layout.FlowLog, append(first, second...))
		}
	}
	if has("pcapng") {
		for i, steps := range windows {
			file := pcapng.AppendSectionHeader(nil, "test")
			file = pcapng.AppendInterface(file, "ingress", "tcp 8080")
			e := pcapng.NewEncoder()
			file = encodeWindow(e, file, steps, opened[i])
			id := []string{firstWindow, secondWindow}[i]
			write(layout.Segment{Opened: opened[i], Window: id, Run: "k3v9qa", Number: 1}.Name(), file)
		}
	}
	if has("index") {
		var index bytes.Buffer
		for _, line := range indexLines() {
			ts.Check(json.NewEncoder(&index).Encode(line))
		}
		if has("skips") {
			for _, line := range skipLines() {
				index.Write(line.AppendJSON(nil))
			}
		}
		write(layout.Index, index.Bytes())
	}
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b) // into memory
	_ = z.Close()
	return out.Bytes()
}

// code N COMMAND… runs a command and checks its exit code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("run %s: %v", args[1], err)
	}
	if want, err := strconv.Atoi(args[0]); err != nil || got != want {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}
