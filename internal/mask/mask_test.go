package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
)

const (
	keyPEM  = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA75TNgSm1\nq83H+kZ/0w==\n-----END RSA PRIVATE KEY-----"
	certPEM = "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIE\n-----END CERTIFICATE-----"
	jwt     = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
)

// quote writes s as JSON.
func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// JSON returns doc as Copy writes it.
func JSON(doc []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := Copy(&out, bytes.NewReader(doc), nil); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// documents are the seeds of the fuzz target too.
var documents = []struct{ name, in, want string }{
	{"nothing to do", `{"b":1,"a":[true,null,-1.50e+3,"x<y&z"],"b":{}}`, `{"b":1,"a":[true,null,-1.50e+3,"x<y&z"],"b":{}}`},
	{"scalar", ` "x" `, `"x"`},
	{"long numbers stay", `{"id":12345678901234567890123,"f":0.10}`, `{"id":12345678901234567890123,"f":0.10}`},

	{"names", `{"private_key":"a","privateKey":"b","Private-Key":"c","password":"d","passwd":"e","pwd":"f","pass":"g"}`,
		`{"private_key":"***","privateKey":"***","Private-Key":"***","password":"***","passwd":"***","pwd":"***","pass":"***"}`},
	{"more names", `{"client_secret":"a","secret":"b","accessToken":"c","token":"d","AccessKey":"e","secret_key":"f","api-key":"g","apikey":"h","credentials":"i","Authorization":"j","cookie":"k","Set-Cookie":"l","db_pass":"m","sasl":{"password":"n"},"spring.datasource.password":"o"}`,
		`{"client_secret":"***","secret":"***","accessToken":"***","token":"***","AccessKey":"***","secret_key":"***","api-key":"***","apikey":"***","credentials":"***","Authorization":"***","cookie":"***","Set-Cookie":"***","db_pass":"***","sasl":{"password":"***"},"spring.datasource.password":"***"}`},
	{"names that are none", `{"bypass":"a","compass":"b","monkey":"c","keys":"d","author":"e","passive":"f","key":"g","profile":"h"}`,
		`{"bypass":"a","compass":"b","monkey":"c","keys":"d","author":"e","passive":"f","key":"g","profile":"h"}`},
	{"files of secrets", `{"private_key_path":"/etc/key.pem","token_file":"/run/token","passwordFile":"x","secret_profile":"y"}`,
		`{"private_key_path":"/etc/key.pem","token_file":"/run/token","passwordFile":"x","secret_profile":"***"}`},
	{"kinds of value", `{"password":12.5,"token":true,"secret":null,"pwd":"","pass":[1,"a",{"x":"b","y":false}]}`,
		`{"password":"***","token":true,"secret":null,"pwd":"","pass":["***","***",{"x":"***","y":false}]}`},
	{"all below", `{"secrets":{"a":"x","path":"/y","n":{"z":7}},"after":"w"}`,
		`{"secrets":{"a":"***","path":"/y","n":{"z":"***"}},"after":"w"}`},
	{"key of TLS", `[{"cert_chain":"c.pem","key":"k.pem"},{"ca":"x","key":"y"},{"key":"plain","value":"v"}]`,
		`[{"cert_chain":"c.pem","key":"k.pem"},{"ca":"x","key":"***"},{"key":"plain","value":"v"}]`},
	{"pairs", `{"env":[{"name":"DB_PASSWORD","value":"x"},{"name":"HOME","value":"/root"}],"headers":[{"header":{"key":"Authorization","value":"x"}},{"key":"x-token","values":["a","b"]}]}`,
		`{"env":[{"name":"DB_PASSWORD","value":"***"},{"name":"HOME","value":"/root"}],"headers":[{"header":{"key":"Authorization","value":"***"}},{"key":"x-token","values":["***","***"]}]}`},
	{"MOSN's TLS", `{"tls_context":{"status":true,"ca_cert":` + quote(certPEM) + `,"cert_chain":` + quote(certPEM) + `,"private_key":` + quote(keyPEM) + `}}`,
		`{"tls_context":{"status":true,"ca_cert":` + quote(certPEM) + `,"cert_chain":` + quote(certPEM) + `,"private_key":"***"}}`},
	{"names with secrets", `{"https://u:pw1@h":1}`, `{"https://u:***@h":1}`},

	{"JSON in a string", `{"conf":` + quote(`{"a": 1, "password": "x", "in": `+quote(`["Bearer abc"]`)+`}`) + `}`,
		`{"conf":` + quote(`{"a":1,"password":"***","in":`+quote(`["Bearer ***"]`)+`}`) + `}`},
	{"JSON in a string without secrets", `{"conf":` + quote(`{"a": 1}`) + `}`, `{"conf":` + quote(`{"a": 1}`) + `}`},
}

// texts are masked wherever they stand.
var texts = []struct{ name, in, want string }{
	{"PEM", "a " + keyPEM + " b", "a *** b"},
	{"PEM PKCS 8, encrypted", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII\n-----END ENCRYPTED PRIVATE KEY-----\n", "***\n"},
	{"PEM without its end", certPEM + "\n-----BEGIN EC PRIVATE KEY-----\nMIIE", certPEM + "\n***"},
	{"two PEMs", keyPEM + "\n" + certPEM + "\n" + keyPEM, "***\n" + certPEM + "\n***"},
	{"certificate", certPEM, certPEM},
	{"base64 of PEM", "data: " + base64.StdEncoding.EncodeToString([]byte(keyPEM)), "data: ***"},
	{"base64 of PEM, for URLs, without padding", base64.RawURLEncoding.EncodeToString([]byte("\n" + keyPEM)), "***"},
	{"base64 of PEM, glued", "xy" + base64.StdEncoding.EncodeToString([]byte(keyPEM)), "***"},
	{"base64 of PEM, in lines", "LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtF\nWS0tLS0tCk1IY0NBUUVF\n", "***\n"},
	{"base64 of a certificate", base64.StdEncoding.EncodeToString([]byte(certPEM)), base64.StdEncoding.EncodeToString([]byte(certPEM))},
	{"URL", "see http://user:pw@host:80/p?q=1 and ftp://me@host", "see http://user:***@host:80/p?q=1 and ftp://me@host"},
	{"URL, no user", "redis://:pw@host:6379/0", "redis://:***@host:6379/0"},
	{"URL, @ in password", "http://user:p@w@host/x", "http://user:***@host/x"},
	{"URL, slash in password", "amqp://user:a/b@host/x", "amqp://user:***@host/x"},
	{"URL, @ in path", "http://host:8080/a@b http://[::1]:80/a@b", "http://host:8080/a@b http://[::1]:80/a@b"},
	{"several hosts", "mongodb://u:p@h1:1,h2:2/db", "mongodb://u:***@h1:1,h2:2/db"},
	{"DSN", "root:pw:x@tcp(127.0.0.1:3306)/db?timeout=5s", "root:***@tcp(127.0.0.1:3306)/db?timeout=5s"},
	{"query", "/p?a=1&token=abc&b=2&client_secret=d%20e", "/p?a=1&token=***&b=2&client_secret=***"},
	{"query of a URL", "http://h/p?access_token=abc#x", "http://h/p?access_token=***#x"},
	{"ADO", "Server=h;User Id=u;Password=p w;Port=1", "Server=h;User Id=u;Password=*** w;Port=1"},
	{"JAAS", `login required username="u" password="p w";`, `login required username="u" password="***";`},
	{"quotes", `password='a b' secret:"c d" token=""`, `password='***' secret:"***" token=""`},
	{"lines", "user: u\npassword: p\nport: 1\n", "user: u\npassword: ***\nport: 1\n"},
	{"assignment in another", "opts=password=aa", "opts=password=***"},
	{"host and port", "token-service:8080", "token-service:8080"},
	{"file of a secret", "token_file=/run/x", "token_file=/run/x"},
	{"broken JSON", `{"password":"abc","a":`, `{"password":"***","a":`},
	{"headers", "Authorization: Digest a b\r\nCookie: a=b; c=d\r\nHost: h", "Authorization: ***\r\nCookie: ***\r\nHost: h"},
	{"schemes", "Bearer abc.def, basic dTpw", "Bearer ***, basic ***"},
	{"JWT", "x " + jwt + " y", "x *** y"},
	{"known tokens", "AKIAIOSFODNN7EXAMPLE ghp_0123456789abcdefABCDEF0123456789abcd xoxb-123456789012-abcdef AKIA", "*** *** *** AKIA"},
	{"plain", "a:b, c = d; 10:30 <x@y.z> 中文", "a:b, c = d; 10:30 <x@y.z> 中文"},
	{"masked", "http://u:***@h password=*** Bearer ***", "http://u:***@h password=*** Bearer ***"},
}

func TestJSON(t *testing.T) {
	tests := documents
	for _, tt := range texts {
		tests = append(tests, struct{ name, in, want string }{"text: " + tt.name, `{"x":[` + quote(tt.in) + `]}`, `{"x":[` + quote(tt.want) + `]}`})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := JSON([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			// encoding/json escapes <, > and & in what the table quotes.
			plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")
			if plain.Replace(string(got)) != plain.Replace(tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			again, err := JSON(got)
			if err != nil || string(again) != string(got) {
				t.Errorf("masked again: %s, %v", again, err)
			}
		})
	}
}

func TestJSONRefuses(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, doc := range []string{"", "{", `{"password":"hunter2"`, `{"a":1,}`, `[1 2]`, `{} {}`, "password: hunter2", deep(maxDepth + 1), deep(20000)} {
		got, err := JSON([]byte(doc))
		if err == nil {
			t.Errorf("%.40s: got %s", doc, got)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.40s: the error has the secret: %v", doc, err)
		}
	}
	if _, err := JSON([]byte(deep(maxDepth))); err != nil {
		t.Errorf("%d deep: %v", maxDepth, err)
	}
	// In a string it is no error, but nothing of it stays.
	if got, err := JSON([]byte(quote(deep(maxDepth + 1)))); err != nil || string(got) != `"***"` {
		t.Errorf("too deep in a string: %.40s, %v", got, err)
	}
}

func FuzzJSON(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d.in))
	}
	for _, d := range texts {
		f.Add([]byte(quote(d.in)))
	}
	f.Add([]byte("\"\\u0\x16CA\"")) // no digit, but for a bit
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := JSON(doc)
		if !json.Valid(doc) {
			if err == nil {
				t.Fatalf("%q is no JSON, got %s", doc, got)
			}
			return
		}
		if err != nil {
			return // nested too deep
		}
		if !json.Valid(got) {
			t.Fatalf("no JSON: %s", got)
		}
		before, err := parse(string(doc), maxDepth)
		if err != nil {
			t.Fatal(err)
		}
		after, err := parse(string(got), maxDepth)
		if err != nil {
			t.Fatal(err)
		}
		if b, a := structure(before), structure(after); b != a {
			t.Fatalf("structure %s became %s", b, a)
		}
		again, err := JSON(got)
		if err != nil || string(again) != string(got) {
			t.Fatalf("masked %s, masked again %s, %v", got, again, err)
		}
	})
}

