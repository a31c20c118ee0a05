package buffer

import (
	"sync/atomic"

	"mosn.io/tcpcopy/pkg/record"
)

// ShardState is how far the batches of a shard have got. It lies in the spool: its
// memory image is the spool's format.
type ShardState struct {
	batches [2]BatchState
	losses  losses
	// stored counts the accounts that were stored; the last one is in
	// accounts[stored%2].
	stored   atomic.Uint64
	accounts [2]account
}

// losses counts the bytes of a shard that were never in a batch, by direction and
// reason.
type losses [2][record.NumReasons]atomic.Uint64

// account is what a shard had counted when a batch was done.
type account struct {
	number uint64 // of the batch
	tally  Tally
}

// Done stores that the batch of that number is done, and what was counted by then.
func (s *ShardState) Done(number uint64, t *Tally) {
	n := s.stored.Load() + 1
	s.accounts[n%2] = account{number: number, tally: *t}
	s.stored.Store(n)
}

// account returns what was stored last.
func (s *ShardState) account() account { return s.accounts[s.stored.Load()%2] }

// Account returns what was counted when the last batch was done.
func (s *ShardState) Account() Tally { return s.account().tally }

// Lost returns how many bytes of dir were never in a batch, for that reason.
func (s *ShardState) Lost(dir record.Direction, r record.Reason) uint64 {
	return s.losses[dir][r].Load()
}

// BatchState is how far one batch has got.
type BatchState struct {
	used    atomic.Uint64 // bytes of whole entries, from the batch's end
	number  atomic.Uint64 // its place in the order of the shard's batches
	outputs [maxOutputs]OutputState
}

// maxOutputs is how many files a batch can go to: one text format and pcapng.
const maxOutputs = 2

// begin makes the state that of a new, empty batch.
func (b *BatchState) begin(number uint64) {
	b.used.Store(0)
	for i := range b.outputs {
		b.outputs[i].Set(PhaseUntouched, FilePosition{})
	}
	b.number.Store(number)
}

// Number returns the batch's place in the order of the shard's batches, from 1.
func (b *BatchState) Number() uint64 { return b.number.Load() }

// Output returns how far the batch has got into the i-th format's file.
func (b *BatchState) Output(i int) *OutputState { return &b.outputs[i] }

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
	PhaseDone            // the file holds the batch
)

// FilePosition is where the entries of a batch begin in a file: what lies behind in
// that file is from them.
type FilePosition struct {
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
