package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// growing is a flow log that is being written.
type growing struct {
	t       *testing.T
	dir     string
	encoder record.Encoder
	n       int // steps so far
}

// write appends steps to the log.
func (g *growing) write(steps ...step) {
	g.t.Helper()
	f, err := os.OpenFile(filepath.Join(g.dir, layout.FlowLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		g.t.Fatal(err)
	}
	defer f.Close()
	for _, s := range steps {
		g.n++
		if _, err := f.Write(s(g.encoder, nil, dumpStart.UnixNano()+int64(g.n)*1e6)); err != nil {
			g.t.Fatal(err)
		}
	}
}

// rotate makes an archive of the log.
func (g *growing) rotate() {
	g.t.Helper()
	if err := os.Rename(filepath.Join(g.dir, layout.FlowLog), filepath.Join(g.dir, "dump_tcp_copy-2024-05-06T07-09-00.000.log")); err != nil {
		g.t.Fatal(err)
	}
}

const get = "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"

func request(target string) string { return strings.Replace(get, "%s", target, 1) }

// Each call is printed as soon as it has ended, also across a rotation; at the end those
// that have not ended.
func TestCallsFollowsWhatIsWritten(t *testing.T) {
	for _, form := range []string{"table", "json"} {
		t.Run(form, func(t *testing.T) {
			g := &growing{t: t, dir: t.TempDir(), encoder: hexlog.NewMetaEncoder()}
			in, out := record.In, record.Out
			open1, data1, _, end1 := talk(firstWindow, 1, "10.0.0.1:50001", "10.9.9.9:8080")
			open2, data2, _, _ := talk(firstWindow, 2, "10.0.0.2:50002", "10.9.9.9:8080")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			run := start(ctx, "calls", "-f", "-o", form, g.dir)
			g.write(open1, data1(in, request("one")), data1(out, answer("200 OK", "", "1")), open2, data2(in, request("open")))
			if form == "table" {
				run.wantLine(t, "CALL")
			}
			run.wantLine(t, "/one")
			g.write(data1(in, request("two")))
			g.rotate()
			g.write(data1(out, "HTTP/1.1 200 OK\r\n\r\nuntil the end"))
			g.write(end1("LocalClose")) // which ends the answer
			run.wantLine(t, "/two")
			g.write(data2(in, request("left")))
			cancel()
			run.wantLine(t, "/open")
			if code := <-run.code; code != 0 {
				t.Errorf("exit code %d, %s", code, run.stderr)
			}
		})
	}
}

// --top ends what would go on for ever.
func TestCallsFollowsAFewCalls(t *testing.T) {
	g := &growing{t: t, dir: t.TempDir(), encoder: hexlog.NewMetaEncoder()}
	open, data, _, _ := talk(firstWindow, 1, "10.0.0.1:50001", "10.9.9.9:8080")
	g.write(open)
	run := start(context.Background(), "calls", "-f", "--top", "2", "-o", "json", g.dir)
	for _, name := range []string{"one", "two", "three"} {
		g.write(data(record.In, request(name)), data(record.Out, answer("200 OK", "", "")))
	}
	run.wantLine(t, "/one")
	run.wantLine(t, "/two")
	if run.lines.Scan() {
		t.Errorf("line %q", run.lines.Text())
	}
	if code := <-run.code; code != 0 {
		t.Errorf("exit code %d, %s", code, run.stderr)
	}
}
