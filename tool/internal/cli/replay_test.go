package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/cli"
)

// Ctrl-C ends a replay with the results so far.
func TestReplayIsInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { // ends with the one connection, which the replay ends
		defer close(served)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for n, in := 1, bufio.NewScanner(conn); in.Scan(); n++ {
			if n == 3 {
				interrupt() // and give no answer
				continue
			}
			fmt.Fprintln(conn, in.Text())
		}
	}()
	defer func() {
		listener.Close()
		<-served
	}()
	var stdout, stderr bytes.Buffer
	report := filepath.Join(t.TempDir(), "report.html")
	code := cli.Run(ctx, "", []string{"replay", echoDump(t, 5), "--to", listener.Addr().String(), "--turn-timeout", "1m", "--report", report}, strings.NewReader(""), &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "interrupted: not everything was replayed") {
		t.Errorf("exit code %d, %s", code, &stderr)
	}
	for _, text := range []string{"interrupted; replayed 1 connections", "3 sent, 0 failed", "2 turns: 2 equal, 0 different, 0 missing"} {
		if !strings.Contains(stdout.String(), text) {
			t.Errorf("nothing of %q in\n%s", text, &stdout)
		}
	}
	if page, err := os.ReadFile(report); err != nil || !bytes.Contains(page, []byte("Interrupted")) {
		t.Errorf("the report: %v", err)
	}
}

// echoDump writes a dump of one connection whose lines are echoed, and returns its
// directory.
func echoDump(t *testing.T, turns int) string {
	t.Helper()
	e := hexlog.NewMetaEncoder()
	client, server := netip.MustParseAddrPort("10.0.0.1:50000"), netip.MustParseAddrPort("10.9.9.9:7000")
	flow := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{Window: firstWindow, Conn: "k3v9qa-1", Port: "7000", Network: "tcp", Peer: client.String(), Listener: server.String()}, ClientAddr: client, ServerAddr: server}, FromStart: true}
	at := dumpStart
	next := func() int64 {
		at = at.Add(time.Millisecond)
		return at.UnixNano()
	}
	text := e.Open(nil, next(), flow)
	var offset uint64
	for i := range turns {
		line := fmt.Appendf(nil, "line %d\n", i)
		text = e.Data(text, next(), flow, record.In, offset, line)
		text = e.Data(text, next(), flow, record.Out, offset, line)
		offset += uint64(len(line))
	}
	text = e.Close(text, next(), flow, "RemoteClose", record.PerDirection{In: offset, Out: offset})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, layout.FlowLog), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
