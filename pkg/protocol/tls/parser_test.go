package tls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	tlsparser "mosn.io/tcpcopy/pkg/protocol/tls"
	"mosn.io/tcpcopy/pkg/record"
)

// wire records what passes on a connection.
type wire struct {
	net.Conn
	mu      *sync.Mutex
	session *parsetest.Session // guarded by mu
}

func (w wire) add(dir record.Direction, b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := parsetest.Start.Add(time.Duration(len(*w.session)) * time.Millisecond)
	*w.session = append(*w.session, parsetest.Piece{Dir: dir, At: at, Data: bytes.Clone(b)})
}

func (w wire) Write(b []byte) (int, error) {
	w.add(record.In, b)
	return w.Conn.Write(b)
}

func (w wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 {
		w.add(record.Out, b[:n])
	}
	return n, err
}

// handshake returns what passes between Go's client and server with these
// configurations.
func handshake(t testing.TB, client, server *tls.Config) parsetest.Session {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop.example"}, NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server.Certificates = []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}
	near, far := net.Pipe()
	var session parsetest.Session
	go func() {
		s := tls.Server(far, server)
		_, _ = io.Copy(s, s) // it echoes until the client closes, or the handshake fails
		_ = s.Close()
	}()
	c := tls.Client(wire{near, &sync.Mutex{}, &session}, client)
	if _, err := c.Write([]byte("hello")); err == nil {
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	_ = near.Close()
	return session
}

func TestHandshakes(t *testing.T) {
	for _, c := range []struct {
		name           string
		client, server *tls.Config
		status         string
		failed         bool
	}{
		{"1.3", &tls.Config{}, &tls.Config{}, "TLS 1.3", false},
		{"1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, &tls.Config{}, "TLS 1.2", false},
		{"too old", &tls.Config{MaxVersion: tls.VersionTLS12}, &tls.Config{MinVersion: tls.VersionTLS13}, "protocol_version", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.client.ServerName, c.client.InsecureSkipVerify = "shop.example", true
			session := handshake(t, c.client, c.server)
			r, err := parsetest.Decode(&tlsparser.Protocol, session, true)
			if err != nil || len(r.Calls) != 1 {
				t.Fatalf("%v; calls\n%s", err, parsetest.Text(r.Calls))
			}
			got := r.Calls[0]
			if got.Protocol != call.TLS || got.Target != "shop.example" || got.Status != c.status || got.Failed != c.failed || got.Incomplete != 0 || !got.Response.Ended {
				t.Errorf("%+v", got)
			}
			parsetest.Check(t, &tlsparser.Protocol, session)
			parsetest.Hostile(t, &tlsparser.Protocol, session)
		})
	}
}

// A server that does not have the name that the client asked for may warn of that and go on.
func TestWarningBeforeTheHello(t *testing.T) {
	session := parsetest.Talk(
		">\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
		"<\x15\x03\x03\x00\x02\x01\x70", // unrecognized_name
		"<\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03"+strings.Repeat("r", 32)+"\x00\xc0\x2f\x00",
	)
	r, err := parsetest.Decode(&tlsparser.Protocol, session, true)
	if err != nil || len(r.Calls) != 1 || r.Calls[0].Status != "TLS 1.2" || r.Calls[0].Failed || r.Calls[0].Response.Length != 7+47 {
		t.Errorf("%v; calls\n%s", err, parsetest.Text(r.Calls))
	}
}

func FuzzParser(f *testing.F) {
	parsetest.Fuzz(f, &tlsparser.Protocol,
		parsetest.Talk(">\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", "<\x15\x03\x03\x00\x02\x02\x28"),
		handshake(f, &tls.Config{ServerName: "shop.example", InsecureSkipVerify: true}, &tls.Config{}),
	)
}
