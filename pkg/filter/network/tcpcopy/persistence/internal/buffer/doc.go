// Package buffer holds what has passed until a worker has written it: bounded
// memory that the proxy's connections fill and one worker per shard empties.
// Package persistence calls it.
//
// A Shard has two batches of memory. Connections copy into the active one under
// the shard's lock; the worker swaps it for the other one and reads that without
// a lock. A record that finds no room is counted as lost and becomes a gap in its
// stream; nothing ever waits for room.
//
// A Batch is complete in itself: before the first entry of a connection it has a
// connection header entry. The batches lie in a Spool, a mapping that outlives
// the process where it is a file, together with the states that say how far each
// batch has got. So a batch can be read when its process is dead.
//
// # The invariant
//
// Under the shard's lock every byte is counted as seen and, in the same step, is
// either in the batch or counted as lost.
//
// # What is where
//
//	geometry.go    how the memory is divided
//	batch.go       entries and where they lie; entry.go: what an entry says
//	conn.go        the recorder's side of one connection
//	shard.go       the two batches and their lock; accept.go: bytes become entries;
//	               pending.go: gaps and close events that wait for room
//	tally.go       what was counted
//	clock.go       the time of entries
//	spool.go       the file; state.go: how far its batches have got; windowstate.go:
//	               what its window's index line needs; dead.go: what a killed process
//	               has left
//	mapping.go     memory with large pages; allocate.go: it comes slice by slice, while
//	               it fits; memory.go: of it, what encoders work in
//	fault.go       what a page that is gone comes to
package buffer
