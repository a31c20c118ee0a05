package http2_test

import (
	"fmt"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	h2 "mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
)

// Thousands of calls that wait at the same time, as clients of gRPC make them where the server sets no limit,
// are known as few are.
func TestManyStreams(t *testing.T) {
	const streams = 2500
	talk := newTalk()
	for i := range uint32(streams) {
		talk.rpc(2*i+1, fmt.Sprint("Get", i%100), "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", fmt.Sprint("x-id: ", i))
		talk.data(in, 2*i+1, true, message("question"))
	}
	talk.pause()
	for i := range uint32(streams) {
		talk.answer(2*i+1, false, "200", "content-type: application/grpc")
	}
	talk.pause()
	for i := range uint32(streams) {
		talk.data(out, 2*i+1, false, message("answer"))
		talk.head(out, 2*i+1, true, fmt.Sprint("grpc-status: ", i%3))
	}
	calls := decode(t, talk.session, true)
	if len(calls) != streams {
		t.Fatalf("%d calls of %d streams", len(calls), streams)
	}
	byNumber(calls)
	for i := range calls {
		c := &calls[i]
		failed := ""
		if i%3 > 0 {
			failed = " failed"
		}
		want := fmt.Sprintf("%d grpc POST shop.Cart/Get%d [%s %d%s] 1ms ", i+1, i%100, []string{"OK", "CANCELLED", "UNKNOWN"}[i%3], i%3, failed)
		if line(c) != want || c.Service != "shop.Cart" || c.Path != "/"+c.Target || c.Host != "shop" || c.Trace != (call.Trace{TraceID: "0af7651916cd43dd8448eb211c80319c", SpanID: "b7ad6b7169203331"}) ||
			c.Request.Body.Length == 0 || c.Response.Body.Length == 0 {
			t.Fatalf("%s %+v, want %s", line(c), *c, want)
		}
	}
	parsetest.Cuts(t, &h2.Protocol, talk.session)
	parsetest.Checkpoints(t, &h2.Protocol, talk.session)
}
