package mask

import (
	"strings"
	"unicode/utf8"
)

// A scanner masks the secrets of one text. It goes over the text once, from left to
// right, and looks at what begins at each place: a known token, a URL, a key, a name
// with a value. What it looks at beyond that is bounded, so that the time is
// proportional to the length.
type scanner struct {
	m     *masker
	s     string
	out   []byte // the masked text up to done
	done  int
	depth int // how deep a text in this one may be nested

	ahead     []span // to be masked further on, in order
	lineStart int
	first     bool // no name was in the line yet
	double    bool // an odd number of " in the line so far
	single    bool // the same of '
	item      int  // where the last word without space began
	base64    int  // up to here, base64 has been looked at
	at        int  // where the next @ is, as far as it was looked for
	document  int  // up to here, no JSON document begins
	section   bool // in a section of an INI or TOML file whose name is a secret's
	k8s       bool // the text has a Kubernetes Secret in it
	aws       bool // the text has an AWS access key in it
	command   string
	netrc     bool // there was "login" or "machine"
}

// span is a part of a text.
type span struct{ from, to int }

// maskText masks the secrets in a text once.
func (m *masker) maskText(s string, depth int) string {
	sc := scanner{m: m, s: s, depth: depth, first: true,
		k8s: strings.Contains(s, "kind: Secret"),
		aws: strings.Contains(s, "AKIA") || strings.Contains(s, "ASIA"),
	}
	sc.newLine(0)
	sc.run(depth)
	if sc.done == 0 {
		return s
	}
	return string(append(sc.out, s[sc.done:]...))
}

// emit masks a part of the text and goes on behind it.
func (sc *scanner) emit(from, to int, with string) int {
	from = max(from, sc.done)
	if to <= from {
		return max(to, sc.done)
	}
	sc.out = append(append(sc.out, sc.s[sc.done:from]...), with...)
	sc.done = to
	return to
}

// run masks the text.
func (sc *scanner) run(depth int) {
	s := sc.s
	slice := 0
	for i := 0; i < len(s); {
		if i-slice >= sliceBytes {
			if sc.m.step(i - slice) {
				return
			}
			slice = i
		}
		if len(sc.ahead) > 0 && i >= sc.ahead[0].from {
			next := sc.ahead[0]
			sc.ahead = sc.ahead[1:]
			if next.to > i {
				i = sc.emit(i, next.to, placeholder)
			}
			continue
		}
		c := s[i]
		switch {
		case isWord(c) || c >= 0x80:
			i = sc.name(i)
			continue
		case c == '\n':
			sc.newLine(i + 1)
		case c == ' ' || c == '\t' || c == '\r' || c == '=' || c == ',' || c == ';' || c == '(' || c == '[' || c == '{':
			sc.item = i + 1
			if c == '{' {
				if from, to := schemeHash(s, i); from < to && s[from:to] != placeholder {
					i = sc.emit(from, to, placeholder)
					continue
				}
			}
			if (c == '{' || c == '[') && i >= sc.document {
				if end := sc.embedded(i, depth); end > 0 {
					i = end
					continue
				}
			}
		case c == '"':
			sc.double, sc.item = !sc.double, i+1
		case c == '\'' || c == '`':
			sc.single, sc.item = !sc.single, i+1
		case c == '-':
			if end := sc.block(i); end > 0 {
				i = end
				continue
			}
		case c == '<':
			sc.element(i)
		case c == '@':
			if from, to, ok := dsnSecret(s, max(sc.item, sc.done), i); ok && s[from:to] != placeholder {
				sc.emit(from, to, placeholder)
			} else if i-sc.item < maxName && atFollows(s, i+1) {
				break // the password has an @ in it
			}
			sc.item = i + 1
		case c == '$':
			if end := passwordHashEnd(s, i); end > 0 {
				i = sc.emit(i, end, placeholder)
				continue
			}
		case c == '+' || c == '/':
			if end := sc.encoded(i); end > 0 {
				i = end
				continue
			}
			if strings.HasPrefix(s[i:], "//") {
				sc.item = i + 2
			}
		}
		i++
	}
}

func (sc *scanner) newLine(at int) {
	sc.lineStart, sc.first, sc.double, sc.single, sc.item = at, true, false, false, at
	sc.command, sc.netrc = "", false
	// A section of an INI or TOML file.
	rest := strings.TrimLeft(sc.s[at:min(len(sc.s), at+maxName)], " \t")
	if !strings.HasPrefix(rest, "[") {
		return
	}
	name, _, ok := strings.Cut(strings.Trim(rest, "["), "]")
	if ok && !strings.ContainsAny(name, "\n\"',:{}=") {
		sc.section = sc.m.class(name).isSecret()
	}
}

