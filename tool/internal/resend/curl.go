package resend

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// Field is a header field.
type Field struct {
	Name, Value string
}

// HTTP is a request.
type HTTP struct {
	Version string // call.HTTP1 or call.HTTP2
	Old     bool   // HTTP/1.0
	Method  string
	Target  string
	Host    string  // as the client has it
	Address string  // of the listener that the client reached
	Fields  []Field // pseudo-fields left out
	Body    string
	HasBody bool

	// BodyFrom is a command that writes the body, for one that is too long for an argument.
	BodyFrom string
}

// HTTP2 is the version for which curl speaks HTTP/2 without TLS.
const HTTP2 = "http/2"

// Curl returns the command that sends r again with curl (https://curl.se/docs/manpage.html).
func (r *HTTP) Curl() (string, error) {
	if strings.IndexByte(r.Method+r.Target+r.Host, 0) >= 0 {
		return "", errors.New("the request line has a NUL, which no argument can have")
	}
	if r.Method == http.MethodConnect {
		return "", errors.New("CONNECT opens a tunnel; curl sends what goes through it, not the request itself")
	}
	args := []string{"curl", "-i"}
	add := func(words ...string) {
		for _, w := range words {
			args = append(args, quote(w))
		}
	}
	switch {
	case r.Version == HTTP2:
		add("--http2-prior-knowledge")
	case r.Old:
		add("--http1.0")
	}
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, "accept-encoding") {
			add("--compressed") // curl decodes the answer, and sends the field as it was
			break
		}
	}
	url, target := r.url()
	if strings.ContainsAny(url, "[]{}") {
		add("--globoff")
	}
	if strings.Contains(url, "/.") {
		add("--path-as-is")
	}
	if target != "" {
		add("--request-target", target)
	}
	add(r.reach()...)
	switch {
	case r.Method == http.MethodHead && !r.HasBody:
		add("--head")
	case r.Method == http.MethodGet && !r.HasBody, r.Method == http.MethodPost && r.HasBody && r.Body+r.BodyFrom != "":
	default:
		add("-X", r.Method)
	}
	add(url)
	args = append(args, r.fields()...)
	from := ""
	switch {
	case !r.HasBody:
	case r.BodyFrom != "" && len(r.Body) > maxArgument:
		from = r.BodyFrom
		add("--data-binary", "@-")
	case isText(r.Body):
		add("--data-raw", r.Body)
	default:
		from = printf(r.Body)
		add("--data-binary", "@-")
	}
	command := strings.Join(args, " ")
	if from != "" {
		command = from + " | " + command
	}
	return command, nil
}

// reach returns the arguments with which curl connects to the listener, where the URL names
// another server: names that only the client's network knows, or a Unix socket.
func (r *HTTP) reach() []string {
	switch {
	case strings.HasPrefix(r.Address, "/"):
		return []string{"--unix-socket", r.Address}
	case strings.HasPrefix(r.Address, "@"):
		return []string{"--abstract-unix-socket", r.Address[1:]}
	case r.Host == "" || r.Address == "":
		return nil
	}
	address, err := netip.ParseAddrPort(r.Address)
	if err != nil || address.Addr().IsUnspecified() {
		return nil
	}
	host, port := r.Host, "80"
	if h, p, err := net.SplitHostPort(r.Host); err == nil {
		host, port = h, p
	}
	host = strings.Trim(host, "[]")
	named, err := netip.ParseAddr(host)
	same := err == nil && named.Unmap() == address.Addr().Unmap() || host == "localhost" && address.Addr().IsLoopback()
	if same && port == strconv.Itoa(int(address.Port())) {
		return nil
	}
	return []string{"--connect-to", "::" + address.String()}
}

// url returns the URL, and the target where that cannot stand in one.
func (r *HTTP) url() (url, target string) {
	host := r.Host
	if host == "" {
		host = r.Address
	}
	if host == "" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		host = "localhost" // of a Unix socket
	}
	switch {
	case strings.HasPrefix(r.Target, "/"):
		url = "http://" + host + r.Target
	case strings.HasPrefix(r.Target, "http://"):
		url = r.Target
	default:
		return "http://" + host + "/", r.Target
	}
	if strings.ContainsAny(r.Target, " \"<>\\^`|#") || !isText(r.Target) {
		return "http://" + host + "/", r.Target
	}
	return url, ""
}

// fields returns the arguments for the header fields: those of the request, without what
// curl itself says of the connection and the body, and none that curl would add.
func (r *HTTP) fields() []string {
	var args []string
	add := func(field string) { args = append(args, "-H", quote(field)) }
	there := map[string]bool{}
	for _, f := range r.Fields {
		name := strings.ToLower(f.Name)
		there[name] = true
		switch name {
		case "host":
			if f.Value == r.Host {
				continue
			}
		case "content-length", "transfer-encoding", "connection", "keep-alive", "expect", "te", "http2-settings", "upgrade":
			continue
		}
		value := strings.Join(strings.FieldsFunc(f.Value, func(c rune) bool { return c == '\r' || c == '\n' || c == 0 }), " ")
		if value == "" {
			add(f.Name + ";") // curl's form of an empty value
			continue
		}
		add(f.Name + ": " + value)
	}
	for _, name := range []string{"User-Agent", "Accept"} {
		if !there[strings.ToLower(name)] {
			add(name + ":")
		}
	}
	if r.HasBody && !there["content-type"] {
		add("Content-Type:")
	}
	return args
}

// GRPC is a call.
type GRPC struct {
	Service, Method string
	Address         string // of the listener
	Authority       string // as the client has it, where that is not Address
	Metadata        []Field
	Messages        []string // in JSON
	Describe        []string // the arguments that name the descriptors

	// MessagesFrom is a command that writes the messages, for those that are too long for an argument.
	MessagesFrom string
}

// Grpcurl returns the command that sends c again with grpcurl
// (https://github.com/fullstorydev/grpcurl).
func (c *GRPC) Grpcurl() string {
	args := []string{"grpcurl", "-plaintext"}
	for _, d := range c.Describe {
		args = append(args, quote(d))
	}
	for _, f := range c.Metadata {
		args = append(args, "-H", quote(f.Name+": "+f.Value))
	}
	if c.Authority != "" && c.Authority != c.Address {
		args = append(args, "-authority", quote(c.Authority))
	}
	messages, from := strings.Join(c.Messages, "\n"), ""
	if len(messages) > maxArgument {
		messages, from = "@", c.MessagesFrom+" | "
	}
	args = append(args, "-d", quote(messages), quote(c.Address), quote(c.Service+"/"+c.Method))
	return from + strings.Join(args, " ")
}

// Redis is a command with its arguments.
type Redis struct {
	Host, Port string
	Arguments  []string
	Socket     string // path of a Unix socket, instead of host and port
}

// RedisCLI returns the command that sends r again with redis-cli
// (https://redis.io/docs/latest/develop/tools/cli).
func (r *Redis) RedisCLI() string {
	at := fmt.Sprintf("redis-cli -h %s -p %s", quote(r.Host), quote(r.Port))
	if r.Socket != "" {
		at = "redis-cli -s " + quote(r.Socket)
	}
	words := []string{at}
	for _, a := range r.Arguments {
		if !isText(a) || len(a) > maxArgument {
			return printf(r.wire()) + " | " + at + " --pipe"
		}
		words = append(words, quote(a))
	}
	return strings.Join(words, " ")
}

// wire returns the command as it is sent (RESP 2).
func (r *Redis) wire() string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(r.Arguments))
	for _, a := range r.Arguments {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}
