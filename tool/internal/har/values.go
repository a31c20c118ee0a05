package har

import (
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/content"
)

// headers returns the fields of a head, and of a trailer, in their order. Calls have the
// names of HTTP/1.1 in lower case; they get the usual form.
func headers(protocol string, values []content.Value) []pair {
	fields := []pair{}
	for _, v := range values {
		name := v.Name
		switch {
		case strings.HasPrefix(name, ":"):
			continue // it is in the fields of the entry
		case protocol == call.HTTP1:
			name = textproto.CanonicalMIMEHeaderKey(name)
		}
		fields = append(fields, pair{name, v.Text})
	}
	return fields
}

// fieldsOf returns the fields of a direction, those of a trailer too.
func fieldsOf(c *calls.Call, k *content.Content, dir record.Direction) []content.Value {
	if dir == record.Out {
		return answerFields(c, k)
	}
	return k.Values(dir, call.KindHeader)
}

// answerFields returns the fields of an answer without those of interim ones (1xx). The
// status of HTTP/1.1 is behind the fields of its head, that of HTTP/2 in front of them.
func answerFields(c *calls.Call, k *content.Content) []content.Value {
	var fields []content.Value
	from := 0 // where those of the last head begin
	ended := 0
	for _, v := range k.Values(record.Out, call.KindHeader, call.KindStatus) {
		switch {
		case v.Kind != call.KindStatus:
			fields = append(fields, v)
		case c.Protocol == call.HTTP1:
			from, ended = ended, len(fields)
		default:
			from = len(fields)
		}
	}
	return fields[from:]
}

// field returns the first value of a field, or "".
func field(values []content.Value, name string) string {
	for _, v := range values {
		if strings.EqualFold(v.Name, name) {
			return v.Text
		}
	}
	return ""
}

type cookie struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Path     string `json:"path,omitempty"`
	Domain   string `json:"domain,omitempty"`
	Expires  string `json:"expires,omitempty"`
	HTTPOnly *bool  `json:"httpOnly,omitempty"` // nil in requests, which do not say it
	Secure   *bool  `json:"secure,omitempty"`
	SameSite string `json:"sameSite,omitempty"`
}

// cookiesOf returns the cookies of a request. What browsers would send is read, also where
// RFC 6265 does not allow it.
func cookiesOf(values []content.Value) []cookie {
	cookies := []cookie{}
	for _, v := range values {
		if !strings.EqualFold(v.Name, "cookie") {
			continue
		}
		for part := range strings.SplitSeq(v.Text, ";") {
			if part = strings.TrimSpace(part); part != "" {
				cookies = append(cookies, cookieOf(part))
			}
		}
	}
	return cookies
}

// cookieOf returns the cookie "name=value".
func cookieOf(text string) cookie {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		name, value = "", text // as browsers read it
	}
	return cookie{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)}
}

// setCookies returns the cookies that an answer sets.
func setCookies(values []content.Value) []cookie {
	cookies := []cookie{}
	for _, v := range values {
		if !strings.EqualFold(v.Name, "set-cookie") {
			continue
		}
		first, rest, _ := strings.Cut(v.Text, ";")
		c := cookieOf(strings.TrimSpace(first))
		secure, only := false, false
		for attribute := range strings.SplitSeq(rest, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(attribute), "=")
			switch value = strings.TrimSpace(value); strings.ToLower(strings.TrimSpace(name)) {
			case "path":
				c.Path = value
			case "domain":
				c.Domain = value
			case "samesite":
				c.SameSite = value
			case "secure":
				secure = true
			case "httponly":
				only = true
			case "expires":
				if at, err := parseExpires(value); err == nil {
					c.Expires = at.UTC().Format(time.RFC3339)
				}
			}
		}
		c.Secure, c.HTTPOnly = &secure, &only
		cookies = append(cookies, c)
	}
	return cookies
}

// parseExpires reads a date of HTTP, also with the dashes of Netscape's cookies.
func parseExpires(text string) (time.Time, error) {
	at, err := http.ParseTime(text)
	if err != nil {
		return time.Parse("Mon, 02-Jan-2006 15:04:05 MST", text)
	}
	return at, nil
}

