package spill

import "encoding/binary"

// Queue is numbers in a row, to which some are added behind and from which the first one
// is removed. The numbers are in Pages: those that are not used for long need no memory.
type Queue struct {
	pages *Pages
	parts []uint32 // the pages
	first uint64   // position of the first number
	end   uint64   // position after the last one
}

// inPart is how many numbers a page of a Queue has.
const inPart = pageSize / 8

// NewQueue returns a Queue without numbers, in pages.
func NewQueue(pages *Pages) *Queue { return &Queue{pages: pages} }

// Len returns how many numbers there are.
func (q *Queue) Len() int { return int(q.end - q.first) }

// First returns the position of the first number, or of the next one to be added. The
// position of a number does not change. The first one ever added has position 0.
func (q *Queue) First() uint64 { return q.first }

// part returns the page of a position and the place of its number there.
func (q *Queue) part(at uint64) (page uint32, place int) {
	return q.parts[at/inPart-q.first/inPart], int(at % inPart * 8)
}

// Add adds a number behind the others and returns its position.
func (q *Queue) Add(v uint64) (at uint64, err error) {
	at = q.end
	var b []byte
	if at%inPart == 0 || len(q.parts) == 0 {
		var page uint32
		page, b = q.pages.add()
		q.parts = append(q.parts, page)
	} else {
		page, _ := q.part(at)
		if b, err = q.pages.change(page); err != nil {
			return 0, err
		}
	}
	binary.LittleEndian.PutUint64(b[at%inPart*8:], v)
	q.end++
	return at, nil
}

// Get returns the number at a position.
func (q *Queue) Get(at uint64) (uint64, error) {
	page, place := q.part(at)
	b, err := q.pages.get(page)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[place:]), nil
}

// Set replaces the number at a position.
func (q *Queue) Set(at, v uint64) error {
	page, place := q.part(at)
	b, err := q.pages.change(page)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint64(b[place:], v)
	return nil
}

// Remove removes the first number. There must be one.
func (q *Queue) Remove() {
	q.first++
	if q.first%inPart == 0 {
		q.pages.remove(q.parts[0])
		q.parts = q.parts[1:]
	}
}

// Clear removes all numbers.
func (q *Queue) Clear() {
	for _, page := range q.parts {
		q.pages.remove(page)
	}
	q.parts, q.first = nil, q.end
}
