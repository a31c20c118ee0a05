package pcapng

import (
	"encoding/binary"
	"strconv"

	"mosn.io/tcpcopy/pkg/record"
)

// Statistics is what the connections of a window went through.
type Statistics struct {
	Window    string // UUID
	Opened    int64  // first moment of the window, nanoseconds since the Unix epoch
	Closed    int64  // last moment of the window, in the same unit
	Listeners []ListenerStatistics
}

// ListenerStatistics is what a listener's connections went through in a window.
type ListenerStatistics struct {
	Name, Network, Port string // as in record.Identity
	Traffic
}

// Traffic counts records.
type Traffic struct {
	Received uint64                    // records seen
	Dropped  uint64                    // records lost, at least in part
	LostBy   [record.NumReasons]uint64 // bytes lost, by reason
}

// Add adds the counts of o.
func (t *Traffic) Add(o *Traffic) {
	t.Received += o.Received
	t.Dropped += o.Dropped
	for r := range t.LostBy {
		t.LostBy[r] += o.LostBy[r]
	}
}

// StatisticsRoom bounds the block of AppendStatistics, in bytes.
const StatisticsRoom = 8 << 10

// AppendStatistics appends the Interface Statistics Block of the interface, taken at t
// (nanoseconds since the Unix epoch). Its comments are
//
//	window=<uuid> [lost_<reason>=<bytes> …]
//	port=<port> network=<tcp|udp|unix> listener=<name> received=<records> dropped=<records> [lost_<reason>=<bytes> …]
//	more_listeners=<number>
//
// with the second one for each listener that StatisticsRoom has room for, and the last
// one where it has not room for all.
func AppendStatistics(dst []byte, t int64, s Statistics) []byte {
	start := len(dst)
	dst = beginBlock(dst, blockStatistics)
	dst = binary.LittleEndian.AppendUint32(dst, 0) // interface
	dst = appendTimestamp(dst, t)
	var all Traffic
	for i := range s.Listeners {
		all.Add(&s.Listeners[i].Traffic)
	}
	dst, comment := beginOption(dst, optComment)
	dst = appendWord(dst, "window=", s.Window)
	dst = endOption(appendLost(dst, &all), comment)
	dst = append(dst, optStatisticsStart, 0, 8, 0)
	dst = appendTimestamp(dst, s.Opened)
	dst = append(dst, optStatisticsEnd, 0, 8, 0)
	dst = appendTimestamp(dst, s.Closed)
	dst = append(dst, optStatisticsReceived, 0, 8, 0)
	dst = binary.LittleEndian.AppendUint64(dst, all.Received)
	dst = append(dst, optStatisticsDropped, 0, 8, 0)
	dst = binary.LittleEndian.AppendUint64(dst, all.Dropped)
	for i := range s.Listeners {
		const last = 64 // bytes of the comment on those that are left out, and the block's end
		before := len(dst)
		if dst = appendListener(dst, &s.Listeners[i]); len(dst)-start > StatisticsRoom-last {
			dst, comment = beginOption(dst[:before], optComment)
			dst = append(dst, "more_listeners="...)
			dst = strconv.AppendInt(dst, int64(len(s.Listeners)-i), 10)
			dst = endOption(dst, comment)
			break
		}
	}
	return endBlock(endOptions(dst), start)
}

// appendListener appends the comment on a listener.
func appendListener(dst []byte, l *ListenerStatistics) []byte {
	dst, comment := beginOption(dst, optComment)
	dst = appendWord(dst, "port=", l.Port)
	dst = appendWord(dst, " network=", l.Network)
	dst = appendWord(dst, " listener=", l.Name)
	dst = appendCount(dst, " received=", l.Received)
	dst = appendCount(dst, " dropped=", l.Dropped)
	return endOption(appendLost(dst, &l.Traffic), comment)
}

// appendLost appends " lost_<reason>=<bytes>" for each reason that there is.
func appendLost(dst []byte, t *Traffic) []byte {
	for reason, n := range t.LostBy {
		if n == 0 {
			continue
		}
		dst = append(dst, " lost_"...)
		dst = append(dst, record.Reason(reason).String()...)
		dst = append(dst, '=')
		dst = strconv.AppendUint(dst, n, 10)
	}
	return dst
}
