package parsetest

import (
	"math/rand/v2"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Begins checks that of the first bytes of a session one direction says Yes and none says No, and that a verdict that
// was given does not change.
func Begins(t *testing.T, p *parse.Protocol, s Session) {
	t.Helper()
	yes := false
	for _, dir := range record.Directions() {
		data, last := s.Stream(dir), parse.Maybe
		for n := 1; n <= min(len(data), 500); n++ {
			v := p.Begins(dir, data[:n])
			if last != parse.Maybe && v != last || v == parse.No {
				t.Fatalf("%s: %d after %d at %d bytes", dir, v, last, n)
			}
			last = v
		}
		yes = yes || last == parse.Yes
	}
	if !yes {
		t.Error("it is not recognised")
	}
}

// Random checks that random bytes, of which half are zero as in binary protocols, are not recognised, neither at the
// beginning of a connection nor within.
func Random(t *testing.T, p *parse.Protocol) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	const rounds = 1000
	data := make([]byte, 4096)
	begins, within := 0, 0
	for range rounds {
		for i := range data {
			data[i] = byte(random.Uint32())
			if random.IntN(2) == 0 {
				data[i] = 0
			}
		}
		for _, dir := range record.Directions() {
			if p.Begins(dir, data) == parse.Yes {
				begins++
			}
			if _, _, ok := p.Within(dir, data[:512]); ok {
				within++
			}
		}
	}
	if begins > 0 || within > 0 {
		t.Errorf("of %d streams of random bytes, %d begin like the protocol, and %d have messages of it", rounds, begins, within)
	}
}

// Within checks where a message is found in the middle of a session: at one of starts, which are those of a direction's
// stream, and from no more bytes than it says that it needed.
func Within(t *testing.T, p *parse.Protocol, s Session, starts func(dir record.Direction, stream []byte) map[int]bool) {
	t.Helper()
	for _, dir := range record.Directions() {
		data := s.Stream(dir)
		if len(data) < 300 {
			continue
		}
		begin := starts(dir, data)
		for from := 1; from < len(data); from++ {
			at, needed, found := p.Within(dir, data[from:])
			if !found {
				continue
			}
			if !begin[from+at] {
				t.Fatalf("%s: from %d on a message is found at %d, where there is none", dir, from, from+at)
			}
			if again, same, found := p.Within(dir, data[from:from+needed]); !found || again != at || same != needed {
				t.Fatalf("%s: with the %d bytes that were needed, it is found at %d instead of %d", dir, needed, again, at)
			}
		}
	}
}
