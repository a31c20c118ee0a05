package calls

import (
	"encoding/json"
	"strconv"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Call is a call of a connection in a window.
type Call struct {
	record.Identity
	call.Call

	Of *dump.Connection // the connection, whose State belongs to the station
}

// ID returns the call's identity in its window: "<conn>#<n>".
func (c *Call) ID() string { return c.Conn + "#" + strconv.FormatUint(c.N, 10) }

// MarshalJSON returns the call as docs/calls.md describes it.
func (c *Call) MarshalJSON() ([]byte, error) { return c.AppendJSON(nil), nil }

// AppendJSON appends the call's JSON form, without a newline, to dst.
func (c *Call) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, c.ID())
	for _, f := range [...]struct{ name, value string }{
		{`,"window":`, c.Window}, {`,"conn":`, c.Conn}, {`,"peer":`, c.Peer}, {`,"listener":`, c.Listener}, {`,"port":`, c.Port}, {`,"protocol":`, c.Protocol},
	} {
		dst = append(dst, f.name...)
		dst = appendString(dst, f.value)
	}
	dst = append(dst, `,"time":`...)
	dst = appendTime(dst, c.Time())
	for _, f := range [...]struct{ name, value string }{
		{`,"method":`, c.Method}, {`,"target":`, c.Target}, {`,"path":`, c.Path}, {`,"host":`, c.Host}, {`,"service":`, c.Service}, {`,"status":`, c.Status},
	} {
		dst = append(dst, f.name...)
		dst = appendString(dst, f.value)
	}
	dst = append(dst, `,"code":`...)
	dst = strconv.AppendInt(dst, int64(c.Code), 10)
	dst = append(dst, `,"failed":`...)
	dst = strconv.AppendBool(dst, c.Failed)
	dst = append(dst, `,"latency_ms":`...)
	dst = appendMilliseconds(dst, c.Latency)
	dst = append(dst, `,"duration_ms":`...)
	dst = appendMilliseconds(dst, c.Duration)
	dst = append(dst, `,"request":`...)
	dst = appendMessage(dst, &c.Request)
	dst = append(dst, `,"response":`...)
	dst = appendMessage(dst, &c.Response)
	dst = append(dst, `,"trace":`...)
	dst = appendTrace(dst, c.Trace)
	dst = append(dst, `,"incomplete":[`...)
	for i, word := range c.Incomplete.Words() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, word)
	}
	return append(dst, "]}"...)
}

func appendMessage(dst []byte, m *call.Message) []byte {
	if !m.Present {
		return append(dst, "null"...)
	}
	dst = append(dst, '{')
	dst = appendRange(dst, m.Range)
	dst = append(dst, `,"body":`...)
	if m.HasBody {
		dst = append(dst, '{')
		dst = appendRange(dst, m.Body)
		dst = append(dst, '}')
	} else {
		dst = append(dst, "null"...)
	}
	if m.Missing > 0 {
		dst = append(dst, `,"missing":`...)
		dst = strconv.AppendUint(dst, m.Missing, 10)
	}
	return append(dst, '}')
}

func appendRange(dst []byte, r call.Range) []byte {
	dst = append(dst, `"offset":`...)
	dst = strconv.AppendUint(dst, r.Offset, 10)
	dst = append(dst, `,"length":`...)
	return strconv.AppendUint(dst, r.Length, 10)
}

func appendTrace(dst []byte, t call.Trace) []byte {
	if t == (call.Trace{}) {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"trace_id":`...)
	dst = appendString(dst, t.TraceID)
	dst = append(dst, `,"span_id":`...)
	dst = appendString(dst, t.SpanID)
	return append(dst, '}')
}

// appendMilliseconds appends a duration as a number of milliseconds, null if it is not
// known.
func appendMilliseconds(dst []byte, of func() (time.Duration, bool)) []byte {
	d, ok := of()
	if !ok {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, float64(d)/float64(time.Millisecond), 'f', -1, 64)
}

// appendTime appends a time of UTC with nanoseconds, null if it is not known.
func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

// appendString appends a string of JSON. What is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			b, err := json.Marshal(s)
			if err != nil {
				return append(dst, `""`...) // Marshal knows no error for strings
			}
			return append(dst, b...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
