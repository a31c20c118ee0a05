package parse

import (
	"encoding/binary"
	"math"
	"strings"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// Call appends all of a call.
func (s *State) Call(c *call.Call) {
	s.Uint(c.N)
	s.String(c.Protocol)
	s.String(c.Instead)
	s.String(c.Method)
	s.String(c.Target)
	if strings.HasPrefix(c.Target, c.Path) {
		s.Uint(uint64(len(c.Path)) + 1)
	} else {
		s.Uint(0)
		s.String(c.Path)
	}
	s.String(c.Host)
	s.String(c.Service)
	s.String(c.Status)
	*s = binary.AppendVarint(*s, int64(c.Code))
	s.Flags(c.Failed, c.Interleaved)
	s.Message(&c.Request)
	s.Message(&c.Response)
	s.String(c.Trace.TraceID)
	s.String(c.Trace.SpanID)
	s.Uint(uint64(c.Incomplete))
}

// Message appends all of a message.
func (s *State) Message(m *call.Message) {
	there := *m != call.Message{}
	s.Flags(there, m.Present, m.HasBody, m.Ended)
	if !there {
		return
	}
	s.Uint(m.Offset)
	s.Uint(m.Length)
	s.Uint(m.Body.Offset)
	s.Uint(m.Body.Length)
	s.Time(m.First)
	s.Time(m.Last)
	s.Uint(m.Missing)
	s.Uint(m.Between)
}

// Call reads a call.
func (r *StateReader) Call(c *call.Call) {
	c.N = r.Uint()
	c.Protocol, c.Instead, c.Method, c.Target = r.word(), r.word(), r.word(), r.String()
	switch n := r.Uint(); {
	case n == 0:
		c.Path = r.String()
	case n-1 <= uint64(len(c.Target)):
		c.Path = c.Target[:n-1]
	default:
		r.fail()
	}
	c.Host, c.Service, c.Status = r.String(), r.String(), r.String()
	code, n := binary.Varint(r.b)
	if n <= 0 || code < math.MinInt32 || code > math.MaxUint32 {
		r.fail()
		return
	}
	r.b = r.b[n:]
	c.Code = int(code)
	r.Flags(&c.Failed, &c.Interleaved)
	r.Message(&c.Request)
	r.Message(&c.Response)
	c.Trace = call.Trace{TraceID: r.String(), SpanID: r.String()}
	c.Incomplete = r.Incomplete()
}

// Message reads a message.
func (r *StateReader) Message(m *call.Message) {
	var there bool
	r.Flags(&there, &m.Present, &m.HasBody, &m.Ended)
	if !there {
		return
	}
	m.Offset, m.Length = r.Uint(), r.Uint()
	m.Body = call.Range{Offset: r.Uint(), Length: r.Uint()}
	m.First, m.Last = r.Time(), r.Time()
	m.Missing, m.Between = r.Uint(), r.Uint()
}

// Incomplete reads the reasons why a call is not known completely.
func (r *StateReader) Incomplete() call.Incomplete {
	v := r.Uint()
	if v > math.MaxUint16 {
		r.fail()
		return 0
	}
	return call.Incomplete(v)
}

// word reads text that is mostly one of few.
func (r *StateReader) word() string {
	b := r.bytes()
	for _, known := range [...]string{call.HTTP1, call.TCP, "GET", "POST", "PUT", "HEAD", "DELETE", "turn"} {
		if string(b) == known {
			return known
		}
	}
	return string(b)
}
