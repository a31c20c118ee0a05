package test

import (
	"slices"
	"time"
)

// pace compares how soon things happen with how soon m answers at the same time: both
// last longer on a busy machine.
type pace struct {
	m               *mosn
	delays, answers []time.Duration
}

// add adds a delay, and asks m for its status once to measure an answer.
func (p *pace) add(delay time.Duration) {
	p.m.t.Helper()
	p.delays = append(p.delays, delay)
	began := time.Now()
	p.m.steering()
	p.answers = append(p.answers, time.Since(began))
}

// check fails the test when more than half of the delays are longer than soon and the
// time of twenty answers.
func (p *pace) check(what string, soon time.Duration) {
	p.m.t.Helper()
	slices.Sort(p.delays)
	slices.Sort(p.answers)
	typical, answer := p.delays[len(p.delays)/2], p.answers[len(p.answers)/2]
	p.m.t.Logf("%s after %v; an answer lasts %v", what, p.delays, answer)
	if limit := soon + 20*answer; typical > limit {
		p.m.t.Errorf("%s after %v, want at most %v where an answer lasts %v", what, typical, limit, answer)
	}
}
