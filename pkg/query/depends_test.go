package query

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func mustCompile(t *testing.T, text string) *Query {
	t.Helper()
	q, err := Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	all := strings.Join(protocols, " ")
	for text, want := range map[string]string{
		`latency > 2s`:                              all,
		`failed`:                                    strings.TrimSuffix(all, " tcp"), // its calls are never failed
		`failed or latency > 2s`:                    all,
		`code >= 500`:                               strings.TrimSuffix(all, " tcp"),
		`not failed`:                                all,
		`protocol == "grpc" and code == 14`:         "grpc",
		`protocol != "grpc" and failed`:             strings.TrimSuffix(strings.Replace(all, "grpc ", "", 1), " tcp"),
		`protocol in ["redis", "mysql"] and failed`: "redis mysql",
		`protocol not in ["redis", "mysql"] and protocol in ["mysql", "kafka"]`: "kafka",
		`protocol startsWith "http" and latency > 1s`:                           "http/1.1 http/2",
		`path startsWith "/checkout" and code >= 500`:                           "http/1.1 http/2 grpc websocket",
		`(path startsWith "/x" or protocol == "redis") and failed`:              "http/1.1 http/2 grpc websocket redis",
		`host == "shop"`:   "http/1.1 http/2 grpc websocket tls",
		`service == "a.B"`: "grpc dubbo bolt tars thrift",
		`protocol == "grpc" ? failed : protocol == "redis"`:                                             "grpc redis",
		`let p = protocol; p == "kafka" and failed`:                                                     "kafka",
		`not (protocol == "grpc" or failed) and protocol != "http/2" and protocol in ["http/2","grpc"]`: "",
		`lower(protocol) == "redis" && response.body contains "x"`:                                      "redis",
	} {
		if got := strings.Join(mustCompile(t, text).Protocols(), " "); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestLatencies(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		literals []time.Duration
		others   bool
	}{
		`failed`:                                {},
		`failed or latency > 2s`:                {[]time.Duration{2 * time.Second}, false},
		`2s <= latency`:                         {[]time.Duration{2 * time.Second}, false},
		`latency > 1s + 1s`:                     {[]time.Duration{2 * time.Second}, false},
		`latency in 1s..5s`:                     {[]time.Duration{time.Second, 5 * time.Second}, false},
		`latency in [3s, 1s]`:                   {[]time.Duration{time.Second, 3 * time.Second}, false},
		`latency > 5s or latency > 1s`:          {[]time.Duration{time.Second, 5 * time.Second}, false},
		`latency > 1s and latency > 1s`:         {[]time.Duration{time.Second}, false},
		`not (latency <= 1s)`:                   {[]time.Duration{time.Second}, false},
		`latency == nil and failed`:             {},
		`latency / 2 > 1s`:                      {nil, true},
		`(latency ?? 0s) > 1s`:                  {nil, true},
		`latency > duration or latency > 100ms`: {[]time.Duration{100 * time.Millisecond}, true},
		`duration > 7s`:                         {},
	} {
		literals, others := mustCompile(t, text).Latencies()
		if !slices.Equal(literals, want.literals) || others != want.others {
			t.Errorf("%s: %v, %v, want %v", text, literals, others, want)
		}
	}
}

func TestDependsOnAnswers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`path == "/x"`: false, `request.body contains "x"`: false, `request.headers["a"] == "b"`: false, `request.length > 1KiB`: false, `trace.trace_id == "1"`: false,
		`failed`: true, `status == "1"`: true, `code == 1`: true, `latency > 1s`: true, `duration > 1s`: true, `response.length > 1B`: true, `response != nil`: true,
		`response.body contains "x"`: true, `"x" in response.headers`: true, `response.headers["content-encoding"] == "br"`: true, `"no_answer" in incomplete`: true,
		`path == "/x" or response.body.length > 1KiB`: true,
	} {
		if got := mustCompile(t, text).DependsOnAnswers(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// A condition that only bodies of another coding can meet is found, whatever its form.
func TestCanHoldWithCodings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`response.body contains "x"`: true,
		`response.headers["content-encoding"] == "br" and response.body contains "x"`:                                        false,
		`response.headers["Content-Encoding"] == "zstd" and response.body contains "x"`:                                      false,
		`response.headers["content-encoding"] in ["br", "zstd"] and response.body contains "x"`:                              false,
		`response.headers["content-encoding"] contains "br" and response.body contains "x"`:                                  false,
		`response.headers["content-encoding"] in ["br", "gzip"] and response.body contains "x"`:                              true,
		`response.headers["content-encoding"] != "br" and response.body contains "x"`:                                        true,
		`not (response.headers["content-encoding"] == "br") and response.body contains "x"`:                                  true,
		`response.headers["content-encoding"] == "br" and response.body contains "x" or failed`:                              true,
		`request.headers["content-encoding"] == "br" and response.headers["x"] == "1" and fromJSON(request.body).a == "1"`:   false,
		`response.headers["content-encoding"] == "gzip" and (response.body contains "x" or request.headers["host"] == "br")`: true,
	} {
		if got := mustCompile(t, text).CanHoldWithCodings("", "gzip", "deflate"); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestAsks(t *testing.T) {
	t.Parallel()
	q := mustCompile(t, `let w = window; w != "x" or count(incomplete, # == conn) > 1`)
	for field, want := range map[string]bool{"window": true, "conn": true, "incomplete": true, "peer": false} {
		if got := q.Asks(field); got != want {
			t.Errorf("%s: %v", field, got)
		}
	}
}

func TestHeadersAskedFor(t *testing.T) {
	t.Parallel()
	q := mustCompile(t, `request.headers["X-Id"] == "1" or "x-id" in request.headers or response.headers["a"] == request.headers["b"]`)
	if got := q.Headers(Request); !slices.Equal(got, []string{"x-id", "b"}) {
		t.Errorf("of the request %v", got)
	}
	if got := q.Headers(Response); !slices.Equal(got, []string{"a"}) {
		t.Errorf("of the answer %v", got)
	}
}
