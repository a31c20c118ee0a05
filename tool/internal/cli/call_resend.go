package cli

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/resend"
)

// printResend prints the command that sends a call again.
func (t *tool) printResend(s *shownCall, c *callFlags) error {
	if !s.Request.Present {
		return fmt.Errorf("the request of %s was not recorded, so that nothing can be sent again", s.ID())
	}
	command, err := t.resend(s, c)
	if err != nil {
		return err
	}
	if s.Request.Missing > 0 {
		fmt.Fprintf(t.stderr, "tcpcopyctl: %d bytes of the request were not recorded: the command does not have them\n", s.Request.Missing)
	}
	_, err = fmt.Fprintln(t.stdout, command)
	return err
}

func (t *tool) resend(s *shownCall, c *callFlags) (string, error) {
	switch s.Protocol {
	case call.HTTP1, call.HTTP2:
		return s.curl()
	case call.GRPC:
		return s.grpcurl(c, t.stderr)
	case call.Redis:
		r := resend.Redis{Socket: s.Listener}
		if host, port, err := net.SplitHostPort(s.Listener); err == nil {
			r = resend.Redis{Host: host, Port: port}
		}
		for _, v := range s.content.Values(record.In, call.KindMethod, call.KindTarget, call.KindArgument, call.KindPassword) {
			if v.Cut {
				return "", fmt.Errorf("an argument of %s is too long for a command", s.ID())
			}
			r.Arguments = append(r.Arguments, v.Text)
		}
		return r.RedisCLI(), nil
	}
	return "", fmt.Errorf("no command sends calls of %s again, valid: %s, %s, %s and %s; \"tcpcopyctl replay\" sends any protocol", s.Protocol, call.HTTP1, call.HTTP2, call.GRPC, call.Redis)
}

func (s *shownCall) curl() (string, error) {
	raw, err := s.content.Raw(record.In)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(raw)
	if err != nil {
		return "", err
	}
	r := resend.HTTP{
		Version: s.Protocol, Old: strings.EqualFold(oldVersion(s.content, record.In), "HTTP/1.0"), Method: s.Method, Target: s.Target, Host: s.Host, Address: s.Listener,
		Body: string(body), HasBody: s.Request.HasBody, BodyFrom: s.bodyCommand(body),
	}
	decoded := len(r.BodyFrom) > 0 && len(body) > resend.MaxBody
	for _, v := range s.content.Values(record.In, call.KindHeader) {
		if strings.HasPrefix(v.Name, ":") || decoded && v.Name == "content-encoding" {
			continue
		}
		r.Fields = append(r.Fields, resend.Field{Name: v.Name, Value: v.Text})
	}
	return r.Curl()
}

// bodyCommand returns the command that writes the body of the request, for one that is
// too long for an argument.
func (s *shownCall) bodyCommand(body []byte) string {
	if len(body) <= resend.MaxBody {
		return ""
	}
	return s.requestBody()
}

// requestBody returns the command that writes the body of the request; flags are added to it.
func (s *shownCall) requestBody(flags ...string) string {
	words := []string{"tcpcopyctl", "show"}
	for _, w := range append(slices.Clone(s.words), append([]string{"--window", s.Window, "--request", "--body"}, flags...)...) {
		words = append(words, resend.Quote(w))
	}
	return strings.Join(words, " ")
}

func (s *shownCall) grpcurl(c *callFlags, stderr io.Writer) (string, error) {
	if s.schema == nil {
		return "", fmt.Errorf("grpcurl needs messages as JSON: describe them with --proto or --protoset")
	}
	messages, err := s.content.Messages(record.In)
	if err != nil {
		return "", err
	}
	r := resend.GRPC{Service: s.Service, Method: s.rpcMethod(), Address: s.Listener, Authority: s.Host}
	switch {
	case strings.HasPrefix(r.Address, "/"):
		r.Address = "unix://" + r.Address
	case r.Address == "":
		r.Address = r.Authority
	}
	var unknown []string
	for _, m := range messages {
		text, missing, err := s.message(record.In, m, false)
		if err != nil {
			return "", err
		}
		unknown = append(unknown, missing...)
		r.Messages = append(r.Messages, string(bytes.TrimSpace([]byte(text))))
	}
	if len(unknown) > 0 {
		fmt.Fprintf(stderr, "tcpcopyctl: %s\n", notDescribed(unknown))
	}
	for _, v := range s.content.Values(record.In, call.KindHeader) {
		switch {
		case strings.HasPrefix(v.Name, ":"), v.Name == "content-type", v.Name == "user-agent", v.Name == "te", strings.HasPrefix(v.Name, "grpc-"):
		default:
			r.Metadata = append(r.Metadata, resend.Field{Name: v.Name, Value: v.Text})
		}
	}
	imports := slices.Clone(c.imports)
	for _, v := range c.protos { // show looks there, too
		if dir := filepath.Dir(v); !slices.Contains(imports, dir) {
			imports = append(imports, dir)
		}
	}
	var flags []string // of show
	for _, list := range []struct {
		flag   string
		values []string
	}{{"-proto", c.protos}, {"-protoset", c.protosets}, {"-import-path", imports}} {
		for _, v := range list.values {
			r.Describe = append(r.Describe, list.flag, v)
			flags = append(flags, "-"+list.flag, v)
		}
	}
	r.MessagesFrom = s.requestBody(flags...)
	return r.Grpcurl(), nil
}

// rpcMethod returns the method of a gRPC call without its service.
func (s *shownCall) rpcMethod() string {
	return s.Target[strings.LastIndexByte(s.Target, '/')+1:]
}
