// Package persistence keeps records: it takes copies of bytes from the proxy's
// connections into bounded buffers and writes them to the dump directory. The
// root package calls it; it knows nothing of MOSN.
//
// # How a record travels
//
//	connection ── Session.Data ──▶ shard ── swap ──▶ worker ── encoder ──▶ file
//	               copies under     two batches       one a shard
//	               the shard's lock
//
// A Session is one open window. Each connection belongs to one of its shards, so
// that the order of its records holds. A shard has two batches of memory: the
// connections fill the one, the shard's worker empties the other. A record that
// finds no room is counted as lost and becomes a gap in its stream; nothing ever
// waits for room.
//
// # The invariant
//
// Under the shard's lock every byte is counted as seen and, in the same step, is
// either in the batch or counted as lost. A worker takes each byte of a batch to
// either written or lost. So seen = written + lost when the session has closed.
package persistence
