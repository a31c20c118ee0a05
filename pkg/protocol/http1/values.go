package http1

import (
	"bytes"
	"strings"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// The methods whose answers have no body of their own (RFC 9110, sections 9.3.2 and 9.3.6).
const (
	methodHead    = "HEAD"
	methodConnect = "CONNECT"
)

// methods are the usual ones, so that calls need no memory for theirs.
var methods = [...]string{"GET", "POST", "PUT", "DELETE", methodHead, "OPTIONS", "PATCH", methodConnect, "TRACE"}

func method(b []byte) string {
	for _, m := range methods {
		if string(b) == m {
			return m
		}
	}
	return string(b)
}

// pathOf returns the path of a target in any of its forms (RFC 9112, section 3.2).
func pathOf(target string) string {
	if !strings.HasPrefix(target, "/") {
		if _, rest, ok := strings.Cut(target, "://"); ok {
			at := strings.IndexAny(rest, "/?#")
			if at < 0 || rest[at] != '/' {
				return "/"
			}
			target = rest[at:]
		}
	}
	if at := strings.IndexAny(target, "?#"); at >= 0 {
		return target[:at]
	}
	return target
}

// hostOf returns the host of a target in absolute form.
func hostOf(target string) string {
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return ""
	}
	if at := strings.IndexAny(rest, "/?#"); at >= 0 {
		rest = rest[:at]
	}
	return rest[strings.LastIndexByte(rest, '@')+1:]
}

// field reports a field of a head that begins at offset with data.
func (p *parser) field(c *call.Call, dir record.Direction, offset uint64, data []byte, f *field) {
	if !p.env.Spans {
		return
	}
	at := offset
	if len(f.value) > 0 {
		at += uint64(cap(data) - cap(f.value)) // value is a part of data
	}
	p.env.Sink.Span(call.Span{
		Call: c.N, Direction: dir, Range: call.Range{Offset: at, Length: uint64(len(f.value))},
		Kind: call.KindHeader, Name: p.fieldName(f.name), Value: f.value,
	})
}

// maxNames bounds the names of header fields that a parser remembers.
const maxNames = 128

// fieldName returns the name of a header field in lower case. Connections repeat theirs,
// so that most need no memory.
func (p *parser) fieldName(name []byte) string {
	if lower, ok := p.names[string(name)]; ok {
		return lower
	}
	lower := strings.ToLower(string(name))
	if len(p.names) < maxNames && len(name) <= maxLine/maxNames {
		if p.names == nil {
			p.names = map[string]string{}
		}
		p.names[string(name)] = lower
	}
	return lower
}

// requestSpans reports the values of a request line, which data begins with.
func (p *parser) requestSpans(c *call.Call, offset uint64, data []byte, r *requestLine) {
	if !p.env.Spans {
		return
	}
	report := func(kind call.Kind, name string, value []byte) {
		p.env.Sink.Span(call.Span{
			Call: c.N, Direction: record.In, Range: call.Range{Offset: offset + uint64(cap(data)-cap(value)), Length: uint64(len(value))},
			Kind: kind, Name: name, Value: value,
		})
	}
	report(call.KindMethod, "", r.method)
	report(call.KindTarget, "", r.target)
	report(call.KindVersion, "", r.version)
	_, query, ok := bytes.Cut(r.target, []byte("?"))
	for ok && len(query) > 0 {
		pair := query
		if end := bytes.IndexByte(query, '&'); end >= 0 {
			pair, query = query[:end], query[end+1:]
		} else {
			query = nil
		}
		if name, value, ok := bytes.Cut(pair, []byte("=")); ok && len(value) > 0 {
			report(call.KindQuery, string(name), value)
		}
	}
}

// statusSpans reports the values of a status line, which begins at offset.
func (p *parser) statusSpans(c *call.Call, offset uint64, line []byte) {
	const status = versionLength + len(" ")
	p.env.Sink.Span(call.Span{
		Call: c.N, Direction: record.Out, Range: call.Range{Offset: offset, Length: uint64(versionLength)}, Kind: call.KindVersion, Value: line[:versionLength],
	})
	p.env.Sink.Span(call.Span{
		Call: c.N, Direction: record.Out, Range: call.Range{Offset: offset + uint64(status), Length: uint64(len(line) - status)}, Kind: call.KindStatus, Value: line[status:],
	})
}
