// Package persistence keeps records: it copies the bytes of the proxy's connections
// into bounded buffers and writes them to the dump directory. The root package
// calls it; it knows nothing of MOSN.
//
// # How a record travels
//
//	connection ─▶ Session.Data ─▶ shard ─▶ batch ─▶ stages ─▶ outputs ─▶ files, live streams
//	              copies under            a worker per shard swaps the
//	              the shard's lock        batches and carries them on
//
// A Session is one open window. Each connection belongs to one of its shards, so
// that the order of its records holds. A pipeline carries the batches of one source
// through its stages to its outputs. There are two sources of the same batches: a
// shard of an open window, and the part of a shard that a killed process has left in
// its spool. An output is an encoder and a destination. A record that finds no room
// is counted as lost and becomes a gap in its stream; nothing ever waits for room.
//
// # The invariant
//
// Under the shard's lock every byte is counted as seen and, in the same step, is
// either in the batch or counted as lost. A pipeline counts each byte of a batch as
// either written or lost. So seen = written + lost when the session has closed.
//
// # What is where
//
//	store.go        what all windows share
//	session.go      one window
//	source.go       where batches come from; worker.go: what moves them in a window
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
