package mask

import (
	"encoding/base64"
	"strings"
)

// assigned is a value that a text gives a name: name=value, name: value, "name":value.
type assigned struct {
	column int   // of the name in its line
	class  class // of the name
	quoted bool  // the name is in quotes
	colon  bool
	spaced bool // there is space before the operator, or behind a colon
	start  bool // the name is the first word of the line
	value  int  // where the value begins
}

// assignment masks the value of the name s[i:end] if an operator follows it and the
// name is a secret's. It returns where to go on, 0 if nothing was masked.
func (sc *scanner) assignment(i, end int) int {
	s := sc.s
	a := assigned{column: i - sc.lineStart, start: sc.first}
	if next := sc.escapedElement(i, end); next > 0 {
		return next
	}
	k := end
	for k < len(s) && s[k] == '\\' && k-end < 64 {
		k++
	}
	if k < len(s) && (s[k] == '"' || s[k] == '\'') && i > 0 && (s[i-1] == '"' || s[i-1] == '\'') {
		a.quoted = true
		k++
	} else {
		k = end
	}
	if k < len(s) && s[k] == ']' && k > end {
		k++
	}
	before := k
	for k < len(s) && (s[k] == ' ' || s[k] == '\t') && k-before < 256 {
		k++
	}
	if k == len(s) {
		return 0
	}
	switch {
	case s[k] == '=':
		a.spaced = k > before
		k++
		if k < len(s) && (s[k] == '=' || s[k] == '>') {
			k++
		}
	case s[k] == ':' && k+1 < len(s) && s[k+1] == '=':
		a.spaced = k > before
		k += 2
	case s[k] == ',' && a.quoted && i > 1 && s[i-2] == '(': // Setenv("name", "value")
		k++
		for k < len(s) && s[k] == ' ' {
			k++
		}
		if k == len(s) || s[k] != '"' && s[k] != '\'' {
			return 0
		}
	case s[k] == '%' && k == end:
		return sc.percentEncoded(i, end)
	case s[k] == ':':
		a.colon = true
		k++
		a.spaced = k == len(s) || s[k] <= ' '
	default:
		return 0
	}
	if before != end && !a.quoted && s[k-1] != '=' && !a.colon {
		return 0
	}
	a.value = k
	for a.value < len(s) && (s[a.value] == ' ' || s[a.value] == '\t') {
		a.value++
	}
	name := s[i:end]
	a.class = sc.m.class(name)
	switch {
	case sc.section && a.start && a.class != descriptive:
		a.class = secret
	case sc.k8s && (name == "data" || name == "stringData"):
		a.class = secret
	case (name == "value" || name == "values" || name == "default") && sc.inPair(a):
		a.class = secret
	case (a.quoted || a.colon && strings.IndexByte(s[max(sc.lineStart, i-maxName):i], '{') >= 0) && a.class == plain && len(name) <= maxName && valueFields[strings.ToLower(name)]:
		a.class = sc.besideName(i, a.value)
	case a.class == plain && inQuery(s, i) && (name == "key" || name == "sig" || name == "auth_key" || name == "code" && strings.Contains(s, "azurewebsites")):
		a.class = weak
	}
	if sc.command == "u" && (name == "user" || name == "proxy-user") && strings.HasSuffix(s[:i], "--") { // curl --user=user:password
		to := argumentEnd(s, a.value)
		if colon := strings.IndexByte(s[a.value:to], ':'); colon > 0 {
			to = a.value + len(strings.TrimRight(s[a.value:to], "\"'"))
			if from := a.value + colon + 1; from < to && s[from:to] != placeholder {
				return sc.emit(from, to, placeholder)
			}
		}
	}
	if a.class == plain && isKeyName(name) {
		from := a.value
		if from < len(s) && (s[from] == '"' || s[from] == '\'') {
			from++
		}
		to := from
		for to < len(s) && to-from < maxTag && (isBase64(s[to]) || s[to] == '=') {
			to++
		}
		if isGenerated(s[from:to]) {
			a.class = weak
		}
	}
	if a.class != weak && !a.class.isSecret() {
		return 0
	}
	return sc.maskValue(a)
}

// percentEncoded masks the value of the name s[i:end] in the query of a URL that is itself a
// parameter, where "=" is %3D and "&" is %26.
func (sc *scanner) percentEncoded(i, end int) int {
	s := sc.s
	from := end
	cut := func(codes ...string) bool {
		for _, code := range codes {
			if len(s) >= from+3 && strings.EqualFold(s[from:from+3], code) {
				from += 3
				return true
			}
		}
		return false
	}
	cut("%22")
	if !cut("%3D", "%3A") {
		return 0
	}
	for cut("%22", "%20") {
	}
	name := s[i:end]
	if i > 0 && s[i-1] == '%' && len(name) > 2 {
		name = name[2:] // of the code before it
	}
	if !sc.m.class(name).isSecret() {
		return 0
	}
	to := from
	for to < len(s) && s[to] > ' ' && strings.IndexByte("&\"'<>`", s[to]) < 0 {
		if len(s) >= to+3 && s[to] == '%' && (s[to+1:to+3] == "26" || s[to+1:to+3] == "22" || strings.EqualFold(s[to+1:to+3], "2c")) {
			break
		}
		to++
	}
	if shown(s[from:to]) {
		return 0
	}
	return sc.emit(from, to, placeholder)
}

