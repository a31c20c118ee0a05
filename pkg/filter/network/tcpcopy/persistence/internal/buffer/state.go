package buffer

import (
	"sync/atomic"
	"unsafe"

	"mosn.io/tcpcopy/pkg/record"
)

// What lies in a spool beside its batches. The memory images of these types are the
// spool's format; see Spool.

// ShardState is what a shard has lost and what has no entry yet.
type ShardState struct {
	pending losses
}

// losses counts lost bytes by direction and reason.
type losses [2][record.NumReasons]atomic.Uint64

// AddPending adds to t what was lost and has no entry.
func (s *ShardState) AddPending(t *Tally) {
	for _, dir := range record.Directions() {
		for r := range s.pending[dir] {
			t.lose(dir, record.Reason(r), s.pending[dir][r].Load())
		}
	}
}

// batchState is how far one batch has been filled.
type batchState struct {
	used   atomic.Uint64 // bytes of whole entries, from the batch's end
	number atomic.Uint64 // its place in the order of the shard's batches, from 1; 0 while it has not been used
}

// begin makes the state that of a new, empty batch.
func (b *batchState) begin(number uint64) {
	b.used.Store(0)
	b.number.Store(number)
}

// ReaderState is how far the reader of one shard has got, and where its files end.
type ReaderState struct {
	began   Place // where it began
	outputs [maxOutputs]OutputState
	// stored counts the accounts that were stored; the last one is in
	// accounts[stored%2].
	stored   atomic.Uint64
	accounts [2]account
}

// maxOutputs is how many files a batch can go to: one text format and pcapng.
const maxOutputs = 2

// account is what a reader had counted when it had got to a place.
type account struct {
	place Place // before it all entries are done
	tally Tally
}

// Done stores that all entries before a place are done, and what was counted by then.
func (s *ReaderState) Done(p Place, t *Tally) {
	n := s.stored.Load() + 1
	s.accounts[n%2] = account{place: p, tally: *t}
	s.stored.Store(n)
}

// account returns what was stored last.
func (s *ReaderState) account() account { return s.accounts[s.stored.Load()%2] }

// Account returns what was counted when Done was last called, and the place up to
// which that is.
func (s *ReaderState) Account() (Place, Tally) {
	a := s.account()
	return a.place, a.tally
}

// Output returns how far the entries have got into the i-th format's file.
func (s *ReaderState) Output(i int) *OutputState { return &s.outputs[i] }

// begin makes the state that of a new reader.
func (s *ReaderState) begin(p Place) {
	for i := range s.outputs {
		s.outputs[i].Set(PhaseUntouched, FilePosition{})
	}
	s.began = p
	s.Done(p, &Tally{})
}

// Began returns where the reader began.
func (s *ReaderState) Began() Place { return s.began }

// OutputState is how far a batch has got into one format's file.
type OutputState struct {
	// phase is a Phase, and in its lowest bit which of the positions holds.
	phase     atomic.Uint64
	positions [2]FilePosition
}

// Phase is a step of writing a batch into a file.
type Phase uint64

// The phases, in their order.
const (
	PhaseUntouched Phase = iota
	PhaseBegun           // the file may hold a part of the batch, behind the position
	PhaseDone            // the file holds what the reader was given of the batch
)

// FilePosition is where the entries of a batch begin in a file: what lies behind in
// that file is from them.
type FilePosition struct {
	Batch uint64 // number of the batch
	From  uint64 // position in the batch of the first entry that is not in the file
	Inode uint64
	Size  uint64 // of the file without them, bytes
}

// Set stores a phase and its position.
func (o *OutputState) Set(phase Phase, p FilePosition) {
	next := (o.phase.Load() + 1) & 1
	o.positions[next] = p
	o.phase.Store(uint64(phase)<<1 | next)
}

// Get returns what was stored last.
func (o *OutputState) Get() (Phase, FilePosition) {
	v := o.phase.Load()
	return Phase(v >> 1), o.positions[v&1]
}

// Sizes of the parts, bytes. What a spool has of a session is a WindowState, and behind it
// the ReaderStates of the shards.
const (
	shardStateSize   = int(unsafe.Sizeof(ShardState{}))
	batchStateSize   = int(unsafe.Sizeof(batchState{}))
	readerStateSize  = int(unsafe.Sizeof(ReaderState{}))
	sessionStateSize = int(unsafe.Sizeof(WindowState{}))
)