// block masks a private key in PEM.
func (sc *scanner) block(i int) int {
	if !strings.HasPrefix(sc.s[i:], "----") || i > 0 && sc.s[i-1] == '-' {
		return 0
	}
	if end := pemEnd(sc.s, i); end > 0 {
		return sc.emit(i, end, placeholder)
	}
	return 0
}

// encoded masks base64 or hex of a private key that begins at i.
func (sc *scanner) encoded(i int) int {
	s := sc.s
	if i < sc.base64 {
		return 0
	}
	end := i
	for end < len(sc.s) && isBase64(sc.s[end]) {
		end++
	}
	sc.base64 = end
	if end-i < leastEncoded || end-i < leastKey && !sc.holdsSecret(s[i:end]) {
		return 0
	}
	end = base64End(sc.s, i)
	sc.base64 = end
	if holdsKey(sc.s[i:end]) {
		return sc.emit(i, end, placeholder)
	}
	if sc.aws && isAWSSecret(sc.s[i:end]) || sc.holdsSecret(sc.s[i:end]) {
		return sc.emit(i, end, placeholder)
	}
	return 0
}

// holdsSecret reports whether run is base64 of a text that has a secret in it.
func (sc *scanner) holdsSecret(run string) bool {
	if sc.depth <= 0 || len(run) > maxEncodedText {
		return false
	}
	if head, ok := decodeBase64(run[:min(len(run), 16)]); !ok || !isPrintable(head) {
		return false
	}
	text, ok := decodeBase64(run)
	return ok && isPrintable(text) && sc.m.maskText(text, min(sc.depth, maxEncodings)-1) != text
}

// maxEncodedText bounds the base64 that is looked into for a text, bytes;
// leastEncoded is the least of it; maxEncodings how
// often one may be in another.
const (
	leastEncoded   = 16
	maxEncodedText = 1 << 20
	maxEncodings   = 3
)

// isPrintable reports whether s is a text: UTF-8 without control characters, but for those
// of lines. The last character may be cut off.
func isPrintable(s string) bool {
	for i, r := range s {
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == utf8.RuneError && i < len(s)-utf8.UTFMax {
			return false
		}
	}
	return true
}

// embedded masks a JSON document in the text.
func (sc *scanner) embedded(i, depth int) int {
	s := sc.s
	j := i + 1
	for j < len(s) && (s[j] == ' ' || s[j] == '\n' || s[j] == '\r' || s[j] == '\t') {
		j++
	}
	if j == len(s) || s[j] != '"' && s[j] != '{' && s[j] != '[' {
		return 0
	}
	p := new(parser)
	if len(s)-i > unitBytes {
		p.m = sc.m // the document may be large
	}
	v, n, err := p.prefix(s[i:], depth)
	if err != nil {
		sc.document = i + n
		return 0
	}
	document := s[i : i+n]
	if n > unitBytes {
		if masked, changed := sc.m.large(document, depth); changed {
			return sc.emit(i, i+n, masked)
		}
		return i + n
	}
	if p.m != nil {
		v, _ = parse(document, depth) // it is one
	}
	if sc.m.clean(v, depth-1) {
		return sc.emit(i, i+n, string(appendValue(nil, v)))
	}
	return i + n
}

// name handles the name or word that begins at i and returns where to go on.
func (sc *scanner) name(i int) int {
	s := sc.s
	if end := sc.encoded(i); end > 0 {
		return end
	}
	end := i
	for p := i; p < len(s); p = end {
		if isWord(s[p]) {
			if t := tokenEnd(s, p); t > 0 {
				return sc.emit(p, t, placeholder)
			}
		}
		end = p
		for end < len(s) && (isWord(s[end]) || s[end] >= 0x80) {
			end++
		}
		if end+1 >= len(s) || s[end] != '.' && s[end] != '-' || !isWord(s[end+1]) {
			break
		}
		end++
	}
	if end == i {
		return i + 1
	}
	if strings.HasPrefix(s[end:], "://") || strings.HasPrefix(s[end:], `:\/\/`) {
		return sc.url(end)
	}
	if strings.HasPrefix(s[i:end], "PuTTY-User-Key-File") {
		return sc.emit(end, len(s), ": "+placeholder)
	}
	if next := sc.assignment(i, end); next > 0 {
		sc.first = false
		return next
	}
	word := s[i:end]
	if len(word) <= maxName {
		sc.word(word, i, end)
	}
	switch word {
	case "set":
		sc.first = sc.first || strings.Contains(s[max(sc.lineStart, i-maxName):i], "config") // aws configure set name value
	case "export", "env", "ENV", "ARG", "declare", "const", "let", "var", "setenv", "setx", "SetEnv", "e", "D",
		"proxy_set_header", "grpc_set_header", "add_header", "fastcgi_param", "uwsgi_param", "http-request", "set-header", "RequestHeader", "Header", "stats":
	default:
		sc.first = false
	}
	return max(end, sc.done)
}

