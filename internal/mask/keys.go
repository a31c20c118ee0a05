package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// pemEnd returns where the private key in PEM ends that begins at from: at the end of the
// text when its own end is missing. It returns 0 if there is none.
func pemEnd(s string, from int) (end int) {
	dashes := from
	for dashes < len(s) && s[dashes] == '-' {
		dashes++
	}
	n := dashes - from
	if n < 4 || n > 5 {
		return 0
	}
	rest := strings.TrimPrefix(s[dashes:], " ")
	if !strings.HasPrefix(rest, "BEGIN") {
		return 0
	}
	label := rest[:min(len(rest), 80)]
	if at := strings.Index(label, "--"); at >= 0 {
		label = label[:at]
	}
	if !strings.Contains(label, "PRIVATE") && !strings.Contains(label, "SECRET") && !strings.Contains(label, "OpenVPN Static key") {
		return 0
	}
	body := len(s) - len(rest)
	for at := body; ; {
		next := strings.Index(s[at:], "END")
		if next < 0 {
			return len(s)
		}
		at += next + 3
		if strings.HasSuffix(strings.TrimSuffix(s[body:at-3], " "), "--") {
			if stop := strings.Index(s[at:min(len(s), at+100)], "----"); stop >= 0 {
				return dashesEnd(s, at+stop)
			}
		}
	}
}

// dashesEnd returns where the dashes end that begin at from, at most five.
func dashesEnd(s string, from int) int {
	end := from
	for end < len(s) && s[end] == '-' && end < from+5 {
		end++
	}
	return end
}

// leastKey is how many characters of base64 or hex are looked at as a key.
const leastKey = 32

// base64End returns where the base64 that begins at from ends, with the lines that
// follow.
func base64End(s string, from int) int {
	end := from
	for {
		begin := end
		for end < len(s) && isBase64(s[end]) {
			end++
		}
		for end < len(s) && s[end] == '=' && end-begin > 0 && end < begin+8192 {
			end++
		}
		// The next line: a line break, written as it is or as an escape, and some space.
		next := end
		for next < len(s) && (s[next] == '\r' || s[next] == '\n') {
			next++
		}
		for next > end && next < len(s) && (s[next] == ' ' || s[next] == '\t') {
			next++
		}
		if next == end && strings.HasPrefix(s[end:], `\n`) {
			next = end + 2
		}
		if next == end || end-begin < leastKey || next == len(s) || !isBase64(s[next]) || s[end-1] == '=' {
			return end
		}
		line := next
		for line < len(s) && isBase64(s[line]) {
			line++
		}
		if line < len(s) && s[line] != '\n' && s[line] != '\r' && s[line] != '=' && s[line] != '\\' && s[line] != '"' || line-next > end-begin {
			return end // the next line has more than base64 in it
		}
		end = next
	}
}

// encodedLabels are the ways in which base64 and hex have "PRIVATE KEY" in it, and those
// of "openssh-key-v1".
var encodedLabels = func() []string {
	var all []string
	for _, label := range []string{"PRIVATE KEY", "openssh-key-v1"} {
		for before := range 3 {
			text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + label + "xx"))
			from := []int{0, 2, 3}[before]
			all = append(all, text[from:(before+len(label))/3*4])
		}
		all = append(all, hex.EncodeToString([]byte(label)))
	}
	return all
}()

// holdsKey reports whether run, base64 or hex over one or more lines, has a private key
// in it: one in PEM, or in DER at its beginning, or a key store.
func holdsKey(run string) bool {
	if strings.ContainsAny(run, "\r\n \t=\\") {
		run = strings.NewReplacer("\r", "", "\n", "", " ", "", "\t", "", "=", "", `\n`, "").Replace(run)
	}
	for _, label := range encodedLabels {
		if strings.Contains(run, label) {
			return true
		}
	}
	head := run[:min(len(run), 96)&^3]
	if strings.ContainsAny(head, "-_") {
		head = strings.NewReplacer("-", "+", "_", "/").Replace(head)
	}
	if der, err := base64.StdEncoding.DecodeString(head); err == nil && isPrivateDER(der, len(run)/4*3) {
		return true
	}
	head = run[:min(len(run), 128)&^1]
	if der, err := hex.DecodeString(head); err == nil && isPrivateDER(der, len(run)/2) {
		return true
	}
	return false
}

// Object identifiers, as DER has them.
var (
	oidPKCS5  = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05}
	oidPKCS12 = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c}
)

// isPrivateDER reports whether head begins a private key of size bytes in DER, about: a
// sequence whose first element is a version (PKCS #1, PKCS #8, SEC 1, PKCS #12), or
// the algorithm of an encrypted PKCS #8. Java's key stores count too.
func isPrivateDER(head []byte, size int) bool {
	if bytes.HasPrefix(head, []byte{0xfe, 0xed, 0xfe, 0xed}) || bytes.HasPrefix(head, []byte{0xce, 0xce, 0xce, 0xce}) {
		return true
	}
	body, length, ok := derSequence(head)
	if !ok || length < 16 || length != indefinite && length > size+4 {
		return false
	}
	if len(body) >= 4 && body[0] == 0x02 && body[1] == 0x01 {
		switch body[2] {
		case 0, 1, 3:
			// Then a sequence (PKCS #8, #12), an octet string (SEC 1) or a number (PKCS #1).
			return body[3] == 0x30 || body[3] == 0x04 || body[3] == 0x02
		}
		return false
	}
	inner, _, ok := derSequence(body)
	if !ok || len(inner) < 10 || inner[0] != 0x06 {
		return false
	}
	return bytes.HasPrefix(inner[2:], oidPKCS5) || bytes.HasPrefix(inner[2:], oidPKCS12)
}

// indefinite is the length of a sequence that does not say it.
const indefinite = 1 << 30

// derSequence returns the content of the sequence that b begins with, as far as b has
// it, and its length.
func derSequence(b []byte) (body []byte, length int, ok bool) {
	if len(b) < 2 || b[0] != 0x30 {
		return nil, 0, false
	}
	n := int(b[1])
	if n < 0x80 {
		return b[2:], n, true
	}
	n &= 0x7f
	if n == 0 {
		return b[2:], indefinite, true
	}
	if n > 4 || len(b) < 2+n {
		return nil, 0, false
	}
	for _, c := range b[2 : 2+n] {
		length = length<<8 | int(c)
	}
	return b[2+n:], length, true
}
