package hexlog

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/record"
)

// BenchmarkAppendHex measures the text of a record's bytes. The yardstick is a
// table of three bytes for each of 256 values: 2.2 GB/s.
func BenchmarkAppendHex(b *testing.B) {
	for _, size := range []int{16, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			data := randomBytes(size)
			dst := make([]byte, 0, 3*size+8)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for range b.N {
				appendHex(dst, data)
			}
		})
	}
}

// BenchmarkHexLine measures whole lines, with prefix and fields.
func BenchmarkHexLine(b *testing.B) {
	flow := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{Window: "3f0c9b9e-0000-4000-8000-000000000000", Conn: "aaaaaa-1", Port: "2045"}}}
	for name, e := range map[string]record.Encoder{"hex": NewEncoder(), "hex_meta": NewMetaEncoder()} {
		b.Run(name, func(b *testing.B) {
			data := randomBytes(1 << 10)
			dst := make([]byte, 0, 4<<10)
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for i := range b.N {
				e.Data(dst, int64(i)*1000, flow, 0, uint64(i), data)
			}
		})
	}
}

func randomBytes(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// The text is fmt's, wherever it begins, and nothing is written after the text
// but one byte.
func TestAppendHexIsTheTextOfFmt(t *testing.T) {
	data := randomBytes(300)
	for n := range data {
		for _, before := range []string{"", "[", "0123456789"} {
			want := before + fmt.Sprintf("% x", data[:n])
			if got := appendHex([]byte(before), data[:n]); string(got) != want {
				t.Fatalf("%d bytes after %q: %q, want %q", n, before, got, want)
			}
			end := len(before) + 3*n + 1
			mem := bytes.Repeat([]byte{0xa5}, end+64)
			exact := append(mem[:0:end], before...)
			if got := appendHex(exact, data[:n]); string(got) != want || cap(got) != cap(exact) {
				t.Fatalf("%d bytes after %q, where the capacity is enough: %q", n, before, got)
			}
			if !bytes.Equal(mem[end:], bytes.Repeat([]byte{0xa5}, 64)) {
				t.Fatalf("%d bytes after %q: the memory after the capacity is written to", n, before)
			}
			if encodeHexTable(mem[:3*n+1], data[:n]); n > 0 && string(mem[:3*n-1]) != want[len(before):] {
				t.Fatalf("%d bytes by the table: %q, want %q", n, mem[:3*n-1], want[len(before):])
			}
		}
	}
}

func TestAppendHexDoesNotAllocate(t *testing.T) {
	data, dst := randomBytes(1<<10), make([]byte, 0, 4<<10)
	if n := testing.AllocsPerRun(100, func() { appendHex(dst, data) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzAppendHex(f *testing.F) {
	f.Add([]byte("hello"), 0)
	f.Add([]byte{}, 7)
	f.Fuzz(func(t *testing.T, data []byte, capacity int) {
		got := string(appendHex(make([]byte, 0, min(max(capacity, 0), 1<<10)), data))
		decoded, err := hex.DecodeString(strings.ReplaceAll(got, " ", ""))
		if err != nil || string(decoded) != string(data) || got != fmt.Sprintf("% x", data) {
			t.Errorf("%x: %q, %v", data, got, err)
		}
	})
}
