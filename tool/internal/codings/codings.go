// Package codings has the codings of bodies that only the tool decodes: br and zstd,
// beside those of package body. The commands give them to body.Decode.
package codings

import (
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"mosn.io/tcpcopy/pkg/body"
)

// All returns all codings that the tool decodes. The caller owns the map.
func All() body.Codings {
	return body.Standard().With(body.Codings{"br": openBrotli, "zstd": openZstandard})
}

func openBrotli(r io.Reader) (io.ReadCloser, error) {
	return io.NopCloser(brotli.NewReader(r)), nil
}

// maxWindow is the window that RFC 9659 allows in the content coding zstd.
const maxWindow = 8 << 20

func openZstandard(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}
