package http2_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	h2 "mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// chatter makes a session of streams that go on beside one another.
type chatter struct {
	*talk
	random *rand.Rand
	next   uint32
	open   []*chat
}

// chat is a stream; steps are what is still to happen in it.
type chat struct {
	id    uint32
	steps []func()
}

func (c *chatter) begin() {
	id := c.next
	c.next += 2
	s := &chat{id: id}
	add := func(f func()) { s.steps = append(s.steps, f) }
	kind := c.random.IntN(9)
	rpc := kind < 5
	path := fmt.Sprintf("/item/%d?q=%d", c.random.IntN(20), id)
	body := c.random.IntN(3) > 0
	add(func() {
		if rpc {
			c.split(in, id, false, ":method: POST", ":scheme: http", ":path: /shop.Cart/"+[]string{"Get", "Add"}[c.random.IntN(2)], ":authority: shop",
				"content-type: application/grpc", fmt.Sprint("grpc-timeout: ", c.random.IntN(1000), "m"), fmt.Sprint("x-request-id: ", id))
		} else {
			c.split(in, id, !body, ":method: "+[]string{"GET", "POST", "PURGE"}[c.random.IntN(3)], ":scheme: http", ":path: "+path, ":authority: shop",
				fmt.Sprint("!x-secret: ", id), "accept: */*")
		}
	})
	sends := c.random.IntN(3)
	if rpc {
		sends = max(sends, 1)
	} else if !body {
		sends = 0
	}
	for i := range sends {
		last := i == sends-1
		add(func() { c.some(in, id, last) })
	}
	if body && !rpc && sends == 0 {
		add(func() { c.head(in, id, true, "x-trailer: 1") })
	}
	if kind == 8 {
		add(func() { c.reset(record.Direction(c.random.IntN(2)), id, http2.ErrCode(c.random.IntN(12))) })
		c.open = append(c.open, s)
		return
	}
	if kind == 7 {
		add(func() { c.answer(id, false, "103", fmt.Sprint("link: </", c.random.IntN(5), ".css>")) })
	}
	switch c.random.IntN(4) {
	case 0:
		if rpc {
			add(func() {
				c.split(out, id, true, ":status: 200", "content-type: application/grpc", fmt.Sprint("grpc-status: ", 1+c.random.IntN(16)), "grpc-message: why")
			})
		} else {
			add(func() { c.split(out, id, true, fmt.Sprint(":status: ", 200+100*c.random.IntN(4)), "server: s") })
		}
	default:
		typ := "text/plain"
		if rpc {
			typ = "application/grpc"
		}
		add(func() {
			c.split(out, id, false, ":status: 200", "content-type: "+typ, fmt.Sprint("x-n: ", c.random.IntN(50)))
		})
		for range c.random.IntN(3) {
			add(func() { c.some(out, id, false) })
		}
		if rpc {
			add(func() { c.split(out, id, true, fmt.Sprint("grpc-status: ", c.random.IntN(3)), "grpc-message: ") })
		} else {
			add(func() { c.some(out, id, true) })
		}
	}
	c.open = append(c.open, s)
}

// split appends a header block, perhaps with padding, priority and continuations.
func (c *chatter) split(dir record.Direction, id uint32, end bool, fields ...string) {
	block := c.fields(dir, fields...)
	first := block
	if c.random.IntN(4) == 0 {
		first = block[:c.random.IntN(len(block))]
	}
	p := http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(first) == len(block)}
	if c.random.IntN(4) == 0 {
		p.PadLength = uint8(c.random.IntN(30))
	}
	if c.random.IntN(4) == 0 {
		p.Priority = http2.PriorityParam{Weight: 7}
	}
	c.frames(dir, func(f *http2.Framer) error { return f.WriteHeaders(p) })
	for rest := block[len(first):]; len(rest) > 0 || !p.EndHeaders; {
		n := c.random.IntN(len(rest) + 1)
		p.EndHeaders = n == len(rest)
		c.frames(dir, func(f *http2.Framer) error { return f.WriteContinuation(id, p.EndHeaders, rest[:n]) })
		rest = rest[n:]
	}
}

// some appends a data frame.
func (c *chatter) some(dir record.Direction, id uint32, end bool) {
	data := message(strings.Repeat("\x00\x00\x05\x01", c.random.IntN(100)))
	if c.random.IntN(3) == 0 {
		c.frames(dir, func(f *http2.Framer) error {
			return f.WriteDataPadded(id, end, []byte(data), make([]byte, c.random.IntN(20)))
		})
		return
	}
	c.data(dir, id, end, data)
}

// chatty returns a session of n streams.
func chatty(seed uint64, n int) parsetest.Session {
	c := &chatter{talk: newTalk(), random: rand.New(rand.NewPCG(seed, 7)), next: 1}
	most := 1 + c.random.IntN(8)
	for n > 0 || len(c.open) > 0 {
		switch c.random.IntN(12) {
		case 0:
			c.pause()
		case 1:
			dir := record.Direction(c.random.IntN(2))
			c.frames(dir, func(f *http2.Framer) error { return f.WriteWindowUpdate(0, 1000) })
		case 2:
			if c.random.IntN(10) == 0 {
				dir := record.Direction(c.random.IntN(2))
				c.sides[dir].encoder.SetMaxDynamicTableSize(uint32(c.random.IntN(4096)))
			}
		}
		if n > 0 && len(c.open) < most && (len(c.open) == 0 || c.random.IntN(3) == 0) {
			c.begin()
			n--
			// Streams are opened in the order of their numbers.
			s := c.open[len(c.open)-1]
			s.steps[0]()
			s.steps = s.steps[1:]
		}
		i := c.random.IntN(len(c.open))
		s := c.open[i]
		s.steps[0]()
		if s.steps = s.steps[1:]; len(s.steps) == 0 {
			c.open = append(c.open[:i], c.open[i+1:]...)
		}
	}
	return c.session
}

func TestPropertiesOfRandomSessions(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { parsetest.Check(t, &h2.Protocol, chatty(seed, 40)) })
	}
}

func TestHostile(t *testing.T) {
	parsetest.Hostile(t, &h2.Protocol, mix().session, chatty(1, 20), chatty(2, 20))
}
