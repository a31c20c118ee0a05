package tcpcopy

import (
	"net"
	"strings"
	"testing"

	"mosn.io/api"
	"mosn.io/pkg/buffer"

	"mosn.io/tcpcopy/internal/oracle"
)

var both = object{"capture": object{"direction": "both"}}

// text is a direction of a connection: the bytes, a record between bars, and
// the gaps as their lengths and reasons in brackets.
func text(s oracle.Stream) string {
	var parts []string
	for _, p := range s.Pieces {
		if p.Kind == oracle.Gap {
			parts = append(parts, "["+strings.Repeat("-", int(p.Length))+" "+p.Reason+"]")
		} else {
			parts = append(parts, string(p.Payload))
		}
	}
	return strings.Join(parts, "|")
}

func TestBytesAreRecordedExactlyOnce(t *testing.T) {
	for name, c := range map[string]struct {
		talk    func(*harness, *fakeConn)
		in, out string
	}{
		"two equal messages": {func(_ *harness, c *fakeConn) {
			c.receive("hello")
			c.receive("hello")
			c.send("well")
			c.send("well")
		}, "hello|hello", "well|well"},
		"a message in three reads": {func(_ *harness, c *fakeConn) {
			whole := 0
			c.after = func(b buffer.IoBuffer) {
				if whole = b.Len(); whole == 9 {
					b.Drain(9)
				}
			}
			c.receive("one")
			c.receive("two")
			c.receive("333")
			c.receive("4")
		}, "one|two|333|4", ""},
		"half of it drained": {func(_ *harness, c *fakeConn) {
			c.after = func(b buffer.IoBuffer) { b.Drain(b.Len() / 2) }
			c.receive("abcd")
			c.receive("efgh")
			c.receive("ij")
		}, "abcd|efgh|ij", ""},
		"a write of several buffers": {func(_ *harness, c *fakeConn) {
			c.send("head", "", "body")
			c.send(strings.Split("1 2 3 4 5 6 7 8 9 10", " ")...)
			c.send()
			c.send("")
		}, "", "headbody|12345678910"},
		"taken by an earlier filter": {func(_ *harness, c *fakeConn) {
			c.early = func(b buffer.IoBuffer) { b.Drain(2) }
			c.receive("abcde")
			c.early = func(b buffer.IoBuffer) { b.Drain(b.Len()) }
			c.receive("all of it")
			c.early = nil
			c.receive("f")
		}, "[-- unseen]|cde|[--------- unseen]|f", ""},
		"shown again without new bytes": {func(_ *harness, c *fakeConn) {
			c.after = func(buffer.IoBuffer) {}
			c.receive("abc")
			c.show()
			c.show()
		}, "abc", ""},
		"read while reading is disabled": {func(_ *harness, c *fakeConn) {
			c.after = func(buffer.IoBuffer) {}
			c.receive("a")
			for _, text := range []string{"b", "c"} { // MOSN calls its listeners, and no filter
				_, _ = c.buf.Write([]byte(text))
				for _, f := range c.read {
					f(1)
				}
			}
			c.show()
		}, "a|bc", ""},
		"after the end": {func(_ *harness, c *fakeConn) {
			c.receive("in time")
			c.send("in time")
			c.end(api.OnReadTimeout) // is not an end
			c.receive("still")
			c.end(api.RemoteClose)
			c.offer("late")
			c.end(api.LocalClose)
			c.receive("late")
		}, "in time|still", "in time"},
		"read and never shown": {func(_ *harness, c *fakeConn) {
			c.receive("abc")
			for _, f := range c.read {
				f(4)
			}
			c.end(api.OnReadErrClose)
		}, "abc|[---- unseen]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, both)
			w := h.window(func() { c.talk(h, h.connect(h.factory)) })
			all := h.connections()
			if len(all) != 1 {
				t.Fatalf("%d connections", len(all))
			}
			if in, out := text(all[0].In), text(all[0].Out); in != c.in || out != c.out {
				t.Errorf("in %q, want %q; out %q, want %q", in, c.in, out, c.out)
			}
			if err := w.Agrees(all); err != nil {
				t.Error(err)
			}
			if n := h.recorder.panics.Load(); n > 0 {
				t.Errorf("%d panics", n)
			}
		})
	}
}

