// Package resend prints commands that send a recorded call again: for curl, grpcurl and
// redis-cli, quoted so that a POSIX shell passes on exactly what was recorded.
package resend

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// quote returns s as one word of a POSIX shell, without bytes that a terminal would obey.
// s has no NUL.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	if !isText(s) && !strings.HasSuffix(s, "\n") { // the shell cuts line ends off
		return `"$(` + printf(s) + `)"`
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// isText reports whether s can stand in a command line: it is UTF-8 that a terminal
// shows and does not obey.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || unicode.Is(unicode.Bidi_Control, r)
	}) < 0
}

// printf returns the command that writes s, whatever bytes it has, to standard output.
func printf(s string) string {
	const digits = "01234567"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\' || c == '\'' || c == '%' || c < ' ' || c >= 0x7f, c == '-' && i == 0: // a word that begins with - is an option
			b.Write([]byte{'\\', '0' + c>>6, digits[c>>3&7], digits[c&7]})
		default:
			b.WriteByte(c)
		}
	}
	return "printf '" + b.String() + "'"
}

// MaxBody is how long a body may be that stands in the command.
const MaxBody = maxArgument

// Quote returns s as one word of a POSIX shell. s has no NUL.
func Quote(s string) string { return quote(s) }

// maxArgument is how long an argument may be (Linux, MAX_ARG_STRLEN, with room for what
// quoting adds).
const maxArgument = 100 << 10
