package trace_test

import (
	"slices"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/trace"
)

func TestAdd(t *testing.T) {
	const (
		long  = "4bf92f3577b34da6a3ce929d0e0e4736"
		short = "a3ce929d0e0e4736"
		span  = "00f067aa0ba902b7"
		other = "00000000000000aa"
	)
	type fields [][2]string
	for _, c := range []struct {
		name   string
		fields fields
		want   call.Trace
	}{
		{"traceparent", fields{{"traceparent", "00-" + long + "-" + span + "-01"}}, call.Trace{TraceID: long, SpanID: span}},
		{"upper case", fields{{"Traceparent", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-00"}}, call.Trace{TraceID: long, SpanID: span}},
		{"a later version", fields{{"traceparent", "cc-" + long + "-" + span + "-01-what-follows"}}, call.Trace{TraceID: long, SpanID: span}},
		{"version ff", fields{{"traceparent", "ff-" + long + "-" + span + "-01"}}, call.Trace{}},
		{"more than version 00 has", fields{{"traceparent", "00-" + long + "-" + span + "-01-x"}}, call.Trace{}},
		{"zero", fields{{"traceparent", "00-00000000000000000000000000000000-" + span + "-01"}}, call.Trace{}},
		{"no digits", fields{{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e473x-" + span + "-01"}}, call.Trace{}},
		{"short", fields{{"traceparent", "00-" + long}}, call.Trace{}},
		{"b3", fields{{"b3", short + "-" + span}}, call.Trace{TraceID: short, SpanID: span}},
		{"b3 with all", fields{{"B3", long + "-" + span + "-1-" + other}}, call.Trace{TraceID: long, SpanID: span}},
		{"b3 decision", fields{{"b3", "0"}}, call.Trace{}},
		{"X-B3", fields{{"X-B3-TraceId", long}, {"x-b3-spanid", span}, {"X-B3-ParentSpanId", other}}, call.Trace{TraceID: long, SpanID: span}},
		{"X-B3, trace alone", fields{{"X-B3-TraceId", short}}, call.Trace{TraceID: short}},
		{"Jaeger", fields{{"uber-trace-id", "4bf92f3577b34da6:f067aa0ba902b7:0:1"}}, call.Trace{TraceID: "4bf92f3577b34da6", SpanID: "f067aa0ba902b7"}},
		{"Jaeger escaped", fields{{"Uber-Trace-Id", long + "%3A" + span + "%3a0%3A1"}}, call.Trace{TraceID: long, SpanID: span}},
		{"Jaeger short", fields{{"uber-trace-id", "1:2"}}, call.Trace{}},
		{"the standard one counts", fields{
			{"uber-trace-id", other + ":" + other + ":0:1"}, {"x-b3-traceid", other}, {"x-b3-spanid", other},
			{"b3", other + "-" + other}, {"traceparent", "00-" + long + "-" + span + "-01"},
		}, call.Trace{TraceID: long, SpanID: span}},
		{"X-B3 over Jaeger", fields{{"uber-trace-id", other + ":" + other + ":0:1"}, {"x-b3-traceid", long}, {"x-b3-spanid", span}}, call.Trace{TraceID: long, SpanID: span}},
		{"the first of two counts", fields{{"b3", short + "-" + span}, {"b3", other + "-" + other}}, call.Trace{TraceID: short, SpanID: span}},
		{"others", fields{{"", ""}, {"x", "y"}, {"content-type", long}, {"x-request-id-of-this", long}}, call.Trace{}},
	} {
		for range 2 {
			var texts, bytes trace.Fields
			for _, f := range c.fields {
				trace.Add(&texts, f[0], f[1])
				trace.Add(&bytes, []byte(f[0]), []byte(f[1]))
			}
			if texts.Trace != c.want || bytes != texts {
				t.Errorf("%s: %+v and %+v, want %+v", c.name, texts, bytes, c.want)
			}
			if c.name == "the first of two counts" {
				break
			}
			slices.Reverse(c.fields) // the order does not matter
		}
	}
}

func TestOtherFieldsCostNothing(t *testing.T) {
	name, value := []byte("content-type"), []byte("application/grpc")
	if n := testing.AllocsPerRun(100, func() {
		var f trace.Fields
		trace.Add(&f, name, value)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
