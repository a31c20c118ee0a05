package grep

import (
	"bytes"
	"unicode/utf8"
)

// text is a part of a stream in which a pattern is looked for. Its first byte is the
// stream's first one after a gap, or context that has been searched.
type text struct {
	b   []byte
	end bool // nothing follows b
	// quiet says that there is no line end in b from where the search begins to here.
	quiet int
}

// scanner has the memory of a search. It belongs to one goroutine.
type scanner struct {
	pattern *Pattern
	finder  finder
	found   func(start, end int) // is called with each match
}

// scan calls found with the matches in t that begin at or after at and that more text
// cannot change. It returns where the first one may begin that more text can decide: the
// length of the text at the end. What it finds depends on the bytes alone, and not on
// where the text is parted.
func (s *scanner) scan(t *text, at int) (next int) {
	switch p := s.pattern; {
	case p.re == nil:
		return s.literal(t, at)
	case p.longest <= MaxMatch:
		return s.short(t, at)
	case p.lines:
		return s.lines(t, at)
	default:
		return s.blocks(t, at)
	}
}

// literal is scan for a text that is looked for as it is.
func (s *scanner) literal(t *text, at int) int {
	length := len(s.pattern.required.text[0])
	s.finder.begin(t.b)
	for {
		start := s.finder.find(at)
		if start == len(t.b) {
			break
		}
		at = start + length
		s.found(start, at)
	}
	if t.end {
		return len(t.b)
	}
	return max(at, len(t.b)-length+1)
}

// undecided returns from where on what begins cannot be decided, when n bytes decide it
// and all before at is decided.
func (t *text) undecided(at, n int) int {
	if t.end {
		return len(t.b)
	}
	return t.align(at, len(t.b)-n+1)
}

// align returns where the character begins of which next is a byte, or at if that is after
// it. Whoever begins within a character sees another one than those who have read it. Three
// bytes after next must be there.
func (t *text) align(at, next int) int {
	for back := 1; back < utf8.UTFMax && next-back >= at; back++ {
		if utf8.RuneStart(t.b[next-back]) {
			if _, size := utf8.DecodeRune(t.b[next-back:]); size > back {
				return next - back
			}
			break
		}
	}
	return max(at, next)
}

// short is scan for an expression whose matches have a longest one.
func (s *scanner) short(t *text, at int) int {
	p := s.pattern
	need := max(p.longest, utf8.UTFMax) + 1 // bytes that decide what begins at a place
	if len(p.required.text) == 0 {
		for at < len(t.b) {
			start, end := p.find(t.b, at)
			if start < 0 || !t.end && start+need > len(t.b) {
				return t.undecided(at, need)
			}
			at = s.emit(t, start, end)
		}
		return min(at, len(t.b))
	}
	s.finder.begin(t.b)
	for at < len(t.b) {
		literal := s.finder.find(at)
		if literal == len(t.b) {
			return t.undecided(at, need)
		}
		// A match that has the literal begins after from. To search twice what decides one
		// makes each step at least as long as a match.
		from, to := t.align(at, literal-p.longest), min(len(t.b), literal+2*need)
		decided := to - need // the last place at which what begins is decided
		if to == len(t.b) && t.end {
			decided = to
		}
		start, end := -1, 0
		if s.finder.mayMatch(from, to) {
			start, end = p.find(t.b[:to], from)
		}
		switch {
		case start >= 0 && start <= decided:
			at = s.emit(t, start, end)
		case to == len(t.b):
			return t.undecided(at, need)
		default:
			at = t.align(at, decided+1)
		}
	}
	return min(at, len(t.b))
}

// emit calls found with a match, unless it is empty, and returns where the next one may
// begin.
func (s *scanner) emit(t *text, start, end int) int {
	next := end
	if start == end {
		_, size := utf8.DecodeRune(t.b[start:])
		next = start + max(size, 1)
	}
	// The \r of a line's end is not of the line.
	if s.pattern.lines && end > start && t.b[end-1] == '\r' && (end == len(t.b) || t.b[end] == '\n') {
		end--
	}
	if start < end {
		s.found(start, end)
	}
	return next
}

