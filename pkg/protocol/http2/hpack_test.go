package http2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// The static table is that of golang.org/x/net.
func TestStaticTable(t *testing.T) {
	r := newBlockReader(64 << 10)
	tab := newTable(defaultTable, true)
	for i := range staticTable {
		want, err := hpack.NewDecoder(0, nil).DecodeFull([]byte{0x80 | byte(i+1)})
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := r.read([]byte{0x80 | byte(i+1)}, &tab)
		if err != nil || got[0].name != want[0].Name || got[0].string() != want[0].Value || got[0].kind != kindOf(got[0].name) || got[0].length != 0 {
			t.Errorf("%d: %+v, want %+v", i+1, got, want)
		}
	}
}

// blocks are header blocks of one encoder with what is in them.
type blocks struct {
	encoded [][]byte
	fields  [][]hpack.HeaderField
}

// randomBlocks makes blocks whose encoder evicts entries and changes the table's size.
func randomBlocks(random *rand.Rand, n int) blocks {
	var all blocks
	var out bytes.Buffer
	e := hpack.NewEncoder(&out)
	e.SetMaxDynamicTableSizeLimit(16 << 10)
	for range n {
		out.Reset()
		var fields []hpack.HeaderField
		if random.IntN(6) == 0 {
			e.SetMaxDynamicTableSize(uint32([]int{0, 100, 300, 1000, 4096, 10000}[random.IntN(6)]))
		}
		for range 1 + random.IntN(8) {
			f := hpack.HeaderField{Name: fmt.Sprint("x-", random.IntN(8)), Value: strings.Repeat("v%", random.IntN(30)) + fmt.Sprint(random.IntN(6)), Sensitive: random.IntN(8) == 0}
			switch random.IntN(5) {
			case 0:
				f.Name, f.Value = ":path", fmt.Sprint("/", random.IntN(9))
			case 1:
				f.Name, f.Value = ":method", "GET"
			case 2:
				f.Value = ""
			}
			fields = append(fields, f)
			if err := e.WriteField(f); err != nil {
				panic(err)
			}
		}
		all.encoded = append(all.encoded, bytes.Clone(out.Bytes()))
		all.fields = append(all.fields, fields)
	}
	return all
}

// With all blocks there, the fields are those that were encoded; with blocks missing, those that are known are. A
// table after a checkpoint is the same.
func TestTable(t *testing.T) {
	known, unknown := 0, 0
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 11))
		all := randomBlocks(random, 60)
		r := newBlockReader(64 << 10)
		tab := newTable([]int{64 << 10, 2000, 0}[seed%3], seed%2 == 0)
		gaps := seed%4 > 1
		whole := !gaps && seed%3 == 0
		unknownBefore := unknown
		for i, block := range all.encoded {
			if gaps && random.IntN(10) == 0 {
				tab.forget()
				continue
			}
			if random.IntN(10) == 0 {
				state := tab.state()
				tab = state.table()
			}
			fields, _, err := r.read(block, &tab)
			if err != nil || len(fields) != len(all.fields[i]) {
				t.Fatalf("seed %d, block %d: %v, %d fields, want %d", seed, i, err, len(fields), len(all.fields[i]))
			}
			for k, f := range fields {
				want := all.fields[i][k]
				if f.kind != fieldUnknown && f.name != want.Name || f.known && f.string() != want.Value {
					t.Fatalf("seed %d, block %d: %q: %q, want %v", seed, i, f.name, f.string(), want)
				}
				if f.kind == fieldUnknown || !f.known {
					unknown++
				} else {
					known++
				}
				if f.length > 0 && !f.huffman && string(block[f.at:f.at+f.length]) != want.Value {
					t.Fatalf("seed %d, block %d: %v is not at %d", seed, i, want, f.at)
				}
			}
			if tab.size > tab.max || tab.size > tab.limit {
				t.Fatalf("seed %d: a table of %d bytes, which may have %d", seed, tab.size, tab.max)
			}
		}
		if whole && unknown > unknownBefore {
			t.Errorf("seed %d: %d fields unknown", seed, unknown-unknownBefore)
		}
	}
	if known < 2*unknown {
		t.Errorf("%d fields known, %d unknown", known, unknown)
	}
}

// A field that refers to what was not recorded is unknown; one that was inserted since is known, whatever comes after it.
func TestForgottenEntries(t *testing.T) {
	tab := newTable(defaultTable, true)
	r := newBlockReader(64 << 10)
	read := func(block string) string {
		t.Helper()
		fields, _, err := r.read([]byte(block), &tab)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, f := range fields {
			switch {
			case f.kind == fieldUnknown && f.known:
				fmt.Fprintf(&b, "?=%s ", f.string())
			case f.kind == fieldUnknown:
				b.WriteString("? ")
			default:
				fmt.Fprintf(&b, "%s=%s ", f.name, f.string())
			}
		}
		return strings.TrimSpace(b.String())
	}
	for _, step := range []struct {
		block, want string
		forget      bool
	}{
		{block: "\x40\x01a\x011\x40\x01b\x012\xbe\xbf", want: "a=1 b=2 b=2 a=1"},
		{block: "\xbe\xbf", want: "? ?", forget: true},
		{block: "\x40\x01c\x013\xbe\xbf", want: "c=3 c=3 ?"},
		{block: "\x7f\x00\x014\xbe\xbf", want: "?=4 ?=4 c=3"},  // an unknown name, index 63, with a value that is there
		{block: "\x3f\xe1\x07\xbe\xbf\xc0", want: "?=4 c=3 ?"}, // size 1024: nothing is evicted
		{block: "\x20\xbe", want: "?"},                         // size 0: everything is
		{block: "\x3f\xe1\x1f\x40\x01d\x015\xbe\xbf", want: "d=5 d=5 ?"},
	} {
		if step.forget {
			tab.forget()
		}
		if got := read(step.block); got != step.want {
			t.Errorf("%q is %q, want %q", step.block, got, step.want)
		}
	}
	for _, block := range []string{"\x80", "\x40", "\x40\x05ab", "\xff\xff\xff\xff\xff\xff\xff\xff", "\x00\x01a", "\x00\x01a\x85", "\x7f"} {
		if _, _, err := r.read([]byte(block), &tab); err == nil {
			t.Errorf("%q is a header block", block)
		}
	}
}
