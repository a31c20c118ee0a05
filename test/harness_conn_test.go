package test

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// send writes text to conn.
func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// receive reads as many bytes from conn as text has, which must be text.
func receive(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatalf("read %d bytes: %v", len(text), err)
	}
	if string(got) != text {
		t.Fatalf("read %q, want %q", got, text)
	}
}

// sendAndReceive sends text through a proxy to an echo server and waits for it to come back.
func sendAndReceive(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	send(t, conn, text)
	receive(t, conn, text)
}

// closes counts the close lines that the flow log of an open window has so far.
func closes(m *mosn) int { return bytes.Count(flowLog(m), []byte(" close] ")) }

// flowLog returns the text of the flow log so far, of which the last line may not
// be whole; nil while there is none.
func flowLog(m *mosn) []byte {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dump, "dump_tcp_copy.log"))
	if err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
	return text
}

// mustRead returns the content of a file.
func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
