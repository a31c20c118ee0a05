package trigger

import (
	"slices"
	"sync/atomic"
	"time"
)

// counters count for one trigger.
type counters struct {
	fired   atomic.Uint64
	last    atomic.Int64  // time of the last event; 0 without one
	unknown atomic.Uint64 // calls of which it is not known whether they meet it
	spent   atomic.Int64  // nanoseconds of the processor, roughly
	sheds   atomic.Uint64
}

func (c *counters) fire(e *Event) {
	c.fired.Add(uint64(e.Count))
	c.last.Store(e.Time)
}

// Tally says what became of one trigger.
type Tally struct {
	Name       string
	Fired      uint64    // how often it was met
	Last       time.Time // when; zero if never
	Unknown    uint64    // calls of which a part that the condition asks for was not there, or not decoded
	CPUMsPerS  float64   // milliseconds of the processor in each second, now
	CPUSeconds float64   // in all
	Shed       bool      // it is not matched now
	Sheds      uint64    // how often it was shed
}

// Status says what became of a set.
type Status struct {
	Triggers []Tally // in the order of the configuration

	Decoders        int64  // bytes that the decoders have in memory, roughly
	ShedConnections uint64 // how often a connection was no longer decoded, because there was no more memory
	Undecided       uint64 // how often it was not found what a connection speaks
	Panics          uint64 // decoders that have failed
}

// Status returns what became of the set so far.
func (s *Set) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		Triggers: make([]Tally, len(s.triggers)), Decoders: s.memory.Load(), ShedConnections: s.shedConns.Load(),
		Undecided: s.undecided.Load(), Panics: s.panics.Load(),
	}
	for i := range s.triggers {
		c := &s.counters[i]
		t := Tally{
			Name: s.triggers[i].Name, Fired: c.fired.Load(), Unknown: c.unknown.Load(), CPUSeconds: float64(c.spent.Load()) / 1e9,
			Shed: slices.Contains(s.shed, i), Sheds: c.sheds.Load(),
		}
		if last := c.last.Load(); last != 0 {
			t.Last = time.Unix(0, last)
		}
		if s.rates.perS != nil {
			t.CPUMsPerS = s.rates.perS[i] / 1e6
		}
		st.Triggers[i] = t
	}
	return st
}

// Inherit adds the counters of the triggers that another set also has, by name. It is called
// once, before the matchers of s begin.
func (s *Set) Inherit(old *Set) {
	for i := range s.triggers {
		for k := range old.triggers {
			if s.triggers[i].Name != old.triggers[k].Name {
				continue
			}
			to, from := &s.counters[i], &old.counters[k]
			to.fired.Add(from.fired.Load())
			to.last.Store(max(to.last.Load(), from.last.Load()))
			to.unknown.Add(from.unknown.Load())
			to.spent.Add(from.spent.Load())
			to.sheds.Add(from.sheds.Load())
		}
	}
	s.shedConns.Add(old.shedConns.Load())
	s.undecided.Add(old.undecided.Load())
	s.panics.Add(old.panics.Load())
}
