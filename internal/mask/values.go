package mask

import (
	"encoding/base64"
	"strings"
)

// shown reports whether a value under a secret's name stays as it is: it says that
// there is none, or only where it is.
func shown(value string) bool {
	switch strings.ToLower(value) {
	case "", placeholder, "true", "false", "null", "nil", "none", "yes", "no", "on", "off", "~":
		return true
	}
	return isReference(value)
}

// isReference reports whether a value only names a variable, as ${DB_PASSWORD} and
// $(DB_PASSWORD) do.
func isReference(value string) bool {
	if n := len(value); n > 2 && value[0] == '%' && value[n-1] == '%' && strings.IndexFunc(value[1:n-1], func(r rune) bool { return r > 0x7f || !isWord(byte(r)) }) < 0 {
		return true // %auth%
	}
	name, ok := strings.CutPrefix(value, "$")
	if !ok || len(name) < 3 {
		return false
	}
	if name[0] == '{' && name[len(name)-1] == '}' || name[0] == '(' && name[len(name)-1] == ')' {
		name = name[1 : len(name)-1]
	} else {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c != '_' && !('A' <= c && c <= 'Z') && !('0' <= c && c <= '9' && i > 0) {
			return false
		}
	}
	return true
}

// isPath reports whether a value is the path of a file.
func isPath(value string) bool {
	if len(value) > 4096 || strings.ContainsAny(value, "\n\r") {
		return false
	}
	for _, prefix := range []string{"/", "./", "../", "~/", "file:", "$HOME/", "${HOME}/"} {
		if strings.HasPrefix(value, prefix) {
			return true
		}
	}
	return len(value) > 2 && value[1] == ':' && (value[2] == '\\' || value[2] == '/') || isKeyFile(value)
}

// isKeyFile reports whether a value is the name of a file with a key or certificate in
// it.
func isKeyFile(value string) bool {
	if len(value) > 4096 || strings.ContainsAny(value, " \n\r\t:;,=") {
		return false
	}
	dot := strings.LastIndexByte(value, '.')
	if dot < 0 {
		return false
	}
	switch strings.ToLower(value[dot+1:]) {
	case "pem", "key", "crt", "cer", "der", "p8", "p12", "pfx", "jks", "json", "yaml", "yml", "txt", "conf", "toml", "keystore", "properties", "cert":
		return true
	}
	return false
}

// describes reports whether a value is a word or two that describe something, such as
// "local.file". Letters and digits in turns are no words.
func describes(value string) bool {
	if value == "" || len(value) > 64 {
		return false
	}
	turns, digit := 0, false
	for i := range len(value) {
		c := value[i]
		switch {
		case isLetter(c), c == '.', c == '-', c == '_', c == '/', c == ' ', c == ':':
			if digit {
				turns++
			}
			digit = false
		case '0' <= c && c <= '9':
			digit = true
		default:
			return false
		}
	}
	return turns <= 1
}

// below reports whether a value below a secret's name stays, because its own name is
// descriptive and the value is of that kind.
func below(name, value string) bool {
	all := wordsOf(name)
	if len(all) == 0 {
		return false
	}
	switch last := all[len(all)-1]; last {
	case "type", "kind", "provider", "algorithm", "alg", "apiversion", "scope", "issuer", "ttl", "expiry", "expires", "timeout", "interval", "mode", "encoding", "backend", "engine":
		return describes(value)
	case "version":
		return len(value) <= 12 && describes(value)
	default:
		if classOf(name) == descriptive && (strings.HasSuffix(last, "path") || strings.HasSuffix(last, "file") || strings.HasSuffix(last, "dir")) {
			return isPath(value)
		}
	}
	return false
}

// weakWords are values of weak names that are no secrets.
var weakWords = words(`basic digest bearer ldap ldaps oauth oauth2 oidc openid saml jwt mtls tls ssl kerberos gssapi sasl plain login scram
	scram-sha-256 scram-sha-512 scram-sha-1 external internal optional required require requirepeer cookie cookies session header ip
	source-ip client-ip anonymous password passwd token key apikey api-key api_key certificate cert md5 trust peer ident simple strict
	verify enabled disabled enable disable default auto manual sticky local remote file redis memory memcached database db sts iam irsa
	instance rsa ecdsa ed25519 hmac sha256 sha512 sha1 rs256 es256 hs256 eddsa rs512 es512 hs512 none admin user root`)

// weakSecret reports whether the value of a weak name is a secret: neither a word of
// the field nor a path, a time or a plain address.
func weakSecret(value string) bool {
	v := strings.ToLower(strings.TrimSpace(value))
	if shown(v) || weakWords[v] || isDigits(v) && len(v) < 6 || isPath(value) || isDuration(v) {
		return false
	}
	if strings.Contains(v, "://") || strings.ContainsAny(v, "(){}") {
		return false
	}
	if text, err := base64.StdEncoding.DecodeString(value); err == nil && strings.Contains(string(text), ":") {
		return true
	}
	if strings.Count(v, " ") > 2 {
		return false // a sentence
	}
	return true
}

// isDuration reports whether a value is a time such as 30s, or a version such as v4.
func isDuration(v string) bool {
	n := strings.TrimLeft(v, "0123456789.")
	switch n {
	case "ms", "s", "m", "h", "d", "us", "ns":
		return n != v
	}
	if version, ok := strings.CutPrefix(v, "v"); ok && isDigits(version) {
		return true // v4
	}
	return false
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isWord(c byte) bool   { return isLetter(c) || isDigit(c) || c == '_' }

// isKeyName reports whether a name ends in "key" and says which, whatever key that is.
func isKeyName(name string) bool {
	name = strings.ToLower(name)
	return len(name) > len("key") && strings.HasSuffix(name, "key") && !strings.Contains(name, "pub")
}

// isGenerated reports whether a value looks like the output of a random generator: letters
// and digits in turns, without an end.
func isGenerated(value string) bool {
	if len(value) < 16 || len(value) > 1024 {
		return false
	}
	turns, digit := 0, false
	for i := range len(value) {
		c := value[i]
		if !isBase64(c) && c != '=' {
			return false
		}
		if d := isDigit(c); d != digit {
			turns, digit = turns+1, d
		}
	}
	return turns >= 6
}
