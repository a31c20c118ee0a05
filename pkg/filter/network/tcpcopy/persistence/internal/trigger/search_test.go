package trigger

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// searchFor returns a search for texts, each of a trigger of its own.
func searchFor(texts ...string) *search {
	var patterns []pattern
	for i, text := range texts {
		patterns = append(patterns, pattern{text: text, owners: 1 << i, window: chooseWindow(text)})
	}
	const all = 1<<64 - 1
	return newSearch(newAutomaton(patterns), newPrefilter(patterns, all), all)
}

// occurrences returns how often a text is in p, overlapping ones included.
func occurrences(p []byte, text string) (n uint32) {
	for at := 0; ; {
		i := bytes.Index(p[at:], []byte(text))
		if i < 0 {
			return n
		}
		n++
		at += i + 1
	}
}

// inRecords returns how often each pattern is found in p, given in records that end at cuts.
func (s *search) inRecords(p []byte, cuts ...int) []uint32 {
	clear(s.found)
	state, from := uint16(root), 0
	for _, cut := range append(cuts, len(p)) {
		state = s.record(state, p[from:cut])
		from = cut
	}
	s.which = s.which[:0]
	return s.found
}

func (s *search) check(t *testing.T, p []byte, cuts ...int) {
	t.Helper()
	found := s.inRecords(p, cuts...)
	for i := range s.patterns {
		if want := occurrences(p, s.patterns[i].text); found[i] != want {
			t.Fatalf("%q in %q, cut at %v: %d times, want %d", s.patterns[i].text, shown(p), cuts, found[i], want)
		}
	}
}

func shown(p []byte) []byte { return p[:min(len(p), 300)] }

// A pattern is found wherever a stream is cut.
func TestPatternsAcrossRecords(t *testing.T) {
	t.Parallel()
	for _, patterns := range [][]string{
		{"-----BEGIN"}, {"a"}, {"ab"}, {"abc"}, {"aa", "aaa", "aaaa"}, {"abcabcabd"}, {"he", "she", "his", "hers"}, {"\x00\xff", "\xff\x00\xff"},
		{"ab", "bc", "abc", "c"}, {strings.Repeat("ab", 100)}, {strings.Repeat("x", 300), "y", "xxy"},
	} {
		s := searchFor(patterns...)
		text := []byte("he said: she sells hers, -----BEGIN abcabcabcabd -----BEGI-----BEGIN aaaaa \x00\xff\x00\xff\x00" + strings.Repeat("ab", 120) + strings.Repeat("x", 310) + "y tail his")
		for first := range len(text) + 1 {
			s.check(t, text, first)
			for _, length := range []int{0, 1, 2, 63, 64, 65, 130} {
				if second := first + length; second <= len(text) {
					s.check(t, text, first, second)
				}
			}
		}
	}
}

// Random patterns over few letters overlap in all ways, in long records too.
func TestPatternsOverlap(t *testing.T) {
	t.Parallel()
	for round := range 400 {
		random := rand.New(rand.NewPCG(uint64(round), 1))
		letters := "ab\x00\xff-"[:2+random.IntN(4)]
		draw := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = letters[random.IntN(len(letters))]
			}
			return b
		}
		texts := map[string]bool{}
		for range 1 + random.IntN(30) {
			texts[string(draw(1+random.IntN(12)))] = true
		}
		var patterns []string
		for text := range texts {
			patterns = append(patterns, text)
		}
		s := searchFor(patterns...)
		p := draw(random.IntN(3000))
		if round%10 == 0 {
			p = draw(60_000) // so dense that the automaton is used
		}
		if random.IntN(2) == 0 {
			for i := range p {
				if i/64%3 > 0 {
					p[i] = byte(random.IntN(256))
				}
			}
		}
		var cuts []int
		for at := random.IntN(200); at < len(p); at += 1 + random.IntN(5000) {
			cuts = append(cuts, at)
		}
		s.check(t, p, cuts...)
		s.check(t, p)
	}
}

// The fast way and the slow way find the same places.
func TestPrefilterFindsTheSamePlacesOnAllProcessors(t *testing.T) {
	t.Parallel()
	s := searchFor("-----BEGIN", "password", "\x00\x01\x02", "q", "zz")
	random := rand.New(rand.NewPCG(1, 1))
	p := make([]byte, 5000)
	for i := range p {
		p[i] = "-BEGINpasword\x00\x01\x02xyz 0123456789"[random.IntN(30)]
	}
	for n := range 300 {
		p := p[n*7 : n*7+n]
		for at := 0; at < len(p)-window; {
			found, set := s.filter.places(p, at)
			for i := at; i < min(found+block, len(p)-window); i++ {
				has := i >= found && i < found+block && set>>(i-found)&1 == 1
				four := append(append([]byte(nil), p[i:min(i+4, len(p))]...), 0, 0, 0)
				want := s.filter.tables.allowed(uint32(four[0])|uint32(four[1])<<8|uint32(four[2])<<16) != 0
				if has != want {
					t.Fatalf("place %d of %d: %v, want %v", i, len(p), has, want)
				}
			}
			at = found + block
		}
	}
}