// structure draws a tree without its scalars.
func structure(v *node) string {
	var b strings.Builder
	switch v.kind {
	case '{', '[':
		b.WriteByte(v.kind)
		for i := range v.items {
			b.WriteString(structure(&v.items[i]))
		}
		b.WriteByte(v.kind + 2)
	default:
		b.WriteByte('.')
	}
	return b.String()
}

// planted is a secret in all the places that the package promises to find; it
// occurs nowhere else.
const planted = "S3cretPlanted0123456789"

var plants = []string{
	`{"password":"%s"}`,
	`{"x":{"Api-Key":["%s"]}}`,
	`{"name":"db_password","value":"%s"}`,
	`https://user:%s@host/`,
	`user:%s@tcp(host:1)/db`,
	`password=%s&x=1`,
	`client_secret="%s"`,
	`Bearer %s`,
	`Authorization: %s`,
	"-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----",
	`ghp_%s`,
	`eyJh.eyJi.%s`,
}

func FuzzPlanted(f *testing.F) {
	for i := range plants {
		f.Add(i, "before", "after")
		f.Add(i, `x="`, `"`)
		f.Add(i, `{"a`, `":1}`)
	}
	f.Fuzz(func(t *testing.T, i int, before, after string) {
		plant := fmt.Sprintf(plants[uint(i)%uint(len(plants))], planted)
		if json.Valid([]byte(plant)) {
			plant = quote(plant)
			plant = fmt.Sprintf(`{"x":%s,"y":%s,"z":%s}`, quote(before), plant, quote(after))
		} else {
			plant = quote(before + " " + plant + " " + after)
		}
		got, err := JSON([]byte(plant))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(got), planted) {
			t.Fatalf("%s became %s", plant, got)
		}
	})
}

// BenchmarkJSON masks a configuration of clusters.
func BenchmarkJSON(b *testing.B) {
	var doc strings.Builder
	doc.WriteString(`{"cluster":{`)
	for i := range 2000 {
		if i > 0 {
			doc.WriteByte(',')
		}
		fmt.Fprintf(&doc, `"outbound|80||svc-%d.ns.svc.cluster.local":{"name":"outbound|80||svc-%d.ns.svc.cluster.local","type":"SIMPLE","lb_type":"LB_RANDOM","hosts":[{"address":"10.0.%d.1:8080","hostname":"host-%d.example.internal","weight":1,"metadata":{"filter_metadata":{"mosn.lb":{"version":"v1","zone":"a"}}}}]}`, i, i, i%256, i)
	}
	doc.WriteString("}}")
	text := []byte(doc.String())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for range b.N {
		if err := Copy(io.Discard, bytes.NewReader(text), nil); err != nil {
			b.Fatal(err)
		}
	}
}
