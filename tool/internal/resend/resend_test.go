package resend

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// shell returns what a POSIX shell passes on.
func shell(t *testing.T, script string) string {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command("sh", "-c", script)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, &errs)
	}
	return string(out)
}

func TestShellPassesOnExactly(t *testing.T) {
	texts := []string{"", "a b", "it's", `"$HOME" $(id) \`, "*", "a\nb\n", "ключ", "-n", "%s%d", "'''"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		b := make([]byte, random.IntN(40))
		for i := range b {
			b[i] = byte(random.IntN(256))
		}
		texts = append(texts, string(b))
	}
	for _, text := range texts {
		if got := shell(t, printf(text)); got != text {
			t.Errorf("printf of %q writes %q", text, got)
		}
		if strings.IndexByte(text, 0) < 0 {
			if got := shell(t, "printf %s "+quote(text)); got != text {
				t.Errorf("%q is passed on as %q", text, got)
			}
		}
	}
}

// curl sends what was recorded: method, target, fields, body.
func TestCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed, so that nobody can run its commands")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type request struct {
		line   string
		fields http.Header
		body   string
	}
	received := make(chan request, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			br := bufio.NewReader(c)
			first, _ := br.ReadString('\n')
			r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader("POST / HTTP/1.1\r\n"), br)))
			if err == nil {
				body := make([]byte, max(r.ContentLength, 0))
				_, _ = io.ReadFull(r.Body, body)
				r.Header.Set("Host", r.Host)
				received <- request{strings.TrimSpace(first), r.Header, string(body)}
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			_ = c.Close()
		}
	}()
	address := l.Addr().String()
	for _, r := range []HTTP{
		{Method: "GET", Target: "/a?x=1&y=%20", Fields: []Field{{"Accept", "*/*"}, {"X-Quote", `it's "$HOME" @x`}}},
		{Method: "POST", Target: "/b", Body: "@not a file\nsecond line\n", HasBody: true, Fields: []Field{{"Content-Type", "text/plain"}}},
		{Method: "POST", Target: "/bin", Body: "\x00\x01\xff'\\%", HasBody: true},
		{Method: "DELETE", Target: "/c/../d"},
		{Method: "GET", Target: "/e[1]{2}", Body: "a body", HasBody: true, Fields: []Field{{"X-Empty", ""}}},
		{Method: "OPTIONS", Target: "*"},
		{Method: "POST", Target: "/empty", HasBody: true},
		{Method: "PURGE", Target: "/f g"},
	} {
		r.Host = address
		command, err := r.Curl()
		if err != nil {
			t.Fatal(err)
		}
		shell(t, command+" 2>&1")
		got := <-received
		if want := r.Method + " " + r.Target + " HTTP/1.1"; got.line != want {
			t.Errorf("%s\nsends %q, want %q", command, got.line, want)
		}
		if got.body != r.Body {
			t.Errorf("%s\nsends the body %q, want %q", command, got.body, r.Body)
		}
		got.fields.Del("Content-Length")
		got.fields.Del("Host")
		for _, f := range r.Fields {
			if v, ok := got.fields[f.Name]; !ok || v[0] != f.Value {
				t.Errorf("%s\nsends %s: %q, want %q", command, f.Name, v, f.Value)
			}
			got.fields.Del(f.Name)
		}
		if len(got.fields) > 0 {
			t.Errorf("%s\nsends more fields: %v", command, got.fields)
		}
	}
}

func TestRedisCLI(t *testing.T) {
	r := Redis{Host: "127.0.0.1", Port: "6379", Arguments: []string{"SET", "a key", "it's"}}
	if got, want := r.RedisCLI(), `redis-cli -h 127.0.0.1 -p 6379 SET 'a key' 'it'\''s'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	r.Arguments[2] = "\x00"
	if got, want := r.RedisCLI(), `printf '*3\015\012$3\015\012SET\015\012$5\015\012a key\015\012$1\015\012\000\015\012' | redis-cli -h 127.0.0.1 -p 6379 --pipe`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A name without a port is what the client calls the server, and messages that are too long for
// an argument come from another command.
func TestGrpcurl(t *testing.T) {
	c := GRPC{
		Service: "shop.Carts", Method: "Put", Address: "10.0.0.5:2046", Authority: "carts",
		Metadata: []Field{{Name: "x-id", Value: "it's"}}, Describe: []string{"-proto", "shop.proto"},
		Messages: []string{`{"id":1}`, "{}"}, MessagesFrom: "tcpcopyctl show a",
	}
	if got, want := c.Grpcurl(), `grpcurl -plaintext -proto shop.proto -H 'x-id: it'\''s' -authority carts -d '{"id":1}
{}' 10.0.0.5:2046 shop.Carts/Put`; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	c.Authority, c.Messages = "", []string{strings.Repeat("x", MaxBody+1)}
	if got, want := c.Grpcurl(), `tcpcopyctl show a | grpcurl -plaintext -proto shop.proto -H 'x-id: it'\''s' -d @ 10.0.0.5:2046 shop.Carts/Put`; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