// queryOf returns the parameters of a target, decoded.
func queryOf(target string) []pair {
	_, query, _ := strings.Cut(target, "?")
	query, _, _ = strings.Cut(query, "#")
	return parameters(query)
}

// parameters returns the names and values of a query or a form, decoded where that is
// possible.
func parameters(text string) []pair {
	pairs := []pair{}
	for part := range strings.SplitSeq(text, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, pair{unescaped(name), unescaped(value)})
	}
	return pairs
}

func unescaped(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// status returns the code of an answer. Of gRPC it is that of HTTP.
func status(c *calls.Call, k *content.Content) int {
	if c.Protocol != call.GRPC {
		return c.Code
	}
	code := http.StatusOK
	for _, v := range k.Values(record.Out, call.KindStatus) { // interim answers have one too
		if n, err := strconv.Atoi(v.Text); err == nil && len(v.Text) == 3 {
			code = n
		}
	}
	return code
}

// statusText returns the reason phrase of an answer; "" where it has none.
func statusText(c *calls.Call, k *content.Content) string {
	if c.Protocol != call.HTTP1 {
		return ""
	}
	text := ""
	for _, v := range k.Values(record.Out, call.KindStatus) { // interim answers have one too
		if code, reason, _ := strings.Cut(v.Text, " "); code == c.Status {
			text = strings.TrimSpace(reason)
		}
	}
	return text
}

// webSocket is Chromium's word for an upgraded connection.
const webSocket = "websocket"

// IsUpgrade reports whether a call is the upgrade to WebSocket.
func IsUpgrade(c *calls.Call, k *content.Content) bool {
	return c.Code == http.StatusSwitchingProtocols && strings.EqualFold(field(answerFields(c, k), "upgrade"), webSocket)
}

// urlOf returns the URL that a call was for. Every URL parser reads it: characters that it
// may not have are escaped, and where the client's name of the server is none, its address
// is there instead.
func urlOf(c *calls.Call, k *content.Content) string {
	scheme, host, target := "http", c.Host, c.Target
	switch c.Protocol {
	case call.WebSocket:
		scheme = "ws"
	case call.HTTP1:
		if IsUpgrade(c, k) {
			scheme = "ws"
		}
	default:
		if s := field(k.Values(record.In, call.KindHeader), ":scheme"); s == "https" {
			scheme = s
		}
		target = c.Path
		if c.Protocol == call.HTTP2 {
			target = c.Target
		}
	}
	if at := strings.Index(target, "://"); at > 0 && !strings.Contains(target[:at], "/") { // the absolute form
		if s := strings.ToLower(target[:at]); s == "http" || s == "https" || s == "ws" || s == "wss" {
			scheme = s
		}
		rest := target[at+3:]
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			target = rest[end:]
		} else {
			target = "/"
		}
	}
	if c.Method == http.MethodConnect || target == "*" {
		target = "/"
	}
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	if !isHost(host) {
		host = hostOf(c.Listener)
	}
	return scheme + "://" + host + escaped(target)
}

// escaped returns a target with the characters escaped that a URL does not have.
func escaped(target string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// isHost reports whether text is a host that every URL parser reads, with a port or without.
func isHost(text string) bool {
	name, port := text, ""
	if h, p, err := net.SplitHostPort(text); err == nil {
		name, port = h, p
	}
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, _, ok = strings.Cut(inner, "]")
		a, err := netip.ParseAddr(inner)
		return ok && err == nil && a.Is6() && a.Zone() == ""
	}
	if name == "" || len(name) > 253 {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	last := strings.TrimSuffix(name, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if last == "" {
		return false
	}
	if last[0] >= '0' && last[0] <= '9' { // URL parsers read it as an IPv4 address
		a, err := netip.ParseAddr(name)
		return err == nil && a.Is4()
	}
	return true
}

// hostOf returns the host of a listener's address; a Unix socket has none.
func hostOf(listener string) string {
	if a, err := netip.ParseAddrPort(listener); err == nil {
		return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()).String()
	}
	return "localhost"
}

// addressOf returns the IP address of a listener; "" of a Unix socket.
func addressOf(listener string) string {
	if a, err := netip.ParseAddrPort(listener); err == nil {
		return a.Addr().Unmap().String()
	}
	return ""
}
