package persistence

import (
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/record"
)

// text is a direction of a connection as text: the bytes, with the gaps as
// their lengths and reasons in brackets.
func text(s oracle.Stream) string {
	var b strings.Builder
	for _, p := range s.Pieces {
		if p.Kind == oracle.Gap {
			b.WriteString("[" + strings.Repeat("-", int(p.Length)) + " " + p.Reason + "]")
		} else {
			b.Write(p.Payload)
		}
	}
	return b.String()
}

func TestGapsHaveTheirPlaceAndReason(t *testing.T) {
	for name, c := range map[string]struct {
		limit     uint64
		datagrams bool
		talk      func(*Session, *peer)
		in, out   string
	}{
		"a pause": {talk: func(s *Session, p *peer) {
			p.say(s, record.In, []byte("one"))
			s.Pause(record.ReasonGuard)
			p.say(s, record.In, []byte("two"))
			p.say(s, record.Out, []byte("TWO"))
			s.Resume(record.ReasonGuard)
			p.say(s, record.In, []byte("three"))
		}, in: "one[--- guard]three", out: "[--- guard]"},
		"two pauses at once": {talk: func(s *Session, p *peer) {
			s.Pause(record.ReasonDisk)
			p.say(s, record.In, []byte("1"))
			s.Pause(record.ReasonGuard)
			p.say(s, record.In, []byte("22"))
			s.Resume(record.ReasonDisk)
			p.say(s, record.In, []byte("333"))
			s.Resume(record.ReasonGuard)
			p.say(s, record.In, []byte("4"))
		}, in: "[- disk][----- guard]4"},
		"a pause to the end": {talk: func(s *Session, p *peer) {
			p.say(s, record.In, []byte("one"))
			s.Pause(record.ReasonGuard)
			p.say(s, record.In, []byte("two"))
			p.hangUp(s)
		}, in: "one[--- guard]"},
		"only a pause": {talk: func(s *Session, p *peer) {
			s.Pause(record.ReasonGuard)
			p.say(s, record.In, []byte("two"))
		}, in: "[--- guard]"},
		"a limit": {limit: 5, talk: func(s *Session, p *peer) {
			p.say(s, record.In, []byte("12"))
			p.say(s, record.In, []byte("3456"))
			p.say(s, record.In, []byte("78"))
			p.say(s, record.Out, []byte("12345"))
		}, in: "12345[--- limit]", out: "12345"},
		"a limit for datagrams": {limit: 5, datagrams: true, talk: func(s *Session, p *peer) {
			p.say(s, record.In, []byte("12"))
			p.say(s, record.In, []byte("3456"))
			p.say(s, record.In, []byte("789"))
		}, in: "12[---- limit]789"},
		"unseen bytes": {talk: func(s *Session, p *peer) {
			p.slip(s, record.In, []byte("12"))
			p.say(s, record.In, []byte("3"))
			p.slip(s, record.In, []byte("4"))
		}, in: "[-- unseen]3[- unseen]"},
		"unseen until the end": {talk: func(s *Session, p *peer) {
			p.say(s, record.In, []byte("1"))
			p.pass(s, record.In, []byte("read, never shown"))
			p.hangUp(s)
		}, in: "1[----------------- unseen]"},
		"a pause in a limit": {limit: 2, talk: func(s *Session, p *peer) {
			p.say(s, record.In, []byte("1234"))
			s.Pause(record.ReasonGuard)
			p.say(s, record.In, []byte("5"))
			s.Resume(record.ReasonGuard)
			p.say(s, record.In, []byte("6"))
		}, in: "12[-- limit][- guard][- limit]"},
		"nothing": {talk: func(s *Session, p *peer) {
			s.Data(&p.Conn, record.In, p.before(), nil, 0)
			p.say(s, record.Out, []byte("1"))
		}, out: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, nil, nil)
			p := newPeer(r.run, 1)
			p.Limit, p.Datagrams = c.limit, c.datagrams
			w := r.window(1, func(s *Session) { c.talk(s, p) })
			r.agrees(w)
			got := r.connections()[0]
			if in, out := text(got.In), text(got.Out); in != c.in || out != c.out {
				t.Errorf("in %q, want %q; out %q, want %q", in, c.in, out, c.out)
			}
			p.compare(t, got)
		})
	}
}

