package mask

import (
	"bytes"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
)

// maxRounds bounds how often maskString looks again at what it has masked.
const maxRounds = 8

// maskString masks what looks like a secret in s, until nothing does; a string
// that is a JSON document is masked as one.
func maskString(s string, depth int) string {
	for range maxRounds {
		if masked, ok := maskDocument(s, depth); ok {
			return masked
		}
		masked := maskText(s)
		if masked == s {
			return s
		}
		s = masked
	}
	return placeholder
}

// maskDocument masks a string that is a JSON object or array. Its spaces stay
// when it has no secret.
func maskDocument(s string, depth int) (string, bool) {
	if t := strings.TrimLeft(s, " \t\r\n"); t == "" || t[0] != '{' && t[0] != '[' {
		return "", false
	}
	v, err := parse([]byte(s), depth)
	if errors.Is(err, errTooDeep) {
		return placeholder, true
	}
	if err != nil {
		return "", false
	}
	before, err := encode(v)
	if err != nil {
		return placeholder, true
	}
	after, err := encode(clean(v, depth-1))
	if err != nil {
		return placeholder, true
	}
	if bytes.Equal(before, after) {
		return s, true
	}
	return string(after), true
}

// The shapes of secrets in a text.
var (
	// A private key in PEM, to the end of the text when its own end is missing.
	pemKey = regexp.MustCompile(`(?s)-----BEGIN[A-Z0-9 ]*PRIVATE KEY.*?(?:-----END[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)`)
	// Text that may be base64, over several lines too.
	base64Run = regexp.MustCompile(`[A-Za-z0-9+/_-]{32,}(?:\r?\n[A-Za-z0-9+/_-]+)*={0,2}`)
	// scheme://user:password@; the password may have an @ in it or, though no URL
	// then, a slash.
	urlUser  = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@[]*):[^\s/?#]*@`)
	urlSlash = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@[]*):([^\s@]*)@`)
	urlPort  = regexp.MustCompile(`^[0-9]{1,5}[,/?#]`)
	// user:password@tcp(host), how Go's SQL drivers write it.
	dsnUser = regexp.MustCompile(`([^\s:@/"'=]+):\S*@((?:tcp[46]?|udp|unix)\()`)
	// Header lines that are secrets to their end, and the schemes of such headers.
	headerLine = regexp.MustCompile(`(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)([ \t]*[:=][ \t]*)[^\s][^\r\n]*`)
	authScheme = regexp.MustCompile(`(?i)\b(bearer|basic)([ \t]+)[^\s"',;]+`)
	// JSON web tokens, signed (three parts) and encrypted (five).
	webToken = regexp.MustCompile(`\beyJ[\w-]+(?:\.[\w-]*){2,4}`)
	// Tokens that say so in their first letters: AWS, Aliyun, GitHub, GitLab, Slack, Google, npm, Vault.
	knownToken = regexp.MustCompile(`\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|LTAI[0-9A-Za-z]{12,}|gh[pousr]_\w{16,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{8,}|AIza[\w-]{35}|npm_\w{36}|hv[sb]\.[\w-]{20,})`)
	// The beginning of name=value; name: value; "name":value; name:"value". A colon
	// alone, as in host:port, is no assignment. The value is left to valueEnd: what
	// it holds may be an assignment too.
	assignment = regexp.MustCompile(`([A-Za-z][A-Za-z0-9_.-]*)(?:\\*["']?[ \t]*=[ \t]*|\\*["'][ \t]*:[ \t]*|[ \t]*:[ \t]+|[ \t]*:(["']))`)
)

// maskText masks the secrets in a text once.
func maskText(s string) string {
	s = pemKey.ReplaceAllLiteralString(s, placeholder)
	s = base64Run.ReplaceAllStringFunc(s, func(run string) string {
		if holdsKey(run) {
			return placeholder
		}
		return run
	})
	s = urlUser.ReplaceAllString(s, `${1}:`+placeholder+`@`)
	s = urlSlash.ReplaceAllStringFunc(s, func(url string) string {
		m := urlSlash.FindStringSubmatch(url)
		if urlPort.MatchString(m[2]) { // host:port, and the @ is further on
			return url
		}
		return m[1] + ":" + placeholder + "@"
	})
	s = dsnUser.ReplaceAllString(s, `${1}:`+placeholder+`@${2}`)
	s = headerLine.ReplaceAllString(s, `${1}${2}`+placeholder)
	s = authScheme.ReplaceAllString(s, `${1}${2}`+placeholder)
	s = webToken.ReplaceAllLiteralString(s, placeholder)
	s = knownToken.ReplaceAllLiteralString(s, placeholder)
	return maskAssignments(s)
}

// holdsKey reports whether run has base64 of a private key in PEM in it, whatever
// letters stand before it.
func holdsKey(run string) bool {
	run = strings.NewReplacer("\r", "", "\n", "", "=", "", "-", "+", "_", "/").Replace(run)
	for skip := range 4 {
		part := run[skip:]
		text, err := base64.RawStdEncoding.DecodeString(part[:len(part)/4*4])
		if err == nil && bytes.Contains(text, []byte("PRIVATE KEY")) {
			return true
		}
	}
	return false
}

// maskAssignments masks the values of secrets' names, also where the value of
// another name has them in it.
func maskAssignments(s string) string {
	var b strings.Builder
	done := 0 // how much of s is in b
	for _, m := range assignment.FindAllStringSubmatchIndex(s, -1) {
		if m[0] < done || !secretName(s[m[2]:m[3]]) {
			continue // in a value that is masked, or no secret
		}
		from := m[1]
		if m[4] >= 0 {
			from = m[4] // the value's quote
		}
		b.WriteString(s[done:from])
		done = valueEnd(s, from)
		switch value := s[from:done]; {
		case value == "" || value == `""` || value == `''`:
			b.WriteString(value)
		case value[0] == '"' || value[0] == '\'':
			b.WriteString(value[:1] + placeholder + value[:1])
		default:
			b.WriteString(placeholder)
		}
	}
	b.WriteString(s[done:])
	return b.String()
}

// valueEnd returns where the value that begins at from ends: behind its closing
// quote, which may be missing, or before space, & or ;.
func valueEnd(s string, from int) int {
	if from == len(s) {
		return from
	}
	quote := s[from]
	if quote != '"' && quote != '\'' {
		if n := strings.IndexAny(s[from:], " \t\r\n\f\v&;"); n >= 0 {
			return from + n
		}
		return len(s)
	}
	for i := from + 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			return i + 1
		}
	}
	return len(s)
}
