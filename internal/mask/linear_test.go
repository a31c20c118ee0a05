package mask

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// hostile are texts that a careless search would go over again and again.
var hostile = map[string]string{
	"configuration": `{"address":"10.0.0.1:8080","name":"outbound|80||svc"} `,
	"assignments":   "a=", "urls": "a://b:", "urls with a path": "a://b/", "urls with a port": "a://b:1/", "hosts": "a://b:1,", "urls with @": "a://b:c@", "users": "a:b@",
	"keys": "-----BEGIN PRIVATE KEY", "certificates": "-----BEGIN CERTIFICATE-----", "quotes": `token="`, "single quotes": `token='`, "escaped quotes": `token=\"`,
	"documents": `["`, "objects": `{"a":`, "objects closed": `{"a":1}`, "brackets": "token=[", "words": "token ", "blocks": "token: |\n", "nested": "tokens:\n", "nested deeper": "tokens:\n  ",
	"values": "- value: x\n", "pairs": "- name: DB_PASS\n  value: x\n", "sections": "[secrets]\na=b\n", "heredocs": "token=<<EOF\n", "tags": "<a b=", "elements": "<token>", "cdata": "<token><![CDATA[",
	"flags": "--token ", "letters": "a", "base64": "MIIEabcdefghijklmnopqrstuvwxyz0123456789/+", "base64 lines": "MIIEabcdefghijklmnopqrstuvwxyz0123456789\n", "dots": "a.b.", "webtokens": "eyJabc.", "digits": "123456789:",
	"backslashes": `\`, "colons": "a: ", "tokens": "ghp_0123456789abcdefABCDEF ", "braces": "{", "spaces": "token =  ", "commas": "token = a, ", "and": "token=a&", "mysql": "mysql -p", "ampersands": "&", "at": "@", "ats": "a@", "users with @": "a:b@c@",
	"directives": "config set token x", "quoted": "password 'x", "identified": "identified by ", "hashes": "$6$a", "percent": "password%3D", "encoded": "dG9rZW46IGFiYw", "names": "<name>token</name>",
	"semicolons": "token=a;",
}

// The time is proportional to the length: four times the text takes about four times as
// long, not sixteen times.
func TestTimeIsLinear(t *testing.T) {
	const n = 8 << 10
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			took := func(n int) time.Duration {
				doc := []byte(quote(strings.Repeat(text, n/len(text)+1)))
				best := time.Hour
				for range 3 {
					begin := time.Now()
					if _, err := JSON(doc); err != nil {
						t.Fatal(err)
					}
					best = min(best, time.Since(begin))
				}
				return best
			}
			small, large := took(n), took(8*n)
			if large > 24*small && large > 100*time.Millisecond {
				t.Errorf("%d bytes take %v, %d take %v", n, small, 8*n, large)
			}
			if testing.Verbose() {
				fmt.Printf("%-20s %8.1f MB/s\n", name, float64(8*n)/large.Seconds()/1e6)
			}
		})
	}
}
