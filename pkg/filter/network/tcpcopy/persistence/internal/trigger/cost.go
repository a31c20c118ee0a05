package trigger

import (
	"time"
)

// meter measures what each trigger costs. It reads the clock around one in several pieces of
// work and counts that for all of them.
type meter struct {
	count     uint64
	timed     bool  // the piece of work at hand is measured
	start     int64 // of it
	evaluated int64 // nanoseconds of it that were of conditions
	spent     []int64
}

const (
	oneIn      = 7   // how many pieces of work there are for each that is measured; odd, because requests and answers take turns
	flushEvery = 512 // pieces of work
)

func (m *meter) init(triggers int) { m.spent = make([]int64, triggers) }

// epoch is what now counts from. It is monotonic.
var epoch = time.Now()

func (m *meter) now() int64 { return int64(time.Since(epoch)) }

// begin begins a piece of work and reports whether it is measured.
func (m *meter) begin() bool {
	m.count++
	if m.timed = m.count%oneIn == 1; m.timed {
		m.start, m.evaluated = m.now(), 0
	}
	return m.timed
}

// lap returns the nanoseconds since the last one. n is how many bytes the work was for: what is much more than
// they can cost is time in which others had the processor.
func (m *meter) lap(n int) int64 {
	now := m.now()
	spent := min(now-m.start, int64(n)*500+1e6)
	m.start = now
	return spent
}

// patterns charges a search of n bytes to the triggers that have patterns in it: half of it to all alike, the
// other half to those whose patterns were compared.
func (m *meter) patterns(s *search, n int) {
	spent := m.lap(n) * oneIn
	owners, compared := 0, 0
	for i := range s.patterns {
		if s.patterns[i].owners&s.active != 0 {
			owners++
			compared += int(s.compared[i])
		}
	}
	if owners == 0 {
		return
	}
	// A comparison costs about as much as the search of 64 bytes.
	scan := max(n*oneIn/64, 1)
	for i := range s.patterns {
		o := s.patterns[i].owners & s.active
		if o == 0 {
			continue
		}
		share := float64(scan)/float64(owners) + float64(s.compared[i])
		m.charge(o, int64(float64(spent)*share/float64(scan+compared)))
	}
	clear(s.compared)
}

// decoding charges the decoding of n bytes to the triggers whose conditions are over calls
// of the protocol. Those that ask for contents count three times.
func (m *meter) decoding(p *plan, d *decoding, n int) {
	spent := max(m.lap(n)-m.evaluated, 0) * oneIn
	m.timed = false
	var triggers uint64
	switch d.name {
	case "":
		for _, i := range p.wheres {
			triggers |= 1 << i
		}
	case "http/2":
		triggers = p.protocols["http/2"] | p.protocols["grpc"]
	default:
		triggers = p.protocols[d.name]
	}
	parts := int64(0)
	weight := func(i int) int64 { return 1 + int64(p.content>>i&1)*2 }
	eachBit(triggers, func(i int) { parts += weight(i) })
	eachBit(triggers, func(i int) { m.spent[i] += spent * weight(i) / parts })
}

// ticked charges a tick to the triggers that look at calls without an answer.
func (m *meter) ticked(p *plan, spent int64) {
	var triggers uint64
	for _, t := range p.times {
		triggers |= t.triggers
	}
	m.charge(triggers, spent)
}

// charge charges nanoseconds to triggers, to each the same part.
func (m *meter) charge(triggers uint64, spent int64) {
	n := int64(0)
	eachBit(triggers, func(int) { n++ })
	eachBit(triggers, func(i int) { m.spent[i] += spent / n })
}

// beginEvaluation begins the evaluation of a condition.
func (m *meter) beginEvaluation() int64 {
	if !m.timed {
		return 0
	}
	return m.now()
}

// endEvaluation charges the evaluation of a condition to its trigger.
func (m *meter) endEvaluation(trigger int, start int64) {
	if m.timed {
		spent := min(m.now()-start, 1e8)
		m.evaluated += spent
		m.spent[trigger] += spent * oneIn
	}
}

// flush adds what was spent to the set's counters.
func (m *meter) flush(s *Set) {
	for i := range m.spent {
		if m.spent[i] != 0 {
			s.counters[i].spent.Add(m.spent[i])
			m.spent[i] = 0
		}
	}
}

// rates are what triggers cost now. They are guarded by Set.mu.
type rates struct {
	at    int64     // when they were computed; nanoseconds since the Unix epoch
	spent []int64   // of each trigger, at that time
	perS  []float64 // nanoseconds a second
}

// rollEvery is how often the rates are computed anew, in nanoseconds.
const rollEvery = 1e9

// roll computes the rates anew, if it is time.
func (s *Set) roll(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.rates
	switch {
	case r.spent == nil:
		r.spent, r.perS = make([]int64, len(s.triggers)), make([]float64, len(s.triggers))
	case now < r.at: // the clock was set back
	case now-r.at < rollEvery:
		return
	}
	for i := range s.counters {
		spent := s.counters[i].spent.Load()
		if now > r.at && r.at != 0 {
			r.perS[i] = float64(spent-r.spent[i]) * 1e9 / float64(now-r.at)
		}
		r.spent[i] = spent
	}
	r.at = now
}

// Shed stops matching the trigger that costs most now, and returns its name; ok is false if
// none costs anything. The caller calls it when matchers are slower than the traffic.
func (s *Set) Shed() (name string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	active := s.plan.Load().active
	worst := s.mostExpensive(active, true)
	if worst < 0 {
		worst = s.mostExpensive(active, false)
	}
	if worst < 0 {
		return "", false
	}
	s.shed = append(s.shed, worst)
	s.counters[worst].sheds.Add(1)
	s.plan.Store(s.newPlan(active &^ (1 << worst)))
	return s.triggers[worst].Name, true
}

// mostExpensive returns the trigger that costs most, now or in all; -1 if none costs
// anything.
func (s *Set) mostExpensive(active uint64, now bool) int {
	most, worst := 0.0, -1
	eachBit(active, func(i int) {
		cost := float64(s.counters[i].spent.Load())
		if now && s.rates.spent != nil {
			cost = max(cost-float64(s.rates.spent[i]), s.rates.perS[i])
		}
		if cost > most {
			most, worst = cost, i
		}
	})
	return worst
}

// Restore matches the trigger again that was shed last, and returns its name; ok is false if
// none is shed. Connections that were not decoded meanwhile are joined in their middle.
func (s *Set) Restore() (name string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.shed)
	if n == 0 {
		return "", false
	}
	i := s.shed[n-1]
	s.shed = s.shed[:n-1]
	s.plan.Store(s.newPlan(s.plan.Load().active | 1<<i))
	return s.triggers[i].Name, true
}
