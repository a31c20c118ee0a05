package content

import (
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

// Of returns what a query needs.
func Of(n query.Needs) Wanted {
	var w Wanted
	w.Headers[record.In], w.Headers[record.Out] = n&query.RequestHeaders != 0, n&query.ResponseHeaders != 0
	w.Bodies[record.In], w.Bodies[record.Out] = n&query.RequestBody != 0, n&query.ResponseBody != 0
	return w
}

// Any reports whether anything is wanted.
func (w Wanted) Any() bool {
	return w.Headers[record.In] || w.Headers[record.Out] || w.Bodies[record.In] || w.Bodies[record.Out]
}

// Everything returns all of the calls that of says.
func Everything(of func(c *dump.Connection, n uint64) bool) Wanted {
	return Wanted{Headers: [2]bool{true, true}, Bodies: [2]bool{true, true}, Call: of}
}
