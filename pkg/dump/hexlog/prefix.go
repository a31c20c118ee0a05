package hexlog

import "time"

// precision is how finely a line's prefix says the time.
type precision int

const (
	millis precision = 3 // digits of the fraction
	micros precision = 6
)

// linePrefix appends the prefix that MOSN's logger puts before its lines, local
// time and level. It keeps the text of the last second that it formatted,
// because a busy log has many lines per second.
type linePrefix struct {
	second int64
	text   []byte // "2006-01-02 15:04:05," of second; empty before the first line
}

func (p *linePrefix) append(dst []byte, t int64, digits precision) []byte {
	second, nanos := t/1e9, t%1e9
	if second != p.second || len(p.text) == 0 {
		p.text = time.Unix(second, 0).AppendFormat(p.text[:0], "2006-01-02 15:04:05,")
		p.second = second
	}
	dst = append(dst, p.text...)
	fraction := nanos / 1e3
	if digits == millis {
		fraction = nanos / 1e6
	}
	at := len(dst)
	dst = append(dst, "000000"[:digits]...)
	for i := at + int(digits) - 1; i >= at; i-- {
		dst[i] = byte('0' + fraction%10)
		fraction /= 10
	}
	return append(dst, " [INFO] "...)
}

// AppendPrefix appends the prefix of a log line of time t: local time with
// milliseconds, and the level.
func AppendPrefix(dst []byte, t time.Time) []byte {
	var p linePrefix
	return p.append(dst, t.UnixNano(), millis)
}
