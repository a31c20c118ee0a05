package trigger

import "encoding/binary"

// search looks for the patterns of one direction in a stream. It is for one goroutine.
type search struct {
	*automaton
	filter *prefilter // nil if no pattern is looked for now
	active uint64     // triggers whose patterns are looked for

	// found is how often each pattern was found in the last record, and which were is
	// where. The caller empties them.
	found []uint32
	which []int16

	// compared is how often each pattern was compared. The caller empties it.
	compared []uint32
}

func newSearch(a *automaton, filter *prefilter, active uint64) *search {
	return &search{automaton: a, filter: filter, active: active, found: make([]uint32, len(a.patterns)), compared: make([]uint32, len(a.patterns))}
}

// add says that a pattern was found.
func (s *search) add(i int) {
	s.compared[i]++
	if s.found[i]++; s.found[i] == 1 {
		s.which = append(s.which, int16(i)) //nolint:gosec // maxPatternBytes bounds it
	}
}

const (
	shortRecord = 64       // bytes of a record that are not worth more than the automaton
	manyPlaces  = 16       // bytes for each place, below which the automaton is faster than to compare
	denseRange  = 16 << 10 // bytes that the automaton then looks at
)

// record looks for the patterns in the next bytes of a stream of which the automaton's
// state is given, and returns the state after them. It counts each place where a pattern ends.
// s.filter is not nil.
func (s *search) record(state uint16, p []byte) uint16 {
	if len(p) < shortRecord {
		return s.count(state, p)
	}
	// What began in the records before.
	at := 0
	for ; at < len(p) && int(s.depth[state]) > at; at++ {
		state = s.step(state, p[at])
		if s.ends[state] >= 0 || s.link[state] != root {
			s.each(state, func(i int) {
				if len(s.patterns[i].text) > at+1 && s.patterns[i].owners&s.active != 0 {
					s.add(i)
				}
			})
		}
	}
	s.within(p)
	if at == len(p) && int(s.depth[state]) >= at {
		return state // it still belongs to what began before
	}
	return s.run(root, p[max(len(p)-s.longest+1, 0):])
}

// count is record with the automaton alone.
func (s *search) count(state uint16, p []byte) uint16 {
	for _, b := range p {
		state = s.step(state, b)
		if s.ends[state] >= 0 || s.link[state] != root {
			s.each(state, func(i int) {
				if s.patterns[i].owners&s.active != 0 {
					s.add(i)
				}
			})
		}
	}
	return state
}

// within looks for the patterns that are in p as a whole.
func (s *search) within(p []byte) {
	from, tried := 0, 0 // since the automaton was used last
	at := 0
	for at < len(p)-window {
		var set uint32
		if at, set = s.filter.places(p, at); set == 0 {
			break
		}
		for ; set != 0; tried++ {
			s.compare(p, at+next(&set))
		}
		at += block
		if tried*manyPlaces > at-from+4<<10 && at < len(p)-window {
			s.dense(p, at, min(at+denseRange, len(p)-window))
			at += denseRange
			from, tried = at, 0
		}
	}
	for at = max(len(p)-window, 0); at < len(p); at++ {
		s.compareLast(p, at)
	}
}

// compare compares the patterns whose windows may be at a place.
func (s *search) compare(p []byte, at int) {
	for allowed := uint32(s.filter.tables.allowed(binary.LittleEndian.Uint32(p[at:]))); allowed != 0; {
		for _, i := range s.filter.buckets[next(&allowed)] {
			s.compareOne(p, at, int(i))
		}
	}
}

func (s *search) compareOne(p []byte, at, i int) {
	s.compared[i]++
	text := s.patterns[i].text
	start := at - s.patterns[i].window
	if start >= 0 && len(p)-start >= len(text) && string(p[start:start+len(text)]) == text {
		s.add(i)
	}
}

// compareLast is compare at a place with less than four bytes behind it.
func (s *search) compareLast(p []byte, at int) {
	if at+window == len(p) {
		four := uint32(p[at]) | uint32(p[at+1])<<8 | uint32(p[at+2])<<16
		for allowed := uint32(s.filter.tables.allowed(four)); allowed != 0; {
			for _, i := range s.filter.buckets[next(&allowed)] {
				s.compareOne(p, at, int(i))
			}
		}
		return
	}
	for _, i := range s.filter.short {
		s.compareOne(p, at, int(i))
	}
}

// dense counts the patterns whose windows are from a place on and before another, with the
// automaton.
func (s *search) dense(p []byte, from, to int) {
	state := s.run(root, p[max(from-s.longest, 0):max(from, 0)])
	for j := from; j < min(to+s.longest, len(p)); j++ {
		state = s.step(state, p[j])
		if s.ends[state] < 0 && s.link[state] == root {
			continue
		}
		s.each(state, func(i int) {
			o := &s.patterns[i]
			start := j + 1 - len(o.text)
			if at := start + o.window; start >= 0 && from <= at && at < to && o.owners&s.active != 0 {
				s.add(i)
			}
		})
	}
}
