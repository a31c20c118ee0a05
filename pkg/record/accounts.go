package record

// Accounts say what became of the traffic of a window, or of several together. In
// each direction Seen = Written + Lost once everything that passed is accounted for.
type Accounts struct {
	Connections uint64            `json:"connections"`
	Records     PerDirection      `json:"records"` // records written
	Seen        PerDirection      `json:"seen"`    // bytes that passed
	Written     PerDirection      `json:"written"` // bytes that every configured file holds
	Lost        PerDirection      `json:"lost"`    // bytes that passed and at least one file does not hold
	LostBy      map[string]uint64 `json:"lost_by"` // the lost bytes of both directions, by reason
}

// Plus returns the sum of a and b. It shares no memory with them.
func (a Accounts) Plus(b Accounts) Accounts {
	lostBy := map[string]uint64{}
	for _, m := range []map[string]uint64{a.LostBy, b.LostBy} {
		for reason, n := range m {
			lostBy[reason] += n
		}
	}
	return Accounts{
		Connections: a.Connections + b.Connections,
		Records:     a.Records.Plus(b.Records),
		Seen:        a.Seen.Plus(b.Seen),
		Written:     a.Written.Plus(b.Written),
		Lost:        a.Lost.Plus(b.Lost),
		LostBy:      lostBy,
	}
}