// find returns the first match in b that begins at or after at; start is -1 where there is
// none.
func (p *Pattern) find(b []byte, at int) (start, end int) {
	if p.within == nil || at == 0 || b[at-1] == '\n' {
		if m := p.re.FindIndex(b[at:]); m != nil {
			return at + m[0], at + m[1]
		}
		return -1, 0
	}
	if m := p.within.FindSubmatchIndex(b[at-1:]); m != nil {
		return at - 1 + m[2], at - 1 + m[3]
	}
	return -1, 0
}

// lines is scan for an expression whose matches have no longest one and are within a line.
// Lines of up to MaxMatch bytes are searched as a whole.
func (s *scanner) lines(t *text, at int) int {
	p := s.pattern
	begun := false
	for at < len(t.b) {
		next, ok := s.toPrefix(t, at)
		if !ok {
			return next
		}
		at = next
		to := t.wholeLines(at)
		if to < 0 {
			next, ok := s.block(t, at, t.lineEnd(at))
			if !ok {
				return next
			}
			at = next
			continue
		}
		for at < to {
			from, lineEnd := at, to
			if len(p.required.text) > 0 {
				if !begun {
					s.finder.begin(t.b)
					begun = true
				}
				literal := s.finder.find(at)
				if literal >= to {
					at = to
					break
				}
				from = at + bytes.LastIndexByte(t.b[at:literal], '\n') + 1
				if i := bytes.IndexByte(t.b[literal:to], '\n'); i >= 0 {
					lineEnd = literal + i
				}
			}
			start, end := -1, 0
			if !begun || s.finder.mayMatch(from, lineEnd) {
				start, end = p.find(t.b[:lineEnd], from)
			}
			switch {
			case start >= 0 && start < lineEnd:
				at = s.emit(t, start, end)
			case lineEnd < to:
				at = lineEnd + 1
			default:
				at = to
			}
		}
	}
	return at
}

// toPrefix returns where a match may begin because of what each of them begins with. ok
// is false where there is no such place yet.
func (s *scanner) toPrefix(t *text, at int) (next int, ok bool) {
	prefix := s.pattern.prefix
	if len(prefix) == 0 || bytes.HasPrefix(t.b[at:], prefix) {
		return at, true
	}
	i := bytes.Index(t.b[at:], prefix)
	if i < 0 {
		return t.undecided(at, len(prefix)), false
	}
	return at + i, true
}

// wholeLines returns the end of the last line that begins at at or later and ends within
// MaxMatch bytes. It is -1 where there is none yet, or the line is longer.
func (t *text) wholeLines(at int) int {
	to := min(at+MaxMatch, len(t.b))
	if from := max(at, t.quiet); from < to {
		if i := bytes.LastIndexByte(t.b[from:to], '\n'); i >= 0 {
			return from + i + 1
		}
	}
	if t.end && to == len(t.b) {
		return to
	}
	if to == len(t.b) {
		t.quiet = to
	}
	return -1
}

// lineEnd returns where a line ends of which at is a place, if that is within twice
// MaxMatch; otherwise it returns the length of the text.
func (t *text) lineEnd(at int) int {
	to := min(at+2*MaxMatch, len(t.b))
	if i := bytes.IndexByte(t.b[at:to], '\n'); i >= 0 {
		return at + i
	}
	return len(t.b)
}

// block finds matches that begin in the MaxMatch bytes from at on, in twice as many that
// end at limit at the latest. ok is false where more text is needed.
func (s *scanner) block(t *text, at, limit int) (next int, ok bool) {
	to := min(at+2*MaxMatch, limit)
	if to == len(t.b) && !t.end {
		return at, false
	}
	last := to // the expression sees all there is
	if to == at+2*MaxMatch {
		last = at + MaxMatch
	}
	start, end := s.pattern.find(t.b[:to], at)
	if start < 0 || start >= last {
		return t.align(at+1, last), true
	}
	return s.emit(t, start, end), true
}

// blocks is scan for an expression whose matches have no longest one and go across lines.
func (s *scanner) blocks(t *text, at int) int {
	p := s.pattern
	begun := false
	for at < len(t.b) {
		next, ok := s.toPrefix(t, at)
		if !ok {
			return next
		}
		at = next
		if len(p.required.text) > 0 && len(t.b) > at+2*MaxMatch {
			if !begun {
				s.finder.begin(t.b)
				begun = true
			}
			if s.finder.find(at) >= at+2*MaxMatch {
				at = t.align(at+1, at+MaxMatch)
				continue
			}
		}
		if at, ok = s.block(t, at, len(t.b)); !ok {
			return at
		}
	}
	return at
}
