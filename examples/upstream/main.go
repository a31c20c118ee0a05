// Command upstream has the servers behind the proxies of configs/: it answers every
// HTTP request with its own method, path and body, and sends every datagram back.
//
//	go run ./examples/upstream -listen 127.0.0.1:8080 -udp 127.0.0.1:8053
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"mosn.io/tcpcopy/internal/upstream"
)

func main() {
	http := flag.String("listen", "127.0.0.1:8080", "`ADDRESS` to serve HTTP on")
	udp := flag.String("udp", "127.0.0.1:8053", "`ADDRESS` to receive datagrams on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *http, *udp); err != nil {
		fmt.Fprintf(os.Stderr, "upstream: %v\n", err)
		os.Exit(1)
	}
}

// serve serves both addresses until ctx is done or one of them fails.
func serve(ctx context.Context, http, udp string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listener, err := net.Listen("tcp", http)
	if err != nil {
		return fmt.Errorf("%w (make run serves this address itself where nothing else does)", err)
	}
	conn, err := net.ListenPacket("udp", udp)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	fmt.Printf("serving HTTP on %s, datagrams on %s\n", http, udp)
	ended := make(chan error, 2)
	for _, server := range []func() error{
		func() error { return upstream.ServeHTTP(ctx, listener) },
		func() error { return upstream.ServeUDP(ctx, conn) },
	} {
		go func() { // ends with ctx; serve waits for it
			err := server()
			cancel() // neither serves without the other
			ended <- err
		}()
	}
	return errors.Join(<-ended, <-ended)
}
