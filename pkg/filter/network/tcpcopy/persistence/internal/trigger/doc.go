// Package trigger finds, in everything that passes, the moments for which somebody will ask
// what happened before: a call that failed or is slow, a byte pattern, a connection that ended
// in some way. The flight recorder feeds it every entry of a shard once and in order, and
// decides what follows from an [Event].
//
// [Compile] makes a [Set] of the triggers of a configuration. Each shard has a [Matcher]
// of it, which belongs to one goroutine; the set holds what they share: which triggers are
// shed, the memory of all decoders, counters.
//
// It costs what the triggers need and no more. Byte patterns are found in one pass for all of
// them. Connections are decoded only where a condition asks for calls, only in protocols of
// which a call can meet it, and with header fields and bodies only if it asks for them.
// Decoders have a bounded amount of memory together: beyond it connections are no longer decoded,
// which is counted. When a trigger is too expensive for the traffic, its caller sheds it.
//
//	trigger.go     triggers and their checks; pattern.go: texts with escapes
//	set.go         what the matchers of all shards share; plan.go: what is matched now
//	matcher.go     a shard's connections
//	search.go      patterns in a stream: automaton.go across records, prefilter.go within them
//	decoding.go    a connection that is decoded; waiting.go: calls without an answer;
//	               content.go: header fields and bodies
//	memory.go      what the decoders have in memory
//	cost.go        what each trigger costs; status.go: counters
package trigger