// inQuery reports whether the name at i is a parameter of a URL.
func inQuery(s string, i int) bool { return i > 0 && (s[i-1] == '?' || s[i-1] == '&') }

// maskValue masks the value of a secret's name. It returns 0 if it stays.
func (sc *scanner) maskValue(a assigned) int {
	s, v := sc.s, a.value
	if v == len(s) {
		return 0
	}
	begin := v
	for begin < len(s) && s[begin] == '\\' {
		begin++
	}
	if begin < len(s) && (s[begin] == '"' || s[begin] == '\'' || s[begin] == '`') {
		return sc.maskQuoted(a, v, begin)
	}
	if a.colon && !a.spaced && !a.quoted { // name:value, which may be host:port
		end := v
		for end < len(s) && s[end] > ' ' && strings.IndexByte("\"'`,;&|}])<", s[end]) < 0 {
			end++
		}
		if value := s[v:end]; strings.Contains(value, "@tcp") || strings.Contains(value, "@unix(") || strings.Contains(value, "@udp(") {
			return 0 // a DSN
		} else if isDigits(value) || a.class == weak || describes(value) && len(value) < 12 && !strings.ContainsAny(value, "0123456789") || shown(value) || isPath(value) {
			return 0
		}
		return sc.emit(v, end, placeholder)
	}
	switch c := s[v]; {
	case c == '\n' || c == '\r' || c == '#' && a.colon:
		if !a.colon {
			return 0
		}
		return sc.maskNested(a, v)
	case c == '{' || c == '[':
		if a.class == weak {
			return 0
		}
		return sc.maskBracketed(v)
	case c == '|' || c == '>':
		if end, ok := blockIndicator(s, v); ok && a.colon {
			return sc.maskIndented(end, a.column, true)
		}
	case c == '<' && strings.HasPrefix(s[v:], "<<"):
		return sc.maskHeredoc(v)
	case (c == '!' || c == '&') && a.colon:
		if end := lineEnd(s, v); end > v {
			text := s[v:end]
			if at := strings.LastIndexByte(text, ' '); at > 0 {
				if stop, ok := blockIndicator(s, v+at+1); ok {
					return sc.maskIndented(stop, a.column, true)
				}
			}
		}
	}
	end := sc.bareEnd(a)
	value := strings.TrimRight(s[v:end], " \t")
	end = v + len(value)
	if value == "" || shown(value) || a.class == weak && !weakSecret(value) {
		return 0
	}
	if strings.HasPrefix(value, placeholder) && len(value) == len(placeholder) {
		return 0
	}
	end = sc.emit(v, end, placeholder)
	if a.start && (end == len(s) || s[end] == '\n' || s[end] == '\r') {
		if strings.HasSuffix(value, `\`) { // goes on in the next line
			next := end
			for strings.HasSuffix(value, `\`) && next < len(s) {
				from := next + 1
				next = lineEnd(s, from)
				value = strings.TrimRight(s[from:next], " \t\r")
			}
			return sc.emit(end, next, "")
		}
		if a.colon {
			return sc.maskIndented(end, a.column, false)
		}
	}
	return end
}

// maskQuoted masks what is between quotes, to the end of the text if they are not
// closed. The quote may be escaped, as in JSON in JSON.
func (sc *scanner) maskQuoted(a assigned, v, begin int) int {
	s := sc.s
	quote, level := s[begin], begin-v
	from := begin + 1
	end, after := len(s), len(s)
	if triple := strings.Repeat(string(quote), 3); level == 0 && strings.HasPrefix(s[begin:], triple) {
		from = begin + 3
		if n := strings.Index(s[from:], triple); n >= 0 {
			end, after = from+n, from+n+3
		}
	} else {
		backslashes := 0
		for i := from; i < len(s); i++ {
			switch c := s[i]; {
			case c == '\\':
				backslashes++
				continue
			case c != quote:
			case level == 0 && backslashes%2 == 1 && quote != '\'', level > 0 && backslashes > level:
			case quote == '\'' && level == 0 && i+1 < len(s) && s[i+1] == '\'' && i > from:
				i++ // doubled, as in YAML and SQL
			default:
				end, after = i-min(level, backslashes), i+1
				if level == 0 {
					end = i
				}
				i = len(s)
			}
			backslashes = 0
		}
	}
	value := s[from:end]
	if shown(value) || a.class == weak && !weakSecret(value) {
		return 0
	}
	sc.emit(from, end, placeholder)
	return after
}

// maskBracketed masks what is in an array or object that begins at v, to the end of the
// line if it is not closed.
func (sc *scanner) maskBracketed(v int) int {
	s := sc.s
	depth, quote := 0, byte(0)
	const most = 64 << 10
	for i := v; i < len(s) && i < v+most; i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth > 0 {
				continue
			}
			if inner := strings.TrimSpace(s[v+1 : i]); inner == "" || inner == placeholder {
				return i + 1
			}
			sc.emit(v+1, i, placeholder)
			return i + 1
		}
	}
	end := lineEnd(s, v)
	if text := s[v+1 : end]; text == placeholder || strings.TrimSpace(text) == "" && end == len(s) {
		return end
	}
	if end == v+1 { // what was opened goes on in the next lines: all of it
		end = len(s)
	}
	return sc.emit(v+1, end, placeholder)
}

// maskHeredoc masks what <<WORD begins, to the line that is WORD.
func (sc *scanner) maskHeredoc(v int) int {
	s := sc.s
	begin := lineEnd(s, v)
	word := strings.Trim(s[v+2:begin], "-~ '\"\r")
	if word == "" || begin == len(s) {
		return 0
	}
	for at := begin + 1; at < len(s); {
		end := lineEnd(s, at)
		if strings.TrimSpace(s[at:end]) == word {
			if s[begin+1:at] != placeholder+"\n" {
				sc.emit(begin+1, at, placeholder+"\n")
			}
			return at
		}
		at = end + 1
	}
	return sc.emit(min(begin+1, len(s)), len(s), placeholder)
}

// bareEnd returns where a value without quotes ends. Where its name begins the line, or
// there is space around the operator, it goes on to the end of the line; otherwise to
// space. Before that, what begins another assignment ends it.
func (sc *scanner) bareEnd(a assigned) int {
	s := sc.s
	whole := a.start || a.spaced || a.class == line
	for i := a.value; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\n' || c == '\r':
			return i
		case c == '"' && sc.double, c == '\'' && sc.single, c == '`' && sc.single:
			for i > a.value && s[i-1] == '\\' {
				i--
			}
			return i
		case c == '\\' && i+1 < len(s) && (s[i+1] == 'n' || s[i+1] == 'r') && (i+2 == len(s) || !isWord(s[i+2]) || sc.double):
			return i // an escaped end of the line
		case c == '<' && i+1 < len(s) && s[i+1] == '/':
			return i
		case a.class == line && c == ' ' && sc.flagFollows(i):
			return i
		case a.class == line:
		case c == '&':
			if !whole || assigns(s, i+1) || strings.LastIndexByte(s[sc.lineStart:a.value], '?') >= 0 {
				return i
			}
		case c == ';' || c == ',' || c == ' ' || c == '\t':
			if !whole && c != ',' {
				return i
			}
			if c == ' ' && i+1 < len(s) && s[i+1] == '#' {
				return i
			}
			if assigns(s, i+1) || c == ';' && (i+1 == len(s) || s[i+1] == '\n') {
				return i
			}
			if !a.start && (c == ',' && i+1 < len(s) && s[i+1] == ' ' || c == ';') {
				return i
			}
		case (c == '}' || c == ']' || c == ')') && !a.start:
			return i
		case c == '#' && !whole && inQueryOf(s, a.value):
			return i
		}
	}
	return len(s)
}

