package query_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

var start = time.Date(2026, 11, 27, 10, 32, 0, 0, time.UTC)

func slowCall() *calls.Call {
	return &calls.Call{
		Identity: record.Identity{Conn: "lk3xtg-2", Port: "2046"},
		Call: call.Call{
			N: 5, Protocol: call.HTTP1, Method: "POST", Target: "/order/42?a=<b>", Path: "/order/42", Status: "503", Code: 503, Failed: true,
			Request:  call.Message{Present: true, Range: call.Range{Length: 812}, Last: start, First: start, Ended: true},
			Response: call.Message{Present: true, Range: call.Range{Length: 96}, Missing: 3, First: start.Add(412100 * time.Microsecond)},
		},
	}
}

// The station's calls are queried where they are: nothing is copied.
func Example() {
	q, err := query.Compile(`failed and latency > 200ms`)
	if err != nil {
		fmt.Println(err)
		return
	}
	e := q.Evaluator()
	var of query.Call             // it is used again, so that a call allocates nothing
	each := func(c *calls.Call) { // what a station calls
		of = query.Call{Call: &c.Call, Identity: &c.Identity}
		matched, unknown := e.Match(&of)
		fmt.Println(matched, unknown)
	}
	each(slowCall())
	// Output: true <nil>
}

func ExampleCompile_error() {
	_, err := query.Compile(`failed and latencey > 1h30m and code == "503"`)
	fmt.Println(err.(*query.Error).Column) //nolint:errorlint // Compile returns nothing else
	_, err = query.Compile(`code == "503"`)
	fmt.Println(err)
	// Output:
	// 12
	// code is a number and "503" is text; write 503 (1:9)
	//  | code == "503"
	//  | ........^
}

// A protocol that is decoded can be asked for.
func TestAllProtocolsAreKnown(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Concat(protocol.Names(), []string{call.TLS, call.TCP}) {
		if _, err := query.Compile(fmt.Sprintf("protocol == %q", name)); err != nil {
			t.Error(err)
		}
	}
}
