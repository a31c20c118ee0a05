package test

import (
	"fmt"
	"net"
	"testing"
)

// usualPorts are ports that Wireshark decodes as HTTP's by default (its preference
// http.tcp.port). There it dissects HTTP, and HTTP/2 by the preface with which it
// begins, without being asked: on other ports people must ask for it, by "Decode
// As".
var usualPorts = []int{8080, 8088, 3128, 3132, 80, 5985}

// usualAddresses returns n loopback addresses on usual ports, or skips the test:
// what cannot be chosen may be in use.
func usualAddresses(t *testing.T, n int) []string {
	t.Helper()
	var free []string
	for _, port := range usualPorts {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			free = append(free, address)
		}
	}
	if len(free) < n {
		t.Skipf("of the ports %v, on which Wireshark expects HTTP, only %v are free, and %d are needed", usualPorts, free, n)
	}
	return free[:n]
}
