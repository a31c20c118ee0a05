package resend_test

import (
	"testing"

	"mosn.io/tcpcopy/tool/internal/resend"
)

// The command goes to the listener that the client reached, whatever name the client has for
// the server.
func TestCurlReachesTheListener(t *testing.T) {
	for _, c := range []struct{ host, address, want string }{
		{"shop.example", "10.0.0.5:2046", "curl -i --connect-to ::10.0.0.5:2046 http://shop.example/a -H User-Agent: -H Accept:"},
		{"shop.example:8080", "[2001:db8::1]:2046", "curl -i --connect-to '::[2001:db8::1]:2046' http://shop.example:8080/a -H User-Agent: -H Accept:"},
		{"10.0.0.5:2046", "10.0.0.5:2046", "curl -i http://10.0.0.5:2046/a -H User-Agent: -H Accept:"},
		{"10.0.0.5", "10.0.0.5:80", "curl -i http://10.0.0.5/a -H User-Agent: -H Accept:"},
		{"localhost:2046", "127.0.0.1:2046", "curl -i http://localhost:2046/a -H User-Agent: -H Accept:"},
		{"localhost:2047", "127.0.0.1:2046", "curl -i --connect-to ::127.0.0.1:2046 http://localhost:2047/a -H User-Agent: -H Accept:"},
		{"[::1]:2046", "[::1]:2046", "curl -i --globoff 'http://[::1]:2046/a' -H User-Agent: -H Accept:"},
		{"", "10.0.0.5:2046", "curl -i http://10.0.0.5:2046/a -H User-Agent: -H Accept:"},
		{"shop", "", "curl -i http://shop/a -H User-Agent: -H Accept:"},
		{"shop", "0.0.0.0:2046", "curl -i http://shop/a -H User-Agent: -H Accept:"},
		{"shop", "/run/a b.sock", "curl -i --unix-socket '/run/a b.sock' http://shop/a -H User-Agent: -H Accept:"},
		{"", "@abstract", "curl -i --abstract-unix-socket abstract http://localhost/a -H User-Agent: -H Accept:"},
	} {
		r := resend.HTTP{Version: "http/1.1", Method: "GET", Target: "/a", Host: c.host, Address: c.address}
		if got, err := r.Curl(); err != nil || got != c.want {
			t.Errorf("%q at %q: %s, %v, want %s", c.host, c.address, got, err, c.want)
		}
	}
}
