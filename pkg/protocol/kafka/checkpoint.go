package kafka

import (
	"encoding/json"
	"fmt"
	"slices"

	"mosn.io/tcpcopy/pkg/protocol/parse"
)

// state is what a checkpoint has of a parser.
type state struct {
	Sides [2]sideState
	Queue []*exchange `json:",omitempty"`

	Names   []nameState `json:",omitempty"`
	Client  []byte
	LastID  uint32
	Request int
	Repeats bool
	Tokens  bool
	Joined  bool
}

type sideState struct {
	side
	Levels  []level
	Version int16
	Index   int       // of the exchange in the queue; -1 if it is not there
	Other   *exchange `json:",omitempty"` // one that is not in the queue
}

type nameState struct {
	ID, Name []byte
}

// MarshalBinary implements parse.Parser.
func (p *parser) MarshalBinary() ([]byte, error) {
	s := state{
		Queue: p.queue, Client: p.client, LastID: p.lastID, Request: p.requests, Repeats: p.repeats, Tokens: p.tokens, Joined: p.joined,
	}
	for i := range p.sides {
		w := &p.sides[i]
		s.Sides[i] = sideState{side: *w, Levels: w.walk.levels, Version: w.walk.version, Index: -1}
		if w.x != nil {
			for k, x := range p.queue {
				if x == w.x {
					s.Sides[i].Index = k
				}
			}
			if s.Sides[i].Index < 0 {
				s.Sides[i].Other = w.x
			}
		}
	}
	for id, name := range p.names {
		s.Names = append(s.Names, nameState{[]byte(id), []byte(name)})
	}
	return json.Marshal(&s)
}

// isSound reports whether the state is one that a parser can have, as far as its code stands on it.
func (s *state) isSound() bool {
	sound := func(x *exchange) bool {
		return x != nil && !slices.ContainsFunc(x.Topics, func(t topic) bool { return t.ID != nil && len(t.ID) != sizeUUID })
	}
	for _, x := range s.Queue {
		if !sound(x) {
			return false
		}
	}
	for i := range s.Sides {
		w := &s.Sides[i]
		if n := len(w.LastID); w.Other != nil && !sound(w.Other) || n != 0 && n != sizeUUID {
			return false
		}
	}
	return true
}

// isSound reports whether the levels are of the fields.
func (w *walker) isSound() bool {
	fields := w.root
	for i, l := range w.levels {
		if l.Index < 0 || l.Left < 0 || l.Left > maxFrame || l.Tags && (i == 0 || i < len(w.levels)-1) || l.First && (i != 1 || !l.Tags) {
			return false
		}
		if i == len(w.levels)-1 || w.levels[i+1].Tags {
			continue
		}
		if l.Index >= len(fields) || len(fields[l.Index].elem) == 0 {
			return false
		}
		fields = fields[l.Index].elem
	}
	return true
}

// UnmarshalBinary implements parse.Parser.
func (p *parser) UnmarshalBinary(b []byte) error {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("state of kafka: %w", err)
	}
	if !s.isSound() {
		return fmt.Errorf("state of kafka: %w", parse.ErrState)
	}
	p.queue, p.client, p.lastID, p.requests, p.repeats, p.tokens, p.joined = s.Queue, s.Client, s.LastID, s.Request, s.Repeats, s.Tokens, s.Joined
	p.size = 0
	for _, x := range p.queue {
		p.size += callSize + x.size()
	}
	p.names, p.namesSize = map[string]string{}, 0
	for _, n := range s.Names {
		p.names[string(n.ID)] = string(n.Name)
		p.namesSize += nameSize + len(n.Name)
	}
	for i := range s.Sides {
		from := &s.Sides[i]
		p.sides[i] = from.side
		w := &p.sides[i]
		switch {
		case from.Index >= len(p.queue):
			return fmt.Errorf("state of kafka: there is no request %d", from.Index)
		case from.Index >= 0:
			w.x = p.queue[from.Index]
		default:
			w.x = from.Other
		}
		if w.x == nil {
			if w.Open {
				return fmt.Errorf("state of kafka: a message without a call")
			}
			continue
		}
		if a := apiOf(w.x.Key); w.Walking && a != nil {
			w.walk = walker{version: from.Version, flexible: from.Version >= a.flexible, root: a.request, levels: from.Levels}
			if i == 1 {
				w.walk.root = a.answer
			}
			if from.Version != w.x.Ver || !w.walk.isSound() {
				return fmt.Errorf("state of kafka: %w", parse.ErrState)
			}
		}
	}
	return nil
}