// url masks in the URL whose "://" begins at colon.
func (sc *scanner) url(colon int) int {
	sc.first = false
	if sc.at < colon { // where the next @ is, so that none is looked for twice
		if n := strings.IndexByte(sc.s[colon:], '@'); n >= 0 {
			sc.at = colon + n
		} else {
			sc.at = len(sc.s)
		}
	}
	var from, to int
	ok := false
	if sc.at < len(sc.s) {
		from, to, ok = urlSecret(sc.s, colon)
	}
	if ok && sc.s[from:to] != placeholder {
		return sc.emit(from, to, placeholder)
	}
	host := colon + 3
	if begin, end, hook := webhookSecret(sc.s, host); hook && sc.s[begin:end] != placeholder {
		return sc.emit(begin, end, placeholder)
	}
	sc.item = host
	if ok {
		return to
	}
	if at := strings.IndexAny(sc.s[host:min(len(sc.s), host+300)], "@/ \n\"'"); at >= 0 && sc.s[host+at] == '@' {
		sc.item = host + at + 1
		return sc.item
	}
	return host
}

// word handles a word that no operator follows: a flag, the scheme of an
// authorization, or a command.
func (sc *scanner) word(word string, i, end int) {
	s := sc.s
	if end == len(s) || s[end] != ' ' && s[end] != '\t' {
		if sc.command != "" && i > 0 && s[i-1] == '-' && strings.HasPrefix(word, sc.command) && len(word) > len(sc.command) && strings.HasPrefix(sc.command, "p") && (i < 2 || s[i-2] != '-') {
			sc.emit(i+1, argumentEnd(s, i+1), placeholder) // mysql -psecret
		}
		if sc.command == "u" && end < len(s) && s[end] == ':' && i > 0 && s[i-1] == '-' && isFlagStart(s, i) && (word[0] == 'u' || word[0] == 'U') {
			sc.emit(end+1, argumentEnd(s, end+1), placeholder) // curl -uuser:password
		}
		return
	}
	from := end
	for from < len(s) && (s[from] == ' ' || s[from] == '\t') {
		from++
	}
	if from == len(s) || s[from] == '\n' || s[from] == '\r' {
		return
	}
	to := from
	for to < len(s) && s[to] > ' ' && s[to] != '"' && s[to] != '\'' && s[to] != ',' && s[to] != ';' && s[to] != '<' && s[to] != '`' && s[to] != ')' {
		to++
	}
	value := s[from:to]
	lower := strings.ToLower(word)
	switch lower {
	case "bearer", "token", "negotiate", "ntlm":
		if value != "" && value != placeholder && isCredential(value) && (lower == "bearer" || len(value) >= 16) {
			sc.ahead = append(sc.ahead, span{from, to})
			return
		}
	case "basic":
		if isBasic(value) {
			sc.ahead = append(sc.ahead, span{from, to})
		}
		return
	case "by":
		if strings.Contains(strings.ToLower(s[max(sc.lineStart, i-64):i]), "identified") && (s[from] == '\'' || s[from] == '"') {
			sc.flagValue(from) // SQL
			return
		}
	default:
		if flag := commandFlags[word]; flag != "" {
			sc.command = flag
		}
	}
	if lower == "login" || lower == "machine" {
		sc.netrc = true
	}
	dash := i > 0 && s[i-1] == '-' && (i == 1 || isFlagStart(s, i))
	switch {
	case !dash && lower == "password" && sc.netrc, !dash && sc.first && (lower == "requirepass" || lower == "masterauth" || lower == "auth_pass"):
		sc.ahead = append(sc.ahead, span{from, argumentEnd(s, from)})
	case dash && sc.command == "u" && (word == "u" || word == "U" || word == "user" || word == "proxy-user"):
		if colon := strings.IndexByte(value, ':'); colon > 0 && colon+1 < len(value) && value[colon+1:] != placeholder {
			sc.ahead = append(sc.ahead, span{from + colon + 1, to})
		}
	case dash && word == sc.command:
		sc.flagValue(from)
	case dash && sc.command == "p" && word[0] == 'p' && len(word) > 1 && (i < 2 || s[i-2] != '-') && word != "port":
		if !strings.HasPrefix("password", word) && word != "passwd" && word != "pwd" {
			sc.emit(i+1, end, placeholder)
		} else {
			sc.flagValue(from)
		}
	case dash && (sc.m.class(word).isSecret() || sc.m.class(word) == weak && weakSecret(value) && strings.ContainsAny(value, "0123456789")):
		sc.flagValue(from)
	case !dash:
		sc.directive(word, from)
	}
}

