package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHTTPAnswersWithTheRequestUntilItIsEnded(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- ServeHTTP(ctx, listener) }() // ends with cancel
	res, err := http.Post("http://"+listener.Addr().String()+"/tower?q=1", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "POST /tower?q=1\nhello" {
		t.Errorf("answered %q, %v", body, err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := listener.Close(); err == nil {
		t.Error("the listener is still open")
	}
}

func TestUDPSendsEachDatagramBackUntilItIsEnded(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- ServeUDP(ctx, conn) }() // ends with cancel
	client, err := net.Dial("udp", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "another"} {
		if _, err := io.WriteString(client, text); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if n, err := client.Read(buf); err != nil || string(buf[:n]) != text {
			t.Errorf("answered %q to %q, %v", buf[:n], text, err)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
