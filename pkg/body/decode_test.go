package body

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func gzipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	write(t, w, plain)
	return b.Bytes()
}

func zlibbed(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	write(t, zlib.NewWriter(&b), plain)
	return b.Bytes()
}

func deflated(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, plain)
	return b.Bytes()
}

func write(t testing.TB, w io.WriteCloser, plain []byte) {
	t.Helper()
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func chunked(plain []byte) []byte {
	half := len(plain) / 2
	return fmt.Appendf(nil, "%x;name=\"a b\"\r\n%s\r\n%X\n%s\n0\r\nTrailer: x\r\n\r\n", half, plain[:half], len(plain)-half, plain[half:])
}

var plain = []byte(strings.Repeat(`{"name":"value","number":42}`, 50))

func TestBodiesAreDecoded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		encoded []byte
		values  []string // of the header fields
	}{
		"nothing":            {plain, nil},
		"identity":           {plain, []string{"identity"}},
		"gzip":               {gzipped(t, plain), []string{"gzip"}},
		"upper case":         {gzipped(t, plain), []string{" GZIP "}},
		"x-gzip":             {gzipped(t, plain), []string{"x-gzip"}},
		"two members":        {append(gzipped(t, plain[:100]), gzipped(t, plain[100:])...), []string{"gzip"}},
		"rubbish after gzip": {append(gzipped(t, plain), "\x00\x00rubbish"...), []string{"gzip"}},
		"zlib":               {zlibbed(t, plain), []string{"deflate"}},
		"raw deflate":        {deflated(t, plain), []string{"deflate"}},
		"chunked":            {chunked(plain), []string{"", "chunked"}},
		"gzip, then chunked": {chunked(gzipped(t, plain)), []string{"gzip", "chunked"}},
		"gzip twice":         {gzipped(t, gzipped(t, plain)), []string{"gzip, gzip"}},
		"deflate of gzip":    {zlibbed(t, gzipped(t, plain)), []string{"gzip, identity,deflate"}},
		"with a parameter":   {gzipped(t, plain), []string{"gzip;q=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for reading, r := range map[string]io.Reader{"at once": bytes.NewReader(c.encoded), "byte by byte": iotest.OneByteReader(bytes.NewReader(c.encoded)), "with the end": iotest.DataErrReader(bytes.NewReader(c.encoded))} {
				got, err := Decode(r, Standard(), Limits{}, Names(c.values...)...)
				if err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%s: %d bytes, %v; want the %d of the body", reading, len(got), err, len(plain))
				}
			}
		})
	}
}

// A server sends Content-Encoding: gzip with an empty body in answers to HEAD.
func TestNoBytesAreAnEmptyBody(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{nil, {"gzip"}, {"deflate"}, {"chunked"}, {"gzip", "gzip"}} {
		if got, err := Decode(strings.NewReader(""), Standard(), Limits{}, names...); err != nil || len(got) != 0 {
			t.Errorf("%q: %q, %v", names, got, err)
		}
	}
	if got, err := Decode(strings.NewReader("0\r\n\r\n"), Standard(), Limits{}, "gzip", "chunked"); err != nil || len(got) != 0 {
		t.Errorf("no chunk: %q, %v", got, err)
	}
}

