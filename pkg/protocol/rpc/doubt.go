package rpc

// doubt says whether it is certain which request an answer belongs to. Where every
// request of a connection has a number of its own, it is. Where numbers are used again,
// an answer behind a gap may be that to another request, which was lost or whose answer
// should have been; it is certain again when some calls have come one after the other.
type doubt struct {
	On     bool
	Serial int // calls since it began that were alone

	Came    bool // a request came
	Last    uint64
	Varies  bool // there were requests with different numbers
	Repeats bool // a number was used again
	Overlap bool // while another call with it was waiting

	Recent [recent]uint64 // last numbers plus one, by their remainder
}

const (
	recent = 32 // numbers that are remembered
	serial = 3  // calls one after the other that end a doubt
)

// begin begins a doubt, because bytes were missing.
func (d *doubt) begin() { d.On, d.Serial = true, 0 }

// asked looks at the number of a request. overlap says that a call with it waits.
func (d *doubt) asked(id uint64, overlap bool) {
	d.Varies = d.Varies || d.Came && id != d.Last
	slot := &d.Recent[id%recent]
	d.Repeats = d.Repeats || *slot == id+1
	*slot = id + 1
	d.Came, d.Last = true, id
	d.Overlap = d.Overlap || overlap
}

// answered looks at a call that an answer was found for. alone says that no other waited.
func (d *doubt) answered(alone bool) {
	if !alone {
		d.Serial = 0
	} else if d.Serial++; d.Serial >= serial && !d.Overlap {
		d.On = false
	}
}

// reused reports whether requests may have the number id again and again.
func (d *doubt) reused(id uint64) bool { return d.Repeats || !d.Varies && id <= 1 }
