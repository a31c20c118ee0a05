package grep

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// place is where a match is.
type place struct {
	conn   string
	dir    record.Direction
	offset uint64
	text   string
}

// run is a stretch of a stream without a gap.
type run struct {
	conn   string
	dir    record.Direction
	offset uint64
	text   []byte
}

// String shows a run.
func (r run) String() string { return fmt.Sprintf("%s %v %d %q", r.conn, r.dir, r.offset, r.text) }

// mustCompile compiles a pattern.
func mustCompile(t testing.TB, text string, o Options) *Pattern {
	t.Helper()
	p, err := Compile(text, o)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return p
}

// reference returns the matches in a run by their definition: those of the expression as
// it was typed in each line, or in the whole run.
func reference(t testing.TB, text string, o Options, of run) (places []place) {
	t.Helper()
	if o.Fixed {
		text = regexp.QuoteMeta(text)
	}
	flags := syntax.Perl &^ syntax.OneLine
	if o.IgnoreCase {
		flags |= syntax.FoldCase
	}
	tree, err := syntax.Parse(text, flags)
	if err != nil {
		t.Fatal(err)
	}
	re := regexp.MustCompile(tree.String())
	add := func(at int, b []byte) {
		for _, m := range re.FindAllIndex(b, -1) {
			if m[0] < m[1] {
				places = append(places, place{of.conn, of.dir, of.offset + uint64(at+m[0]), string(b[m[0]:m[1]])})
			}
		}
	}
	if o.Fixed || o.Multiline || namesLineEnd(text) {
		add(0, of.text)
		return places
	}
	at := 0
	for line := range bytes.Lines(of.text) {
		add(at, bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")))
		at += len(line)
	}
	return places
}

// records cuts runs into records at random places, and interleaves those of different
// streams.
func records(rng *rand.Rand, runs []run, longest int) (all []*record.Record) {
	type key struct {
		conn string
		dir  record.Direction
	}
	streams := map[key][]*record.Record{}
	var order []key
	for _, of := range runs {
		k := key{of.conn, of.dir}
		if streams[k] == nil {
			order = append(order, k)
		}
		for at := 0; at < len(of.text); {
			n := min(1+rng.IntN(longest), len(of.text)-at)
			if rng.IntN(3) == 0 {
				n = 1
			}
			r := &record.Record{
				Kind: record.KindData, Direction: of.dir, Offset: of.offset + uint64(at), Length: uint64(n), Data: of.text[at : at+n],
				Identity: record.Identity{Window: "w", Conn: of.conn, Network: "tcp"},
			}
			streams[k] = append(streams[k], r)
			at += n
		}
	}
	for len(order) > 0 {
		i := rng.IntN(len(order))
		k := order[i]
		r := streams[k][0]
		r.Time = time.Unix(1, int64(len(all)))
		all = append(all, r)
		if streams[k] = streams[k][1:]; len(streams[k]) == 0 {
			order = slices.Delete(order, i, i+1)
		}
	}
	return all
}

// search returns what a Search finds in records, by streams, and checks the context.
func search(t testing.TB, p *Pattern, context int, runs []run, all []*record.Record) (places []place) {
	t.Helper()
	s := New(p, context, func(m *Match) error {
		places = append(places, place{m.Conn.Conn, m.Direction, m.Offset, string(m.Bytes)})
		for _, of := range runs {
			end := of.offset + uint64(len(of.text))
			if of.conn != m.Conn.Conn || of.dir != m.Direction || m.Offset < of.offset || m.Offset >= end {
				continue
			}
			at := int(m.Offset - of.offset)
			to := at + len(m.Bytes)
			if before := of.text[max(0, at-context):at]; !bytes.Equal(before, m.Before) {
				t.Errorf("before %d is %q, want %q", m.Offset, m.Before, before)
			}
			if after := of.text[to:min(len(of.text), to+context)]; !bytes.Equal(after, m.After) {
				t.Errorf("after %d is %q, want %q", m.Offset, m.After, after)
			}
			return nil
		}
		return fmt.Errorf("a match at %d is in no run", m.Offset)
	})
	for _, r := range all {
		if err := s.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	sortPlaces(places)
	return places
}

func sortPlaces(places []place) {
	slices.SortStableFunc(places, func(a, b place) int {
		if n := strings.Compare(a.conn, b.conn); n != 0 {
			return n
		}
		if a.dir != b.dir {
			return int(a.dir) - int(b.dir)
		}
		return int(a.offset) - int(b.offset)
	})
}

// The expressions of the tests, over the words of vocabulary.
var expressions = []struct {
	text string
	o    Options
}{
	{"ab", Options{}}, {"aa", Options{}}, {"aba", Options{}}, {"a.*b", Options{}}, {"a.*?b", Options{}}, {"a[^c]*b", Options{}}, {"^a", Options{}}, {"b$", Options{}}, {"^.*$", Options{}},
	{`\bab\b`, Options{}}, {`\Ba`, Options{}}, {"a|ab|abc", Options{}}, {"abc|ab|a", Options{}}, {"x*", Options{}}, {"(ab)*", Options{}}, {"(?:ab)+", Options{}}, {`\s+`, Options{}}, {"a{2,3}", Options{}},
	{`[^a]b`, Options{}}, {"[é€]", Options{}}, {"é", Options{}}, {"[^é]b", Options{}}, {".", Options{}}, {"..", Options{}}, {`\xff`, Options{}}, {"a?b?c", Options{}}, {`\W`, Options{}}, {`\Aab`, Options{}}, {`ab\z`, Options{}},
	{`\r\n`, Options{}}, {`a\r\nb`, Options{}}, {`b\n+a`, Options{}}, {"[^x]*ab", Options{}}, {"a(?s:.)b", Options{}}, {`[ab]+\b`, Options{}}, {"$", Options{}}, {"^", Options{}}, {"^$", Options{}}, {`\x{fffd}b`, Options{}},
	{"a.*b", Options{Multiline: true}}, {"(?s)a.*b", Options{Multiline: true}}, {"a[^c]*b", Options{Multiline: true}}, {"^a", Options{Multiline: true}}, {`\s+`, Options{Multiline: true}}, {"[ab]*", Options{Multiline: true}}, {`\bab`, Options{Multiline: true}},
	{"AB", Options{IgnoreCase: true}}, {"k", Options{IgnoreCase: true}}, {"a.*S", Options{IgnoreCase: true}}, {"É", Options{IgnoreCase: true}}, {"kab|sab", Options{IgnoreCase: true}}, {"ab|ba", Options{IgnoreCase: true}},
	{"a.", Options{Fixed: true}}, {"\r\n", Options{Fixed: true}}, {"aB", Options{Fixed: true, IgnoreCase: true}}, {"A\r\nb", Options{Fixed: true, IgnoreCase: true}},
}

var vocabulary = []string{"a", "b", "ab", "c", "a", "b", "x", " ", "A", "B", "\r\n", "\n", "é", "€", "\xff", "\xc3", "\xa9", "k", "K", "\u212a", "s", "ſ", ".", "😀"}

// randomText returns some words of vocabulary.
func randomText(rng *rand.Rand, words int) (b []byte) {
	few := vocabulary[:2+rng.IntN(len(vocabulary)-1)]
	for range words {
		b = append(b, few[rng.IntN(len(few))]...)
	}
	return b
}

// The matches are those of one search in the whole stream, however it is cut, whichever
// streams are interleaved, and wherever there are gaps.
func TestMatchesDoNotDependOnRecords(t *testing.T) {
	for seed := range uint64(600) {
		rng := rand.New(rand.NewPCG(seed, 1))
		e := expressions[int(seed)%len(expressions)]
		p := mustCompile(t, e.text, e.o)
		var runs []run
		for i := range 1 + rng.IntN(4) {
			for _, dir := range record.Directions() {
				offset := rng.Uint64N(1 << 40)
				for range 1 + rng.IntN(3) {
					of := run{fmt.Sprintf("k3v9qa-%d", i), dir, offset, randomText(rng, 1+rng.IntN(60))}
					runs = append(runs, of)
					offset += uint64(len(of.text)) + 1 + rng.Uint64N(10) // a gap
				}
			}
		}
		var want []place
		for _, of := range runs {
			want = append(want, reference(t, e.text, e.o, of)...)
		}
		sortPlaces(want)
		for range 3 {
			got := search(t, p, rng.IntN(20), runs, records(rng, runs, 1+rng.IntN(30)))
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, %q %+v:\n got %+v\nwant %+v\nin %v", seed, e.text, e.o, got, want, runs)
			}
		}
	}
}

// A match in lines and windows longer than what an expression sees at a time does not
// depend on the records either.
func TestMatchesInLongLinesDoNotDependOnRecords(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 2))
		padding := bytes.Repeat([]byte("x"), MaxMatch+rng.IntN(MaxMatch))
		var text []byte
		for range 2 + rng.IntN(4) {
			text = append(text, randomText(rng, 100)...)
			text = append(text, padding[:rng.IntN(len(padding))]...)
		}
		e := expressions[int(seed)%len(expressions)]
		if slices.Contains([]string{"[^x]*ab", ".", "..", "x*", `\W`}, e.text) {
			continue // too slow to repeat
		}
		p := mustCompile(t, e.text, e.o)
		runs := []run{{"k3v9qa-1", record.In, 77, text}}
		want := search(t, p, 5, runs, records(rng, runs, 1<<30))
		for _, longest := range []int{4000, 70_000} {
			if got := search(t, p, 5, runs, records(rng, runs, longest)); !slices.Equal(got, want) {
				t.Fatalf("seed %d, %q: %d matches in records of up to %d, want %d", seed, e.text, len(got), longest, len(want))
			}
		}
		short := p.re == nil || p.longest <= MaxMatch
		if whole := reference(t, e.text, e.o, runs[0]); short && !slices.Equal(whole, want) {
			t.Fatalf("seed %d, %q: %d matches, want %d", seed, e.text, len(want), len(whole))
		}
	}
}

