package query

import (
	"net/url"
	"regexp"
	"strings"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// placeholder is what a route has in place of an id.
const placeholder = "{id}"

// maxRoute bounds a route in bytes. What is longer is cut.
const maxRoute = 1024

// maxTarget is how much of a target is read.
const maxTarget = 64 << 10

// Route returns what the call asks for without what differs between calls of one kind:
// the path of HTTP with {id} for ids, a Redis key likewise, an SQL statement with ? for
// its literals. The names of RPC services are returned as they are.
func (c *Call) Route() string {
	target := c.Path
	if target == "" {
		target = c.Target
	}
	return Route(c.Protocol, target)
}

// Route returns the route of a target of that protocol. See [Call.Route].
func Route(protocol, target string) string {
	var route string
	target = target[:min(len(target), maxTarget)]
	switch protocol {
	case call.MySQL, call.PostgreSQL:
		route = statementRoute(target, protocol == call.MySQL)
	case call.Redis:
		route = segmentRoute(target)
	case call.HTTP1, call.HTTP2, call.WebSocket:
		route = pathRoute(target)
	default:
		route = target
	}
	if len(route) > maxRoute {
		route = strings.ToValidUTF8(route[:maxRoute], "") + "…"
	}
	return route
}

// pathRoute returns the route of a path. A query and the parameters of a segment, which
// follow a semicolon, are left out.
func pathRoute(path string) string {
	path, _, _ = strings.Cut(path, "?")
	if !strings.HasPrefix(path, "/") { // "*", or a host and port
		return path
	}
	var b strings.Builder
	for i, segment := range strings.Split(path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		segment, _, _ = strings.Cut(segment, ";")
		if strings.IndexByte(segment, '%') >= 0 {
			if plain, err := url.PathUnescape(segment); err == nil && segmentRoute(plain) != plain {
				segment = strings.ReplaceAll(segmentRoute(plain), "/", "%2F")
			}
		}
		b.WriteString(segmentRoute(segment))
		if b.Len() > maxRoute {
			break
		}
	}
	return b.String()
}

// segmentRoute replaces the ids in a segment of a path, or in a key.
func segmentRoute(s string) string {
	s = s[:min(len(s), maxRoute+1)] // more would be cut
	switch {
	case s == "" || strings.Contains(s, placeholder):
		return s
	case len(s) > 36 && !strings.HasPrefix(s, "urn:uuid:") && !uuid(s) && uuidInside.MatchString(s):
		parts := strings.Split(uuidInside.ReplaceAllLiteralString(s, placeholder), placeholder)
		for i, part := range parts {
			parts[i] = segmentRoute(part)
		}
		return strings.Join(parts, placeholder)
	case opaque(strings.TrimPrefix(s, "urn:uuid:")) || strings.Count(s, "@") == 1 && s[0] != '@' && strings.Contains(s[strings.IndexByte(s, '@'):], "."):
		return placeholder // a token as a whole, or a mail address
	case !strings.ContainsAny(s, digits) && len(s) < 20: // most segments are words
		return s
	}
	var b strings.Builder
	replaced := -1 // where b ends with a placeholder
	for rest := s; rest != ""; {
		n := strings.IndexAny(rest, separators)
		if n == 0 {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		if n < 0 {
			n = len(rest)
		}
		part := rest[:n]
		before := rune(0)
		if b.Len() > 0 {
			before = rune(b.String()[b.Len()-1])
		}
		switch {
		case version(rest) > 0 && (before == 0 || before == '-' || before == '_' || before == '.' && (rest[0] == 'v' || rest[0] == 'V')):
			n = version(rest)
			b.WriteString(rest[:n])
		case !identifier(part) || technical(s, part, before):
			b.WriteString(part)
		case replaced >= 0 && replaced == b.Len()-1 && before != ':' && before != '/':
			// A date, or an id of several parts: one placeholder.
			kept := b.String()[:replaced]
			b.Reset()
			b.WriteString(kept)
			replaced = b.Len()
		default:
			b.WriteString(placeholder)
			replaced = b.Len()
		}
		rest = rest[n:]
	}
	return b.String()
}

var uuidInside = regexp.MustCompile(`\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b`)

const (
	digits     = "0123456789"
	separators = "-_.:,~=+!@|/{}()[]$*'& "
)

// version returns the length of a version with dots that s begins with, such as 3.6.0 or v1.2, or 0.
func version(s string) int {
	end := min(len(s), 24)
	if n := strings.IndexAny(s[:end], "-_:/,~=+!@|"); n >= 0 {
		end = n
	}
	i, numbers := 0, 0
	if s[0] == 'v' || s[0] == 'V' {
		i = 1
	}
	for i < end {
		start := i
		for i < end && isDigit(rune(s[i])) {
			i++
		}
		if i == start || i-start > 3 {
			break
		}
		numbers++
		last := i
		if i < end && s[i] == '.' && i+1 < end && isDigit(rune(s[i+1])) {
			i++
			continue
		}
		if numbers < 2 || i < end && s[i] != '.' {
			return 0
		}
		return last
	}
	return 0
}

// technical reports whether part is a number that belongs to a word of technology before it, such as utf-8 or http-2.
func technical(segment, part string, before rune) bool {
	if before != '-' && before != '_' || len(part) > 3 {
		return false
	}
	i := strings.Index(segment, part)
	word := strings.ToLower(strings.TrimRight(segment[:max(i, 0)], "-_"))
	if n := strings.LastIndexAny(word, separators); n >= 0 {
		word = word[n+1:]
	}
	switch word {
	case "utf", "http", "sha", "iso", "base", "oauth", "ipv", "tls", "x", "rfc", "aes":
		return true
	}
	return false
}

// shape is what the letters and digits of a token look like.
type shape struct {
	length, digits, lower, upper, others int
	turns                                int // changes between digit, lower and upper case
	hex                                  bool
}

func shapeOf(s string) shape {
	f := shape{length: len(s), hex: true}
	last := byte(0)
	for i := range len(s) {
		var class byte
		switch b := s[i]; {
		case isDigit(rune(b)):
			f.digits++
			class = 'd'
		case 'a' <= b && b <= 'z':
			f.lower++
			class = 'l'
			f.hex = f.hex && b <= 'f'
		case 'A' <= b && b <= 'Z':
			f.upper++
			class = 'u'
			f.hex = f.hex && b <= 'F'
		default:
			f.others++
			f.hex = false
			continue
		}
		if last != 0 && class != last {
			f.turns++
		}
		last = class
	}
	return f
}

// opaque reports whether a whole segment is one id that may contain separators: a UUID,
// or a long token as of base64.
func opaque(s string) bool {
	if uuid(s) {
		return true
	}
	f := shapeOf(s)
	if f.length < 16 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+.~/") != "" {
		return false
	}
	// A slug such as how-to-2-things has few turns for its length; a camelCase name has two
	// for each of its words and no digits.
	return f.digits >= 2 && f.turns*4 >= f.length-f.others && f.upper+f.lower > 0 && f.others*8 <= f.length ||
		f.digits > 0 && f.upper > 0 && f.lower > 0 && f.turns*3 >= f.length-f.others && f.others*5 <= f.length ||
		f.digits == 0 && f.length >= 20 && f.turns*2 >= f.length-f.others
}

// uuid reports whether s is a UUID, with or without dashes or braces.
func uuid(s string) bool {
	if len(s) == 38 && s[0] == '{' && s[37] == '}' {
		s = s[1:37]
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	return shapeOf(strings.ReplaceAll(s, "-", "")).hex
}

// identifier reports whether a part without separators is an id and not a word.
func identifier(s string) bool {
	f := shapeOf(s)
	switch {
	case f.others > 0: // a script without case, or a character of no name
		return false
	case f.digits == f.length:
		return true
	case f.digits == 0:
		return f.hex && f.length >= 24 || f.length >= 20 && f.turns*2 >= f.length || f.length > 64
	case words[strings.ToLower(s)] || versionWord(s):
		return false
	case f.hex && f.length >= 6 && f.digits >= 2:
		return true
	case ulid(s, f), f.length >= 16 && f.digits >= 2:
		return true
	case f.digits >= 3:
		return true
	default:
		return f.turns >= 3 && f.digits >= 2
	}
}

// ulid reports whether s has the form of a ULID.
func ulid(s string, f shape) bool {
	return f.length == 26 && s[0] <= '7' && f.digits > 0 && (f.lower == 0 || f.upper == 0) && !strings.ContainsAny(s, "ILOUilou")
}

// versionWord reports whether s is the name of a version: v1, v1beta1, v20240101, 2x.
func versionWord(s string) bool {
	rest := strings.TrimLeft(strings.ToLower(s), "v")
	if len(rest) != len(s)-1 {
		return false
	}
	for _, word := range []string{"", "alpha", "beta", "rc", "preview", "p"} {
		if before, after, ok := strings.Cut(rest, word); word != "" && ok {
			return before != "" && strings.Trim(before, digits) == "" && strings.Trim(after, digits) == ""
		}
	}
	return strings.Trim(rest, digits) == ""
}

// words are words with digits that are no ids though they look like it.
var words = map[string]bool{
	"sha1": true, "sha224": true, "sha256": true, "sha384": true, "sha512": true, "md5": true, "crc32": true, "base32": true, "base58": true, "base64": true,
	"utf8": true, "utf16": true, "utf32": true, "latin1": true, "iso8601": true, "iso27001": true, "rfc3339": true, "x509": true, "pkcs7": true, "pkcs8": true, "pkcs12": true, "p256": true,
	"h264": true, "h265": true, "mp3": true, "mp4": true, "webp2": true, "win32": true, "win64": true, "x86": true, "x64": true, "amd64": true, "arm64": true, "aarch64": true,
	"oauth2": true, "oidc1": true, "http2": true, "http3": true, "ipv4": true, "ipv6": true, "i18n": true, "l10n": true, "a11y": true, "k8s": true, "ec2": true, "s3": true, "b2b": true, "b2c": true, "p2p": true, "c2c": true, "o2o": true, "web3": true, "d3js": true,
	"error404": true, "error500": true, "html5": true, "css3": true, "es2015": true, "es2020": true, "w3c": true, "auth0": true, "log4j2": true, "int32": true, "int64": true, "float32": true, "float64": true,
}
