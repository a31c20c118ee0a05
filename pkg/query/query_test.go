package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

var start = time.Date(2026, 11, 27, 10, 32, 0, 123456789, time.UTC)

// failedPost is the call of the examples: an HTTP POST that took 412 ms and came back with 503.
func failedPost() *Call {
	return &Call{
		Call: &call.Call{
			N: 5, Protocol: call.HTTP1, Method: "POST", Target: "/checkout/42?x=1", Path: "/checkout/42", Host: "shop", Status: "503", Code: 503, Failed: true,
			Request:    call.Message{Present: true, Range: call.Range{Offset: 100, Length: 812}, Body: call.Range{Offset: 512, Length: 300}, HasBody: true, First: start, Last: start.Add(time.Millisecond), Ended: true},
			Response:   call.Message{Present: true, Range: call.Range{Length: 96}, Body: call.Range{Offset: 60, Length: 36}, HasBody: true, First: start.Add(413 * time.Millisecond), Last: start.Add(414 * time.Millisecond), Ended: true},
			Trace:      call.Trace{TraceID: "4bf92f", SpanID: "00f067"},
			Incomplete: call.Gap | call.Masked,
		},
		Identity: &record.Identity{Window: "0e5b", Conn: "lk3xtg-2", Peer: "10.1.2.3:4711", Listener: "10.0.0.5:2046", Port: "2046"},
		Content: &memory{
			headers: map[string]string{"request.host": "shop", "request.x-request-id": "77", "response.content-type": "application/json", "request.empty": ""},
			bodies:  map[Side]string{Request: `{"items":[{"id":7,"name":"book"},{"id":8}],"total":12.5,"note":null,"gift":true}`, Response: "upstream timeout"},
		},
	}
}

// unanswered is a call whose answer was not recorded.
func unanswered() *Call {
	return &Call{
		Call: &call.Call{
			N: 1, Protocol: call.Redis, Method: "GET", Target: "user:42",
			Request:    call.Message{Present: true, Range: call.Range{Length: 30}, First: start, Last: start, Ended: true},
			Incomplete: call.NoAnswer,
		},
		Identity: &record.Identity{Conn: "lk3xtg-3", Port: "6379"},
		Content:  &memory{},
	}
}

// memory is the content of a call, by "side.name", and counts what is read of it.
type memory struct {
	headers map[string]string
	bodies  map[Side]string
	errs    map[string]error // by "request.body", "request.headers"
	read    []string
}

func (c *memory) Header(side Side, name string) (string, bool, error) {
	c.read = append(c.read, side.String()+"."+name)
	value, ok := c.headers[side.String()+"."+name]
	return value, ok, c.errs[side.String()+".headers"]
}

func (c *memory) Body(side Side) ([]byte, error) {
	c.read = append(c.read, side.String()+".body")
	return []byte(c.bodies[side]), c.errs[side.String()+".body"]
}

func match(t *testing.T, text string, c *Call) (bool, error) {
	t.Helper()
	q, err := Compile(text)
	if err != nil {
		t.Errorf("%s:\n%v", text, err)
		return false, nil
	}
	return q.Evaluator().Match(c)
}

