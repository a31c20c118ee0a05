package body

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"maps"
)

// Coding opens a reader of what was encoded in r. Close frees what it uses, and does not
// close r. A reader needs a bounded amount of memory, whatever r says.
type Coding func(r io.Reader) (io.ReadCloser, error)

// Codings are codings by their names, in lower case. "identity" and the empty name need none.
type Codings map[string]Coding

// Standard returns the codings that need nothing beyond the standard library: gzip,
// x-gzip, deflate and chunked. The caller owns the map.
func Standard() Codings {
	return Codings{"gzip": openGzip, "x-gzip": openGzip, "deflate": openDeflate, "chunked": openChunked}
}

// With returns a new map with the codings of c and of more.
func (c Codings) With(more Codings) Codings {
	all := maps.Clone(c)
	maps.Copy(all, more)
	return all
}

// openGzip reads the members of a gzip file. What follows the last one and is no member
// is left out, as browsers do.
func openGzip(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReader(r)
	member, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, err
	}
	member.Multistream(false)
	return &gzipReader{input: buffered, member: member}, nil
}

type gzipReader struct {
	input  *bufio.Reader
	member *gzip.Reader
}

func (g *gzipReader) Read(p []byte) (int, error) {
	for {
		n, err := g.member.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			if errors.Is(err, io.EOF) {
				err = nil // of this member
			}
			return n, err
		}
		switch magic, err := g.input.Peek(2); {
		case err != nil && !errors.Is(err, io.EOF):
			return 0, err
		case len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b:
			return 0, io.EOF
		}
		if err := g.member.Reset(g.input); err != nil {
			return 0, err
		}
		g.member.Multistream(false)
	}
}

func (g *gzipReader) Close() error { return g.member.Close() }

// openDeflate reads zlib's format (RFC 1950), which the coding's name stands for, and
// the format of RFC 1951 alone, which some servers send in its stead.
func openDeflate(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReader(r)
	if head, err := buffered.Peek(2); err == nil && head[0]&0x0f == 8 && head[0]>>4 <= 7 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(buffered)
	}
	return flate.NewReader(buffered), nil
}