// Offsets count from the connection's start, whether a window was open or not.
func TestOffsetsCountBytesOutsideWindows(t *testing.T) {
	h := newHarness(t, both)
	c := h.connect(h.factory)
	c.receive("12")
	c.send("123", "4")
	h.window(func() {
		c.receive("345")
		c.send("567")
	})
	c.receive("6")
	c.send("89")
	h.window(func() {
		c.send("abc")
		c.receive("7")
		c.end(api.RemoteClose)
	})
	all := h.connections()
	if len(all) != 2 {
		t.Fatalf("%d connections", len(all))
	}
	for _, c := range all {
		for _, err := range []error{c.In.Agrees([]byte("1234567")), c.Out.Agrees([]byte("123456789abc"))} {
			if err != nil {
				t.Error(err)
			}
		}
	}
	if all[0].In.Begin() != 2 || all[0].Out.Begin() != 4 || all[1].In.Begin() != 6 || all[1].Out.Begin() != 9 {
		t.Errorf("offsets %+v, %+v", all[0], all[1])
	}
	if end := all[1].Closed; end == nil || end.Reason != "RemoteClose" || end.TotalIn != 7 || end.TotalOut != 12 {
		t.Errorf("close %+v", end)
	}
}

// A connection that a process has handed over, or a datagram's, has bytes already.
func TestBytesInTheBufferAtTheStartAreRecorded(t *testing.T) {
	h := newHarness(t, both)
	h.window(func() {
		c := &fakeConn{id: 7, buf: buffer.NewIoBufferString("handed over"), local: &net.TCPAddr{Port: 1}, remote: &net.TCPAddr{Port: 2}}
		c.join(h.factory)
		c.show()
		c.receive("and more")
	})
	all := h.connections()
	if got := text(all[0].In); got != "handed over|and more" || all[0].In.Begin() != 0 {
		t.Errorf("log %q", got)
	}
}

// Out of a window nothing is copied, and no file changes.
func TestOutsideAWindowNothingIsRecorded(t *testing.T) {
	h := newHarness(t, both)
	c := h.connect(h.factory)
	c.receive("unheard")
	c.send("unheard")
	c.end(api.RemoteClose)
	if c := h.recorder.stats().Accounts; c.Connections > 0 || c.Seen.In+c.Seen.Out > 0 {
		t.Errorf("accounts %+v", c)
	}
	if lines, err := oracle.ReadMeta(h.dir); err != nil || len(lines) > 0 {
		t.Errorf("log %v, %v", lines, err)
	}
}

// badBuffer is a buffer that panics.
type badBuffer struct{ buffer.IoBuffer }

func (badBuffer) Bytes() []byte { panic("no bytes") }
func (badBuffer) Len() int      { panic("no length") }

// A fault of the filter stays the filter's: it is counted, alerted once, and the
// connection goes on.
func TestPanicsAreRecovered(t *testing.T) {
	h := newHarness(t, both)
	c := h.connect(h.factory)
	fl := c.readers[0].(*filter)
	if fl.OnWrite([]api.IoBuffer{badBuffer{}}) != api.Continue {
		t.Error("OnWrite out of a window looks at the buffers")
	}
	h.window(func() {
		fl.read.Add(3)
		if fl.OnData(badBuffer{}) != api.Continue || fl.OnWrite([]api.IoBuffer{nil, badBuffer{}}) != api.Continue {
			t.Error("a filter stops")
		}
		c.local = nil
		c.receive("abc")
	})
	if n := h.recorder.panics.Load(); n != 2 {
		t.Errorf("%d panics are counted", n)
	}
	if got := text(h.connections()[0].In); got != "[--- unseen]|abc" {
		t.Errorf("log %q", got)
	}
	if n := h.recorder.status().Panics; n != 2 {
		t.Errorf("the status has %d panics", n)
	}
}