func TestConditionsAreTrueOrFalse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		// DESIGN's examples
		`failed and latency > 200ms`:                                                  true,
		`status == "503" or code >= 500 and path startsWith "/checkout"`:              true,
		`protocol == "grpc" and target contains ".Cart/" and code == 14`:              false,
		`request.headers["x-request-id"] == "77" or response.body contains "timeout"`: true,
		// literals
		`latency == 412ms`: true, `latency == 0.412s`: true, `latency == 412_000us`: true, `latency == 412000µs`: true, `latency == 412000μs`: true, `latency == 412000000ns`: true, `latency < 1h30m`: true, `latency < 1d`: true, `latency > 1m`: false, `latency == 400ms12ms`: true,
		`duration == 414ms`: true, `request.length == 812B`: true, `request.length == 812`: true, `request.length < 1KiB`: true, `request.length < 0.8KB`: false, `request.length < 1MB`: true, `1kB > request.length`: true, `request.length > 0B`: true, `request.body.length == 300`: true, `request.offset == 100`: true, `request.missing == 0`: true, `request.size == request.length`: true, `response.size == 90`: true, `response.size < 91B and response.length == 96`: true,
		`200ms < latency < 1s`: true, `200ms < latency < 300ms`: false, `-latency < 0s`: true, `latency in [412ms, 1s]`: true, `latency in 1ms..1s`: true, `latency not in 1ms..1s`: false, `request.length in 1KiB..2KiB`: false,
		`latency+1ms == 413ms`: true, `latency * 2 > 0.8s`: true, `2 * latency > 0.8s`: true, `latency / 2 == 206ms`: true, `latency / 103ms == 4`: true, `latency % 100ms == 12ms`: true, `latency - 412ms == 0s`: true, `latency * 1.5 > 600ms`: true, `request.length + 1 == 813`: true, `1 + request.length == 813B`: true,
		// not literals
		`target contains "x=1" and "10ms 5KiB" != 'x'`: true, "`10ms` == \"10ms\"": true, "`a``10ms` == \"a`10ms\"": true, `/* 10xyz */ failed // 5zz`: true, "failed // 5zz\n and code == 503": true, `"\"10ms" == '"10ms'`: true, `code in 500..599`: true, `code in 1..5`: false, `code not in 500..599`: false, `code == 0x1f7`: true, `code == 0b111110111`: true, `code == 0o767`: true, `code == 5.03e2`: true, `code == 5_03`: true, `code > .5`: true, `let x1s = 5; x1s < code`: true, `let m = 5; m < code`: true,
		`code in -1..503`: true,
		// numbers, text, times
		`code == 503.0`: true, `code > 502.9`: true, `code / 2 == 251.5`: true, `code % 100 == 3`: true, `code ** 2 > 250000`: true, `code ^ 2 > 250000`: true, `code != 503`: false, `code in [502, 503.0]`: true, `code not in [502, 503]`: false, `abs(-code) == 503`: true,
		`status in ["502", "503"]`: true, `status not in ["502"]`: true, `status matches "^5"`: true, `status not matches "^5"`: false, `status endsWith "3"`: true, `not (status endsWith "3")`: false, `host < "t"`: true, `method + path == "POST/checkout/42"`: true, `lower(method) == "post"`: true, `upper(host) == "SHOP"`: true, `trim(" a ") == "a"`: true, `method | lower() == "post"`: true, `len(method) == 4`: true, `int(status) == 503`: true, `float(status) > 502.5`: true, `string(code) == status`: true, `split(path, "/")[1] == "checkout"`: true, `split(path, "/")[-1] == "42"`: true, `split(path, "/")[9] == "x"`: false, `"checkout" in split(path, "/")`: true, `len(split(path, "/")) == 3`: true, `hasPrefix(path, "/c") and hasSuffix(path, "2")`: true,
		`time > date("2026-11-27T00:00:00Z")`: true, `time < date("2026-11-27T10:32:00Z")`: false, `time == date("2026-11-27T18:32:00.123456789+08:00")`: true, `time - date("2026-11-27 10:32Z") < 1s`: true, `time + 1h > date("2026-11-27T11:30:00Z")`: true, `latency > duration("200ms")`: true, `time in [date("2026-11-27T10:32:00.123456789Z")]`: true,
		// logic
		`not failed`: false, `!failed`: false, `failed == true`: true, `failed != true`: false, `failed ? code == 503 : false`: true, `if failed { code == 1 } else { true }`: false, `(failed ? "a" : "b") == "a"`: true, `(failed ? 5 : 1.5) == 5`: true, `let slow = latency > 1s; failed and not slow`: true, `let a = code; let b = a + 1; b == 504`: true, `failed && code == 503 || false`: true, `failed or failed and not failed`: true, `true`: true, `false`: false,
		// fields
		`id == "lk3xtg-2#5"`: true, `window == "0e5b"`: true, `conn == "lk3xtg-2"`: true, `peer startsWith "10.1."`: true, `listener endsWith ":2046"`: true, `port == "2046"`: true, `host == "shop"`: true, `service == ""`: true, `route == "/checkout/{id}"`: true, `trace.trace_id == "4bf92f"`: true, `trace["span_id"] == "00f067"`: true, `"gap" in incomplete`: true, `"no_answer" in incomplete`: false, `"no_answer" not in incomplete`: true, `len(incomplete) == 2`: true, `any(incomplete, # == "gap")`: true, `all(incomplete, # startsWith "g")`: false, `none(incomplete, # == "no_answer")`: true, `one(incomplete, {# == "gap"})`: true, `count(incomplete, # contains "a") == 2`: true, `any(["/a", "/checkout"], path startsWith #)`: true, `any(incomplete, any(split(path, "/"), # == "42"))`: true, `response?.length == 96`: true, `request["length"] == 812`: true,
		// content
		`request.headers.host == "shop"`: true, `"x-request-id" in request.headers`: true, `"x" in request.headers`: false, `"x" not in request.headers`: true, `request.headers["empty"] == ""`: true, `lower(response.headers["content-type"]) contains "json"`: true, `response.body matches "(?i)TIMEOUT$"`: true, `len(response.body) == 16`: true, `len(response.body) < 1KiB`: true,
		`fromJSON(request.body).total == 12.5`: true, `fromJSON(request.body).total > 12`: true, `fromJSON(request.body).items[0].name == "book"`: true, `fromJSON(request.body).items[-1].id == 8`: true, `fromJSON(request.body)["gift"]`: true, `not fromJSON(request.body).gift`: false, `any(fromJSON(request.body).items, #.id == 7)`: true, `any(fromJSON(request.body).items, .id == 9)`: false, `len(fromJSON(request.body).items) == 2`: true, `"total" in fromJSON(request.body)`: true, `fromJSON(request.body).items[0].name contains "oo"`: true, `fromJSON(request.body).items[0].id in [6, 7]`: true, `fromJSON(request.body).items[0].id in 6..7`: true, `fromJSON(request.body).total == "12.5"`: false, `fromJSON(request.body).total != "12.5"`: true, `int(fromJSON(request.body).items[0].id) == 7`: true, `fromJSON("[1]")[0] == 1`: true, `(fromJSON(request.body).gift ? 1 : 2) == 1`: true,
	} {
		c := failedPost()
		c.Response.Between = 6 // as in HTTP/2
		got, err := match(t, text, c)
		if got != want || err != nil {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}

// A comparison with a missing value is false, whatever the operator. What is made of
// comparisons is ordinary logic.
func TestMissingValuesAreFalse(t *testing.T) {
	t.Parallel()
	missing := []string{"latency", "duration", "latency * 2", "-latency", "abs(latency)", "latency + 1s", "response.length", "response.offset", "response.missing", "response.body.length", "request.body.length", "response.body", "request.body", `request.headers["x"]`, `response.headers["x"]`, "trace.trace_id", `lower(request.headers["x"])`, `request.headers["x"] + "y"`, "len(request.body)", `int(request.headers["x"])`, `int("x")`, `int(host)`, "code / 0", "code % 0", "fromJSON(request.body)", "fromJSON(path)", "fromJSON(path).a.b[3]", `split(request.headers["x"], ",")[0]`, `count(split(request.headers["x"], ","), true)`, "(failed ? 1s : latency)", "float(path)", `fromJSON("{\"a\":null}").a`}
	for _, operand := range missing {
		other := map[bool]string{true: `"x"`, false: "1"}[strings.Contains(operand, "headers") && !strings.HasPrefix(operand, "int") && !strings.HasPrefix(operand, "count") || strings.HasSuffix(operand, ".body") || strings.HasPrefix(operand, "trace")]
		if strings.Contains(operand, "latency") || operand == "duration" {
			other = "1s"
		}
		for _, operator := range []string{"==", "!=", "<", "<=", ">", ">="} {
			for _, text := range []string{operand + " " + operator + " " + other, other + " " + operator + " " + operand} {
				if got, _ := match(t, text, unanswered()); got {
					t.Errorf("%s is true", text)
				}
				if got, _ := match(t, "not ("+text+")", unanswered()); !got {
					t.Errorf("not (%s) is false", text)
				}
			}
		}
		for _, text := range []string{operand + " in [" + other + "]", operand + " not in [" + other + "]"} {
			if got, _ := match(t, text, unanswered()); got {
				t.Errorf("%s is true", text)
			}
		}
	}
	for text, want := range map[string]bool{
		`latency == nil`: true, `nil == latency`: true, `latency != nil`: false, `not (latency == nil)`: false, `response == nil`: true, `request != nil`: true, `response.length == nil`: true, `request.length == nil`: false, `request.headers["x"] == nil`: true, `request.body == nil`: true, `trace.span_id == nil`: true,
		`(latency ?? 5s) == 5s`: true, `(latency ?? duration ?? 1s) > 500ms`: true, `(request.headers["x"] ?? "none") == "none"`: true, `(response.length ?? 0) == 0`: true,
		`latency > 1s or not failed`: true, `latency > 1s and failed`: false, `latency > 1s == false`: true, `latency in 0s..1s`: false, `latency not in 0s..1s`: false,
		`request.headers["x"] contains ""`: false, `request.headers["x"] not contains "y"`: false, `request.headers["x"] not matches "y"`: false, `not (request.headers["x"] contains "y")`: true, `request.headers["x"] startsWith ""`: false,
		`"x" in response.headers`: false, `"x" not in response.headers`: false, `path contains request.headers["x"]`: false,
		`any(split(request.headers["x"], ","), true)`: false, `all(split(request.headers["x"], ","), false)`: false,
		// These are there: as in the JSON form.
		`status == ""`: true, `status != "OK"`: true, `code == 0`: true, `code < 500`: true, `"no_answer" in incomplete`: true, `failed == false`: true, `service == ""`: true,
	} {
		if got, err := match(t, text, unanswered()); got != want || err != nil {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestErrorsSayWhatToWrite(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`failed and latencey > 1s`:                `unknown name "latencey"; did you mean latency?; the fields are id, window, conn, peer, listener, port, protocol, instead_of, time, method, target, path, host, service, status, code, failed, latency, duration, request, response, trace, incomplete, route (1:12)`,
		`code == "503"`:                           `code is a number and "503" is text; write 503 (1:9)`,
		`"503" == code`:                           `code is a number and "503" is text; write 503 (1:1)`,
		`code == "abc"`:                           `write a number such as 503 (1:9)`,
		`latency > 5`:                             `latency is a duration and 5 is a number; write 5ms or 5s (1:11)`,
		`latency > 1.5`:                           `write 1.5ms or 1.5s (1:11)`,
		`5 < latency`:                             `write 5ms or 5s (1:1)`,
		`latency > "5s"`:                          `write a duration such as 200ms, 1.5s or 2m (1:11)`,
		`latency > 10KiB`:                         `latency is a duration and 10KiB is a size; write a duration`,
		`request.length > 5ms`:                    `request.length is a size and 5ms is a duration; write a size such as 512B, 10KiB or 1MiB (1:18)`,
		`code == 5KiB`:                            `code is a number and 5KiB is a size`,
		`code == 5ms`:                             `code is a number and 5ms is a duration`,
		`status == 503`:                           `status is text and 503 is a number; write "503" (1:11)`,
		`status in ["500", 503]`:                  `status is text and 503 is a number; write "503" (1:19)`,
		`code in ["503"]`:                         `code is a number and "503" is text; write 503 (1:10)`,
		`port == 2046`:                            `write "2046"`,
		`failed == "true"`:                        `write failed or not failed`,
		`failed == 1`:                             `write failed or not failed`,
		`failed > true`:                           `conditions have no order`,
		`time > "2026-11-27"`:                     `write a time such as date("2026-11-27T10:32:00Z")`,
		`time > 5`:                                `write a time such as`,
		`status`:                                  `the expression is text, not a condition; compare status, as in status == "503" (1:1)`,
		`latency`:                                 `not a condition; compare latency, as in latency > 200ms`,
		`code`:                                    `not a condition; compare code, as in code >= 500`,
		`request`:                                 `its members are|ask whether it is there`,
		`incomplete`:                              `as in "gap" in incomplete`,
		`fromJSON(response.body)`:                 `compare a part of it`,
		`failed and status`:                       `status is text, and and needs a condition; compare status, as in status == "503" (1:12)`,
		`not latency > 1s`:                        `latency is a duration, and not needs a condition; write not (…) around the whole comparison (1:1)`,
		`request.foo`:                             `request has no member "foo"; its members are offset, length, headers["name"], body, missing, size (1:9)`,
		`response.boddy contains "x"`:             `did you mean body?`,
		`request.body.size > 1`:                   `request.body has no member "size"; its members are offset, length`,
		`trace == "x"`:                            `trace alone is no value; its members are trace_id, span_id`,
		`trace.id == "x"`:                         `trace has no member "id"`,
		`status.foo == 1`:                         `status is text and has no members`,
		`request.headers[path] == "x"`:            `the name of a header field is text in quotes`,
		`request.headers == "x"`:                  `request.headers is a set of header fields and cannot be compared; ask for one of them`,
		`request == response`:                     `cannot be compared`,
		`protocol == "http"`:                      `protocol is never "http"; did you mean http/2?; it is one of http/1.1, http/2, grpc, websocket, dubbo, bolt, tars, thrift, redis, mysql, postgresql, kafka, tls, tcp`,
		`protocol in ["http"]`:                    `protocol is never "http"`,
		`"gpa" in incomplete`:                     `did you mean gap?; it is one of began_before, cut_by_window, gap, masked, unknown_fields, no_answer, no_request`,
		`incomplete contains "gap"`:               `write "gap" in incomplete`,
		`path in "/a"`:                            `contains path`,
		`code in 5`:                               `in needs a list such as [502, 503] or a range such as 500..599`,
		`code contains 5`:                         `code is a number, and contains needs text`,
		`path contains 5`:                         `write "5"`,
		`status matches "("`:                      `"(" is no regular expression: missing closing )`,
		`status matches path`:                     `matches needs a pattern in quotes`,
		`status == nil`:                           `status is text and never missing`,
		`(code ?? 1) == 1`:                        `never missing`,
		`nil`:                                     `not a condition`,
		`latency < nil`:                           `nil has no order`,
		`nil == nil`:                              `may be missing`,
		`now() > time`:                            `now() is not available`,
		`lwoer(path) == "x"`:                      `unknown function "lwoer"; did you mean lower?; the functions are`,
		`lower == "x"`:                            `it is a function: write lower(…)`,
		`lower(path, 1) == "x"`:                   `lower has 1 arguments, not 2`,
		`lower(code) == "x"`:                      `code is a number, and lower needs text`,
		`sortBy([1], #) == 1`:                     `unknown function "sortBy"`,
		`reduce(1..9, #acc + #) == 1`:             `unknown function "reduce"`,
		`map(1..1000000000, #) == 1`:              `unknown function "map"`,
		`any(1..1000000000, true)`:                `a range is only what in looks for`,
		`repeat("x", 1000000000) == ""`:           `unknown function "repeat"`,
		`# == 1`:                                  `unexpected "#"`,
		`path.lower()`:                            `there are no methods`,
		`{a: 1}`:                                  `maps are not available`,
		`path[1:2] == "x"`:                        `parts such as [1:3] are not available`,
		`failed; failed`:                          `one condition is expected`,
		`let failed = true; failed`:               `the name failed is in use`,
		`let x = nope; true`:                      `unknown name "nope"`,
		`$env`:                                    `unknown name "$env"`,
		`failed ? 1 : "x"`:                        `both must be of one type`,
		`latency + 1 > 1s`:                        `+ does not join them`,
		`-path == "x"`:                            `- needs a number`,
		`path - "x" == ""`:                        `- does not join them`,
		`date(path) == time`:                      `date needs a time in quotes`,
		`date("nope") == time`:                    `"nope" is no time with a zone`,
		`date("2026-11-27") < time`:               `write one such as 2026-11-27T10:32:00Z`,
		`code == 99999999999999999999 and failed`: `99999999999999999999 is too large (1:9)`,
		`duration("1 h") == latency`:              `"1 h" is no duration`,
		// the parser's
		``:                           `the expression is empty`,
		" \n":                        `the expression is empty`,
		`failed and`:                 `unexpected end of the expression (1:10)`,
		`(failed`:                    `unexpected end of the expression`,
		`failed)`:                    `unexpected ")" (1:7)`,
		`latency ?? 1s > 1s`:         `?? and > cannot be mixed; write parentheses, as in (latency ?? 0s) > 1s (1:15)`,
		`failed = true`:              `unexpected "="; write == to compare (1:8)`,
		`failed & failed`:            `write and, or &&`,
		`"a`:                         `literal not terminated`,
		`latency > 200 ms`:           `unexpected ms; write a duration without a space between number and unit (1:15)`,
		`200ms 300ms`:                `unexpected 300ms (1:7)`,
		`µ == 1 and 5µs 6µs`:         `unexpected 6µs (1:16)`,
		"\"ä10ms\" == x":             `unknown name "x"`,
		"failed\n  and latenci > 1s": `(2:7)`,
		"\xff":                       `not valid UTF-8`,
		// literals
		`latency > 10xyz`:         `unknown unit "xyz" in 10xyz; durations have ns, us, ms, s, m, h or d, sizes B, KB, MB, GB, TB, KiB, MiB, GiB or TiB (1:13)`,
		`request.length > 1kib`:   `did you mean KiB?`,
		`latency > 10MS`:          `unknown unit "MS"`,
		`latency > 1h30`:          `1h30 has no unit after 30`,
		`latency > 1h5KiB`:        `mixes a duration and a size`,
		`request.length > 1.5B`:   `1.5B is no whole number of bytes (1:18)`,
		`latency > 0.5ns`:         `no whole number of nanoseconds`,
		`latency > 999999999999h`: `999999999999h is too large`,
		`latency > .5s`:           `write 0.5s (1:11)`,
		`foo.5s`:                  `write 0.5s`,
		`latency > 1s.foo`:        `unexpected . after 1s (1:13)`,
		`latency > 1.5.5s`:        `bad number syntax`,
		`latency > 5s6`:           `5s6 has no unit after 6`,
		`latency > 5s_`:           `unknown unit "s_"`,
		`code == 12abc`:           `unknown unit "abc"`,
		`code == 1e5x`:            `bad number syntax`,
	} {
		_, err := Compile(text)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v; want an error with %q", text, err, want)
			continue
		}
		found := false
		for _, part := range strings.Split(want, "|") {
			found = found || strings.Contains(err.Error(), part)
		}
		if !found {
			t.Errorf("%s:\n%v\nwant %s", text, err, want)
		}
	}
}

// The mark is below the character of the text as it was typed, after literals too.
func TestErrorsMarkThePlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`latency > 1h30m5s and foo`:               "\n | latency > 1h30m5s and foo\n | ......................^",
		"latency > 100µs\n\tand foo":              "\n |  and foo\n | .....^",
		"path == \"\x1b[31m\" and foo":            "\n | path == \" [31m\" and foo\n | ....................^",
		`path == "订单🙂" and foo`:                   "\n | path == \"订单🙂\" and foo\n | .....................^",
		strings.Repeat("failed and ", 20) + "foo": "\n | …d failed and failed",
	} {
		_, err := Compile(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n%v\nwant%s", text, err, want)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		line, mark := []rune(lines[1]), []rune(lines[2])
		if got := string(line[len(mark)-1-strings.Count(text, "订单🙂")*3:]); got != "foo" { // these are two columns wide
			t.Errorf("%q: the mark is below %q, want foo", text, got)
		}
		if len(line) > snippetWidth+len(" | ") {
			t.Errorf("%q: the line has %d characters", text, len(line))
		}
	}
}

func TestContentIsReadWhenItIsNeeded(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		needs Needs
		read  []string
	}{
		`failed`: {0, nil},
		`not failed and response.body contains "x"`:                                                     {ResponseBody, nil},
		`response.body contains "x" and not failed`:                                                     {ResponseBody, nil},
		`response.body contains "x" or failed`:                                                          {ResponseBody, nil},
		`response.body contains "x" or request.headers["host"] == "shop" or not failed`:                 {ResponseBody | RequestHeaders, []string{"request.host"}},
		`not failed ? response.body contains "x" : true`:                                                {ResponseBody, nil},
		`failed and response.body contains "x" or response.body contains "y" or len(response.body) > 1`: {ResponseBody, []string{"response.body"}},
		`fromJSON(request.body).a == 1 or fromJSON(request.body).b == 2 or request.body contains "zz"`:  {RequestBody, []string{"request.body"}},
		`request.body.length > 5 and request.length > 5`:                                                {0, nil},
		`"x" in response.headers`:                                                                       {ResponseHeaders, []string{"response.x"}},
		`request.headers.a == response.headers.b`:                                                       {RequestHeaders | ResponseHeaders, []string{"request.a"}},
		`let b = response.body; failed`:                                                                 {0, nil},
		`request.body + response.body == ""`:                                                            {RequestBody | ResponseBody, []string{"request.body", "response.body"}},
	} {
		q, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if q.Needs() != want.needs {
			t.Errorf("%s needs %04b, want %04b", text, q.Needs(), want.needs)
		}
		if q.Needs().Headers() != (want.needs&(RequestHeaders|ResponseHeaders) != 0) || q.Needs().Bodies() != (want.needs&(RequestBody|ResponseBody) != 0) {
			t.Errorf("%s: headers %v, bodies %v", text, q.Needs().Headers(), q.Needs().Bodies())
		}
		c := failedPost()
		if _, err := q.Evaluator().Match(c); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if read := c.Content.(*memory).read; !slices.Equal(read, want.read) {
			t.Errorf("%s reads %q, want %q", text, read, want.read)
		}
	}
}

