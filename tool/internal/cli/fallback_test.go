package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/cli"
)

// strayDump writes a dump with connections that send a byte too many behind a request, and one that does not.
func strayDump(t *testing.T, connections int) (dir string) {
	t.Helper()
	g := &growing{t: t, dir: t.TempDir(), encoder: hexlog.NewMetaEncoder()}
	open, data, _, end := talk(firstWindow, 9999, "10.0.0.9:50001", "10.9.9.9:8080")
	g.write(open, data(record.In, request("fine")), data(record.Out, answer("200 OK", "", "")), end("RemoteClose"))
	for i := range connections {
		open, data, _, end := talk(firstWindow, i+1, fmt.Sprintf("10.0.0.1:%d", 50001+i), "10.9.9.9:8080")
		g.write(open, data(record.In, request("a")+"\x01needle"), data(record.Out, answer("200 OK", "", "1")+"oops"), end("RemoteClose"))
	}
	return g.dir
}

// command runs a command line that succeeds, and returns what it has printed.
func command(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if code := cli.Run(context.Background(), "", args, strings.NewReader(""), &out, &err); code != 0 {
		t.Fatalf("%q: exit code %d, %s", args, code, err.String())
	}
	return out.String(), zoneRemarks.ReplaceAllString(err.String(), "")
}

const (
	// A request has 28 bytes.
	strayPlace  = "k3v9qa-1 not http/1.1 at > 28"
	strayReason = `k3v9qa-1, window 5f3c9a52, port 8080: not http/1.1 at > 28: "\x01needle" begins no first line of HTTP/1`
)

// Every list of calls says which connections it has as tcp because they did not go on in their protocol.
func TestFallbacksAreSaid(t *testing.T) {
	dir := strayDump(t, 1)
	summary := "tcpcopyctl: 1 connection has bytes that are not of the protocol, which are calls of tcp (" + strayPlace + "); --coverage says more\n"
	for _, args := range [][]string{{}, {"-o", "json"}, {"--by", "protocol"}, {"--sort", "time"}, {"--where", `path == "/fine"`}} {
		if _, stderr := command(t, append(append([]string{"calls"}, args...), dir)...); stderr != summary {
			t.Errorf("%q: %s\nwant %s", args, stderr, summary)
		}
	}
	table, _ := command(t, "calls", dir)
	if !strings.Contains(table, "not http/1.1\n") || strings.Count(table, "not http/1.1") != 1 || !strings.Contains(table, "/a ") {
		t.Errorf("the table is\n%s", table)
	}
	stdout, stderr := command(t, "calls", "--coverage", "-o", "json", "--where", `instead_of == "http/1.1"`, dir)
	if lines := strings.Split(strings.TrimSpace(stdout), "\n"); len(lines) != 2 || !strings.Contains(lines[0], `"protocol":"tcp","instead_of":"http/1.1","time"`) ||
		!strings.Contains(lines[0], `"request":{"offset":28,"length":7,`) ||
		!strings.HasSuffix(lines[1], `"undecoded":0,"fallbacks":[{"window":"`+firstWindow+`","conn":"k3v9qa-1","port":"8080","protocol":"http/1.1","direction":"in","offset":28,"reason":"\"\\x01needle\" begins no first line of HTTP/1"}]}}`) {
		t.Errorf("calls\n%s", stdout)
	}
	if !strings.Contains(stderr, "tcpcopyctl: "+strayReason+"\n") {
		t.Errorf("--coverage says %s", stderr)
	}
	if stdout, stderr := command(t, "calls", "--conn", "k3v9qa-9999", "-o", "json", "--coverage", dir); strings.Contains(stdout+stderr, "fallback") || strings.Contains(stdout+stderr, "instead") {
		t.Errorf("of another connection: %s%s", stdout, stderr)
	}
	if _, stderr := command(t, "calls", "--where", `path == "/nothing"`, dir); strings.Contains(stderr, "did not pass") || !strings.Contains(stderr, strayPlace) {
		t.Errorf("of what is not found, it says %s", stderr)
	}
	shown, stderr := command(t, "show", "k3v9qa-1#2", dir)
	if !strings.Contains(shown, "not http/1.1") || stderr != `tcpcopyctl: k3v9qa-1: not http/1.1 at > 28: "\x01needle" begins no first line of HTTP/1`+"\n" {
		t.Errorf("show\n%s%s", shown, stderr)
	}
	found, stderr := command(t, "grep", "needle|oops", dir)
	if strings.Count(found, "k3v9qa-1#2 ") != 2 || stderr != strings.Replace(summary, "--coverage", `"tcpcopyctl calls --coverage"`, 1) {
		t.Errorf("grep\n%s%s", found, stderr)
	}
	if _, stderr := command(t, "export", "--as", "calls", "-o", "-", dir); !strings.Contains(stderr, strayPlace) {
		t.Errorf("export says %s", stderr)
	}
}

// Of many connections a few are named, and the others are counted.
func TestManyFallbacks(t *testing.T) {
	dir := strayDump(t, 1025)
	_, stderr := command(t, "calls", "--by", "protocol", dir)
	if strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "1025 connections have bytes that are not of the protocol") || !strings.Contains(stderr, "k3v9qa-5 not http/1.1 at > 28 and 1020 more); --coverage") {
		t.Errorf("standard error is %s", stderr)
	}
	stdout, stderr := command(t, "calls", "--by", "protocol", "--coverage", "-o", "json", dir)
	if strings.Count(stdout, `"reason"`) != 1000 || !strings.HasSuffix(stdout, `"more_fallbacks":25}}`+"\n") {
		t.Errorf("%d fallbacks", strings.Count(stdout, `"reason"`))
	}
	if strings.Count(stderr, "not http/1.1 at > 28: ") != 20 || !strings.Contains(stderr, "and 1005 connections more with bytes") {
		t.Errorf("standard error is %s", stderr)
	}
}

// Who follows a dump sees it in the list, and at the end.
func TestFallbacksWhileFollowing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	run := start(ctx, "calls", "-f", strayDump(t, 1))
	for _, text := range []string{"CALL", "/fine", "/a", "not http/1.1"} {
		run.wantLine(t, text)
	}
	cancel()
	if code := <-run.code; code != 0 || !strings.Contains(run.stderr.String(), strayPlace) {
		t.Errorf("exit code %d, %s", code, run.stderr)
	}
}
