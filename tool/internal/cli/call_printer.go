package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/textproto"
	"strings"
	"unicode"
	"unicode/utf8"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/content"
)

// callPrinter prints one call so that people can read it.
type callPrinter struct {
	w      io.Writer
	output *output
	colour colours
	bare   bool // nothing but bytes is known of the call: it has no head
	buf    []byte
}

func newCallPrinter(w io.Writer, o *output, c colours) *callPrinter {
	return &callPrinter{w: w, output: o, colour: c}
}

// maxShown is how many bytes of a body are shown; --body writes all.
const (
	maxShownText = 256 << 10
	maxShownHex  = 4 << 10
)

func (p *callPrinter) print(s *shownCall) error {
	p.bare = s.Protocol == call.TCP
	p.heading(s)
	for _, dir := range record.Directions() {
		if s.only == nil || *s.only == dir {
			p.side(s, dir)
		}
	}
	_, err := p.w.Write(p.buf)
	return err
}

// heading says whose call it is, and what became of it.
func (p *callPrinter) heading(s *shownCall) {
	p.buf = fmt.Appendf(p.buf, "=== %s  %s  %s -> %s\n", printable(s.ID()), s.Protocol, printable(s.Peer), printable(s.Listener))
	at := "-"
	if !s.Time().IsZero() {
		at = p.output.time(s.Time(), dayAndTime)
	}
	p.buf = fmt.Appendf(p.buf, "    %s  window %s", at, printable(p.output.window(s.Window)))
	if d, ok := s.Latency(); ok {
		p.buf = fmt.Appendf(p.buf, "  latency %s", fineLength(d))
	}
	if d, ok := s.Duration(); ok {
		p.buf = fmt.Appendf(p.buf, "  duration %s", fineLength(d))
	}
	if s.Trace.TraceID != "" {
		p.buf = fmt.Appendf(p.buf, "\n    trace %s  span %s", printable(s.Trace.TraceID), printable(s.Trace.SpanID))
	}
	p.buf = append(p.buf, '\n')
	if s.Failed {
		p.buf = append(p.buf, "    "...)
		p.buf = p.colour.append(p.buf, p.colour.failed, "failed")
		p.buf = append(p.buf, '\n')
	}
	if words := notes(&s.Call); len(words) > 0 {
		p.buf = append(p.buf, "    "...)
		p.buf = p.colour.append(p.buf, p.colour.lost, strings.Join(words, ", "))
		p.buf = append(p.buf, '\n')
	}
}

// side prints the request or the answer.
func (p *callPrinter) side(s *shownCall, dir record.Direction) {
	m := s.side(dir)
	if !m.Present {
		return
	}
	if !p.bare {
		p.line(dir, s.firstLine(dir))
	}
	for _, v := range s.content.Values(dir, call.KindHeader) {
		if strings.HasPrefix(v.Name, ":") {
			continue
		}
		name := v.Name
		if s.Protocol == call.HTTP1 {
			name = textproto.CanonicalMIMEHeaderKey(name)
		}
		p.line(dir, name+": "+v.Text+cutMark(v.Cut))
	}
	for _, v := range s.content.Values(dir, call.KindArgument, call.KindPassword) {
		name := v.Name
		if name != "" {
			name += ": "
		}
		p.line(dir, "  "+name+v.Text+cutMark(v.Cut))
	}
	if !s.content.Complete() {
		p.lostLine(dir, "more values are not shown")
	}
	switch {
	case hasParts(s, dir):
		p.parts(s, dir)
	case m.HasBody:
		p.body(s, dir)
	}
	if m.Missing > 0 {
		p.lostLine(dir, fmt.Sprintf("%d bytes were not recorded", m.Missing))
	}
}

func cutMark(cut bool) string {
	if cut {
		return "…"
	}
	return ""
}

// firstLine returns what was asked for, or what came back.
func (s *shownCall) firstLine(dir record.Direction) string {
	version := oldVersion(s.content, dir)
	if dir == record.In {
		return strings.TrimSpace(s.Method + " " + s.Target + " " + version)
	}
	line := s.Status
	if name := kafkaError(s); name != "" {
		line += " " + name
	}
	values := s.content.Values(dir, call.KindStatus)
	switch s.Protocol {
	case call.HTTP1, call.HTTP2, call.GRPC:
		values = values[max(0, len(values)-1):] // interim answers have one too
	}
	for _, v := range values {
		if v.Text == s.Status || strings.HasPrefix(line, v.Text) || s.Protocol == call.MySQL && v.Name == "code" { // which is no text there
			continue
		}
		line = strings.TrimSpace(line + " " + strings.TrimSpace(strings.TrimPrefix(v.Text, s.Status)))
	}
	if !s.Request.Present && s.Method != "" {
		line = strings.TrimSpace(s.Method + " " + line)
	}
	return strings.TrimSpace(version + " " + line)
}