// A datagram is one record or none, whatever the size of the buffer.
func TestDatagramsAreWhole(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.BufferSize, c.Workers = MinBufferSize, 1 }, nil)
	p := newPeer(r.run, 1)
	p.Datagrams = true
	longest := r.store.config.sizes().Record
	w := r.window(1, func(s *Session) {
		for _, n := range []int{1, longest, longest + 1, 2} {
			p.say(s, record.In, make([]byte, n))
			awaitWritten(t, s)
		}
	})
	if w.Records.In != 3 || w.LostBy["buffer_full"] != uint64(longest+1) {
		t.Errorf("index %+v", w)
	}
	r.agrees(w)
}

// Offsets count from the connection's start, in and out of windows.
func TestOffsetsCountBetweenWindows(t *testing.T) {
	r := newHarness(t, nil, nil)
	p := newPeer(r.run, 1)
	p.say(nil, record.In, []byte("before"))
	r.window(1, func(s *Session) {
		p.say(s, record.In, []byte("one"))
		p.say(s, record.Out, []byte("ONE"))
	})
	p.say(nil, record.Out, []byte("BETWEEN"))
	w := r.window(2, func(s *Session) {
		p.say(s, record.Out, []byte("TWO"))
		p.say(s, record.In, []byte("two"))
		p.hangUp(s)
	})
	all := r.connections()
	if len(all) != 2 || all[0].In.Begin() != 6 || all[0].Out.Begin() != 0 || all[1].In.Begin() != 9 || all[1].Out.Begin() != 10 {
		t.Fatalf("connections %+v", all)
	}
	if end := all[1].Closed; end == nil || end.TotalIn != 12 || end.TotalOut != 13 || end.Reason != "RemoteClose" {
		t.Errorf("close %+v", end)
	}
	for _, c := range all {
		p.compare(t, c)
	}
	r.agrees(w)
}

// What comes after a session's end, or a connection's, is not recorded and does
// not disturb.
func TestLateCallsAreIgnored(t *testing.T) {
	r := newHarness(t, nil, nil)
	p, silent := newPeer(r.run, 1), newPeer(r.run, 2)
	s := r.open(1)
	p.say(s, record.In, []byte("in time"))
	silent.hangUp(s) // the session has not heard of it
	p.hangUp(s)
	p.say(s, record.In, []byte("after the end"))
	p.slip(s, record.Out, []byte("after the end"))
	p.hangUp(s)
	s.Close(time.Now())
	p.say(s, record.In, []byte("after the window"))
	p.slip(s, record.In, []byte("after the window"))
	p.hangUp(s)
	s.Pause(record.ReasonGuard)
	if s.Buffered() != 0 || !s.Paused() {
		t.Error("a closed session must still answer")
	}
	w := r.indexed(1)
	if w.Seen.In != 7 || w.Seen != w.Written || w.Connections != 1 {
		t.Errorf("index %+v", w)
	}
	if all := r.connections(); len(all) != 1 || text(all[0].In) != "in time" {
		t.Errorf("log %+v", all)
	}
}

// Slots are used again, and do not mix up connections.
func TestSlotsAreUsedAgain(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.Workers = 1 }, nil)
	s := r.open(1)
	for i := range 500 {
		p := newPeer(r.run, i+1)
		p.say(s, record.In, []byte(p.id))
		if i%3 > 0 {
			p.hangUp(s)
		}
		if i%50 == 49 {
			awaitWritten(t, s)
		}
	}
	if _, _, n := s.shards[0].Waiting(); n > 300 {
		t.Errorf("%d slots for 500 connections, of which 167 stay", n)
	}
	s.Close(time.Now())
	all := r.connections()
	for _, c := range all {
		if got := text(c.In); got != c.Conn {
			t.Errorf("connection %s said %q", c.Conn, got)
		}
	}
	if len(all) != 500 {
		t.Errorf("%d connections", len(all))
	}
	r.agrees(r.indexed(1))
}
