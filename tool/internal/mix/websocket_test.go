package mix

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"mosn.io/tcpcopy/internal/witness"
)

func startWebSocket(t testing.TB) server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mode := websocket.CompressionDisabled
		if req.URL.Query().Get("deflate") != "" {
			mode = websocket.CompressionContextTakeover
		}
		c, err := websocket.Accept(w, req, &websocket.AcceptOptions{CompressionMode: mode, Subprotocols: []string{"chat"}, InsecureSkipVerify: true})
		if err != nil {
			return
		}
		c.SetReadLimit(8 << 20)
		for {
			kind, data, err := c.Read(req.Context())
			if err != nil {
				return
			}
			if text, ok := strings.CutPrefix(string(data), "close "); ok {
				if code, err := strconv.Atoi(text); err == nil {
					_ = c.Close(websocket.StatusCode(code), "as asked") // the client may close at the same time
				}
				return
			}
			if c.Write(req.Context(), kind, data) != nil {
				return
			}
		}
	})}
	done := make(chan error, 1)
	go func() { done <- s.Serve(listener) }()
	t.Cleanup(func() { stop(t, s.Close(), done) })
	return server{address: listener.Addr().String(), name: "coder/websocket"}
}

// ws is a client with one connection.
type ws struct {
	r      *run
	target string // of the upgrade
	conn   *witness.Conn
	c      *websocket.Conn
}

// note notes a message. Where it goes to is what the upgrade said.
func (w *ws) note(c witness.Call) {
	c.Protocol, c.Target, c.Host = "websocket", w.target, "chat.example"
	w.r.note(w.conn, c)
}

func (r *run) websocket(target string, mode websocket.CompressionMode) *ws {
	w := &ws{r: r, target: target}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := r.path.Dial(ctx)
		w.conn = conn
		return conn, err
	}}}
	c, _, err := websocket.Dial(r.ctx, "ws://chat.example"+target, &websocket.DialOptions{HTTPClient: client, CompressionMode: mode, Subprotocols: []string{"chat"}}) //nolint:bodyclose // it is the connection
	r.check(err)
	c.SetReadLimit(8 << 20)
	w.c = c
	request, response := between(witness.Mark{}, w.conn.Mark())
	r.note(w.conn, witness.Call{Protocol: "http/1.1", Method: "GET", Target: target, Host: "chat.example", Status: "101", Code: 101, Request: request, Response: response, Comment: "the upgrade"})
	return w
}

// echo sends a message in some parts, and gets it back.
func (w *ws) echo(kind websocket.MessageType, parts ...string) {
	r := w.r
	r.Helper()
	name := map[websocket.MessageType]string{websocket.MessageText: "text", websocket.MessageBinary: "binary"}[kind]
	before := w.conn.Mark()
	out, err := w.c.Writer(r.ctx, kind)
	r.check(err)
	for _, p := range parts {
		_, err := out.Write([]byte(p))
		r.check(err)
	}
	r.check(out.Close())
	// The client knows where its message ends only before the answer comes; nothing else is written meanwhile.
	_, got, err := w.c.Read(r.ctx)
	r.check(err)
	if string(got) != strings.Join(parts, "") {
		r.Fatalf("echo %q", short(string(got)))
	}
	request, response := between(before, w.conn.Mark())
	w.note(witness.Call{Method: name, Request: request, NoAnswer: true, Comment: "the client's message"})
	w.note(witness.Call{Method: name, Response: response, NoRequest: true, Comment: "the server's message"})
}

// closed notes the closing frames of both sides.
func (w *ws) closed(before witness.Mark, code int, byServer bool) {
	request, response := between(before, w.conn.Mark())
	one := witness.Call{Method: "close", Status: fmt.Sprint(code), Code: code, Failed: code >= 1002 && code <= 1015 && code != 1005}
	client, server := one, one
	client.Request, client.NoAnswer, client.Comment = request, true, "the client's close"
	server.Response, server.NoRequest, server.Comment = response, true, "the server's close"
	if byServer {
		client, server = server, client
	}
	w.note(client)
	w.note(server)
}

func websocketScenarios() []scenario {
	messages := func(w *ws) {
		for i := range 20 {
			w.echo(websocket.MessageText, fmt.Sprintf(`{"n":%d}`, i))
			w.echo(websocket.MessageBinary, strings.Repeat("\x00\x01", i*100))
			w.echo(websocket.MessageText, strings.Repeat("a", 5000), strings.Repeat("b", 5000), strings.Repeat("c", i)) // fragments
		}
		w.echo(websocket.MessageText, "")
		w.echo(websocket.MessageBinary, strings.Repeat("0123456789abcdef", 100000))
	}
	return []scenario{
		{"websocket", "plain", func(r *run) {
			w := r.websocket("/chat?room=1", websocket.CompressionDisabled)
			messages(w)
			before := w.conn.Mark()
			r.check(w.c.Close(websocket.StatusNormalClosure, "bye"))
			w.closed(before, 1000, false)
		}},
		{"websocket", "deflate", func(r *run) {
			w := r.websocket("/chat?deflate=1", websocket.CompressionContextTakeover)
			messages(w)
			before := w.conn.Mark()
			r.check(w.c.Close(websocket.StatusGoingAway, ""))
			w.closed(before, 1001, false)
		}},
		{"websocket", "server-closes", func(r *run) {
			for _, code := range []int{1000, 1008, 1011, 4000} {
				w := r.websocket("/chat", websocket.CompressionDisabled)
				w.echo(websocket.MessageText, "hello")
				before := w.conn.Mark()
				r.check(w.c.Write(r.ctx, websocket.MessageText, []byte(fmt.Sprint("close ", code))))
				after := w.conn.Mark()
				request, _ := between(before, after)
				w.note(witness.Call{Method: "text", Request: request, NoAnswer: true, Comment: "the client's message"})
				_, _, err := w.c.Read(r.ctx)
				var closed websocket.CloseError
				if !errors.As(err, &closed) || int(closed.Code) != code {
					r.Fatal(err)
				}
				w.closed(witness.Mark{In: after.In, Out: before.Out}, code, true)
			}
		}},
	}
}