func TestShedPatternsAreNotFound(t *testing.T) {
	t.Parallel()
	s := searchFor("abcd", "bcde", "x")
	s.active = 1<<1 | 1<<2
	s.filter = newPrefilter(s.patterns, s.active)
	text := []byte(strings.Repeat("abcde x ", 50))
	for cut := range 30 {
		if found := s.inRecords(text, cut); found[0] != 0 || found[1] != 50 || found[2] != 50 {
			t.Fatalf("cut at %d: %v", cut, found)
		}
	}
	if newPrefilter(s.patterns, 0) != nil {
		t.Error("there is a prefilter without patterns")
	}
}

func FuzzPatterns(f *testing.F) {
	f.Add([]byte("-----BEGIN"), []byte("BEGIN"), []byte("x-----BEGIN-----BEGIN"), uint16(5), uint16(70))
	f.Add([]byte("aaa"), []byte("a"), bytes.Repeat([]byte("a"), 500), uint16(65), uint16(130))
	f.Add([]byte("\x00\xff"), []byte("\xff\x00"), bytes.Repeat([]byte("\x00\xff"), 100), uint16(1), uint16(2))
	f.Add(bytes.Repeat([]byte("ab"), 90), []byte("ba"), bytes.Repeat([]byte("ab"), 300), uint16(100), uint16(300))
	f.Fuzz(func(t *testing.T, a, b, p []byte, first, second uint16) {
		if len(a) == 0 || len(b) == 0 || bytes.Equal(a, b) || len(a) > maxPattern || len(b) > maxPattern {
			return
		}
		s := searchFor(string(a), string(b))
		cuts := []int{int(first) % (len(p) + 1), int(second) % (len(p) + 1)}
		if cuts[0] > cuts[1] {
			cuts[0], cuts[1] = cuts[1], cuts[0]
		}
		s.check(t, p, cuts...)
		for i, text := range [][]byte{a, b} {
			if has := s.found[i] > 0; has != bytes.Contains(p, text) {
				t.Fatalf("%q in %q: %v", text, p, has)
			}
		}
	})
}

// measure measures n operations. The time of the processor does not depend on what else
// runs.
func measure(b *testing.B, bytes int) {
	b.SetBytes(int64(bytes))
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	b.Cleanup(func() {
		if err := unix.Getrusage(unix.RUSAGE_SELF, &after); err != nil {
			b.Fatal(err)
		}
		spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
		b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
	})
}

// Benchmarks compare with what the standard library has, and with copying.
func BenchmarkPatterns(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	binary := make([]byte, 1<<20)
	for i := range binary {
		binary[i] = byte(random.Uint32())
	}
	var text []byte
	for i := 0; len(text) < 1<<20; i++ {
		text = fmt.Appendf(text, `HTTP/1.1 200 OK`+"\r\n"+`Content-Type: application/json`+"\r\n\r\n"+`{"id":%d,"name":"user number %d","email":"user%d@example.com","active":true,"score":%d.5}`, i, i*7, i, i%100)
	}
	dashes := bytes.Repeat([]byte("-----------------------------------------\n"), 25_000)[:1<<20]
	sets := map[string][]string{
		"one": {"-----BEGIN"}, "three": {"-----BEGIN", "panic: ", "OutOfMemoryError"},
		"ten":   {"-----BEGIN", "panic: ", "OutOfMemoryError", "ORA-00600", "deadlock", "SIGSEGV", "stack trace", "NullPointer", "password=", "\xca\xfe\xba\xbe"},
		"short": {"\x1f\x8b"},
	}
	for _, set := range []string{"one", "three", "ten", "short"} {
		for _, data := range []struct {
			name string
			data []byte
		}{{"json", text}, {"binary", binary}, {"dashes", dashes}} {
			for _, size := range []int{1 << 10, 16 << 10, 1 << 20} {
				name := fmt.Sprintf("%s/%s/%d", set, data.name, size)
				s := searchFor(sets[set]...)
				b.Run("search/"+name, func(b *testing.B) {
					measure(b, size)
					b.ReportAllocs()
					state, at := uint16(root), 0
					for range b.N {
						state = s.record(state, data.data[at:at+size])
						if at += size; at+size > len(data.data) {
							at = 0
						}
					}
				})
				b.Run("index/"+name, func(b *testing.B) {
					measure(b, size)
					at := 0
					for range b.N {
						for _, p := range sets[set] {
							_ = bytes.Index(data.data[at:at+size], []byte(p))
						}
						if at += size; at+size > len(data.data) {
							at = 0
						}
					}
				})
			}
		}
	}
	b.Run("copy/16384", func(b *testing.B) {
		to := make([]byte, 1<<20)
		measure(b, 16<<10)
		at := 0
		for range b.N {
			copy(to[at:at+16<<10], text[at:])
			at = (at + 16<<10) & (1<<20 - 1)
		}
	})
}
