package mask

import (
	"errors"
	"path"
	"strings"
)

// clean masks a tree in place and reports whether it has changed. It masks by shape
// first, so that the names are the same when a masked document is masked again. Depth
// is how deep a document in a string may be nested.
func (m *masker) clean(v *node, depth int) (changed bool) {
	changed = m.byShape(v, depth, "")
	return m.byName(v, plain, "") || changed
}

// byShape masks in every string and in every name. The arguments in an array are those of
// command, as in a container's "command" and "args".
func (m *masker) byShape(v *node, depth int, command string) (changed bool) {
	switch v.kind {
	case '{':
		aws := false
		command = ""
		for i := range v.items {
			changed = m.inString(&v.names[i], depth-1) || changed
			if item := &v.items[i]; item.kind == '"' && (strings.HasPrefix(item.raw, `"AKIA`) || strings.HasPrefix(item.raw, `"ASIA`)) {
				aws = true
			}
			if name := strings.ToLower(v.names[i].text()); name == "command" || name == "cmd" || name == "entrypoint" {
				command = commandOf(&v.items[i])
			}
		}
		for i := range v.items {
			item := &v.items[i]
			if aws && item.kind == '"' && isAWSSecret(item.text()) {
				item.setText(placeholder)
				changed = true
			}
			changed = m.byShape(item, depth-1, command) || changed
		}
	case '[':
		args := arguments{m: m, command: command}
		for i := range v.items {
			item := &v.items[i]
			changed = args.mask(item) || changed
			changed = m.maskPair(item) || changed
			changed = m.byShape(item, depth-1, "") || changed
		}
	case '"':
		return m.inString(v, depth)
	}
	return changed
}

// inString masks in a string.
func (m *masker) inString(v *node, depth int) (changed bool) {
	if m.step(len(v.raw)) {
		v.setText(placeholder)
		return true
	}
	text := v.text()
	masked := m.maskString(text, depth)
	if masked == text {
		return false
	}
	v.setText(masked)
	return true
}

// byName masks the scalars of v: all of them when v has a secret's name, those that it
// may be when the name is weak, and otherwise those that are under a secret's name
// further down.
func (m *masker) byName(v *node, c class, name string) (changed bool) {
	switch v.kind {
	case '{':
		of := m.contextOf(v)
		if c == line { // a cookie that is described: {"name": …, "value": …}
			of.pair, c = secret, plain
		}
		for i := range v.items {
			field := v.names[i].text()
			inner := c
			if !c.isSecret() {
				inner = of.classOf(m, field)
				if inner == plain && c == weak && valueFields[strings.ToLower(field)] {
					inner = weak // {"name": "x-auth", "string_match": {"exact": …}}
				}
				if nested := v.items[i].kind; (nested == '{' && isStore(name) || (nested == '{' || nested == '[') && isConfig(field)) && inner.isSecret() {
					inner = plain // the name of one store, or what has names of its own
				}
			}
			changed = m.byName(&v.items[i], inner, field) || changed
		}
	case '[':
		for i := range v.items {
			changed = m.byName(&v.items[i], c, name) || changed
		}
	case '"':
		if hides(c, name, v) {
			v.setText(placeholder)
			return true
		}
	case '0':
		if !c.isSecret() {
			return changed
		}
		all := wordsOf(name)
		if classOf(name) != descriptive && !(len(all) > 0 && plural(all[len(all)-1]) && all[len(all)-1] != "token") {
			v.setText(placeholder)
			return true
		}
	}
	return changed
}

// isConfig reports whether a name is that of a configuration, such as Envoy's
// tls_certificate_sds_secret_configs.
func isConfig(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, "config") || strings.HasSuffix(name, "configs") || strings.HasSuffix(name, "configuration")
}

// isStore reports whether an object of that name has other objects by names of their
// own, as Layotto's secret_store has.
func isStore(name string) bool {
	all := wordsOf(name)
	if len(all) == 0 {
		return false
	}
	switch all[len(all)-1] {
	case "store", "stores", "provider", "providers", "backend", "backends", "engine", "engines", "manager", "managers", "source", "sources", "plugin", "plugins":
		return true
	}
	return false
}

// hides reports whether a string under a name of class c is masked.
func hides(c class, name string, v *node) bool {
	switch {
	case c == weak:
		return weakSecret(v.text())
	case c == plain:
		return isKeyName(name) && isGenerated(v.text())
	case !c.isSecret():
		return false
	}
	text := v.text()
	if shown(text) || below(name, text) {
		return false
	}
	all := wordsOf(name)
	if len(all) == 0 || !isKeyFile(text) {
		return true
	}
	last := all[len(all)-1]
	return last != "key" && !(last == "credentials" && isPath(text) && strings.Contains(text, "/"))
}

