package replay

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// exchangeSeeds are sessions, a request and an answer alternating. The unit test
// and the fuzz target share them.
var exchangeSeeds = []struct {
	protocol Protocol
	turns    int
	parts    []string
}{
	{Bytes, 3, []string{"a\n", "you said a\n", "b\n", "you said b\n", "c\n", strings.Repeat("\x00\xff", 3000)}},
	{HTTP1, 3, []string{
		"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HEAD /b HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n",
	}},
	{HTTP2, 2, []string{
		http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00",
		"\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x84\x86", "\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88\x00\x00\x05\x00\x01\x00\x00\x00\x01hello",
		"\x00\x00\x03\x01\x04\x00\x00\x00\x03\x83\x84\x86\x00\x00\x02\x00\x01\x00\x00\x00\x03hi", "\x00\x00\x01\x01\x05\x00\x00\x00\x03\x89",
	}},
}

// pairs runs a session through a matcher, its replayed answers in pieces that
// rng makes up and changed by change.
func pairs(p Protocol, parts []string, rng *rand.Rand, change func(string) string) (total, same int) {
	m := newMatcher(p, matchOptions{limit: 1 << 10, turns: true}, func(p *pair) {
		total++
		if p.same {
			same++
		}
	})
	for i, text := range parts {
		now := time.Duration(i)
		if i%2 == 0 {
			m.request([]byte(text), now, now)
			if raw, ok := m.(*byteMatcher); ok && i+1 < len(parts) {
				raw.expect([]byte(parts[i+1]), false, now)
			}
			continue
		}
		if raw, ok := m.(*byteMatcher); ok {
			raw.receive(len(text))
		} else {
			m.answer(recorded, []byte(text), now)
		}
		for rest := change(text); rest != ""; {
			n := 1 + rng.IntN(len(rest))
			m.answer(replayed, []byte(rest[:n]), now)
			rest = rest[n:]
		}
		m.progress()
		m.recordedLatency()
		m.maySend()
		m.giveUp()
	}
	m.end(recorded, 0)
	m.end(replayed, 0)
	m.finish()
	return total, same
}

func TestAnswersInAnyPiecesAreEqual(t *testing.T) {
	for _, c := range exchangeSeeds {
		for seed := range uint64(50) {
			rng := rand.New(rand.NewPCG(seed, 0))
			if total, same := pairs(c.protocol, c.parts, rng, func(s string) string { return s }); total != c.turns || same != c.turns {
				t.Fatalf("%s, seed %d: %d of %d turns are the same, want %d", c.protocol, seed, same, total, c.turns)
			}
		}
	}
}

// FuzzMatchers feeds matchers anything: they must neither panic nor find answers
// the same that are not.
func FuzzMatchers(f *testing.F) {
	for i, c := range exchangeSeeds {
		f.Add(uint8(i), strings.Join(c.parts, "\x1e"), uint64(1), uint16(3))
	}
	protocols := []Protocol{Bytes, HTTP1, HTTP2}
	f.Fuzz(func(t *testing.T, protocol uint8, text string, seed uint64, at uint16) {
		p := protocols[int(protocol)%len(protocols)]
		rng := rand.New(rand.NewPCG(seed, 0))
		parts := strings.Split(text, "\x1e")
		pairs(p, parts, rng, func(s string) string { return s })
		_, same := pairs(p, parts, rng, func(s string) string {
			if int(at) >= len(s) {
				return s
			}
			return s[:at] + string(s[at]^1) + s[at+1:]
		})
		changed := 0
		for i := 1; i < len(parts); i += 2 {
			if int(at) < len(parts[i]) {
				changed++
			}
		}
		if p == Bytes && changed > 0 && same == (len(parts)+1)/2 {
			t.Errorf("%d turns are the same though %d were changed", same, changed)
		}
	})
}