// inQueryOf reports whether the value at v is a parameter's of a URL.
func inQueryOf(s string, v int) bool {
	for i := v - 1; i >= 0 && v-i < maxName; i-- {
		switch {
		case s[i] == '?' || s[i] == '&':
			return true
		case s[i] <= ' ' || s[i] == '"':
			return false
		}
	}
	return false
}

// flagFollows reports whether " -x" follows at i, as behind a header in a command.
func (sc *scanner) flagFollows(i int) bool {
	return i+2 < len(sc.s) && sc.s[i+1] == '-' && (isLetter(sc.s[i+2]) || sc.s[i+2] == '-') && (sc.double || sc.single)
}

// assigns reports whether an assignment begins at i: name= or name: with space.
func assigns(s string, i int) bool {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
		i++
	}
	begin := i
	for i < len(s) && i-begin < maxName && (isDotted(s[i]) || s[i] == ' ' && i > begin && i+1 < len(s) && isLetter(s[i+1])) {
		i++
	}
	if i == begin || i == len(s) || !isLetter(s[begin]) {
		return false
	}
	name := s[begin:i]
	return s[i] == '=' && strings.Count(name, " ") <= 2 || s[i] == ':' && i+1 < len(s) && s[i+1] == ' ' && strings.IndexByte(name, ' ') < 0
}

// escapedElement masks the text of &lt;password&gt;x&lt;/password&gt;, whose name is
// s[i:end].
func (sc *scanner) escapedElement(i, end int) int {
	s := sc.s
	if i < 4 || s[i-4:i] != "&lt;" || !strings.HasPrefix(s[end:], "&gt;") || !sc.m.class(s[i:end]).isSecret() {
		return 0
	}
	from := end + len("&gt;")
	to := strings.Index(s[from:], "&lt;")
	if to < 0 {
		to = len(s) - from
	}
	if shown(s[from : from+to]) {
		return 0
	}
	return sc.emit(from, from+to, placeholder)
}

func decodeBase64(s string) (string, bool) {
	text, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		text, err = base64.RawStdEncoding.DecodeString(s)
	}
	if err != nil {
		text, err = base64.RawURLEncoding.DecodeString(s)
	}
	return string(text), err == nil
}
