package redis

import (
	"bytes"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// word is an argument of an inline command.
type word struct {
	at, end int // in the line, without quotes
	quoted  bool
}

// words splits an inline command. ok is false if it is none: servers refuse
// quotes that do not end, and what is not text is another protocol.
func words(line []byte) (all []word, ok bool) {
	for i := 0; i < len(line); {
		c := line[i]
		switch {
		case c == ' ' || c == '\t':
			i++
		case c == '"' || c == '\'':
			end := i + 1
			for end < len(line) && line[end] != c {
				if line[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(line) || end+1 < len(line) && line[end+1] != ' ' && line[end+1] != '\t' {
				return nil, false
			}
			all = append(all, word{i + 1, end, true})
			i = end + 1
		default:
			end := i
			for end < len(line) && line[end] != ' ' && line[end] != '\t' {
				if line[end] < ' ' || line[end] == 0x7f {
					return nil, false
				}
				end++
			}
			all = append(all, word{i, end, false})
			i = end
		}
	}
	return all, true
}

// unquote returns the value of a quoted word.
func unquote(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	var out []byte
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			out = append(out, b[i])
			continue
		}
		i++
		switch c := b[i]; c {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'a':
			out = append(out, '\a')
		case 'b':
			out = append(out, '\b')
		case 'x':
			if i+2 < len(b) && hexDigit(b[i+1]) >= 0 && hexDigit(b[i+2]) >= 0 {
				out = append(out, byte(hexDigit(b[i+1])<<4|hexDigit(b[i+2])))
				i += 2
				break
			}
			out = append(out, c)
		default:
			out = append(out, c)
		}
	}
	return out
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// inlineLine returns the line that data begins with, and its length with its end; 0 if
// it is not all there. ok is false if it cannot be an inline command.
func inlineLine(data []byte) (line []byte, n int, ok bool) {
	if !isWord(data[:1]) {
		return nil, 0, false
	}
	end := bytes.IndexByte(data[:min(len(data), maxInline)], '\n')
	if end < 0 {
		return nil, 0, len(data) < maxInline
	}
	return bytes.TrimSuffix(data[:end], []byte("\r")), end + 1, true
}

// inline consumes an inline command, as people type it. It returns its length; 0 if it
// is not all there.
func (p *parser) inline(s *parse.Stream, data []byte, offset uint64) (int, error) {
	line, n, ok := inlineLine(data)
	if !ok {
		return 0, p.malformed("no command begins here")
	}
	if n == 0 {
		return 0, nil
	}
	all, ok := words(line)
	if !ok || len(all) == 0 || !isWord(line[all[0].at:all[0].end]) {
		return 0, p.malformed("no command begins here")
	}
	if _, _, known := lookup(line[all[0].at:all[0].end]); !known && !s.FromStart() {
		return 0, p.malformed("no command begins here")
	}
	p.start(s.TimeAt(offset), offset, int64(len(all)))
	for i, w := range all {
		raw := line[w.at:w.end]
		value := raw
		if w.quoted {
			value = unquote(raw)
		}
		if i == 1 {
			p.in.entry.body = uint32(w.at)
			if w.quoted {
				p.in.entry.body--
			}
		}
		p.inlineArgument(value, len(raw), offset+uint64(w.at))
		if i < len(all)-1 {
			p.endArgument(s, 0)
		}
	}
	p.endArgument(s, offset+uint64(n))
	return n, nil
}

// inlineArgument looks at an argument whose value is encoded by so many bytes at offset.
func (p *parser) inlineArgument(value []byte, encoded int, offset uint64) {
	if len(value) == encoded {
		p.argument(value, len(value), offset)
		return
	}
	spans := p.spans
	p.spans = false
	kind := p.argument(value, len(value), offset)
	if p.spans = spans; spans {
		p.sink.Span(call.Span{
			Call: p.in.entry.n, Direction: record.In, Range: call.Range{Offset: offset, Length: uint64(encoded)},
			Kind: kind, Encoding: "quoted", Value: value,
		})
	}
}
