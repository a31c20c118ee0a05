package test

import (
	"net"
	"testing"
)

// refusals returns the refused listeners of the status with their reasons.
func refusals(t *testing.T, m *mosn) map[string]string {
	t.Helper()
	status, err := m.Admin.Status(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{}
	for _, r := range status.Refused {
		refused[r.Listener] = r.Error
	}
	return refused
}

// sendOnce connects to a listener in front of an echo server and sends text.
func sendOnce(t *testing.T, address, text string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sendAndReceive(t, conn, text)
}
