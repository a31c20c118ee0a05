package record

// PerDirection holds a count for each direction: bytes, records or an offset, as
// its field says. It is a struct and not an array so that a function can have it
// in registers.
type PerDirection struct {
	In  uint64 `json:"in"`
	Out uint64 `json:"out"`
}

// Of returns the count of dir.
func (p PerDirection) Of(dir Direction) uint64 {
	if dir == Out {
		return p.Out
	}
	return p.In
}

// Set replaces the count of dir.
func (p *PerDirection) Set(dir Direction, n uint64) {
	if dir == Out {
		p.Out = n
	} else {
		p.In = n
	}
}

// Add adds n to the count of dir.
func (p *PerDirection) Add(dir Direction, n uint64) {
	if dir == Out {
		p.Out += n
	} else {
		p.In += n
	}
}

// Plus returns the sum of p and o in each direction.
func (p PerDirection) Plus(o PerDirection) PerDirection {
	return PerDirection{In: p.In + o.In, Out: p.Out + o.Out}
}
