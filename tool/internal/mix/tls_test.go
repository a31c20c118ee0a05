package mix

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/devcert"
	"mosn.io/tcpcopy/internal/loopback"
	"mosn.io/tcpcopy/internal/witness"
)

func startTLS(t testing.TB) server {
	t.Helper()
	pair, err := devcert.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pair.Cert)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1", "echo"}}
	t.Cleanup(loopback.Serve(listener, func(conn net.Conn) {
		c := tls.Server(conn, config)
		_, _ = io.Copy(c, c) // until the client ends
	}))
	return server{address: listener.Addr().String(), name: "crypto/tls", roots: roots}
}

// tls passes something through TLS and notes the one call that its connection is.
func (r *run) tls(name string, version uint16, rounds int) {
	conn := r.dial()
	config := &tls.Config{RootCAs: r.on.roots, ServerName: name, MinVersion: version, MaxVersion: version, NextProtos: []string{"echo"}}
	if name != "localhost" {
		config.InsecureSkipVerify = true
	}
	c := tls.Client(conn, config)
	r.check(c.SetDeadline(time.Now().Add(20 * time.Second)))
	for i := range rounds {
		text := fmt.Sprintf("secret %d", i)
		_, err := c.Write([]byte(text))
		r.check(err)
		got := make([]byte, len(text))
		_, err = io.ReadFull(c, got)
		r.check(err)
	}
	r.check(c.Close())
	r.note(conn, witness.Call{Protocol: "tls", Method: "handshake", Target: name, Host: name, Status: tls.VersionName(version), Comment: fmt.Sprintf("passes through; %s, server name %q, ALPN echo", tls.VersionName(version), name)})
}

func tlsScenarios() []scenario {
	return []scenario{
		{"tls", "1.3", func(r *run) { r.tls("localhost", tls.VersionTLS13, 20) }},
		{"tls", "1.2", func(r *run) { r.tls("localhost", tls.VersionTLS12, 20) }},
		{"tls", "other-name", func(r *run) { r.tls("shop.example.com", tls.VersionTLS13, 1) }},
		{"tls", "no-name", func(r *run) { r.tls("", tls.VersionTLS13, 1) }},
	}
}

// tcpScenarios are connections of no protocol that anybody knows.
func tcpScenarios() []scenario {
	return []scenario{
		{"script", "tcp-turns", func(r *run) {
			s := r.script()
			for i := range 20 {
				q := s.client(fmt.Sprintf("\x07\x00ask %d", i))
				a := s.server(fmt.Sprintf("\x08\x00tell %d", i))
				s.note(witness.Call{Protocol: "tcp", Method: "turn"}, q, a)
			}
			s.play()
		}},
		{"script", "tcp-server-first", func(r *run) {
			s := r.script()
			s.note(witness.Call{Protocol: "tcp", Method: "turn"}, nil, s.server("\xf0\x9f\x91\x8b welcome\n"))
			for i := range 10 {
				q := join(s.client(fmt.Sprintf("\x01first %d", i)), s.client("\x02second"))
				a := join(s.server("\x03one"), s.server("\x04two"))
				s.note(witness.Call{Protocol: "tcp", Method: "turn"}, q, a)
			}
			s.play()
		}},
	}
}
