package test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/devcert"
	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/internal/wiretap"
)

// Each configuration that the repository ships is loaded by a real MOSN and
// records what passes.
func TestShippedConfigurationsRecord(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../configs/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d configurations, %v", len(paths), err)
	}
	tried := map[string]func(*testing.T, string){
		"tcp":     func(t *testing.T, path string) { recordsHTTP(t, path, "tcp") },
		"http":    func(t *testing.T, path string) { recordsHTTP(t, path, "tcp") },
		"unix":    func(t *testing.T, path string) { recordsHTTP(t, path, "unix") },
		"tls":     recordsTLS,
		"udp":     recordsUDP,
		"grpc":    recordsGRPC,
		"layotto": recordsGRPC,
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		try, ok := tried[name]
		if !ok {
			t.Errorf("no test tries %s", path)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try(t, path)
		})
	}
}

// recorded fails the test unless the window has a connection with the text.
func (s *shipped) recorded(t *testing.T, m *mosn, w oracle.Window, text string) {
	t.Helper()
	complete(t, w)
	if w.Connections != 1 || w.Seen.In == 0 || (w.Seen.Out == 0) != s.hex {
		t.Errorf("index line %+v", w)
	}
	read := oracle.ReadMeta
	if s.hex {
		read = oracle.ReadHex
	}
	lines, err := read(m.dump)
	if err != nil {
		t.Fatal(err)
	}
	var sent []byte
	for _, l := range lines {
		if l.Kind == oracle.Data && l.Direction != oracle.Out {
			sent = append(sent, l.Payload...)
		}
	}
	if !strings.Contains(string(sent), text) {
		t.Errorf("%q is not in the %d bytes recorded", text, len(sent))
	}
}

func recordsHTTP(t *testing.T, path, network string) {
	s := loadShipped(t, path, httpUpstream(t))
	m := s.run(t, network)
	client := newHTTPClient(network, s.address)
	defer client.CloseIdleConnections()
	w := m.window(func() {
		if err := client.post(deadline(t), "http://shipped.example/tower", []byte("request to land"), nil); err != nil {
			t.Fatal(err)
		}
	})
	s.recorded(t, m, w, "request to land")
	if strings.HasSuffix(path, "http.json") {
		if text := string(mustRead(t, filepath.Join(m.dump, "dump_portrait_data.log"))); !strings.Contains(text, "[RPC]") {
			t.Errorf("no portrait of the request: %q", text)
		}
	}
}

func recordsTLS(t *testing.T, path string) {
	s := loadShipped(t, path, httpUpstream(t))
	pair, err := devcert.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	context, ok := s.tls()
	if !ok {
		t.Fatal("no tls_context")
	}
	if context["cert_chain"], context["private_key"], err = pair.Write(filepath.Join(s.base, "certs")); err != nil {
		t.Fatal(err)
	}
	m := s.run(t, "tcp")
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pair.Cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}}
	w := m.window(func() {
		res, err := client.Get("https://" + s.address + "/over-tls")
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("status %s, %v", res.Status, err)
		}
	})
	s.recorded(t, m, w, "GET /over-tls")
}

func recordsUDP(t *testing.T, path string) {
	s := loadShipped(t, path, udpEcho(t))
	m := s.run(t, "udp")
	ping(t, s.address, "are you there?")
	conn, err := net.Dial("udp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w := m.window(func() {
		if !askUDP(t, conn, "a datagram", timeout) {
			t.Fatal("the datagram got lost")
		}
	})
	s.recorded(t, m, w, "a datagram")
}

func recordsGRPC(t *testing.T, path string) {
	s := loadShipped(t, path, "")
	m := s.run(t, "tcp")
	var tap *wiretap.Conn
	w := m.window(func() {
		conn := dialGRPC(t, s.address, &tap)
		defer conn.Close()
		if got, err := grpcecho.Echo(deadline(t), conn, []byte("a call")); err != nil || string(got) != "a call" {
			t.Fatalf("Echo answered %q, %v", got, err)
		}
	})
	s.recorded(t, m, w, "a call")
}