// What cannot be known is missing, and is reported, once for each call.
func TestUnknownContentIsReported(t *testing.T) {
	t.Parallel()
	errMasked := errors.New("a part was masked")
	c := failedPost()
	c.Content.(*memory).errs = map[string]error{"response.body": errMasked, "response.headers": errMasked}
	for text, want := range map[string]bool{
		`response.body contains "timeout"`: false, `response.body not contains "timeout"`: false, `not (response.body contains "timeout")`: true, `response.body contains "a" or response.body contains "b"`: false, `response.body == nil`: true,
		`response.headers.x == "1"`: false, `"x" in response.headers`: false, `"x" not in response.headers`: false, `fromJSON(response.body).a == 1`: false, `len(response.body) >= 0`: false,
	} {
		got, err := match(t, text, c)
		if got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		var e *ContentError
		if !errors.As(err, &e) || !errors.Is(err, errMasked) || e.Call != "lk3xtg-2#5" || strings.Count(err.Error(), "masked") != 1 {
			t.Errorf("%s: error %v", text, err)
		}
	}
	q, err := Compile(`response.body contains "timeout"`)
	if err != nil {
		t.Fatal(err)
	}
	e := q.Evaluator()
	if _, err := e.Match(c); err == nil {
		t.Error("no error")
	}
	for range 2 { // the next calls are not those before
		if got, err := e.Match(failedPost()); !got || err != nil {
			t.Errorf("the next call: %v, %v", got, err)
		}
		if got, err := e.Match(unanswered()); got || err != nil {
			t.Errorf("a call without an answer: %v, %v", got, err)
		}
	}
	c.Content = nil
	if got, err := e.Match(c); got || !errors.Is(err, errNoContent) {
		t.Errorf("without content: %v, %v", got, err)
	}
}

