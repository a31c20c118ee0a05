package cli

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// appendEscaped appends payload so that a terminal does nothing with it but show
// it: control characters, invalid UTF-8 and characters that are not printable
// come as \x escapes. Line ends and tabs stay where lines is set.
func appendEscaped(dst, payload []byte, lines bool) []byte {
	const digits = "0123456789abcdef"
	for len(payload) > 0 {
		r, n := utf8.DecodeRune(payload)
		c := payload[0]
		switch {
		case lines && (c == '\n' || c == '\t'):
			dst = append(dst, c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c == '\\':
			dst = append(dst, `\\`...)
		case r == utf8.RuneError && n <= 1, !unicode.IsPrint(r):
			for _, b := range payload[:n] {
				dst = append(dst, '\\', 'x', digits[b>>4], digits[b&15])
			}
		default:
			dst = append(dst, payload[:n]...)
		}
		payload = payload[n:]
	}
	return dst
}

// printable returns a name from a file or an error as one harmless line.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0 {
		return s
	}
	return string(appendEscaped(nil, []byte(s), false))
}
