// Package buffer holds what has passed until it is written, or for as long as there is
// memory for it: bounded memory that the proxy's connections fill and readers read.
// Package persistence calls it.
//
// A Shard has batches of memory that go round. Connections copy into the active one under
// the shard's lock; a Reader reads what is in them, in order and without a lock. A batch is
// free again when all readers have read it; a shard that retains holds it until the memory
// is needed. A record that finds no room is counted as lost and becomes a gap in its
// stream; nothing ever waits for room.
//
// A Batch is complete in itself: before the first entry of a connection it has a
// connection header entry. The batches lie in a Spool, a mapping that outlives
// the process where it is a file, together with the states that say how far each
// batch and each reader has got. So a batch can be read when its process is dead.
//
// # The invariant
//
// Under the shard's lock every byte that passes gets into an entry of data, or is pending
// as lost until a gap entry says so, or is counted as one that no entry will stand for.
//
// # What is where
//
//	geometry.go    how the memory is divided
//	batch.go       entries and where they lie; entry.go: what an entry says
//	conn.go        the recorder's side of one connection
//	shard.go       the batches and their lock; accept.go: bytes become entries;
//	               pending.go: gaps and close events that wait for room;
//	               held.go: which batches are held, and which are free
//	reader.go      the readers of a shard; place.go: where they are; outline.go: what
//	               they find of a batch that was given up, and outliner.go: when
//	tally.go       what was counted; counts.go: once, where several readers have it
//	clock.go       the time of entries
//	spool.go       the file; state.go: how far its batches and readers have got;
//	               windowstate.go: what a window's index line needs; dead.go,
//	               deadbatch.go: what a killed process has left; oldspool.go: in the
//	               version before
//	mapping.go     memory with large pages; allocate.go: it comes slice by slice, while
//	               it fits; memory.go: of it, what encoders work in
//	fault.go       what a page that is gone comes to
package buffer
