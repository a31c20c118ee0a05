package main

import (
	"fmt"
	"io"
	"strings"
)

// printNext writes what a user can do with the running proxy. Each command is on a line
// of its own, indented by two spaces, and works in the order in which it is written.
func (c *config) printNext(out io.Writer, root string) {
	fmt.Fprintf(out, "\n%s: MOSN runs and records; its log is %s. Ctrl-C ends it.\n", c.path, c.Servers[0].LogPath)
	for _, l := range c.listeners() {
		fmt.Fprintf(out, "  %s\n", l.what(c.upstreams()))
	}
	if len(c.served) > 0 {
		fmt.Fprintf(out, "  make run itself answers on %s, because nothing else did\n", strings.Join(c.served, ", "))
	}
	fmt.Fprintf(out, "  admin server at http://%s\n", c.admin())
	fmt.Fprintf(out, "  recordings in %s/%s\n", root, dumpDir)

	fmt.Fprintf(out, "\nIn a second terminal:\n\n")
	fmt.Fprintf(out, "  cd %s\n", quote(root))

	first := c.listeners()[0]
	admin := ""
	if c.admin() != defaultAdmin {
		admin = " --admin " + c.admin()
	}
	if interval, duration, ok := first.schedule(); ok {
		fmt.Fprintf(out, "\nMOSN records by itself, for %d s after each %d s. Record only when you say so:\n\n", duration, interval)
		fmt.Fprintf(out, "  bin/tcpcopyctl off%s\n", admin)
	}
	fmt.Fprintf(out, "\nRecord for five seconds, and send something meanwhile:\n\n")
	fmt.Fprintf(out, "  (sleep 1; %s) & bin/tcpcopyctl record --ignore-guard --for 5s%s\n", first.request(), admin)
	fmt.Fprintf(out, "\nLook at what was recorded:\n\n")
	for _, command := range []string{"windows", "conns", "calls", "show --text", "export -o logs/recorded.pcapng"} {
		fmt.Fprintf(out, "  bin/tcpcopyctl %s\n", command)
	}
	fmt.Fprintf(out, "\nSee it live, in a third terminal, while you record again:\n\n")
	fmt.Fprintf(out, "  bin/tcpcopyctl live --text%s\n\n", admin)
}

// defaultAdmin is the admin server that tcpcopyctl asks where it is given none.
const defaultAdmin = "127.0.0.1:34901"

// what says in a line what the listener serves.
func (l *listener) what(upstreams []string) string {
	kind := strings.ToUpper(l.network())
	if l.Chains[0].TLS.Status {
		kind = "TLS"
	}
	if l.network() == "unix" {
		kind = "the Unix socket"
	}
	if service, ok := l.grpc(); ok {
		return fmt.Sprintf("serves gRPC on %s, by the service %s in MOSN itself", l.Address, service)
	}
	return fmt.Sprintf("proxies %s %s to %s", kind, l.Address, strings.Join(upstreams, ", "))
}

// request returns a command that sends something to the listener and prints the answer.
func (l *listener) request() string {
	const body = `curl -sS -d hello -w '\n' `
	_, grpc := l.grpc()
	switch {
	case grpc:
		return "bin/grpcclient -address " + l.Address
	case l.network() == "udp":
		// bash has a UDP client where nothing else may be installed.
		return fmt.Sprintf(`bash -c 'exec 3<>/dev/udp/%s; echo hello >&3; timeout 5 head -n 1 <&3'`, strings.Replace(l.Address, ":", "/", 1))
	case l.network() == "unix":
		return body + "--unix-socket " + quote(l.Address) + " http://localhost/first"
	case l.Chains[0].TLS.Status:
		return body + "--cacert " + quote(l.Chains[0].TLS.Cert) + " https://" + l.Address + "/first"
	default:
		return body + "http://" + l.Address + "/first"
	}
}

// quote returns text as one word of a shell.
func quote(text string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@:,=%"
	if text != "" && strings.Trim(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
