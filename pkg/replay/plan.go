package replay

import "time"

// Plan says what a replay would do.
type Plan struct {
	Conns    []PlanConn // in the order of their starts
	Replayed int        // of Conns
	Skipped  int        // of Conns
	Sends    uint64     // pieces of requests, in all loops
	Bytes    uint64     // of them
	Length   time.Duration
}

// PlanConn is what would become of one session.
type PlanConn struct {
	*Session
	Skipped   bool
	Obstacles []Obstacle // why it is left out, or not replayed as it was
	Sends     int
	Payload   uint64        // bytes of them
	Starts    time.Duration // after the replay's begin
	Takes     time.Duration
}

// NewPlan returns what New and Run would do with these arguments, as far as that
// does not depend on the target. It does not look at what Options are not about
// sessions and time.
func NewPlan(r *Recording, o Options) *Plan {
	if o.Speed == 0 {
		o.Speed = 1
	}
	loops := uint64(max(o.Loops, 1))
	p := &Plan{}
	for _, s := range r.Sessions {
		blocked := s.blocked(o.Partial)
		pc := PlanConn{Session: s, Obstacles: s.Obstacles(), Skipped: len(blocked) > 0}
		if pc.Skipped {
			p.Skipped++
		} else {
			pc.Sends, pc.Payload = requests(s.replayable(o.Partial))
			pc.Starts, pc.Takes = o.scaled(s.Start), o.scaled(s.Length)
			p.Replayed++
			p.Sends += uint64(pc.Sends) * loops
			p.Bytes += pc.Payload * loops
		}
		p.Conns = append(p.Conns, pc)
	}
	p.Length = time.Duration(loops) * o.scaled(r.length(o.Partial))
	if o.Rate > 0 {
		p.Length = max(p.Length, time.Duration(float64(p.Sends)/o.Rate*float64(time.Second)))
	}
	return p
}
