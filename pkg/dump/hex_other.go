//go:build !amd64

package dump

// encodeHexBlocks does nothing: there is no faster way than AppendHex's own.
func encodeHexBlocks(_, _ []byte) (n int) { return 0 }
