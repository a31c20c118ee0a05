// Package query compiles and evaluates the query language: conditions over the fields
// of a call, such as
//
//	failed and latency > 200ms
//	request.headers["x-request-id"] == "77" or response.body contains "timeout"
//
// It is the same in the tool, the viewer, the triggers and the mirror. The grammar is
// that of github.com/expr-lang/expr, whose parser reads it. The types, the literals for
// durations and sizes, the rule for missing values and the evaluation are this package's:
// expr's own evaluator panics or fails where a value is missing, and allocates.
//
// [Compile] makes a [Query], which says what an [Evaluator] will need of a call. The
// evaluator fetches header fields and bodies through [Content], and only when the result
// depends on them. [ParseFields] reads a list of fields to group by, and [Route] replaces
// the ids in what a call asks for. The table of fields is also the order and the names
// of a call's JSON form, see [AppendJSON].
//
// A hostile expression is refused, or costs a bounded amount of time and memory.
package query
