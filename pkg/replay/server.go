package replay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Server is where requests are sent to.
type Server struct {
	Network string // "tcp" if empty, or "unix"
	Address string // host:port, or the path of a Unix socket

	// TLS, when not nil, is used for every connection. A ServerName that is empty
	// is taken from the address, and NextProtos that are nil from what the
	// session speaks.
	TLS *tls.Config
}

// ParseServer reads an address as people write it: host:port, or the path of a
// Unix socket.
func ParseServer(text string) (Server, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok || strings.HasPrefix(text, "/") {
		s := Server{Network: "unix", Address: path}
		return s, s.validate()
	}
	s := Server{Address: text}
	return s, s.validate()
}

func (s *Server) validate() error {
	switch s.Network {
	case "unix":
		if s.Address == "" {
			return errors.New(`address "", valid: the path of a Unix socket`)
		}
		return nil
	case "", "tcp":
		host, port, err := net.SplitHostPort(s.Address)
		if err != nil || host == "" || port == "" {
			return fmt.Errorf("address %q, valid: host:port, or the path of a Unix socket", s.Address)
		}
		if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
			return fmt.Errorf("address %q: port %q, valid: 1 … 65535", s.Address, port)
		}
		return nil
	default:
		return fmt.Errorf("network %q, valid: tcp, unix", s.Network)
	}
}

// String returns the address.
func (s *Server) String() string {
	if s.TLS != nil {
		return s.Address + " (TLS)"
	}
	return s.Address
}

// connect opens a connection within timeout.
func (s *Server) connect(ctx context.Context, p Protocol, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	network := s.Network
	if network == "" {
		network = "tcp"
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, s.Address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if s.TLS == nil {
		return conn, nil
	}
	secure := tls.Client(conn, s.config(p))
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to %s: TLS handshake: %w", s.Address, err)
	}
	return secure, nil
}

// config completes the TLS configuration.
func (s *Server) config(p Protocol) *tls.Config {
	c := s.TLS.Clone()
	if c.ServerName == "" {
		if host, _, err := net.SplitHostPort(s.Address); err == nil {
			c.ServerName = host
		}
	}
	if c.NextProtos == nil {
		switch p {
		case HTTP1:
			c.NextProtos = []string{"http/1.1"}
		case HTTP2:
			c.NextProtos = []string{"h2"}
		}
	}
	return c
}
