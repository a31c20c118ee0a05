package har

import (
	"net/url"
	"slices"
	"testing"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/content"
)

func TestURLs(t *testing.T) {
	for _, c := range []struct{ protocol, method, host, target, listener, want string }{
		{call.HTTP1, "GET", "shop", "/a?b=c", "10.0.0.1:80", "http://shop/a?b=c"},
		{call.HTTP1, "GET", "shop:8080", "/%E2%82%AC", "10.0.0.1:80", "http://shop:8080/%E2%82%AC"},
		{call.HTTP1, "GET", "", "/a", "10.0.0.1:80", "http://10.0.0.1:80/a"},
		{call.HTTP1, "GET", "[::1]:80", "/a", "10.0.0.1:80", "http://[::1]:80/a"},
		{call.HTTP1, "GET", "1.2.3.4", "/a", "10.0.0.1:80", "http://1.2.3.4/a"},
		{call.HTTP1, "GET", "1.2.3.999", "/a", "[::1]:80", "http://[::1]:80/a"}, // no URL parser reads it
		{call.HTTP1, "GET", "shop:99999", "/a", "10.0.0.1:80", "http://10.0.0.1:80/a"},
		{call.HTTP1, "GET", "a b/../\x00", "/a", "/run/proxy.sock", "http://localhost/a"},
		{call.HTTP1, "GET", "shop", "/\xff\"<a b>{}\x7f", "10.0.0.1:80", "http://shop/%FF%22%3Ca%20b%3E%7B%7D%7F"},
		{call.HTTP1, "GET", "shop", "//evil/x", "10.0.0.1:80", "http://shop//evil/x"},
		{call.HTTP1, "OPTIONS", "shop", "*", "10.0.0.1:80", "http://shop/"},
		{call.HTTP1, "CONNECT", "db:443", "db:443", "10.0.0.1:80", "http://db:443/"},
		{call.HTTP1, "GET", "other", "http://other/x?y", "10.0.0.1:80", "http://other/x?y"},
		{call.HTTP1, "GET", "other", "https://other", "10.0.0.1:80", "https://other/"},
		{call.HTTP1, "GET", "shop", "/go?to=http://x/y", "10.0.0.1:80", "http://shop/go?to=http://x/y"},
		{call.HTTP1, "", "", "", "10.0.0.1:80", "http://10.0.0.1:80/"},
		{call.HTTP2, "GET", "shop", "/a?b", "10.0.0.1:80", "http://shop/a?b"},
		{call.WebSocket, "text", "shop", "/chat", "10.0.0.1:80", "ws://shop/chat"},
	} {
		k := content.NewCollector(content.Wanted{}, content.Limits{})
		of := &calls.Call{Identity: record.Identity{Listener: c.listener}, Of: &dump.Connection{}, Call: call.Call{Protocol: c.protocol, Method: c.method, Host: c.host, Target: c.target}}
		got := urlOf(of, k.Take(of))
		if got != c.want {
			t.Errorf("%q of %q is %q, want %q", c.target, c.host, got, c.want)
		}
		if u, err := url.Parse(got); err != nil || u.Host == "" {
			t.Errorf("%q: %v", got, err)
		}
	}
}

func TestCookies(t *testing.T) {
	yes, no := true, false
	got := cookiesOf([]content.Value{{Name: "cookie", Text: `a=1; b="x y"; =c; d;; e=f=g`}, {Name: "Cookie", Text: "h=2"}, {Name: "host", Text: "i=3"}})
	want := []cookie{{Name: "a", Value: "1"}, {Name: "b", Value: `"x y"`}, {Value: "c"}, {Value: "d"}, {Name: "e", Value: "f=g"}, {Name: "h", Value: "2"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	got = setCookies([]content.Value{
		{Name: "set-cookie", Text: "sid=1,2; path=/a; DOMAIN=shop; Secure; httponly; SameSite=Lax; Max-Age=3; Expires=Wed, 21-Oct-2026 07:28:00 GMT"},
		{Name: "set-cookie", Text: "odd; expires=tomorrow"},
	})
	if len(got) != 2 || *got[0].Secure != yes || *got[0].HTTPOnly != yes || *got[1].Secure != no || *got[1].HTTPOnly != no {
		t.Fatalf("%+v", got)
	}
	for i := range got {
		got[i].Secure, got[i].HTTPOnly = nil, nil
	}
	if want := []cookie{{Name: "sid", Value: "1,2", Path: "/a", Domain: "shop", SameSite: "Lax", Expires: "2026-10-21T07:28:00Z"}, {Value: "odd"}}; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestParametersOfForms(t *testing.T) {
	multi := "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.png\"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--b--\r\n"
	for _, c := range []struct {
		kind, body string
		want       []param
	}{
		{"application/x-www-form-urlencoded; charset=utf-8", "a=b+c&d=%26&e&=f&%zz=1", []param{{Name: "a", Value: "b c"}, {Name: "d", Value: "&"}, {Name: "e"}, {Value: "f"}, {Name: "%zz", Value: "1"}}},
		{`multipart/form-data; boundary="b"`, multi, []param{{Name: "a", Value: "1"}, {Name: "f", FileName: "x.png", ContentType: "image/png"}}},
		{"multipart/form-data; boundary=other", multi, []param{}},
		{"multipart/form-data; boundary=b", multi[:60], []param{{Name: "a", Value: "1"}}},
		{"text/plain", "a=b", []param{}},
		{"", "a=b", []param{}},
	} {
		if got := paramsOf(c.kind, []byte(c.body)); !slices.Equal(got, c.want) {
			t.Errorf("%s %q is %+v, want %+v", c.kind, c.body, got, c.want)
		}
	}
}
