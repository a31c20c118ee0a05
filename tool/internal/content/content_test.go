package content_test

import (
	"testing"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/content"
)

// collect returns the content of a call of a protocol that has the spans.
func collect(t *testing.T, protocol string, spans ...call.Span) *content.Content {
	t.Helper()
	k := content.NewCollector(content.Everything(nil), content.Limits{})
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	of := &dump.Connection{}
	for _, s := range spans {
		s.Call = 1
		k.Span(of, s)
	}
	c := k.Take(&calls.Call{Call: call.Call{
		N: 1, Protocol: protocol, Request: call.Message{Present: true, Ended: true}, Response: call.Message{Present: true, Ended: true, HasBody: true},
	}})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// The fields of a promise, which goes to the client, are those of the request.
func TestPromise(t *testing.T) {
	c := collect(t, call.HTTP2,
		call.Span{Direction: record.Out, Promise: true, Kind: call.KindHeader, Name: "user-agent", Value: []byte("nghttp2")},
		call.Span{Direction: record.Out, Kind: call.KindHeader, Name: "server", Value: []byte("nginx")},
	)
	if got, ok, err := c.Header(query.Request, "user-agent"); got != "nghttp2" || !ok || err != nil {
		t.Errorf("user-agent of the request: %q, %v, %v", got, ok, err)
	}
	if got, ok, err := c.Header(query.Response, "user-agent"); ok || err != nil {
		t.Errorf("user-agent of the answer: %q, %v", got, err)
	}
}

// The page of a proxy is no message of gRPC, although its call is one.
func TestBodyThatIsNoMessage(t *testing.T) {
	const page = "<html>bad gateway</html>"
	for contentType, want := range map[string]string{
		"text/html": page, "application/grpc": "", "application/grpc+proto": "", "": "",
	} {
		spans := []call.Span{{Direction: record.Out, Kind: call.KindBody, Value: []byte(page)}}
		if contentType != "" {
			spans = append(spans, call.Span{Direction: record.Out, Kind: call.KindHeader, Name: "content-type", Value: []byte(contentType)})
		}
		got, err := collect(t, call.GRPC, spans...).Body(query.Response)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("content type %q: %q, %v", contentType, got, err)
		}
	}
}
