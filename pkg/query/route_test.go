package query

import (
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

func TestRoutesOfPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		// words stay
		"/": "/", "": "", "*": "*", "/checkout": "/checkout", "/v1/users": "/v1/users", "/api/v2": "/api/v2", "/V1/x": "/V1/x", "/v1beta1/x": "/v1beta1/x", "/v1alpha2": "/v1alpha2", "/api/v1.2/x": "/api/v1.2/x",
		"/healthz": "/healthz", "/oauth2/token": "/oauth2/token", "/sha256": "/sha256", "/base64": "/base64", "/ipv4": "/ipv4", "/i18n/en-US": "/i18n/en-US", "/k8s": "/k8s", "/s3/bucket": "/s3/bucket", "/md5sum": "/md5sum",
		"/deadbeef": "/deadbeef", "/facade": "/facade", "/utf-8": "/utf-8", "/http-2": "/http-2", "/web3": "/web3", "/h2": "/h2", "/p1": "/p1", "/level3": "/level3",
		"/how-to-write-a-very-long-article-about-go":         "/how-to-write-a-very-long-article-about-go",
		"/getUserAccountDetailsById":                         "/getUserAccountDetailsById",
		"/internationalizationandlocalization":               "/internationalizationandlocalization",
		"/CustomerRelationshipManagementService":             "/CustomerRelationshipManagementService",
		"/com.example.shop.cart.service.CartService/AddItem": "/com.example.shop.cart.service.CartService/AddItem",
		"/jquery-3.6.0.min.js":                               "/jquery-3.6.0.min.js",
		"/static/app.v2.1.css":                               "/static/app.v2.1.css",
		"/.well-known/openid-configuration":                  "/.well-known/openid-configuration",
		"/a//b/":                                             "/a//b/",
		"/%E4%BD%A0%E5%A5%BD":                                "/%E4%BD%A0%E5%A5%BD",
		"/100%":                                              "/100%",
		// numbers
		"/user/1": "/user/{id}", "/user/4711": "/user/{id}", "/user/0": "/user/{id}", "/user/1/order/2": "/user/{id}/order/{id}", "/user/123/": "/user/{id}/", "/2024/11/27": "/{id}/{id}/{id}", "/9007199254740993000": "/{id}",
		"/user/-5": "/user/-{id}", "/items/1,2,3": "/items/{id}", "/2024-11-27": "/{id}", "/geo/52.520008": "/geo/{id}",
		// UUIDs
		"/user/123e4567-e89b-12d3-a456-426614174000": "/user/{id}", "/user/123E4567-E89B-12D3-A456-426614174000": "/user/{id}", "/user/%7B123e4567-e89b-12d3-a456-426614174000%7D": "/user/{id}", "/user/123e4567e89b12d3a456426614174000": "/user/{id}",
		"/user/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee": "/user/{id}", "/user/urn:uuid:123e4567-e89b-12d3-a456-426614174000": "/user/{id}",
		"/order-123e4567-e89b-12d3-a456-426614174000/x": "/order-{id}/x",
		// hex, ULIDs, object ids, tokens
		"/blob/a1b2c3": "/blob/{id}", "/commit/9fceb02d0ae598e95dc970b74767f19372d61af8": "/commit/{id}", "/o/507f1f77bcf86cd799439011": "/o/{id}", "/u/01ARZ3NDEKTSV4RRFFQ69G5FAV": "/u/{id}", "/u/01arz3ndektsv4rrffq69g5fav": "/u/{id}",
		"/h/abcdefabcdefabcdefabcdef": "/h/{id}", "/v/dQw4w9WgXcQ": "/v/{id}", "/t/V1StGXR8_Z5jdHi6B-myT": "/t/{id}", "/t/dGhpcyBpcyBhIHRva2Vu": "/t/{id}", "/t/dGhpcyBpcyBhIHRva2VuMTI=": "/t/{id}",
		"/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U": "/t/{id}",
		// mixed
		"/order/ORD12345": "/order/{id}", "/order/order-12345": "/order/order-{id}", "/u/user_42": "/u/user_{id}", "/u/user123": "/u/{id}", "/f/report-2024.pdf": "/f/report-{id}.pdf", "/f/4711.json": "/f/{id}.json", "/p/article-title-123": "/p/article-title-{id}",
		"/u/joe@example.com": "/u/{id}", "/u/joe%40example.com": "/u/{id}", "/users/123:cancel": "/users/{id}:cancel", "/x/id=5": "/x/id={id}", "/x/order-1-2": "/x/order-{id}",
		"/a;jsessionid=01AB/b;v=1": "/a/b", "/user/7?x=1": "/user/{id}",
		"/user/{id}": "/user/{id}",
	} {
		if got := Route(call.HTTP1, path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestRoutesOfOtherTargets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ protocol, target, want string }{
		{call.GRPC, "shop.Cart/Add2Item", "shop.Cart/Add2Item"},
		{call.Dubbo, "com.example.Order12345Service", "com.example.Order12345Service"},
		{call.Kafka, "orders,orders-retry-1", "orders,orders-retry-1"},
		{call.TCP, "", ""},
		{call.HTTP2, "/user/42", "/user/{id}"},
		{call.WebSocket, "/room/42", "/room/{id}"},
		{call.HTTP1, "example.com:443", "example.com:443"},
		{call.Redis, "user:42", "user:{id}"},
		{call.Redis, "user:42:name", "user:{id}:name"},
		{call.Redis, "user:{1000}.following", "user:{{id}}.following"},
		{call.Redis, "session:123e4567-e89b-12d3-a456-426614174000", "session:{id}"},
		{call.Redis, "cache/page/17", "cache/page/{id}"},
		{call.Redis, "counter", "counter"},
		{call.Redis, "1:2:3", "{id}:{id}:{id}"},
		{call.MySQL, "SELECT * FROM t WHERE id = 5 AND name = 'O''Brien' LIMIT 10", "SELECT * FROM t WHERE id = ? AND name = ? LIMIT ?"},
		{call.MySQL, `SELECT "a\"b", 'c\'d', 0xFF, x'ff', 1.5e-3, -7, a-7`, "SELECT ?, ?, ?, ?, ?, ?, a-?"},
		{call.MySQL, "SELECT `a1` FROM t1 -- a comment\n WHERE  x=\t1 # other\n/* more */ AND y IN (1, 2,3)", "SELECT `a1` FROM t1 WHERE x= ? AND y IN (?)"},
		{call.MySQL, "INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'),(3,'z');", "INSERT INTO t (a, b) VALUES (?)"},
		{call.MySQL, "UPDATE t SET a = a - 1, b = -2 WHERE c > -3", "UPDATE t SET a = a - ?, b = ? WHERE c > ?"},
		{call.PostgreSQL, `SELECT "Name1" FROM t WHERE a = $1 AND b = E'x\'y' AND c = $tag$ it's $tag$ AND d = $$x$$`, `SELECT "Name1" FROM t WHERE a = ? AND b = ? AND c = ? AND d = ?`},
		{call.PostgreSQL, `SELECT 'a\' FROM t`, "SELECT ? FROM t"},
		{call.PostgreSQL, "SELECT 'not closed", "SELECT ?"},
		{call.PostgreSQL, "SELECT * FROM t WHERE a IN ($1, $2, $3)", "SELECT * FROM t WHERE a IN (?)"},
		{call.PostgreSQL, "SELECT a::int4, b->>'k' FROM t", "SELECT a::int4, b->>? FROM t"},
		{call.PostgreSQL, "", ""},
	} {
		if got := Route(c.protocol, c.target); got != c.want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.protocol, c.target, got, c.want)
		}
	}
}

