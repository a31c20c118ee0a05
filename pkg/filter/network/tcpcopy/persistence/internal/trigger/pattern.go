package trigger

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// unescape returns a text with the escapes of Go's interpreted strings as the bytes that it
// stands for. Quotes may be escaped and need not be.
func unescape(text string) (string, error) {
	var plain []byte
	for rest := text; rest != ""; {
		if rest[0] == '"' || rest[0] == '\'' {
			plain = append(plain, rest[0])
			rest = rest[1:]
			continue
		}
		if len(rest) > 1 && rest[0] == '\\' && rest[1] == '\'' {
			plain = append(plain, '\'')
			rest = rest[2:]
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(rest, '"')
		if err != nil {
			return "", fmt.Errorf("%.12q is none", rest)
		}
		if r < utf8.RuneSelf || !multibyte {
			plain = append(plain, byte(r)) //nolint:gosec // UnquoteChar says that it is one byte
		} else {
			plain = utf8.AppendRune(plain, r)
		}
		rest = tail
	}
	return string(plain), nil
}