// A connection that cannot be described does not stop others of its shard.
func TestAPanicInDescribeBlocksNoOtherConnection(t *testing.T) {
	h := newHarness(t, object{"capture": object{"direction": "both"}, "buffer": object{"workers": 1}})
	bad, good := h.connect(h.factory), h.connect(h.factory)
	bad.readers[0].(*filter).self.Describe = nil
	h.window(func() {
		bad.receive("bad")
		good.receive("good")
		bad.end(api.RemoteClose)
		good.end(api.RemoteClose)
	})
	all := h.connections()
	if len(all) != 1 || text(all[0].In) != "good" || h.recorder.panics.Load() != 1 {
		t.Errorf("log %+v", all)
	}
}

// With requests only, responses are not recorded; the close event has their
// number all the same.
func TestResponsesAreNotRecordedByDefault(t *testing.T) {
	h := newHarness(t, object{})
	w := h.window(func() {
		c := h.connect(h.factory)
		if len(c.writers) > 0 {
			t.Error("there is a write filter")
		}
		c.receive("request")
		c.send("response")
		c.end(api.LocalClose)
	})
	c := h.connections()[0]
	if w.Seen.Out > 0 || len(c.Out.Pieces) > 0 || c.Closed.TotalOut != 8 {
		t.Errorf("index %+v, connection %+v", w, c)
	}
}

func TestAConnectionIsDescribedByItsAddresses(t *testing.T) {
	for name, c := range map[string]struct {
		local, remote  net.Addr
		client, server string
	}{
		"IPv4":             {&net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 80}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9}, "192.0.2.1:9", "198.51.100.1:80"},
		"IPv6":             {&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}, &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 9}, "[fe80::1%eth0]:9", "[2001:db8::1]:80"},
		"a Unix socket":    {&net.UnixAddr{Name: "/run/x.sock", Net: "unix"}, &net.UnixAddr{Net: "unix"}, "@", "/run/x.sock"},
		"no address":       {nil, nil, "@", "@"},
		"UDP":              {&net.UDPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 53}, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9}, "192.0.2.1:9", "198.51.100.1:53"},
		"a typed nil":      {(*net.TCPAddr)(nil), (*net.TCPAddr)(nil), "<nil>", "<nil>"},
		"a missing number": {&net.TCPAddr{}, &net.TCPAddr{}, ":0", ":0"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, both)
			h.window(func() {
				conn := &fakeConn{id: 1, buf: buffer.NewIoBuffer(10), local: c.local, remote: c.remote}
				conn.join(h.factory)
				conn.receive("x")
			})
			got := h.connections()
			if len(got) != 1 || got[0].Client != c.client || got[0].Server != c.server || got[0].Conn != "aaaaaa-1" || got[0].Port != "2045" {
				t.Errorf("log %+v", got[0])
			}
		})
	}
}

// In a hot upgrade MOSN closes connections that it has handed over as if they had ended.
// They are told by a write that this process has not sent itself.
func TestAConnectionThatMovedIsNotClosed(t *testing.T) {
	for name, c := range map[string]struct {
		upgrading, passedOn bool
		event               api.ConnectionEvent
		reason              string
	}{
		"passed on":               {true, true, api.LocalClose, "moved"},
		"nothing passed on":       {true, false, api.LocalClose, "LocalClose"},
		"the client has gone":     {true, true, api.RemoteClose, "RemoteClose"},
		"a slow client, no other": {false, true, api.LocalClose, "LocalClose"},
	} {
		h := newHarness(t, both)
		h.recorder.upgrading.Store(c.upgrading)
		conn := h.connect(h.factory)
		conn.send("before the window")
		h.window(func() {
			conn.receive("question")
			conn.send("answer")
			if c.passedOn {
				conn.offer("late")
			}
			conn.end(c.event)
		})
		closed := h.connections()[0].Closed
		want := uint64(len("before the window") + len("answer"))
		if c.passedOn && c.reason != "moved" {
			want += uint64(len("late")) // it was on its way
		}
		if closed == nil || closed.Reason != c.reason || closed.TotalOut != want {
			t.Errorf("%s: close event %+v, want %s and %d bytes", name, closed, c.reason, want)
		}
		h.recorder.close(false)
	}
}
