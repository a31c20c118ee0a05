package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"mosn.io/tcpcopy/internal/upstream"
)

// addressesAreFree returns an error that names the addresses that MOSN is to serve and
// that somebody serves already. Without it, a second MOSN would replace a running one of this
// folder: that is MOSN's hot upgrade.
func (c *config) addressesAreFree() error {
	var errs []error
	check := func(network, address, what string) {
		if err := free(network, address); err != nil {
			errs = append(errs, fmt.Errorf("%s cannot be served: %w", what, err))
		}
	}
	check("tcp", c.admin(), "the admin server")
	for _, l := range c.listeners() {
		check(l.network(), l.Address, "listener "+l.Name)
	}
	err := errors.Join(errs...)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w\nis another `make run` running? bin/mosn stop -c %s stops it", err, c.path)
	}
	return err
}

// free returns an error if address cannot be served.
func free(network, address string) error {
	switch network {
	case "udp":
		conn, err := net.ListenPacket(network, address)
		if err != nil {
			return err
		}
		return conn.Close()
	case "unix":
		// A file without a process behind it is left from a MOSN that was killed; MOSN
		// replaces it.
		if conn, err := net.Dial(network, address); err == nil {
			return errors.Join(conn.Close(), fmt.Errorf("%s: %w", address, syscall.EADDRINUSE))
		}
		return nil
	default:
		listener, err := net.Listen(network, address)
		if err != nil {
			return err
		}
		return listener.Close()
	}
}

// serveUpstreams serves those upstreams of the configuration that nobody serves, until
// ctx is done. The caller waits for the servers then.
func (c *config) serveUpstreams(ctx context.Context) (*sync.WaitGroup, error) {
	servers := new(sync.WaitGroup)
	for _, address := range c.upstreams() {
		serve, err := server(ctx, address, c.isUDP())
		if errors.Is(err, syscall.EADDRINUSE) {
			continue // `make upstream`, or the user's own
		}
		if err != nil {
			return servers, fmt.Errorf("upstream %s: %w", address, err)
		}
		c.served = append(c.served, address)
		servers.Add(1)
		go func() { // ends with ctx
			defer servers.Done()
			if err := serve(); err != nil {
				fmt.Fprintf(os.Stderr, "make run: upstream: %v\n", err)
			}
		}()
	}
	return servers, nil
}

// server listens on address and returns what serves it until ctx is done.
func server(ctx context.Context, address string, udp bool) (serve func() error, err error) {
	if udp {
		conn, err := net.ListenPacket("udp", address)
		return func() error { return upstream.ServeUDP(ctx, conn) }, err
	}
	listener, err := net.Listen("tcp", address)
	return func() error { return upstream.ServeHTTP(ctx, listener) }, err
}
