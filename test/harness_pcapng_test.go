package test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/devcert"
	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

// allKinds returns listeners of each kind that has streams, with that filter, and
// ways to connect to them, as often as they are to be taken. Where the machine has
// no IPv6, that kind is missing.
func allKinds(t *testing.T, base string, filter mosnproc.Filter) (listeners []mosnproc.Listener, dials []func() (net.Conn, error)) {
	t.Helper()
	pair, err := devcert.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	add := func(name, network, address string, times int) *mosnproc.Listener {
		l := mosnproc.NewListener(name, address, filter, mosnproc.TCPProxy())
		l.Network = network
		listeners = append(listeners, l)
		for range times {
			dials = append(dials, func() (net.Conn, error) { return net.Dial(network, address) })
		}
		return &listeners[len(listeners)-1]
	}
	add("v4", "tcp", freeAddress(t), 3)
	if probe, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Logf("without IPv6: %v", err)
	} else {
		probe.Close()
		add("v6", "tcp", fmt.Sprintf("[::1]:%d", freePort(t)), 3)
	}
	add("unix", "unix", filepath.Join(base, "s.sock"), 1)

	address, trusted := freeAddress(t), x509.NewCertPool()
	add("tls", "tcp", address, 0).Chains[0].TLS = block{"status": true, "cert_chain": string(pair.Cert), "private_key": string(pair.Key)}
	trusted.AppendCertsFromPEM(pair.Cert)
	dials = append(dials, func() (net.Conn, error) {
		return tls.Dial("tcp", address, &tls.Config{RootCAs: trusted, ServerName: "localhost"})
	})
	return listeners, dials
}

// portOf returns the port of an address.
func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// mustBytes returns the bytes of a stream without gaps.
func mustBytes(t *testing.T, s oracle.Stream) []byte {
	t.Helper()
	all, err := s.Bytes()
	if err != nil {
		t.Error(err)
	}
	return all
}
