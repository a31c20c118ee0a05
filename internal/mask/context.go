package mask

import "strings"

// nameFields and valueFields are the fields of a pair, in which one says what the other
// is: {"name": "DB_PASS", "value": "x"}.
var (
	nameFields = words(`name key header headername header_name header-name field env envvar env_name variable variablename var param parameter
		parametername parameterkey paramname property propertyname option optionname attribute attributename k n label settingname setting configkey configname secretname id keyname key_name ref envname envkey attr paramkey`)
	valueFields = words(`value values val v stringvalue string_value rawvalue raw_value default defaultvalue default_value content data
		parametervalue paramvalue propertyvalue current text optionvalue settingvalue binaryvalue bytesvalue newvalue configvalue attributevalue headervalue header_value val_str envvalue
		exact exact_match exactmatch string_match stringmatch prefix_match suffix_match contains_match regex_match safe_regex_match`)
)

// context is what an object's fields mean for each other.
type context struct {
	tls  bool  // it has a certificate, so its "key" is the private one
	jwk  bool  // it is a JSON web key
	k8s  bool  // it is a Kubernetes Secret
	pair class // it is a name with a value, and the name has this class
}

func (m *masker) contextOf(v *node) context {
	var c context
	for i := range v.items {
		item := &v.items[i]
		n := strings.ToLower(v.names[i].text())
		if strings.Contains(n, "cert") || n == "ca" || n == "crt" {
			c.tls = true
		}
		if item.kind != '"' {
			continue
		}
		switch {
		case n == "kty":
			c.jwk = true
		case n == "kind" && item.text() == "Secret":
			c.k8s = true
		case nameFields[n]:
			if of := m.class(item.text()); of == weak || of.isSecret() {
				c.pair = max(c.pair, of)
			}
		}
	}
	return c
}

// classOf returns the class of a field of the object.
func (c context) classOf(m *masker, name string) class {
	n := strings.ToLower(name)
	switch {
	case n == "key" && c.tls:
		return secret
	case c.pair != plain && valueFields[n]:
		return c.pair
	case c.k8s && (n == "data" || n == "stringdata"):
		return secret
	}
	if c.jwk {
		switch name {
		case "k", "d", "p", "q", "dp", "dq", "qi", "oth":
			return secret
		}
	}
	return m.class(name)
}
