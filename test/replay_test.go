package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/program"
)

// A real MOSN records 64 connections of four protocols; they are replayed to the
// servers that answered, as they were and changed in one answer.
func TestReplay(t *testing.T) {
	t.Parallel()
	ctl := buildCtl(t)
	protocols := []*replayed{replayedHTTP(t), replayedGRPC(t), replayedLines(t)}
	if redis := replayedRedis(t); redis != nil {
		protocols = append(protocols, redis)
	}
	base := newBase(t)
	var listeners []mosnproc.Listener
	config := mosnproc.Config{Servers: []mosnproc.Server{{}}}
	for _, p := range protocols {
		p.port = freePort(t)
		cluster := mosnproc.NewCluster(p.upstream)
		cluster.Name = p.name
		config.Clusters.Clusters = append(config.Clusters.Clusters, cluster)
		forward := mosnproc.Filter{Type: "tcp_proxy", Config: block{"cluster": p.name, "routes": []any{block{"cluster": p.name}}}}
		if p.name == "http" {
			forward = mosnproc.Proxy("Http1")
			config.Servers[0].Routers = []mosnproc.Router{routesTo(p.name)}
		}
		listeners = append(listeners, mosnproc.NewListener(p.name, fmt.Sprintf("127.0.0.1:%d", p.port), recorder(base, roomy()), forward))
	}
	config.Servers[0].Listeners = listeners
	m := start(t, base, config)

	ctx := deadline(t)
	for _, p := range protocols {
		p.reset(t)
	}
	w := m.window(func() {
		errs := make(chan error, speakers*len(protocols))
		for _, p := range protocols {
			for i := range speakers {
				go func() { // ends with its client's last answer
					errs <- p.use(ctx, fmt.Sprintf("127.0.0.1:%d", p.port), i)
				}()
			}
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		eventually(t, "all connections have ended", func() bool { return closes(m) == cap(errs) })
	})
	complete(t, w)
	if t.Failed() {
		return
	}
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			to := p.upstream
			if p.name == "http" {
				to = fmt.Sprintf("127.0.0.1:%d", p.port) // the proxy itself answers, too
			}
			for _, speed := range []string{"1", "max"} {
				p.reset(t)
				same := replayTo(t, ctl, m, p, to, "--speed", speed)
				if same.code != 0 || same.Connections != speakers || same.Turns != p.turns || same.Equal != p.turns || same.Failed+same.Skipped > 0 {
					t.Errorf("speed %s, the same server: exit code %d, %+v\n%s", speed, same.code, same, same.text)
				}
			}
			p.reset(t)
			p.change(t, true)
			changed := replayTo(t, ctl, m, p, to, "--speed", "max")
			p.change(t, false)
			if changed.code != 1 || changed.Turns != p.turns || changed.Equal != p.turns-1 || changed.Different != 1 || len(changed.differences) != 1 ||
				!strings.Contains(changed.differences[0], p.found) {
				t.Errorf("the changed server: exit code %d, %+v, differences %q\n%s", changed.code, changed, changed.differences, changed.text)
			}
		})
	}
}

