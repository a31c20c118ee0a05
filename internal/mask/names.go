package mask

import "strings"

// context is what an object's fields mean for each other.
type context struct {
	tls  bool // it has a certificate, so its "key" is the private one
	pair bool // it is a name with a value, and the name is a secret's
}

func contextOf(o object) context {
	var c context
	for _, m := range o {
		n := normal(m.name)
		if strings.Contains(n, "cert") || n == "ca" || n == "crt" {
			c.tls = true
		}
		switch n {
		case "name", "key", "header", "headername":
			if text, ok := m.value.(string); ok && secretName(text) {
				c.pair = true
			}
		}
	}
	return c
}

// secret reports whether the field name of the object holds a secret.
func (c context) secret(name string) bool {
	switch normal(name) {
	case "key":
		return c.tls
	case "value", "values", "val", "stringvalue", "rawvalue":
		return c.pair
	}
	return secretName(name)
}

// secretName reports whether name is a secret's wherever it stands. The name of a
// file that holds one is no secret.
func secretName(name string) bool {
	n := normal(name)
	if strings.HasSuffix(n, "path") || strings.HasSuffix(n, "file") && !strings.HasSuffix(n, "profile") {
		return false
	}
	switch n {
	case "pass", "pwd", "psk", "cookie", "cookies", "setcookie", "requirepass":
		return true
	}
	for _, part := range secretParts() {
		if strings.Contains(n, part) {
			return true
		}
	}
	// Only as a word of its own: "db_pass" but not "bypass".
	for _, end := range []string{"_pass", "-pass", ".pass", "Pass", "_pwd", "-pwd", ".pwd", "Pwd"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// secretParts are the words that make a name a secret's, in the form of normal.
func secretParts() []string {
	return []string{
		"password", "passwd", "passphrase", "secret", "token", "credential", "authorization",
		"privatekey", "privkey", "accesskey", "apikey", "accountkey", "sharedkey", "signingkey",
		"encryptionkey", "masterkey", "sessionkey", "clientkey", "serverkey", "tlskey", "sslkey",
	}
}

// normal is name in lower case, letters and digits alone.
func normal(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '-' || r == '_' || r == '.' || r == ' ':
			return -1
		}
		return r
	}, strings.ToLower(name))
}