// A match of MaxMatch bytes is found wherever it begins.
func TestLongMatchesAreFound(t *testing.T) {
	for _, e := range []struct {
		text string
		o    Options
	}{{"<[^>]*>", Options{}}, {"[<][^>]*>", Options{}}, {"(?s)<.*?>", Options{Multiline: true}}, {`[<{]x*\b.`, Options{}}} {
		p := mustCompile(t, e.text, e.o)
		for _, before := range []int{0, 1, MaxMatch - 1, MaxMatch, 2*MaxMatch + 7, 5*MaxMatch - 100} {
			text := bytes.Repeat([]byte("y"), before)
			text = append(text, '<')
			text = append(text, bytes.Repeat([]byte("x"), MaxMatch-2)...)
			text = append(text, '>')
			text = append(text, bytes.Repeat([]byte("z"), 3*MaxMatch)...)
			runs := []run{{"k3v9qa-1", record.Out, 0, text}}
			got := search(t, p, 3, runs, records(rand.New(rand.NewPCG(1, 1)), runs, 10_000))
			if len(got) != 1 || got[0].offset != uint64(before) || len(got[0].text) != MaxMatch {
				t.Errorf("%q after %d bytes: %d matches", e.text, before, len(got))
			}
		}
	}
}

// An error of the function ends the search.
func TestTheFirstErrorEndsTheSearch(t *testing.T) {
	stop, calls := errors.New("stop"), 0
	s := New(mustCompile(t, "a", Options{}), 0, func(*Match) error { calls++; return stop })
	runs := []run{{"k3v9qa-1", record.In, 0, []byte("aaaa")}}
	if err := s.Add(records(rand.New(rand.NewPCG(1, 1)), runs, 100)[0]); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// A datagram is a message of its own.
func TestNoMatchGoesOverDatagrams(t *testing.T) {
	var got []place
	s := New(mustCompile(t, "ab", Options{}), 2, func(m *Match) error {
		got = append(got, place{m.Conn.Conn, m.Direction, m.Offset, string(m.Before) + "|" + string(m.After)})
		return nil
	})
	for i, text := range []string{"xa", "b", "cabd"} {
		r := &record.Record{Kind: record.KindData, Time: time.Unix(1, int64(i)), Offset: uint64([]int{0, 2, 3}[i]), Length: uint64(len(text)), Data: []byte(text)}
		r.Identity = record.Identity{Window: "w", Conn: "k3v9qa-1", Network: "udp"}
		if err := s.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(); err != nil || len(got) != 1 || got[0].offset != 4 || got[0].text != "c|d" {
		t.Errorf("%+v, %v", got, err)
	}
}
