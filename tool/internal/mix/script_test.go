package mix

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/loopback"
	"mosn.io/tcpcopy/internal/witness"
)

// script is what the client and the server of one connection send, in order, byte for byte.
type script struct {
	r     *run
	steps []step
	next  [2]uint64 // bytes of the client and of the server so far
	calls []witness.Call
	end   string // who closes: "client" if empty, else "server"
}

type step struct {
	server bool
	data   []byte
}

func (r *run) script() *script { return &script{r: r} }

func (s *script) add(server bool, text string) *witness.Range {
	who := 0
	if server {
		who = 1
	}
	w := &witness.Range{Offset: s.next[who], Length: uint64(len(text))}
	s.next[who] += w.Length
	s.steps = append(s.steps, step{server, []byte(text)})
	return w
}

// client lets the client send text, server the server.
func (s *script) client(text string) *witness.Range { return s.add(false, text) }
func (s *script) server(text string) *witness.Range { return s.add(true, text) }

// note keeps a call, whose number is that of its turn.
func (s *script) note(c witness.Call, request, response *witness.Range) {
	c.Request, c.Response = request, response
	c.NoRequest, c.NoAnswer = request == nil, response == nil
	s.calls = append(s.calls, c)
}

// play plays the script on a connection of its own.
func (s *script) play() {
	r := s.r
	r.Helper()
	conn := r.dial()
	defer conn.Close()
	served := make(chan error, 1)
	r.on.stage.give(conn.Link.Server, func(server net.Conn) { served <- s.run(server, true) })
	r.check(s.run(conn, false))
	if s.end != "server" {
		conn.Close()
	}
	r.check(<-served)
	for _, c := range s.calls {
		r.note(conn, c)
	}
}

// run plays one side of the script.
func (s *script) run(conn net.Conn, server bool) error {
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	for i, step := range s.steps {
		if step.server == server {
			if i > 0 && s.steps[i-1].server == server {
				<-time.After(time.Millisecond) // a segment of its own
			}
			if _, err := conn.Write(step.data); err != nil {
				return err
			}
			continue
		}
		got := make([]byte, len(step.data))
		if _, err := io.ReadFull(conn, got); err != nil {
			return err
		}
		if !bytes.Equal(got, step.data) {
			return &mismatch{string(step.data), string(got)}
		}
	}
	if (s.end == "server") == server {
		return nil
	}
	// The other side closes.
	_, err := io.Copy(io.Discard, conn)
	return err
}

type mismatch struct{ want, got string }

func (m *mismatch) Error() string { return "read " + short(m.got) + ", want " + short(m.want) }

// stage hands the connections of the scripted server to those who know what it says there.
type stage struct {
	mu      sync.Mutex // guards players
	players map[string]chan func(net.Conn)
}

func (s *stage) of(address string) chan func(net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.players[address]
	if c == nil {
		c = make(chan func(net.Conn), 1)
		s.players[address] = c
	}
	return c
}

// give says what the server does on its connection with a client at address.
func (s *stage) give(address string, play func(net.Conn)) { s.of(address) <- play }

func (s *stage) serve(conn net.Conn) {
	address := conn.RemoteAddr().String()
	select {
	case play := <-s.of(address):
		play(conn)
	case <-time.After(20 * time.Second):
	}
	s.mu.Lock()
	delete(s.players, address)
	s.mu.Unlock()
}

func startScripted(t testing.TB) server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{players: map[string]chan func(net.Conn){}}
	t.Cleanup(loopback.Serve(listener, s.serve))
	return server{address: listener.Addr().String(), name: "a script", stage: s}
}