// maskPair masks the value of ["Authorization", "x"], an element of an array.
func (m *masker) maskPair(v *node) (changed bool) {
	if v.kind != '[' || len(v.items) != 2 || v.items[0].kind != '"' || v.items[1].kind != '"' {
		return false
	}
	name := v.items[0].text()
	if c := m.class(name); hides(c, name, &v.items[1]) {
		v.items[1].setText(placeholder)
		return true
	}
	return false
}

// arguments masks the arguments of a command that are an array's strings.
type arguments struct {
	m       *masker
	secret  bool // the next one is the value of a secret flag
	user    bool // the value is user:password
	command string
}

// commandFlags are the flags of commands that have a secret as their value.
var commandFlags = map[string]string{
	"mysql": "p", "mysqldump": "p", "mysqladmin": "p", "mariadb": "p", "sshpass": "p", "login": "p", "mongo": "p", "mongosh": "p", "mongodump": "p",
	"mongorestore": "p", "mongoimport": "p", "mongoexport": "p", "sqlcmd": "P", "bcp": "P", "wget": "u", "http": "u",
	"curl": "u", "redis-cli": "a", "ldapsearch": "w", "ldapadd": "w", "ldapmodify": "w", "ldapwhoami": "w", "openssl": "k",
}

// commandOf returns the flag with a secret of the command that a field names: a string, or
// an array that it is the last or only known one of.
func commandOf(v *node) (flag string) {
	if v.kind == '"' {
		return commandFlags[path.Base(v.text())]
	}
	for i := range v.items {
		if v.items[i].kind == '"' {
			if f := commandFlags[path.Base(v.items[i].text())]; f != "" {
				flag = f
			}
		}
	}
	return flag
}

func (a *arguments) mask(v *node) (changed bool) {
	if v.kind != '"' {
		a.secret = false
		return false
	}
	text := v.text()
	if a.secret && !strings.HasPrefix(text, "-") {
		a.secret = false
		if shown(text) {
			return false
		}
		masked := placeholder
		if a.user { // user:password
			name, password, ok := strings.Cut(text, ":")
			if !ok || shown(password) {
				return false
			}
			masked = name + ":" + placeholder
		}
		v.setText(masked)
		return true
	}
	a.secret = false
	flag := strings.TrimLeft(text, "-")
	if flag == text {
		if name := path.Base(text); commandFlags[name] != "" {
			a.command = commandFlags[name]
		}
		return false
	}
	if flag == "" || len(flag) > maxName {
		return false
	}
	if name, value, ok := strings.Cut(flag, "="); ok && a.command == "u" && (name == "user" || name == "proxy-user") {
		if user, password, ok := strings.Cut(value, ":"); ok && !shown(password) {
			v.setText("--" + name + "=" + user + ":" + placeholder)
			return true
		}
	}
	if strings.IndexFunc(flag, func(r rune) bool { return r < 0x80 && !isDotted(byte(r)) }) < 0 {
		a.user = a.command == "u" && (flag == "u" || flag == "U" || flag == "user" || flag == "proxy-user")
		a.secret = flag == a.command || a.user || a.m.class(flag).isSecret()
	}
	if strings.TrimLeft(flag, "pP") == placeholder {
		return false
	}
	if password := strings.HasPrefix("password", flag) || flag == "passwd" || flag == "pwd"; a.command == "p" && !password && flag[0] == 'p' && len(flag) > 1 && text[:2] != "--" && flag != "port" {
		a.secret = false
		v.setText("-p" + placeholder) // mysql -psecret
		return true
	}
	return false
}

// maxRounds bounds how often maskString looks again at what it has masked.
const maxRounds = 8

// maskString masks what looks like a secret in s, until nothing does; a string
// that is a JSON document is masked as one.
func (m *masker) maskString(s string, depth int) string {
	for range maxRounds {
		if masked, ok := m.maskDocument(s, depth); ok {
			return masked
		}
		masked := m.maskText(s, depth)
		if masked == s {
			return s
		}
		s = masked
	}
	return placeholder
}

// maskDocument masks a string that is a JSON object, array or string. Its spaces stay
// when it has no secret.
func (m *masker) maskDocument(s string, depth int) (string, bool) {
	t := strings.TrimLeft(s, " \t\r\n")
	if t == "" || t[0] != '{' && t[0] != '[' && t[0] != '"' {
		return "", false
	}
	p := new(parser)
	if len(s) > unitBytes {
		p.m = m
	}
	v, err := p.parse(s, depth)
	if errors.Is(err, errTooDeep) {
		return placeholder, true
	}
	if err != nil || depth <= 0 {
		return "", false
	}
	if p.m != nil {
		if masked, changed := m.large(s, depth); changed {
			return masked, true
		}
		return s, true
	}
	if !m.clean(v, depth-1) {
		return s, true
	}
	return string(appendValue(nil, v)), true
}
