package hexlog

import (
	"mosn.io/tcpcopy/pkg/record"
)

// Encoder encodes the lines that the first implementation wrote, one per record:
//
//	2006-01-02 15:04:05,000 [INFO] [<window>][<port>]68 65 6c 6c 6f
//
// It has no words for directions, connections, gaps or ends; those events append
// nothing, so it serves one direction only.
type Encoder struct {
	prefix linePrefix
}

var _ record.Encoder = (*Encoder)(nil)

// NewEncoder returns an encoder of hex lines, with times in the local time zone.
func NewEncoder() *Encoder { return &Encoder{} }

// Open appends nothing.
func (*Encoder) Open(dst []byte, _ int64, _ *record.Flow) []byte { return dst }

// Data appends one line.
func (e *Encoder) Data(dst []byte, t int64, f *record.Flow, _ record.Direction, _ uint64, data []byte) []byte {
	dst = e.prefix.append(dst, t, millis)
	dst = appendFields(dst, f)
	dst = appendHex(dst, data)
	return append(dst, '\n')
}

// Gap appends nothing.
func (*Encoder) Gap(dst []byte, _ int64, _ *record.Flow, _ record.Direction, _, _ uint64, _ record.Reason) []byte {
	return dst
}

// Close appends nothing.
func (*Encoder) Close(dst []byte, _ int64, _ *record.Flow, _ record.CloseReason, _ record.PerDirection) []byte {
	return dst
}

// appendFields appends the two fields that start each line of the flow log.
func appendFields(dst []byte, f *record.Flow) []byte {
	dst = append(dst, '[')
	dst = append(dst, f.Window...)
	dst = append(dst, ']', '[')
	dst = append(dst, f.Port...)
	return append(dst, ']')
}
