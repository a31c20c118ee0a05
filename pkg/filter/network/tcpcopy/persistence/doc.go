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
//	store.go       the dump directory, and what all windows share
//	session.go     one window; shard.go, conn.go, batch.go: how records are taken;
//	clock.go: when
//	worker.go      how they are written; output.go: one format of one worker, with
//	               what its file lacks since it failed
//	sinks:         appendfile.go (logs that processes share), segments.go (pcapng),
//	               live.go (streams); internal/blockfile: writing past the page
//	               cache, and from where the bytes lie
//	spool.go       batches that outlive the process; recover.go: what is left of them
//	hangs.go       what tells of a disk that does not answer
//	quota.go       the size of all files; rolled.go, roll.go: rolling; index.go: marks
//	panics.go      what a fault of ours comes to
//	snapshots.go, portraits.go, space.go, dir.go, config.go, size.go
//	mapping.go     memory with large pages; memory.go: of it, what encoders work in
//
// # Locks
//
// Where two are held at once, they are taken in this order: a sink's, the quota's,
// the index file's; and apart from those the store's or a hang watch's, then a
// shard's. The disk is waited for under those of the first kind alone, so that
// Stats, Seal, Data and the other methods of a Session but Close never wait for it.
package persistence