// servers are what nginx passes requests to, as in "proxy_pass http://x".
var servers = words(`proxy fastcgi uwsgi scgi grpc memcached`)

// directive masks the value that only space divides from its name, as in "bindpw x" of a
// line of its own, and in PASSWORD 'x' of SQL. Words of a sentence are no such value.
func (sc *scanner) directive(name string, from int) {
	s := sc.s
	c := sc.m.class(name)
	if c != weak && !c.isSecret() || assigns(s, from) {
		return
	}
	if of, ok := strings.CutSuffix(name, "_pass"); ok && servers[of] {
		return // nginx's directive
	}
	to := argumentEnd(s, from)
	rest, _, _ := strings.Cut(s[to:min(len(s), to+maxName)], "\n")
	rest = strings.TrimSpace(rest)
	if s[from] == '"' || s[from] == '\'' {
		if to-from > 2 && s[to-1] == s[from] && (c != line || sc.first && strings.Trim(rest, ";") == "") && (c.isSecret() || weakSecret(s[from+1:to-1])) {
			sc.flagValue(from)
		}
		return
	}
	if !sc.first {
		return
	}
	value := strings.TrimSuffix(s[from:to], ";")
	named := strings.ContainsAny(name, "_-.") || c.isSecret() && theVocabularies().harmful[name]
	switch {
	case rest != "" && rest[0] != ';' && rest[0] != '#', value == "", shown(value), weakWords[strings.ToLower(value)], isKeyFile(value):
		return
	case value[0] == '{' && !strings.Contains(value, "}") || value[0] == '(' || value[0] == '*' || value[len(value)-1] == ')': // code
		return
	case strings.IndexByte("=:,.", value[len(value)-1]) >= 0 && describes(strings.TrimRight(value, "=:,.")):
		return // a sentence, or a name
	case c == weak && !weakSecret(value), describes(value) && !named && len(s[from:to]) == len(value) && !strings.ContainsAny(value, "0123456789"):
		return
	}
	sc.ahead = append(sc.ahead, span{from, from + len(value)})
}

// flagValue masks the value of a flag, unless it is another flag.
func (sc *scanner) flagValue(from int) {
	s := sc.s
	begin, end := from, argumentEnd(s, from)
	if quote := s[from]; quote == '"' || quote == '\'' {
		begin = from + 1
		if end > begin && s[end-1] == quote {
			end--
		}
	}
	if value := s[begin:end]; begin < end && value[0] != '-' && !shown(value) {
		sc.ahead = append(sc.ahead, span{begin, end})
	}
}

// isFlagStart reports whether the dashes before i begin an argument.
func isFlagStart(s string, i int) bool {
	dashes := i
	for dashes > 0 && s[dashes-1] == '-' && i-dashes < 3 {
		dashes--
	}
	return dashes == 0 || s[dashes-1] <= ' ' || strings.IndexByte("\"'`([,;|&", s[dashes-1]) >= 0
}

// argumentEnd returns where a command's argument ends that begins at from.
func argumentEnd(s string, from int) int {
	if from < len(s) && (s[from] == '"' || s[from] == '\'') {
		if n := strings.IndexByte(s[from+1:], s[from]); n >= 0 {
			return from + 1 + n + 1
		}
	}
	end := from
	for end < len(s) && s[end] > ' ' {
		end++
	}
	return end
}

// isCredential reports whether the word behind "Bearer" is a credential, and not one
// of the words of a text about them.
func isCredential(value string) bool {
	switch strings.ToLower(strings.Trim(value, ".:;,")) {
	case "", "token", "tokens", "auth", "authentication", "authorization", "scheme", "schemes", "format", "type", "credentials", "is", "and", "or", "for", "in", "the", "realm", "header", "headers", "realm=", "bound":
		return false
	}
	return !isReference(value)
}

// isBasic reports whether the word behind "Basic" is what a client sends: base64 of
// user:password.
func isBasic(value string) bool {
	text, ok := decodeBase64(value)
	if !ok || len(value) < 4 {
		return false
	}
	if strings.Contains(text, ":") {
		return true
	}
	return len(value) >= 12 && strings.ContainsAny(value, "0123456789=+/") && !describes(value)
}
