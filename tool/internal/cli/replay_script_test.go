package cli_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mosn.io/tcpcopy/internal/devcert"
	"mosn.io/tcpcopy/internal/loopback"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// TestReplayScripts runs the scripts in testdata/replay. Besides the usual
// commands they have
//
//	maketalk DIR WORD…   writes the dump that the words of maketalk name
//	server NAME KIND     starts a server and sets $NAME to its address
//	code N COMMAND…      runs a command that must exit with N
func TestReplayScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/replay",
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"maketalk": maketalk,
			"server":   startServer,
			"code":     code,
		},
	})
}

// httpAnswer is the body of the HTTP server's answers.
const httpAnswer = `{"id": "%s", "items": [{"id": %d, "name": "tea"}]}`

func httpResponse(id string, n int, date string) string {
	body := fmt.Sprintf(httpAnswer, id, n)
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: %s\r\nContent-Length: %d\r\n\r\n%s", date, len(body), body)
}

// maketalk DIR WORD… writes a dump of these connections: lines (two of the line
// protocol), http (one of HTTP), before (began before the window), gap, oneway (of
// another port), cut (open at the window's end), legacy (a hex log, alone).
func maketalk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: maketalk DIR WORD…")
	}
	in, out := record.In, record.Out
	var steps []step
	var encoder record.Encoder = hexlog.NewMetaEncoder()
	for i, word := range args[1:] {
		server := "10.9.9.9:7000"
		switch word {
		case "http":
			server = "10.9.9.9:8080"
		case "oneway":
			server = "10.9.9.9:9090"
		}
		open, data, gap, end := talk(firstWindow, 20+i, fmt.Sprintf("10.0.0.1:%d", 50000+i), server)
		turn := func(line string) []step {
			return []step{data(in, line+"\n"), data(out, "you said "+line+"\n")}
		}
		switch word {
		case "lines":
			steps = append(steps, open)
			steps = append(steps, turn("hello")...)
			steps = append(steps, turn("world")...)
			steps = append(steps, end("RemoteClose"))
		case "http":
			steps = append(steps, open, data(in, "GET /tea HTTP/1.1\r\nHost: a\r\n\r\n"),
				data(out, httpResponse("a1b2", 7, "Mon, 06 May 2024 07:08:09 GMT")), end("RemoteClose"))
		case "before":
			// The gap at the beginning is for what passed before the window.
			steps = append(steps, turnFrom(20+i, 100)...)
		case "gap":
			steps = append(steps, open)
			steps = append(steps, turn("hello")...)
			steps = append(steps, gap(in, 10, record.ReasonLimit))
			steps = append(steps, turn("world")...)
			steps = append(steps, end("RemoteClose"))
		case "oneway":
			steps = append(steps, open, data(in, "hello\n"), data(in, "world\n"), end("RemoteClose"))
		case "cut":
			steps = append(steps, open)
			steps = append(steps, turn("hello")...)
			steps = append(steps, data(in, "wor"))
		case "legacy":
			encoder = hexlog.NewEncoder()
			steps = append(steps, open, data(in, "hello\n"), data(in, "world\n"))
		default:
			ts.Fatalf("unknown word %q", word)
		}
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(os.WriteFile(filepath.Join(dir, layout.FlowLog), encodeWindow(encoder, nil, steps, dumpStart), 0o600))
}

// turnFrom is a turn of a connection of which so many bytes have passed before.
func turnFrom(id int, at uint64) []step {
	open, _, _, _ := talk(firstWindow, id, "10.0.0.1:60000", "10.9.9.9:7000")
	flow := func() *record.Flow {
		return &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{Window: firstWindow, Conn: fmt.Sprintf("k3v9qa-%d", id), Port: "7000"}}}
	}
	return []step{
		open,
		func(e record.Encoder, dst []byte, t int64) []byte {
			return e.Data(dst, t, flow(), record.In, at, []byte("hello\n"))
		},
		func(e record.Encoder, dst []byte, t int64) []byte {
			return e.Data(dst, t, flow(), record.Out, at, []byte("you said hello\n"))
		},
		func(e record.Encoder, dst []byte, t int64) []byte {
			return e.Close(dst, t, flow(), "RemoteClose", record.PerDirection{In: at + 6, Out: at + 15})
		},
	}
}

// startServer NAME KIND starts a server of the line protocol (same, changed, mute,
// gone, tls) or of HTTP (http, httpchanged) and sets $NAME.
func startServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: server NAME KIND")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], listener.Addr().String())
	say := func(line string) string { return "you said " + line + "\n" }
	switch args[1] {
	case "same":
	case "changed":
		say = func(line string) string { return strings.Replace("you said "+line+"\n", "world", "w\x1brld", 1) }
	case "mute":
		say = func(string) string { return "" }
	case "gone":
		ts.Check(listener.Close())
		return
	case "tls":
		pair, err := devcert.New(time.Now())
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), pair.Cert, 0o600))
		certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
		ts.Check(err)
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}})
	case "http":
		say = httpSay("zzzz")
	case "httpchanged":
		say = httpSay("zzzz\", \"more\": \"x")
	default:
		ts.Fatalf("unknown kind %q", args[1])
	}
	serveLines(ts, listener, say)
}

func httpSay(id string) func(string) string {
	n := 0
	var mu sync.Mutex // guards n
	return func(line string) string {
		if line != "" {
			return ""
		}
		mu.Lock()
		defer mu.Unlock()
		n++
		return httpResponse(id, 1000*n, "Tue, 07 May 2024 00:00:00 GMT")
	}
}

// serveLines answers each line until the script ends.
func serveLines(ts *testscript.TestScript, listener net.Listener, say func(string) string) {
	ts.Defer(loopback.Serve(listener, func(conn net.Conn) {
		for in := bufio.NewScanner(conn); in.Scan(); {
			if _, err := conn.Write([]byte(say(strings.TrimSuffix(in.Text(), "\r")))); err != nil {
				return
			}
		}
	}))
}
