package spill

import (
	"fmt"
	"os"
)

// pageSize is the size of a page in bytes.
const pageSize = 4 << 10

// Pages is memory in pages, of which the ones that have not been used for long go to a
// temporary file. An Index and a Queue are made of pages. Where the file cannot be
// written, all pages stay in memory. A Pages belongs to one goroutine.
type Pages struct {
	most   int // frames, as long as the file can be written
	frames []frame
	hand   int      // the frame from which on one is looked for that has not been used
	where  []int32  // of each page its frame plus one, or 0 where it is in the file
	free   []uint32 // pages that are not in use
	file   *os.File
	full   bool // the file cannot be written
}

// frame is the memory of a page.
type frame struct {
	b       []byte
	page    uint32 // noPage where it has none
	used    bool   // since the hand has passed
	changed bool   // the file does not have what is in b
}

const noPage = 1<<32 - 1

// NewPages returns Pages that have up to most bytes in memory.
func NewPages(most int) *Pages { return &Pages{most: max(most/pageSize, 2)} }

// add returns the number and the bytes of a page that is in use from now on. The bytes
// are not those of an empty page, and valid until the next call.
func (p *Pages) add() (uint32, []byte) {
	n := uint32(len(p.where))
	if last := len(p.free) - 1; last >= 0 {
		n, p.free = p.free[last], p.free[:last]
	} else {
		p.where = append(p.where, 0)
	}
	if i := p.where[n]; i > 0 {
		f := &p.frames[i-1]
		f.used, f.changed = true, true
		return n, f.b
	}
	f := p.frame(n)
	f.changed = true
	return n, f.b
}

// remove says that a page is not in use any more.
func (p *Pages) remove(n uint32) {
	if i := p.where[n]; i > 0 {
		f := &p.frames[i-1]
		f.used, f.changed = false, false
	}
	p.free = append(p.free, n)
}

// get returns the bytes of a page. They are valid until the next call.
func (p *Pages) get(n uint32) ([]byte, error) {
	f, err := p.load(n)
	if err != nil {
		return nil, err
	}
	return f.b, nil
}

// change returns the bytes of a page, which the caller changes before the next call.
func (p *Pages) change(n uint32) ([]byte, error) {
	f, err := p.load(n)
	if err != nil {
		return nil, err
	}
	f.changed = true
	return f.b, nil
}

// load returns the frame with a page.
func (p *Pages) load(n uint32) (*frame, error) {
	if i := p.where[n]; i > 0 {
		f := &p.frames[i-1]
		f.used = true
		return f, nil
	}
	f := p.frame(n)
	if _, err := p.file.ReadAt(f.b, int64(n)*pageSize); err != nil {
		p.where[n], f.page = 0, noPage
		return nil, fmt.Errorf("read a page from a temporary file: %w", err)
	}
	return f, nil
}

// frame returns the frame that a page has from now on. Its bytes are those of another one.
func (p *Pages) frame(n uint32) *frame {
	i := len(p.frames)
	if i >= p.most && !p.full {
		i = p.unused()
	}
	if i == len(p.frames) {
		p.frames = append(p.frames, frame{b: make([]byte, pageSize)})
	} else {
		if before := p.frames[i].page; before != noPage {
			p.where[before] = 0
		}
	}
	f := &p.frames[i]
	f.page, f.used, f.changed = n, true, false
	p.where[n] = int32(i) + 1
	return f
}

// unused returns a frame whose page is in the file or not in use, or the number of frames
// where the file cannot be written.
func (p *Pages) unused() int {
	for p.frames[p.hand].used {
		p.frames[p.hand].used = false
		p.hand = (p.hand + 1) % len(p.frames)
	}
	i := p.hand
	p.hand = (p.hand + 1) % len(p.frames)
	if f := &p.frames[i]; f.changed && !p.write(f) {
		p.full = true
		return len(p.frames)
	}
	return i
}

// write writes a frame's page to the file. It is false where that cannot be done.
func (p *Pages) write(f *frame) bool {
	if p.file == nil {
		var err error
		if p.file, err = unnamed(); err != nil {
			return false
		}
	}
	_, err := p.file.WriteAt(f.b, int64(f.page)*pageSize)
	return err == nil
}

// Close removes all pages. What is made of them must not be used then.
func (p *Pages) Close() error {
	file := p.file
	*p = Pages{most: p.most}
	if file == nil {
		return nil
	}
	return file.Close()
}
