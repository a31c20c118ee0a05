package buffer

import "mosn.io/tcpcopy/pkg/record"

// Tally is what a shard or a worker has counted. Its memory image is part of a
// spool, so its fields stay as they are.
type Tally struct {
	Connections uint64
	Records     record.PerDirection // written
	Seen        record.PerDirection // bytes that passed
	Written     record.PerDirection // bytes
	Lost        [2][record.NumReasons]uint64
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