// oldVersion returns the version of HTTP that a message names, "" if it is the one of the protocol's name. Of
// several answers the last one counts.
func oldVersion(k *content.Content, dir record.Direction) string {
	values := k.Values(dir, call.KindVersion)
	if len(values) == 0 || strings.EqualFold(values[len(values)-1].Text, "HTTP/1.1") {
		return ""
	}
	return values[len(values)-1].Text
}

// line prints text of a direction, which may have several lines.
func (p *callPrinter) line(dir record.Direction, text string) {
	for line := range strings.Lines(strings.ReplaceAll(text, "\r\n", "\n")) {
		p.buf = append(p.buf, p.colour.of(dir)...)
		p.buf = append(p.buf, dir.Arrow(), ' ')
		p.buf = appendEscaped(p.buf, []byte(strings.TrimSuffix(line, "\n")), true)
		p.buf = append(p.buf, p.colour.after(p.colour.of(dir))...)
		p.buf = append(p.buf, '\n')
	}
}

func (p *callPrinter) lostLine(dir record.Direction, text string) {
	p.buf = append(p.buf, dir.Arrow(), ' ')
	p.buf = p.colour.append(p.buf, p.colour.lost, "("+text+")")
	p.buf = append(p.buf, '\n')
}

// body prints a body, decoded, in the form that suits it.
func (p *callPrinter) body(s *shownCall, dir record.Direction) {
	if s.content.HasMessages(dir) {
		p.messages(s, dir)
		return
	}
	data, err := s.content.Decoded(dir)
	if err != nil && len(data) == 0 {
		if raw, failed := s.content.Raw(dir); failed == nil {
			if b, failed := io.ReadAll(io.LimitReader(raw, maxShownHex+1)); failed == nil {
				data = b
			}
		}
	}
	switch {
	case len(data) == 0:
	case isJSONText(data):
		var indented bytes.Buffer
		if json.Indent(&indented, data, "", "  ") == nil {
			data = indented.Bytes()
		}
		fallthrough
	case isShownAsText(data):
		p.text(dir, string(data))
	default:
		p.hex(dir, data)
	}
	if err != nil {
		p.lostLine(dir, "the body cannot be decoded: "+err.Error())
	}
}

// separate prints the empty line between a head and a body.
func (p *callPrinter) separate(dir record.Direction) {
	if !p.bare {
		p.line(dir, "\n")
	}
}

// messages prints the messages of gRPC. One that is not as it was described is shown as a tree of fields,
// with the reason.
func (p *callPrinter) messages(s *shownCall, dir record.Direction) {
	messages, err := s.content.Messages(dir)
	var text strings.Builder
	var reason error
	var unknown []string
	for _, m := range messages {
		line, missing, failed := s.message(dir, m, true)
		if failed != nil {
			line = messageTree(m)
			reason = failed
		}
		text.WriteString(line)
		unknown = append(unknown, missing...)
	}
	p.text(dir, text.String())
	if reason != nil {
		p.lostLine(dir, reason.Error())
	}
	if len(unknown) > 0 {
		p.lostLine(dir, notDescribed(unknown))
	}
	if err != nil {
		p.lostLine(dir, err.Error())
	}
}

// text prints a body that is text, behind an empty line.
func (p *callPrinter) text(dir record.Direction, text string) {
	if text == "" {
		return
	}
	p.separate(dir)
	rest := 0
	if len(text) > maxShownText {
		rest = len(text) - maxShownText
		text = strings.ToValidUTF8(text[:maxShownText], "")
	}
	p.line(dir, text)
	p.more(dir, rest)
}

// hex prints a body that is no text, behind an empty line.
func (p *callPrinter) hex(dir record.Direction, data []byte) {
	p.separate(dir)
	p.hexLines(dir, data)
}

func (p *callPrinter) hexLines(dir record.Direction, data []byte) {
	shown := data[:min(len(data), maxShownHex)]
	p.buf = append(p.buf, p.colour.of(dir)...)
	p.buf = appendHexDump(p.buf, string(dir.Arrow())+" ", 0, shown)
	p.buf = append(p.buf, p.colour.after(p.colour.of(dir))...)
	p.more(dir, len(data)-len(shown))
}

// more says how many bytes are not shown.
func (p *callPrinter) more(dir record.Direction, rest int) {
	if rest > 0 {
		p.lostLine(dir, fmt.Sprintf("%d more bytes: --body writes all", rest))
	}
}

// isJSONText reports whether data are one value of JSON that is worth indenting.
func isJSONText(data []byte) bool {
	trimmed := bytes.TrimSpace(data)
	return len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') && len(trimmed) <= maxShownText && json.Valid(trimmed)
}

// isShownAsText reports whether data are text.
func isShownAsText(data []byte) bool {
	data = data[:min(len(data), maxShownText)]
	odd := 0
	for rest := data; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n <= 1 || !unicode.IsPrint(r) && !strings.ContainsRune("\n\r\t", r) {
			odd++
		}
		rest = rest[n:]
	}
	return odd*20 <= len(data) // escapes of a few odd bytes are easier to read than a hex dump
}
