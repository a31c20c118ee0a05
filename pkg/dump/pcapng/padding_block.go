package pcapng

// MinPaddingBlock is how short a block of AppendPaddingBlock can be, in bytes.
const MinPaddingBlock = blockFrame

// AppendPaddingBlock appends a block of n bytes that says nothing, and returns the
// extended slice. n is a multiple of four and MinPaddingBlock at least. The block's
// type is from the range for local use, which readers skip.
func AppendPaddingBlock(dst []byte, n int) []byte {
	start := len(dst)
	dst = beginBlock(dst, blockPadding)
	dst = append(dst, make([]byte, n-blockFrame)...)
	return endBlock(dst, start)
}
