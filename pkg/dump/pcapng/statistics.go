package pcapng

import (
	"encoding/binary"
	"strconv"

	"mosn.io/tcpcopy/pkg/record"
)

// InterfaceStatistics is what a listener's connections went through in a window.
type InterfaceStatistics struct {
	Window   string                    // UUID
	Opened   int64                     // first moment of the window, nanoseconds since the Unix epoch
	Closed   int64                     // last moment of the window, in the same unit
	Received uint64                    // records seen
	Dropped  uint64                    // records lost, at least in part
	LostBy   [record.NumReasons]uint64 // bytes lost, by reason
}

// AppendInterfaceStatistics appends the Interface Statistics Block of iface,
// taken at t (nanoseconds since the Unix epoch). The losses by reason are its
// comment, in bytes.
func AppendInterfaceStatistics(dst []byte, iface uint32, t int64, s InterfaceStatistics) []byte {
	start := len(dst)
	dst = beginBlock(dst, blockStatistics)
	dst = binary.LittleEndian.AppendUint32(dst, iface)
	dst = appendTimestamp(dst, t)
	dst, comment := beginOption(dst, optComment)
	dst = append(dst, "window="...)
	dst = appendValue(dst, s.Window)
	for reason, n := range s.LostBy {
		if n == 0 {
			continue
		}
		dst = append(dst, " lost_"...)
		dst = append(dst, record.Reason(reason).String()...)
		dst = append(dst, '=')
		dst = strconv.AppendUint(dst, n, 10)
	}
	dst = endOption(dst, comment)
	dst = append(dst, optStatisticsStart, 0, 8, 0)
	dst = appendTimestamp(dst, s.Opened)
	dst = append(dst, optStatisticsEnd, 0, 8, 0)
	dst = appendTimestamp(dst, s.Closed)
	dst = append(dst, optStatisticsReceived, 0, 8, 0)
	dst = binary.LittleEndian.AppendUint64(dst, s.Received)
	dst = append(dst, optStatisticsDropped, 0, 8, 0)
	dst = binary.LittleEndian.AppendUint64(dst, s.Dropped)
	return endBlock(endOptions(dst), start)
}
