package buffer

import "mosn.io/tcpcopy/pkg/record"

// Tally is what a reader has counted. Its memory image is part of a
// spool, so its fields stay as they are.
type Tally struct {
	Connections uint64
	Records     record.PerDirection // written
	Seen        record.PerDirection // bytes that passed
	Written     record.PerDirection // bytes
	Lost        [2][record.NumReasons]uint64
}

// lose is Lose.
func (t *Tally) lose(dir record.Direction, r record.Reason, n uint64) {
	t.Seen.Add(dir, n)
	t.Lost[dir][r] += n
}

// Lose counts n bytes that have passed and are lost.
func (t *Tally) Lose(dir record.Direction, r record.Reason, n uint64) { t.lose(dir, r, n) }

// unlose takes n bytes away that were seen and lost, or are yet to be.
func (t *Tally) unlose(dir record.Direction, r record.Reason, n uint64) {
	t.Seen.Add(dir, -n)
	t.Lost[dir][r] -= n
}

// sub takes away what o has seen and lost, which t has too.
func (t *Tally) sub(o *Tally) {
	t.Connections -= o.Connections
	for _, dir := range record.Directions() {
		t.Seen.Set(dir, t.Seen.Of(dir)-o.Seen.Of(dir))
		for r := range t.Lost[dir] {
			t.Lost[dir][r] -= o.Lost[dir][r]
		}
	}
}

// Add adds what o has counted.
func (t *Tally) Add(o *Tally) {
	t.Connections += o.Connections
	t.Records = t.Records.Plus(o.Records)
	t.Seen = t.Seen.Plus(o.Seen)
	t.Written = t.Written.Plus(o.Written)
	for d := range t.Lost {
		for r := range t.Lost[d] {
			t.Lost[d][r] += o.Lost[d][r]
		}
	}
}

// Accounts returns the tally as the index has it.
func (t *Tally) Accounts() record.Accounts {
	a := record.Accounts{
		Connections: t.Connections,
		Records:     t.Records,
		Seen:        t.Seen,
		Written:     t.Written,
		LostBy:      map[string]uint64{},
	}
	for _, d := range record.Directions() {
		for r, n := range t.Lost[d] {
			if n > 0 {
				a.Lost.Add(d, n)
				a.LostBy[record.Reason(r).String()] += n
			}
		}
	}
	return a
}
