package rpc

import (
	"encoding/json"
	"fmt"

	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// state is what a checkpoint has of a parser.
type state struct {
	Sides   [2]sideState
	Waiting [2][]*exchange
	Others  []*exchange `json:",omitempty"` // those of the sides that do not wait
	Doubt   doubt
	Joined  bool
}

type sideState struct {
	side
	X int // number of its exchange among all, from 1; 0 if there is none
}

// MarshalBinary implements parse.Parser.
func (p *parser) MarshalBinary() ([]byte, error) {
	s := state{Doubt: p.doubt, Joined: p.joined}
	var all []*exchange
	for dir := range p.waiting {
		for x := p.waiting[dir].first; x != nil; x = x.next {
			s.Waiting[dir] = append(s.Waiting[dir], x)
		}
		all = append(all, s.Waiting[dir]...)
	}
	for i := range p.sides {
		s.Sides[i].side = p.sides[i]
		of := p.sides[i].x
		if of == nil {
			continue
		}
		for k, x := range all {
			if x == of {
				s.Sides[i].X = k + 1
			}
		}
		if s.Sides[i].X == 0 {
			s.Others, all = append(s.Others, of), append(all, of)
			s.Sides[i].X = len(all)
		}
	}
	return json.Marshal(&s)
}

// isSound reports whether the state is one that a parser can have, as far as its code stands on it.
func (s *state) isSound() bool {
	waiting := 0
	for dir, xs := range s.Waiting {
		waiting += len(xs)
		for _, x := range xs {
			// What has an answer does not wait.
			if x == nil || int(x.Asker) != dir || x.OneWay || x.Answering || x.Answered {
				return false
			}
		}
	}
	for _, x := range s.Others {
		if x == nil || x.Asker > record.Out {
			return false
		}
	}
	for i := range s.Sides {
		if w := &s.Sides[i]; w.IsAnswer && w.X > 0 && w.X <= waiting {
			return false
		}
	}
	return true
}

// UnmarshalBinary implements parse.Parser.
func (p *parser) UnmarshalBinary(b []byte) error {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("state of %s: %w", p.name, err)
	}
	if !s.isSound() {
		return fmt.Errorf("state of %s: %w", p.name, parse.ErrState)
	}
	var all []*exchange
	for dir, xs := range s.Waiting {
		p.waiting[dir] = waiting{}
		for _, x := range xs {
			p.waiting[dir].add(x)
		}
		all = append(all, xs...)
	}
	all = append(all, s.Others...)
	for i, from := range s.Sides {
		if from.X < 0 || from.X > len(all) {
			return fmt.Errorf("state of %s: there is no call %d", p.name, from.X)
		}
		p.sides[i] = from.side
		if from.X > 0 {
			p.sides[i].x = all[from.X-1]
		}
	}
	p.doubt, p.joined = s.Doubt, s.Joined
	return nil
}