func TestHostileExpressionsAreBounded(t *testing.T) {
	t.Parallel()
	var double strings.Builder
	double.WriteString("let a0 = path + path;")
	for i := range 30 {
		fmt.Fprintf(&double, " let a%d = a%d + a%d;", i+1, i, i)
	}
	compared := "1"
	for range 40 {
		compared = "(0 < (" + compared + ") < 5 ? 1 : 2)"
	}
	for name, text := range map[string]string{
		"length":      strings.Repeat("failed and ", 10000) + "failed",
		"nodes":       "code in [" + strings.Repeat("1,", 12000) + "1]",
		"brackets":    strings.Repeat("(", 30000) + "failed" + strings.Repeat(")", 30000),
		"lists":       strings.Repeat("[", 30000),
		"not":         strings.Repeat("!", 30000) + "failed",
		"words":       strings.Repeat("not ", 10000) + "failed",
		"minus":       "code == " + strings.Repeat("-", 30000) + "1",
		"choices":     strings.Repeat("failed ? failed : ", 3000) + "failed",
		"if":          strings.Repeat("if failed {failed} else ", 2000) + "{failed}",
		"let":         strings.Repeat("let a = 1;", 5000) + "failed",
		"powers":      "code == " + strings.Repeat("2**", 10000) + "2",
		"variables":   double.String() + ` a30 == ""`,
		"comparisons": compared + " == 1",
		"predicates":  `any(incomplete, any(incomplete, any(incomplete, any(incomplete, any(incomplete, true)))))`,
		"pattern":     `path matches "((a{1,1000}){1,1000}){1,1000}"`,
	} {
		began := time.Now()
		_, err := Compile(text)
		if err == nil {
			t.Errorf("%s: %.60s… is not refused", name, text)
		} else if len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: compiling took %v", name, took)
		}
	}
	c := failedPost()
	c.Content.(*memory).bodies[Response] = strings.Repeat("a", 3<<20)
	for name, text := range map[string]string{
		"text":       `lower(response.body) + upper(response.body) + response.body == ""`,
		"predicates": `any(split(response.body, ""), any(split(response.body, ""), # == "b"))`,
		"lists":      `any(split(response.body, "a"), len(split(response.body, "a")) == 1)`,
		"negated":    `not any(split(response.body, ""), # == "b")`,
	} {
		began := time.Now()
		got, err := match(t, text, c)
		if got || !errors.Is(err, errBudget) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, errBudget)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
	// What people write is not refused.
	for _, text := range []string{
		"code in [" + strings.Repeat("1,", 4000) + "1]", strings.Repeat("failed and ", 2000) + "failed", strings.Repeat("(", 100) + "failed" + strings.Repeat(")", 100), `code in 1..1000000000`,
	} {
		if _, err := Compile(text); err != nil {
			t.Errorf("%.60s…: %v", text, err)
		}
	}
}

