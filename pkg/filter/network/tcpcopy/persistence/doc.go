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
//
// # What is where
//
//	store.go       what all windows share
//	session.go     one window; shard.go, conn.go, batch.go: how records are accepted;
//	               clock.go: when
//	worker.go      how they are written; output.go: one format of one worker, with
//	               what its destination lacks since it failed
//	live.go        streams to subscribers: a destination without a file
//	spool.go       batches that outlive the process; recover.go: what is left of them
//	hangs.go       the alert when the disk does not answer
//	panics.go      what a fault of ours comes to
//	snapshots.go, portraits.go, space.go, config.go, roll.go, size.go, modes.go
//	mapping.go     memory with large pages; memory.go: of it, what encoders work in
//
//	internal/logdir     the dump directory: logs, segments, index, size limit, archive
//	internal/blockfile  appends to a file past the page cache
//
// # Locks
//
// Where two are held at once, they are taken in this order: those of
// internal/logdir; and apart from those the store's or a hang watch's, then a
// shard's. The disk is waited for under those of the first kind alone, so that
// Stats, Seal, Data and the other methods of a Session but Close never wait for it.
package persistence
