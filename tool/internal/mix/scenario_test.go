package mix

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/witness"
)

// scenario is a piece of traffic of one protocol that can be repeated.
type scenario struct {
	server string // which of servers it needs
	name   string
	run    func(t *run)
}

// run is one run of a scenario. Its methods are for the scenario's goroutines.
type run struct {
	testing.TB
	ctx       context.Context
	path      *witness.Path
	lastFront string // where the last program of shell connected to
	on        server

	mu    sync.Mutex // guards the rest
	calls []witness.Call
	count map[string]int // calls by connection
}

// note keeps a call of conn and counts it.
func (r *run) note(conn *witness.Conn, c witness.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.Conn = conn.Link.ID
	r.count[c.Conn]++
	c.N = r.count[c.Conn]
	r.calls = append(r.calls, c)
}

// change changes the call that was noted last.
func (r *run) change(f func(*witness.Call)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.calls[len(r.calls)-1])
}

// dial connects.
func (r *run) dial() *witness.Conn {
	conn, err := r.path.Dial(r.ctx)
	if err != nil {
		r.Fatal(err)
	}
	return conn
}

// stop checks how a server has ended: with err, and what its Serve returns to done.
func stop(t testing.TB, err error, done <-chan error) {
	if served := <-done; served != nil && !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		t.Error(err)
	}
}

// eventually returns when isSo returns true, which it calls again and again.
func eventually(t testing.TB, what string, isSo func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(30 * time.Second); !isSo(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("not so after 30 s: %s", what)
		}
	}
}

// check stops the run on an error.
func (r *run) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// between returns the ranges of what passed from one mark to another.
func between(from, to witness.Mark) (request, response *witness.Range) {
	return &witness.Range{Offset: from.In, Length: to.In - from.In}, &witness.Range{Offset: from.Out, Length: to.Out - from.Out}
}

// do makes a call that has the connection for itself: all bytes that pass meanwhile are its
// own.
func (r *run) do(conn *witness.Conn, c witness.Call, call func() (status string, failed bool)) {
	r.Helper()
	before := conn.Mark()
	c.Status, c.Failed = call()
	c.Request, c.Response = between(before, conn.Mark())
	if c.Response.Length == 0 {
		c.Response, c.NoAnswer, c.Status = nil, true, ""
	}
	r.note(conn, c)
}

// start runs s on path.
func (s scenario) start(t testing.TB, on server, path *witness.Path) *run {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r := &run{TB: t, ctx: ctx, path: path, on: on, count: map[string]int{}}
	s.run(r)
	return r
}

// exchange writes request and expects answer.
func (r *run) exchange(conn *witness.Conn, request, answer string) {
	r.Helper()
	r.write(conn, request)
	r.expect(conn, answer)
}

func (r *run) write(conn *witness.Conn, b string) {
	r.Helper()
	if _, err := conn.Write([]byte(b)); err != nil {
		r.Fatal(err)
	}
}

// expect reads exactly answer.
func (r *run) expect(conn *witness.Conn, answer string) {
	r.Helper()
	r.check(conn.SetReadDeadline(time.Now().Add(20 * time.Second)))
	got := make([]byte, 0, len(answer))
	for len(got) < len(answer) {
		n, err := conn.Read(got[len(got):len(answer)])
		got = got[:len(got)+n]
		if err != nil {
			r.Fatalf("read %q, want %q: %v", got, answer, err)
		}
	}
	if string(got) != answer {
		r.Fatalf("read %q, want %q", short(string(got)), short(answer))
	}
}

func short(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%s… (%d bytes)", s[:200], len(s))
	}
	return s
}