func replayedHTTP(t *testing.T) *replayed {
	const requests = 6
	var changed atomic.Bool
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		w.Header().Set("X-Path", r.URL.Path)
		if changed.Load() && r.URL.Path == "/client/7/3" {
			body = append(body, '!')
		}
		_, _ = w.Write(body)
	})}
	return &replayed{
		name: "http", upstream: serveHTTP(t, &server), turns: speakers * requests, found: "POST /client/7/3",
		reset:  func(*testing.T) {},
		change: func(_ *testing.T, change bool) { changed.Store(change) },
		use: func(ctx context.Context, address string, client int) error {
			c := newHTTPClient("tcp", address)
			defer c.CloseIdleConnections()
			for j := range requests {
				length := []int64{0, 1, 1000, 70_000, 5, 300_000}[(client+j)%6]
				url := fmt.Sprintf("http://%s/client/%d/%d", address, client, j)
				if err := c.post(ctx, url, randomBytes(int64(client*requests+j), length), nil); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func replayedGRPC(t *testing.T) *replayed {
	const calls = 8
	var changed atomic.Bool
	// A window that is given turns gRPC's own estimates off, which have a race.
	const window = 65535
	server := grpcecho.NewServer(grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if changed.CompareAndSwap(true, false) {
				return nil, errors.New("no")
			}
			return handler(ctx, req)
		}))
	address := serveUntilEnd(t, server.Serve, server.Stop)
	return &replayed{
		name: "grpc", upstream: address, turns: speakers * calls, found: "POST " + grpcecho.EchoMethod,
		reset:  func(*testing.T) {},
		change: func(_ *testing.T, change bool) { changed.Store(change) },
		use: func(ctx context.Context, address string, client int) error {
			conn, err := grpc.DialContext(ctx, address, grpc.WithInsecure(), grpc.WithBlock())
			if err != nil {
				return err
			}
			defer conn.Close()
			for j := range calls {
				if _, err := grpcecho.Echo(ctx, conn, randomBytes(int64(client), int64(1+client+20_000*j))); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func replayedLines(t *testing.T) *replayed {
	const lines = 20
	var changed atomic.Bool
	address := upstream(t, func(conn net.Conn) {
		for in := bufio.NewScanner(conn); in.Scan(); {
			result := "said"
			if changed.Load() && in.Text() == "line 11 of 13" {
				result = "sang"
			}
			if _, err := fmt.Fprintf(conn, "you %s %s\n", result, in.Text()); err != nil {
				return
			}
		}
	})
	return &replayed{
		name: "lines", upstream: address, turns: speakers * lines, found: "line 11 of 13",
		reset:  func(*testing.T) {},
		change: func(_ *testing.T, change bool) { changed.Store(change) },
		use: func(_ context.Context, address string, client int) error {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return err
			}
			defer conn.Close()
			answers := bufio.NewReader(conn)
			for j := range lines {
				line := fmt.Sprintf("line %d of %d", j, client)
				if _, err := fmt.Fprintln(conn, line); err != nil {
					return err
				}
				got, err := answers.ReadString('\n')
				if err != nil {
					return fmt.Errorf("answer to %q: %w", line, err)
				}
				if got != "you said "+line+"\n" {
					return fmt.Errorf("%q was answered with %q", line, got)
				}
			}
			return nil
		},
	}
}

// replayedRedis runs a redis-server of its own; nil where none is installed.
func replayedRedis(t *testing.T) *replayed {
	t.Helper()
	binary, found := program.Find(t, "redis-server")
	if !found {
		t.Log("redis-server is not installed: 48 connections instead of 64")
		return nil
	}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	server := exec.Command(binary, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = server.Wait() // it was killed
	})
	eventually(t, "redis answers", func() bool { return redis(address, "PING") == nil })
	reset := func(t *testing.T) {
		t.Helper()
		commands := []string{"FLUSHALL"}
		for i := range speakers {
			commands = append(commands, fmt.Sprintf("SET preset:%d value-%d", i, i))
		}
		if err := redis(address, commands...); err != nil {
			t.Fatal(err)
		}
	}
	commands := func(client int) []string {
		key := strconv.Itoa(client)
		return []string{
			"PING", "GET preset:" + key, "SET k:" + key + " " + strings.Repeat("v", 1+1000*client), "GET k:" + key, "INCR c:" + key, "INCR c:" + key,
			"RPUSH l:" + key + " a b c", "LRANGE l:" + key + " 0 -1", "GET none:" + key, "NOSUCH " + key,
		}
	}
	return &replayed{
		name: "redis", upstream: address, turns: speakers * len(commands(0)), found: "preset:9", reset: reset,
		change: func(t *testing.T, change bool) {
			t.Helper()
			if change {
				if err := redis(address, "SET preset:9 changed"); err != nil {
					t.Fatal(err)
				}
			}
		},
		use: func(_ context.Context, address string, client int) error { return redis(address, commands(client)...) },
	}
}
