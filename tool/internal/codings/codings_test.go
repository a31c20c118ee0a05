package codings

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"mosn.io/tcpcopy/pkg/body"
)

var plain = []byte(strings.Repeat(`{"name":"value","number":42}`, 50))

func encode(t testing.TB, coding string, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	case "gzip":
		w = gzip.NewWriter(&b)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBodiesAreDecoded(t *testing.T) {
	t.Parallel()
	for value, encoded := range map[string][]byte{
		"br":       encode(t, "br", plain),
		"zstd":     encode(t, "zstd", plain),
		"gzip":     encode(t, "gzip", plain),
		"br, zstd": encode(t, "zstd", encode(t, "br", plain)),
		"gzip, br": encode(t, "br", encode(t, "gzip", plain)),
	} {
		got, err := body.Decode(bytes.NewReader(encoded), All(), body.Limits{}, body.Names(value)...)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %d bytes, %v; want the %d of the body", value, len(got), err, len(plain))
		}
		for cut := 1; cut < len(encoded); cut++ {
			if got, err := body.Decode(bytes.NewReader(encoded[:cut]), All(), body.Limits{}, body.Names(value)...); err == nil || !bytes.HasPrefix(plain, got) {
				t.Fatalf("%s cut at %d: %d bytes, %v; want an error", value, cut, len(got), err)
			}
		}
		if got, err := body.Decode(strings.NewReader(""), All(), body.Limits{}, body.Names(value)...); err != nil || len(got) != 0 {
			t.Errorf("%s without bytes: %q, %v", value, got, err)
		}
	}
}

func TestBombsAreRefused(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 40<<20)
	for _, coding := range []string{"br", "zstd"} {
		encoded := encode(t, coding, zeros)
		if got, err := body.Decode(bytes.NewReader(encoded), All(), body.Limits{}, coding); !errors.Is(err, body.ErrBomb) || len(got) > 16<<20 {
			t.Errorf("%s: %d bytes of %d, %v; want %v", coding, len(got), len(encoded), err, body.ErrBomb)
		}
	}
}

// A window of 128 MiB is memory that a frame's first bytes ask for.
func TestALargeWindowIsRefused(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(128<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	for range 200 { // more than one block, so that the frame has a window
		if _, err := w.Write(bytes.Repeat(plain, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := body.Decode(&b, All(), body.Limits{}, "zstd"); !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("%v; want %v", err, zstd.ErrWindowSizeExceeded)
	}
}