// What is there of a body that was cut is returned, and the error says that it is not whole.
func TestACutBodyIsAnError(t *testing.T) {
	t.Parallel()
	for name, encoded := range map[string][]byte{"gzip": gzipped(t, plain), "deflate": zlibbed(t, plain), "chunked": chunked(plain)} {
		for cut := 1; cut < len(encoded); cut++ {
			if name == "chunked" && bytes.HasPrefix(encoded[cut-1:], []byte("\r\nTrailer")) {
				break // the last chunk is whole
			}
			got, err := Decode(bytes.NewReader(encoded[:cut]), Standard(), Limits{}, name)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s cut at %d: %v, want %v", name, cut, err, io.ErrUnexpectedEOF)
			}
			if !bytes.HasPrefix(plain, got) {
				t.Fatalf("%s cut at %d: %q is not what the body begins with", name, cut, got)
			}
		}
	}
	damaged := gzipped(t, plain)
	damaged[len(damaged)-6] ^= 1
	if got, err := Decode(bytes.NewReader(damaged), Standard(), Limits{}, "gzip"); err == nil || !bytes.Equal(got, plain) {
		t.Errorf("with a wrong checksum: %d bytes, %v", len(got), err)
	}
	for _, chunk := range []string{"xyz\r\n", "-1\r\nx", "5\r\nabcdefgh\r\n", "ffffffffffffffffff\r\n", strings.Repeat("0", 5000) + "\r\n"} {
		if _, err := Decode(strings.NewReader(chunk), Standard(), Limits{}, "chunked"); !errors.Is(err, errChunk) {
			t.Errorf("%.20q: %v, want %v", chunk, err, errChunk)
		}
	}
}

func TestUnknownCodingsAreNamed(t *testing.T) {
	t.Parallel()
	_, err := Decode(bytes.NewReader(plain), Standard(), Limits{}, "gzip", "br")
	if !errors.Is(err, ErrCoding) || !strings.Contains(err.Error(), `"br"`) {
		t.Errorf("%v", err)
	}
}

func TestBombsAreRefused(t *testing.T) {
	t.Parallel()
	zeros := bytes.Repeat([]byte{0}, 2<<20)
	bomb := gzipped(t, zeros)
	for name, c := range map[string]struct {
		encoded []byte
		limits  Limits
		codings []string
	}{
		"size":    {bomb, Limits{Size: 1 << 20}, []string{"gzip"}},
		"ratio":   {bomb, Limits{RatioFrom: 1 << 20}, []string{"gzip"}},
		"stacked": {gzipped(t, gzipped(t, zeros)), Limits{Ratio: 1 << 20, Total: 2 << 20}, []string{"gzip", "gzip"}}, // 2 MiB and what is between them
		"total":   {gzipped(t, plain), Limits{Total: 100}, []string{"gzip"}},
		"codings": {plain, Limits{}, []string{"gzip", "gzip", "gzip", "gzip", "gzip", "gzip"}},
	} {
		got, err := Decode(bytes.NewReader(c.encoded), Standard(), c.limits, c.codings...)
		if !errors.Is(err, ErrBomb) {
			t.Errorf("%s: %d bytes, %v; want %v", name, len(got), err, ErrBomb)
		}
	}
	if got, err := Decode(bytes.NewReader(bomb), Standard(), Limits{Ratio: 2000, RatioFrom: 1 << 20}, "gzip"); err != nil || !bytes.Equal(got, zeros) {
		t.Errorf("within the limits: %d bytes, %v", len(got), err)
	}
	// A body of one letter, which compresses by 1000, is no bomb while it is small.
	letters := bytes.Repeat([]byte{'x'}, 5<<20)
	if got, err := Decode(bytes.NewReader(gzipped(t, letters)), Standard(), Limits{}, "gzip"); err != nil || !bytes.Equal(got, letters) {
		t.Errorf("5 MiB of one letter: %d bytes, %v", len(got), err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(gzipped(f, plain), "gzip")
	f.Add(zlibbed(f, plain), "deflate")
	f.Add(deflated(f, plain), "deflate")
	f.Add(chunked(gzipped(f, plain)), "gzip,chunked")
	f.Fuzz(func(t *testing.T, encoded []byte, value string) {
		limits := Limits{Size: 1 << 16, Total: 1 << 17}
		got, err := Decode(bytes.NewReader(encoded), Standard(), limits, Names(value)...)
		if int64(len(got)) > limits.Size {
			t.Errorf("%d bytes", len(got))
		}
		if err == nil && len(Names(value)) == 0 && !bytes.Equal(got, encoded) {
			t.Errorf("without a coding, %q became %q", encoded, got)
		}
	})
}
