package query

import (
	"encoding/json"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

func TestCallsHaveTheJSONFormOfTheContract(t *testing.T) {
	t.Parallel()
	partly := failedPost()
	partly.Response.HasBody = false
	partly.Response.Missing = 12
	partly.Trace = call.Trace{SpanID: "00f067"}
	partly.Incomplete = 0
	multiplexed := unanswered()
	multiplexed.Request.Between = 21
	for name, c := range map[string]struct {
		call *Call
		want string
	}{
		"whole":        {failedPost(), `{"id":"lk3xtg-2#5","window":"0e5b","conn":"lk3xtg-2","peer":"10.1.2.3:4711","listener":"10.0.0.5:2046","port":"2046","protocol":"http/1.1","time":"2026-11-27T10:32:00.123456789Z","method":"POST","target":"/checkout/42?x=1","path":"/checkout/42","host":"shop","service":"","status":"503","code":503,"failed":true,"latency_ms":412,"duration_ms":414,"request":{"offset":100,"length":812,"body":{"offset":512,"length":300}},"response":{"offset":0,"length":96,"body":{"offset":60,"length":36}},"trace":{"trace_id":"4bf92f","span_id":"00f067"},"incomplete":["gap","masked"]}`},
		"partly":       {partly, `{"id":"lk3xtg-2#5","window":"0e5b","conn":"lk3xtg-2","peer":"10.1.2.3:4711","listener":"10.0.0.5:2046","port":"2046","protocol":"http/1.1","time":"2026-11-27T10:32:00.123456789Z","method":"POST","target":"/checkout/42?x=1","path":"/checkout/42","host":"shop","service":"","status":"503","code":503,"failed":true,"latency_ms":412,"duration_ms":414,"request":{"offset":100,"length":812,"body":{"offset":512,"length":300}},"response":{"offset":0,"length":96,"body":null,"missing":12},"trace":{"trace_id":"","span_id":"00f067"},"incomplete":[]}`},
		"unanswered":   {unanswered(), `{"id":"lk3xtg-3#1","window":"","conn":"lk3xtg-3","peer":"","listener":"","port":"6379","protocol":"redis","time":"2026-11-27T10:32:00.123456789Z","method":"GET","target":"user:42","path":"","host":"","service":"","status":"","code":0,"failed":false,"latency_ms":null,"duration_ms":null,"request":{"offset":0,"length":30,"body":null},"response":null,"trace":null,"incomplete":["no_answer"]}`},
		"among others": {multiplexed, `{"id":"lk3xtg-3#1","window":"","conn":"lk3xtg-3","peer":"","listener":"","port":"6379","protocol":"redis","time":"2026-11-27T10:32:00.123456789Z","method":"GET","target":"user:42","path":"","host":"","service":"","status":"","code":0,"failed":false,"latency_ms":null,"duration_ms":null,"request":{"offset":0,"length":30,"body":null,"size":9},"response":null,"trace":null,"incomplete":["no_answer"]}`},
		"empty":        {&Call{Call: &call.Call{}, Identity: &record.Identity{}}, `{"id":"#0","window":"","conn":"","peer":"","listener":"","port":"","protocol":"","time":null,"method":"","target":"","path":"","host":"","service":"","status":"","code":0,"failed":false,"latency_ms":null,"duration_ms":null,"request":null,"response":null,"trace":null,"incomplete":[]}`},
	} {
		if got := string(AppendJSON([]byte("x"), c.call)); got != "x"+c.want {
			t.Errorf("%s:\n got %s\nwant x%s", name, got, c.want)
		}
	}
}

func TestDurationsAreExactMilliseconds(t *testing.T) {
	t.Parallel()
	for ns, want := range map[int64]string{0: "0", 1: "0.000001", 12_400_000: "12.4", 1_000_001: "1.000001", 13_100_000: "13.1", 100_000: "0.1", -1_500_000: "-1.5", 90_000_000_000: "90000"} {
		if got := string(appendMilliseconds(nil, ns)); got != want {
			t.Errorf("%d ns: %s, want %s", ns, got, want)
		}
	}
}

// Whatever bytes a client sends as a target, a line of JSON comes out that has them, or
// U+FFFD for those that are no UTF-8.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{"/a", "<&>\"\\", "\x00\x1f\x7f\xff\n\r\t", "ä\u2028\u2029€😀\xf0\x9f", "\xed\xa0\x80"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		c := failedPost()
		c.Target = target
		c.Identity.Conn = target
		line := AppendJSON(nil, c)
		var got struct {
			ID     string `json:"id"`
			Target string `json:"target"`
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		var want strings.Builder // as encoding/json has it: U+FFFD for each such byte
		for _, r := range target {
			want.WriteRune(r)
		}
		if got.Target != want.String() || got.ID != want.String()+"#5" || strings.ContainsAny(string(line), "\n\r\x00") {
			t.Errorf("%q became %q and %q", target, got.Target, got.ID)
		}
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	c := failedPost()
	c.Incomplete = 0
	var line []byte
	b.ReportAllocs()
	for range b.N {
		line = AppendJSON(line[:0], c)
	}
}
