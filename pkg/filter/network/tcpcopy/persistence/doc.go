// Package persistence keeps records: it copies the bytes of the proxy's connections
// into bounded buffers and writes them to the dump directory. The root package
// calls it; it knows nothing of MOSN.
//
// # How a record travels
//
//	connection ─▶ Ring.Data ─▶ shard ─▶ batch ─▶ reader ─▶ stages ─▶ outputs ─▶ files, live streams
//	              copies under            a worker per reader carries
//	              the shard's lock        the batches on
//
// A Ring has the memory. Each connection belongs to one of its shards, so that the order
// of its records holds. A Session is one open window, or a capture: it reads all shards of
// a ring, and its selection says which entries it has. A pipeline carries the batches of
// one source through its stages to its outputs. There are two sources of the same batches:
// a reader of a shard, and the part of a shard that a killed process has left in its
// spool. An output is an encoder and a destination. A record that finds no room
// is counted as lost and becomes a gap in its stream; nothing ever waits for room.
//
// A window has a ring of its own, in which nothing stays that is read. The Flight has one
// that keeps the newest bytes; while it is there, windows read it, too.
//
// # The invariant
//
// Under the shard's lock every byte that passes gets into an entry, of data or of a gap, or
// is counted as one that never will. A pipeline counts each byte that its entries stand for
// as seen, and as either written or lost. So seen = written + lost when the session has
// closed.
//
// # What is where
//
//	store.go        what all windows share
//	ring.go         the memory that bytes go to
//	session.go      one window or capture; selection.go: which entries it has
//	flight.go       the flight recorder's ring; matching.go: its triggers
//	source.go       where batches come from; worker.go: what moves them in a session
//	pipeline.go     the way of a batch; flows.go: the first stage, connections by slot
//	output.go       one format of one pipeline; batchwriter.go: a batch into its
//	                destination; packets.go: what pcapng needs beside its encoder;
//	                pendinggaps.go: what a destination does not have since it failed
//	live.go         streams to subscribers: a destination without a file
//	room.go         the memory of a window, as much as fits into the limits
//	contents.go     what a window's index line says beside its accounts; unindexed.go:
//	                lines that the index does not have yet
//	recover.go      what killed processes have left; spooldir.go: where spools are;
//	                waiting.go: which of them are kept
//	snapshotter.go  the goroutine of snapshots; snapshots.go: one file of them; pace.go:
//	                its rests
//	hangs.go        the alert when the disk does not answer
//	panics.go       what a panic of this package comes to
//	portraits.go, space.go, config.go, roll.go, size.go
//	compat.go       shims for code that was written for the first implementation
//
//	internal/buffer     batches, shards, the connection's state, the clock, the spool
//	internal/logdir     the dump directory: logs, segments, index, size limit, archives
//	internal/blockfile  appends to a file past the page cache
//
// # Locks
//
// Where a goroutine has two at once, it locks them in this order: those of
// internal/logdir; and apart from those the store's or a hang watch's, then a
// shard's. Only under those of the first kind a goroutine waits for the disk, so that
// Stats, Seal, Data and the other methods of a Session but Close never wait for it.
package persistence
