// Command demo shows the recorder at work, and is what `make demo` runs: it builds
// and starts the real cmd/mosn as a proxy in front of a small HTTP server, opens a
// window by hand, sends requests through the proxy, closes the window and prints
// what was recorded. It ends with exit code 0 only if every connection's bytes, in
// both directions, are in the recording as the client sent and received them.
//
// It listens on free loopback ports and writes into a temporary folder, which it
// leaves behind to be looked at.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // "make demo | head" must not leave MOSN behind
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// run is the whole demonstration; it writes what it shows to out.
func run(ctx context.Context, out io.Writer) (err error) {
	fmt.Fprintln(out, "building cmd/mosn …")
	binary, err := mosnproc.Build(ctx, "bin", false)
	if err != nil {
		return err
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	base, err := os.MkdirTemp("", "tcpcopy-demo-")
	if err != nil {
		return err
	}
	dump := filepath.Join(base, "dump")

	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	upstream := httptest.NewServer(http.HandlerFunc(answer))
	defer upstream.Close()

	var ports mosnproc.Ports
	listen, err := ports.Next()
	if err != nil {
		return err
	}
	admin, err := ports.Next()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", listen)
	spec := mosnproc.Spec{Binary: binary, Base: base, AdminPort: admin}
	proxy, err := spec.Start(ctx, config(address, upstream.Listener.Addr().String(), dump))
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, proxy.Stop(ctx))
	}()
	fmt.Fprintf(out, "mosn, process %d, proxies http://%s to http://%s; admin at http://127.0.0.1:%d\n",
		proxy.Pid(), address, upstream.Listener.Addr(), admin)

	window, err := proxy.Admin.OpenWindow(ctx, time.Minute)
	if err != nil {
		return fmt.Errorf("%w\nits log:\n%s", err, proxy.Log())
	}
	clients, err := sendRequests(ctx, "http://"+address)
	if err != nil {
		return err
	}
	if err := proxy.Admin.CloseWindow(ctx); err != nil {
		return fmt.Errorf("%w\nits log:\n%s", err, proxy.Log())
	}
	return show(out, dump, window, clients)
}

// config is MOSN as an HTTP proxy whose listener records both directions into dump.
func config(listen, upstream, dump string) mosnproc.Config {
	recorder := mosnproc.Filter{Type: "tcpcopy", Config: map[string]any{
		"capture": map[string]any{"direction": "both"},
		"output":  map[string]any{"dir": dump, "formats": []string{"hex_meta"}},
		"guard":   "off", // a demonstration must work on a busy machine, too
	}}
	listener := mosnproc.NewListener("http", listen, recorder, mosnproc.Proxy("Http1"))
	listener.Streams = []mosnproc.Filter{{Type: "tcpcopy_portrait", Config: map[string]any{"business_type": "RPC"}}}
	return mosnproc.Config{
		Servers: []mosnproc.Server{{
			Listeners: []mosnproc.Listener{listener},
			Routers:   []mosnproc.Router{mosnproc.Routes()},
		}},
		Clusters: mosnproc.ClusterManager{Clusters: []mosnproc.Cluster{mosnproc.NewCluster(upstream)}},
	}
}
