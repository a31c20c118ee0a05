package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/internal/wiretap"
	"mosn.io/tcpcopy/pkg/dump"
)

const (
	flightPath  = "/api/v1/tcpcopy/flight"
	capturePath = "/api/v1/tcpcopy/capture"
)

// flightBlock is a flight block with that size and what fields say beside.
func flightBlock(size string, fields block) block {
	all := block{"size": size, "before": "20s", "after": "1s", "captures": "1000/1h"}
	for name, value := range fields {
		all[name] = value
	}
	return block{"flight": all}
}

// spoolFolder makes a folder in memory for a process's spools.
func spoolFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "tcpcopy-test-") //nolint:usetesting // in memory
	if err != nil {
		t.Skipf("no memory file system for the spool: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// spoolsIn returns the spools in a folder.
func spoolsIn(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// client is a connection that talks in steps: what it sends is answered before the next one.
type client struct {
	*wiretap.Conn
	answers   *bufio.Reader
	sent, got atomic.Uint64 // bytes
	steps     []step        // in their order; the client's goroutine writes them
	loose     bool          // its peer sends of its own accord too: offsets of steps say little
}

// step is one question with its answer.
type step struct {
	began, answered        time.Time // answered is zero where no answer has come
	in, inEnd, out, outEnd uint64    // offsets
}

func newClient(conn net.Conn) *client {
	c := &client{}
	c.Conn = wiretap.New(counted{conn, c})
	c.answers = bufio.NewReader(c.Conn)
	return c
}

// counted counts the bytes of a client's connection.
type counted struct {
	net.Conn
	client *client
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.client.sent.Add(uint64(n))
	return n, err
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.client.got.Add(uint64(n))
	return n, err
}

// step does what ask does and keeps when that was.
func (c *client) step(ask func() error) error {
	s := step{began: time.Now(), in: c.sent.Load(), out: c.got.Load()}
	err := ask()
	if err == nil {
		s.answered = time.Now()
	}
	s.inEnd, s.outEnd = c.sent.Load(), c.got.Load()
	c.steps = append(c.steps, s)
	return err
}

// echo sends text, in those pieces, and waits until it has come back.
func (c *client) echo(pieces ...string) error {
	return c.step(func() error {
		for _, p := range pieces {
			if _, err := io.WriteString(c, p); err != nil {
				return err
			}
			got := make([]byte, len(p))
			if _, err := io.ReadFull(c.answers, got); err != nil {
				return err
			}
			if string(got) != p {
				return errWrongAnswer
			}
		}
		return nil
	})
}

// post sends an HTTP request and reads the answer, which has that status.
func (c *client) post(path string, status int, body []byte) error {
	return c.step(func() error {
		request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: flight\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
		if _, err := c.Write(request); err != nil {
			return err
		}
		response, err := http.ReadResponse(c.answers, nil)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if _, err := io.ReadAll(response.Body); err != nil {
			return err
		}
		if response.StatusCode != status {
			return fmt.Errorf("POST %s: status %d, want %d", path, response.StatusCode, status)
		}
		return nil
	})
}

// fits returns an error unless r has of the connection what passed while the capture w went
// on, and nothing else.
func (c *client) fits(w oracle.Window, r *oracle.Connection) error {
	if r == nil {
		r = &oracle.Connection{}
	}
	errs := []error{r.In.Agrees(c.Written()), agreesAsFar(r.Out, c.WasRead())}
	within := func(s oracle.Stream, from, to uint64) bool {
		return from == to || len(s.Pieces) > 0 && s.Begin() <= from && to <= s.End()
	}
	for i, s := range c.steps {
		wrong := func(what string) {
			errs = append(errs, fmt.Errorf("step %d, %s … %s, offsets %d … %d in and %d … %d out, %s: the capture %s … %s has %d … %d in and %d … %d out", i,
				s.began.Format(time.StampMicro), s.answered.Format(time.StampMicro), s.in, s.inEnd, s.out, s.outEnd, what,
				w.Opened.Format(time.StampMicro), w.Closed.Format(time.StampMicro), r.In.Begin(), r.In.End(), r.Out.Begin(), r.Out.End()))
		}
		switch {
		case s.answered.IsZero():
		case c.loose && (s.answered.Before(w.Opened) || s.began.After(w.Closed)):
		case s.answered.Before(w.Opened):
			if len(r.In.Pieces) > 0 && r.In.Begin() < s.inEnd || len(r.Out.Pieces) > 0 && r.Out.Begin() < s.outEnd {
				wrong("was over before")
			}
		case s.began.After(w.Closed):
			if len(r.In.Pieces) > 0 && r.In.End() > s.in || len(r.Out.Pieces) > 0 && r.Out.End() > s.out {
				wrong("came after")
			}
		case s.began.After(w.Opened) && s.answered.Before(w.Closed):
			if !within(r.In, s.in, s.inEnd) || !within(r.Out, s.out, s.outEnd) {
				wrong("is missing")
			}
		}
	}
	return errors.Join(errs...)
}

// crowd are clients that talk until leave.
type crowd struct {
	t       *testing.T
	clients []*client
	left    chan struct{}
	leaving sync.Once
	running sync.WaitGroup
	talked  atomic.Int64 // steps
}

// newCrowd connects n clients, each of which talks again and again, with a pause.
func newCrowd(t *testing.T, n int, pause time.Duration, dial func(i int) (net.Conn, error), talk func(i int, c *client, random *rand.Rand) error) *crowd {
	t.Helper()
	all := &crowd{t: t, left: make(chan struct{})}
	t.Cleanup(all.leave)
	for i := range n {
		conn, err := dial(i)
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(conn)
		all.clients = append(all.clients, c)
		all.running.Add(1)
		go func() { // ends with leave
			defer all.running.Done()
			defer conn.Close()
			random := rand.New(rand.NewSource(int64(i)))
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for {
				if err := talk(i, c, random); err != nil {
					t.Errorf("client %d of the crowd: %v", i, err)
					return
				}
				all.talked.Add(1)
				select {
				case <-all.left:
					return
				case <-tick.C:
				}
			}
		}()
	}
	return all
}

func (c *crowd) leave() {
	c.leaving.Do(func() { close(c.left) })
	c.running.Wait()
}

// progress waits until the crowd has talked n times more.
func (c *crowd) progress(n int64) {
	c.t.Helper()
	enough := c.talked.Load() + n
	eventually(c.t, "the crowd goes on", func() bool { return c.talked.Load() >= enough })
}

// flightStatus is what the status has of the flight recorder.
type flightStatus struct {
	Flight struct {
		On         bool   `json:"on"`
		Reason     string `json:"reason"`
		Used       int64  `json:"used"`
		HoldsMS    int64  `json:"holds_ms"`
		Captures   uint64 `json:"captures"`
		Suppressed uint64 `json:"suppressed"`

		EvictedBytes uint64 `json:"evicted_bytes"`
		Triggers     []struct {
			Name       string `json:"name"`
			Fired      uint64 `json:"fired"`
			Suppressed uint64 `json:"suppressed"`
		} `json:"triggers"`
	} `json:"flight"`
	Windows []struct {
		ID      string `json:"id"`
		Trigger string `json:"trigger"`
		State   string `json:"state"`
		Joined  uint64 `json:"joined"`
	} `json:"windows"`
}

func (m *mosn) flight() (s flightStatus) {
	m.t.Helper()
	m.decodeStatus(&s)
	return s
}

// ringOpen waits until there is a ring.
func (m *mosn) ringOpen() {
	m.t.Helper()
	eventually(m.t, "the ring is open", func() bool { return m.flight().Flight.On })
}

// replaceFlight replaces the flight block.
func (m *mosn) replaceFlight(b block) {
	m.t.Helper()
	text, err := json.Marshal(b["flight"])
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := m.Admin.Do(deadline(m.t), http.MethodPut, flightPath, "", text); err != nil {
		m.t.Fatal(err)
	}
}

// capture asks for a capture and returns its window.
func (m *mosn) capture(query string) string {
	m.t.Helper()
	answer, err := m.Admin.Do(deadline(m.t), http.MethodPost, capturePath+query, "", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	var opened struct {
		Window string `json:"window"`
	}
	if err := json.Unmarshal(answer, &opened); err != nil {
		m.t.Fatal(err)
	}
	return opened.Window
}

// finished waits until a window is in the index and returns its line.
func (m *mosn) finished(id string) (w oracle.Window) {
	m.t.Helper()
	eventually(m.t, "the window is in the index", func() (found bool) {
		var err error
		w, err = oracle.FindWindow(m.dump, id)
		return err == nil
	})
	return w
}

// caused waits until the captures that a trigger has caused are in the index, n of them, and
// returns their lines.
func (m *mosn) caused(trigger string, n int) (all []oracle.Window) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("%d captures of %s are in the index", n, trigger), func() bool {
		all = nil
		windows, _ := oracle.ReadIndex(m.dump) // there is none yet, perhaps
		for _, w := range windows {
			if w.Cause != nil && w.Cause.Trigger == trigger {
				all = append(all, w)
			}
		}
		return len(all) >= n
	})
	if len(all) != n {
		m.t.Errorf("%d captures of %s, want %d", len(all), trigger, n)
	}
	return all
}

// holds checks that a capture has of those connections, and no others, what passed while it
// went on, in both formats. A connection that had nothing may be missing.
func (m *mosn) holds(w oracle.Window, clients ...*client) {
	t := m.t
	t.Helper()
	complete(t, w)
	byClient := map[string]*oracle.Connection{}
	for _, c := range m.connections(w) {
		byClient[c.Client] = c
	}
	for _, c := range clients {
		name := c.LocalAddr().String()
		if name == "" {
			name = "@"
		}
		if err := c.fits(w, byClient[name]); err != nil {
			t.Errorf("capture %+v of %s: connection of %s: %v", w.Cause, w.Trigger, name, err)
		}
		delete(byClient, name)
	}
	for name, c := range byClient {
		t.Errorf("capture of %+v has connection %s of %s too", w.Cause, c.Conn, name)
	}
	m.captureAgrees(w)
}

// of returns what a window has of a client's connection.
func (m *mosn) of(w oracle.Window, c *client) *oracle.Connection {
	m.t.Helper()
	for _, r := range m.connections(w) {
		if r.Client == c.LocalAddr().String() {
			return r
		}
	}
	m.t.Fatalf("window %s does not have the connection of %s", w.Window, c.LocalAddr())
	return nil
}

// only returns the connection of a capture that has one.
func (m *mosn) only(w oracle.Window) *oracle.Connection {
	m.t.Helper()
	all := m.connections(w)
	if len(all) != 1 {
		m.t.Fatalf("the capture has %d connections", len(all))
	}
	return all[0]
}

// contains reports whether text passed in the stream.
func contains(s oracle.Stream, text string) bool {
	all, err := s.Bytes()
	return err == nil && bytes.Contains(all, []byte(text))
}

// mustText returns the text of a configuration of a process that spec starts.
func mustText(t *testing.T, spec mosnproc.Spec, config mosnproc.Config) []byte {
	t.Helper()
	config.Servers[0].LogPath, config.Servers[0].LogLevel = filepath.Join(spec.Base, "logs", "mosn.log"), "INFO"
	config.Admin.Address.Socket.Address, config.Admin.Address.Socket.Port = "127.0.0.1", spec.AdminPort
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// stretches returns what a window has of each client's connection.
func (m *mosn) stretches(w oracle.Window) map[string]*oracle.Connection {
	m.t.Helper()
	return byClient(m.t, m.decoded(w, dump.FormatAny))
}

// compareEnd checks that what was recorded of each connection is a stretch of what passed,
// which goes as far as the client knows that the proxy has got. A connection may have no part
// in it only if all of it is older than the others'.
func (a *talkers) compareEnd(t *testing.T, when string, recorded map[string]*oracle.Connection) {
	t.Helper()
	missing := 0
	for i, tap := range a.taps {
		answered, read := uint64(a.answered[i].Load()), uint64(len(tap.WasRead()))
		c := recorded[tap.LocalAddr().String()]
		if c == nil {
			if answered > 0 {
				missing++
			}
			continue
		}
		if err := errors.Join(c.In.Agrees(tap.Written()), agreesAsFar(c.Out, tap.WasRead())); err != nil {
			t.Errorf("%s: connection of %s: %v", when, c.Client, err)
		}
		if len(c.In.Pieces) > 0 && c.In.End() < answered || len(c.Out.Pieces) > 0 && c.Out.End() < read {
			t.Errorf("%s: connection of %s: recorded %d … %d in, %d … %d out of %d that were answered and %d that were received", when, c.Client,
				c.In.Begin(), c.In.End(), c.Out.Begin(), c.Out.End(), answered, read)
		}
	}
	if missing > len(a.taps)/2 {
		t.Errorf("%s: %d connections are not recorded", when, missing)
	}
}
