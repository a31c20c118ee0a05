package pcapng

import (
	"fmt"
	"math/bits"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// capturedInterface is what an Interface Description Block says of its packets.
type capturedInterface struct {
	link       uint16
	snapLength uint32 // 0 means no limit
	unit       byte   // if_tsresol: bit 7 set means a power of 2, otherwise of 10
	offset     int64  // if_tsoffset, seconds
}

// ours is the interface that the recorder describes. It stands in for one that no block
// describes, because the block is damaged.
var ours = capturedInterface{link: linkTypeRaw, unit: nanoseconds}

const (
	nanoseconds  = 9
	microseconds = 6 // where if_tsresol is missing
)

// parseInterface reads the body of an Interface Description Block. Options that it
// cannot read count as missing.
func parseInterface(b block) (i capturedInterface, err error) {
	if len(b.body) < 8 {
		return i, fmt.Errorf("%w: interface block", record.ErrMalformed)
	}
	i = capturedInterface{link: b.order.Uint16(b.body), snapLength: b.order.Uint32(b.body[4:]), unit: microseconds}
	for options, more := b.body[8:], true; more; {
		var code uint16
		var value []byte
		code, value, options, more = nextOption(options, b.order)
		switch {
		case code == optInterfaceResolution && len(value) == 1:
			i.unit = value[0]
		case code == optInterfaceOffset && len(value) == 8:
			i.offset = int64(b.order.Uint64(value))
		}
	}
	return i, nil
}

// nextOption is cutOption for options of which damage does not matter. more is false at
// the end.
func nextOption(b []byte, order byteOrder) (code uint16, value, rest []byte, more bool) {
	code, value, rest, err := cutOption(b, order)
	return code, value, rest, err == nil && code != optEnd
}

// cutOption splits off the first option of b. At the end of b, its code is optEnd.
func cutOption(b []byte, order byteOrder) (code uint16, value, rest []byte, err error) {
	if len(b) == 0 {
		return optEnd, nil, nil, nil
	}
	if len(b) < 4 {
		return 0, nil, nil, fmt.Errorf("%w: %d bytes after the options", record.ErrMalformed, len(b))
	}
	code, n := order.Uint16(b), int(order.Uint16(b[2:]))
	padded := 4 + (n+3)&^3
	if padded > len(b) {
		return 0, nil, nil, fmt.Errorf("%w: an option of %d bytes, of which %d are there", record.ErrMalformed, n, len(b)-4)
	}
	return code, b[4 : 4+n], b[padded:], nil
}

// The times that have a form in RFC 3339, in seconds since the Unix epoch.
const (
	firstSecond = -62135596800 // of the year 1
	lastSecond  = 253402300799 // of the year 9999
)

// time returns what the two halves of a timestamp stand for. It is false for times that
// no calendar of four digits has.
func (i *capturedInterface) time(high, low uint32) (time.Time, bool) {
	stamp := uint64(high)<<32 | uint64(low)
	seconds, nanos := secondsOf(stamp, i.unit)
	sum := int64(seconds) + i.offset
	if seconds > lastSecond-firstSecond || i.offset > lastSecond || i.offset < firstSecond-lastSecond || sum < firstSecond || sum > lastSecond {
		return time.Time{}, false
	}
	return time.Unix(sum, int64(nanos)), true
}

// secondsOf returns how long a number of units is. The unit is 10^-n or, with bit 7 set,
// 2^-n seconds.
func secondsOf(stamp uint64, unit byte) (seconds, nanos uint64) {
	if unit == nanoseconds { // almost always
		return stamp / 1e9, stamp % 1e9
	}
	n := uint(unit & 0x7f)
	if unit&0x80 != 0 {
		if n < 64 {
			seconds, stamp = stamp>>n, stamp&(1<<n-1)
		}
		high, low := bits.Mul64(stamp, 1e9)
		switch {
		case n < 64:
			return seconds, high<<(64-n) | low>>n // shifts by 64 give 0
		default:
			return 0, high >> (n - 64)
		}
	}
	const most = 19 // the largest power of 10 in 64 bits
	if n <= most {
		seconds, stamp = stamp/powerOf10(n), stamp%powerOf10(n)
	}
	switch {
	case n <= nanoseconds:
		return seconds, stamp * powerOf10(nanoseconds-n)
	case n-nanoseconds <= most:
		return seconds, stamp / powerOf10(n-nanoseconds)
	default:
		return 0, 0
	}
}

func powerOf10(n uint) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
