//go:build !amd64

package trigger

// fast looks at nothing.
func (f *prefilter) fast(_ []byte, at, _ int) (int, uint32) { return at, 0 }
