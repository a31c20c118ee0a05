package test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// speakers is how many connections each protocol has in the recording.
const speakers = 16

// replayed is one protocol of TestReplay: a server, what its clients say, and how
// it is changed in one answer.
type replayed struct {
	name     string
	upstream string
	port     int // of the proxy's listener
	use      func(ctx context.Context, address string, client int) error
	reset    func(t *testing.T)              // puts the server into the state that the recording began with
	change   func(t *testing.T, change bool) // changes one answer, or takes that back
	found    string                          // what the difference is of
	turns    int
}

func routesTo(cluster string) mosnproc.Router {
	r := mosnproc.Routes()
	r.VirtualHosts[0].Routes[0].Action = map[string]any{"cluster_name": cluster}
	return r
}

// replayResult is what the replay command says with -o json.
type replayResult struct {
	Connections, Turns, Equal, Different, Missing, Late, Failed, Skipped int

	code        int
	differences []string // labels or requests
	text        string
}

func replayTo(t *testing.T, ctl ctlBinary, m *mosn, p *replayed, to string, flags ...string) replayResult {
	t.Helper()
	s := ctl.run(t, append([]string{"replay", m.dump, "--to", to, "--port", strconv.Itoa(p.port), "-o", "json"}, flags...)...)
	r := replayResult{code: s.code, text: s.stderr}
	for lines := bufio.NewScanner(strings.NewReader(s.stdout)); lines.Scan(); {
		var row struct {
			Summary     bool
			Error       string
			Differences []struct {
				Label   string
				Request []byte
			}
		}
		lines := lines.Bytes()
		if err := json.Unmarshal(lines, &row); err != nil {
			t.Fatalf("%v: %.300s", err, lines)
		}
		if row.Error != "" {
			r.text += row.Error + "\n"
		}
		for _, d := range row.Differences {
			r.differences = append(r.differences, d.Label+string(d.Request))
		}
		if row.Summary {
			if err := json.Unmarshal(lines, &r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

// serveHTTP serves a loopback port until the test ends and returns its address.
func serveHTTP(t *testing.T, server *http.Server) string {
	t.Helper()
	return serveUntilEnd(t, server.Serve, func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
}

// serveUntilEnd runs serve, which stop ends, on a loopback port until the test ends
// and returns the address.
func serveUntilEnd(t *testing.T, serve func(net.Listener) error, stop func()) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { // ends with stop
		defer close(served)
		_ = serve(listener) // its error is that it was stopped
	}()
	t.Cleanup(func() {
		stop()
		<-served
	})
	return listener.Addr().String()
}

// redis sends commands in Redis's protocol, each command when the one before
// has been answered. Errors that the server answers with are answers.
func redis(address string, commands ...string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, command := range commands {
		words := strings.Fields(command)
		text := fmt.Appendf(nil, "*%d\r\n", len(words))
		for _, word := range words {
			text = fmt.Appendf(text, "$%d\r\n%s\r\n", len(word), word)
		}
		if _, err := conn.Write(text); err != nil {
			return err
		}
		if err := readReply(in); err != nil {
			return fmt.Errorf("answer to %q: %w", command, err)
		}
	}
	return nil
}

// readReply reads one reply, with its parts.
func readReply(in *bufio.Reader) error {
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:])) // of replies that have a number
	switch line[0] {
	case '*':
		for range n {
			if err := readReply(in); err != nil {
				return err
			}
		}
	case '$':
		if n >= 0 {
			_, err = io.CopyN(io.Discard, in, int64(n)+2)
		}
	}
	return err
}
