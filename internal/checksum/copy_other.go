//go:build !amd64

package checksum

// copySum copies src to dst, which is as long.
func copySum(dst, src []byte, _ bool) Sum { return copySumPlain(dst, src) }