// Statements with a million literals, and paths without an end, take no time.
func TestRoutesAreBounded(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for _, target := range []string{
		"/" + strings.Repeat("a1-", 1<<20), strings.Repeat("/1", 1<<20), "/" + strings.Repeat("é1.", 1<<20), "SELECT " + strings.Repeat("1,", 1<<20), "SELECT (" + strings.Repeat("1,", 1<<20), "VALUES " + strings.Repeat("(1),", 1<<20),
		strings.Repeat("$", 1<<20), strings.Repeat("$a", 1<<19), strings.Repeat("-", 1<<20), strings.Repeat("(", 1<<20), strings.Repeat("'", 1<<20), strings.Repeat(" ", 1<<20),
	} {
		for _, protocol := range protocols {
			if protocol == call.GRPC {
				continue
			}
			if route := Route(protocol, target); len(route) > maxRoute+len("…") {
				t.Errorf("%s, %.20q: a route of %d bytes", protocol, target, len(route))
			}
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func FuzzRoute(f *testing.F) {
	f.Add("/user/42/x-1.2.3?y=1")
	f.Add("SELECT 'a', \"b\" FROM t WHERE c IN (1, 2) -- x")
	f.Fuzz(func(t *testing.T, target string) {
		for _, protocol := range protocols {
			if route := Route(protocol, target); len(route) > maxRoute+len("…") {
				t.Errorf("%s: %d bytes", protocol, len(route))
			}
		}
	})
}