func TestEvaluatingAllocatesNothing(t *testing.T) {
	c, none := failedPost(), unanswered()
	for _, text := range []string{
		`failed and latency > 200ms`, `status == "503" or code >= 500 and path startsWith "/checkout"`, `code in [500, 503] or status in ["a", "b"]`, `code in 500..599`, `"gap" in incomplete`, `latency == nil`, `method matches "^P"`, `(latency ?? 1s) > 200ms`, `request.body.length > 10KiB`, `time > date("2026-11-27T00:00:00Z")`,
	} {
		q, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		e := q.Evaluator()
		if n := testing.AllocsPerRun(100, func() {
			_, _ = e.Match(c)
			_, _ = e.Match(none)
		}); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// FuzzCompile evaluates whatever compiles.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`failed and latency > 200ms`, `request.headers["x-request-id"] == "77" or response.body contains "timeout"`, `any(split(path, "/"), # matches "^[0-9]+$")`, `let a = code; a in 500..599 ? latency ?? 1h30m > 1s : not (status in ["a", 'b'])`,
		`fromJSON(request.body).items[0].id == 7`, "/* 5ms */ `10ms` == \"1KiB\" // x", `time - date("2026-11-27T00:00:00Z") > 1d`, `if failed { code / 0 > 1 } else { -code ** 2 < 1.5e3 }`, `200ms < latency < 1s`, `request?.body?.length != nil`, `path | lower() | trim() not contains "x"`,
	} {
		f.Add(seed)
	}
	calls := []*Call{failedPost(), unanswered(), {Call: &call.Call{}, Identity: &record.Identity{}}}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Compile(text)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || e.Error() == "" {
				t.Errorf("%#v", err)
			}
			return
		}
		e := q.Evaluator()
		for _, c := range calls {
			first, _ := e.Match(c)
			if again, _ := e.Match(c); again != first {
				t.Errorf("%q: %v, then %v", text, first, again)
			}
			if negated, err := Compile("not (" + text + "\n)"); err == nil {
				if got, err := negated.Evaluator().Match(c); got == first && !errors.Is(err, errBudget) {
					t.Errorf("%q is %v, and so is its negation", text, first)
				}
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	c := failedPost()
	for _, text := range []string{
		`failed and latency > 200ms`,
		`status == "503" or code >= 500 and path startsWith "/checkout"`,
		`request.headers["x-request-id"] == "77"`,
		`route == "/checkout/{id}"`,
	} {
		q, err := Compile(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			e := q.Evaluator()
			b.ReportAllocs()
			for range b.N {
				c.Content.(*memory).read = nil
				if ok, err := e.Match(c); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
