package persistence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// defaultSegment is how large a segment grows when the roller words name no size.
const defaultSegment = 1 << 30

// segments is the pcapng file of one session, in pieces: each is complete in
// itself, with a section header and the blocks of its interfaces. Only this
// process writes them. The files appear with the first chunk.
type segments struct {
	dir    string
	window record.Window
	run    string
	limit  int64 // bytes after which the next segment begins
	quota  *quota
	now    func() time.Time
	alert  func(what string, err error)
	info   func(format string, args ...any)
	mem    []byte // what batches are encoded into

	mu         sync.Mutex // guards the rest; held between begin and end
	file       *os.File   // nil before the first batch and after a failure
	blocks     *blockFile // file
	start      int64      // its size without records
	number     uint32     // of the segments begun so far, from 1
	interfaces []*listenerStats
	described  int // of them, how many the segment has
	backoff    backoff
	names      []string
}

// listenerStats is an interface of the file: a listener and what its traffic
// went through.
type listenerStats struct {
	name, description string
	counts            trafficCount
}

// trafficCount counts the records of one listener.
type trafficCount struct {
	records, dropped uint64
	lost             [record.NumReasons]uint64 // bytes
}

func (c *trafficCount) add(o *trafficCount) {
	c.records += o.records
	c.dropped += o.dropped
	for r := range c.lost {
		c.lost[r] += o.lost[r]
	}
}

func newSegments(store *Store, w record.Window, mem []byte) *segments {
	limit := store.config.rolling().Size
	if limit == 0 {
		limit = defaultSegment
	}
	return &segments{
		dir:    store.config.Dir,
		window: w,
		run:    store.host.Run,
		limit:  limit,
		quota:  store.quota,
		now:    store.host.Now,
		alert:  store.alert,
		info:   store.info,
		mem:    mem,
	}
}

// describe finds the interface that stands for f's listener. It puts the
// interface's block into the current segment where that does not have it yet, and
// is false then. The caller is between begin and end.
func (s *segments) describe(f *flow) (had bool, err error) {
	if f.describedIn == s.number {
		return true, nil
	}
	description := f.Network + " " + f.Port
	f.iface = slices.IndexFunc(s.interfaces, func(l *listenerStats) bool {
		return l.name == f.ListenerName && l.description == description
	})
	if f.iface < 0 {
		f.iface = len(s.interfaces)
		s.interfaces = append(s.interfaces, &listenerStats{name: f.ListenerName, description: description})
	}
	// A new segment begins with the interfaces that are known by then.
	had = f.iface < s.described
	if !had {
		dst, err := s.blocks.room(interfaceRoom)
		if err != nil {
			return false, err
		}
		for _, l := range s.interfaces[s.described:] {
			dst = pcapng.AppendInterface(dst, l.name, l.description)
		}
		s.blocks.put(dst)
		s.described = len(s.interfaces)
	}
	f.describedIn = s.number
	return had, nil
}

// count adds what a worker has counted for an interface.
func (s *segments) count(number int, c *trafficCount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interfaces[number].counts.add(c)
}

// begin implements sink.
func (s *segments) begin() error {
	s.mu.Lock()
	err := errWaiting
	if s.backoff.ready(s.now()) {
		if err = s.nextLocked(); err != nil {
			s.failLocked(err)
		}
	}
	if err != nil {
		s.mu.Unlock()
	}
	return err
}

// retry implements sink.
func (s *segments) retry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backoff.next = time.Time{}
}

// room implements sink.
func (s *segments) room(n int) (dst []byte, full bool, err error) {
	if s.isFull(n) {
		return nil, true, nil
	}
	dst, err = s.blocks.room(n)
	return dst, false, err
}

// isFull tells whether n more bytes are too many for the segment.
func (s *segments) isFull(n int) bool {
	return s.blocks.size()+int64(n)+fillers > s.limit && s.blocks.size() > s.start
}

// takes tells whether block, which is of f, can be lent: the segment needs nothing
// before it.
func (s *segments) takes(f *flow, block []byte) bool {
	return f.describedIn == s.number && !s.isFull(len(block))
}

// lend appends block. Its memory may not change before the next commit or abort.
func (s *segments) lend(block []byte) error { return s.blocks.lend(block) }

// next implements sink: it begins another segment.
func (s *segments) next() error {
	s.closeLocked()
	return s.nextLocked()
}

// place implements sink.
func (s *segments) place() (inode, size uint64) { return s.blocks.inode, uint64(s.blocks.committed) }

// put implements sink.
func (s *segments) put(dst []byte) { s.blocks.put(dst) }

// commit implements sink.
func (s *segments) commit() error {
	return s.blocks.commit()
}

// abort implements sink. The segment ends as it was at the last commit, and the
// next batch begins another one.
func (s *segments) abort(err error) {
	if s.file != nil {
		err = errors.Join(err, s.blocks.rollback())
		name := s.file.Name()
		empty := s.blocks.committed == s.start
		s.closeLocked()
		if empty && os.Remove(name) == nil {
			s.names = s.names[:len(s.names)-1]
		}
	}
	s.failLocked(err)
}

// takeBack implements sink.
func (s *segments) takeBack(inode, size uint64, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, name := range s.names {
		f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_RDWR, 0)
		if err != nil {
			continue // retention has removed it, or it is compressed and complete
		}
		errs = append(errs, truncate(f, inode, size), f.Close())
	}
	return errors.Join(errs...)
}

// resume makes the segments that a killed process has begun those before the next.
func (s *segments) resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := os.ReadDir(s.dir) // sorted
	for _, e := range entries {
		name := layout.TrimGzip(e.Name())
		if segment, ok := layout.ParseSegment(name); ok && segment.Set() == s.segment(segment.Number).Set() {
			s.names = append(s.names, name)
		}
	}
	return err
}

// segment describes the window's segment of that number.
func (s *segments) segment(number int) layout.Segment {
	return layout.Segment{Opened: s.window.Opened, Window: s.window.ID, Run: s.run, Number: number}
}

// end implements sink.
func (s *segments) end() {
	if s.file != nil && s.backoff.worked() { // not aborted
		s.info("segments of window %s are written again", s.window.ID)
	}
	s.mu.Unlock()
}

func (s *segments) failLocked(err error) {
	if s.backoff.failed(s.now()) {
		s.alert("write", err)
	}
}

// nextLocked makes sure that there is a segment to write to.
func (s *segments) nextLocked() error {
	if s.file != nil {
		if isAt(s.file, s.file.Name()) {
			return nil
		}
		s.closeLocked() // removed
	}
	if err := os.MkdirAll(s.dir, dirMode); err != nil {
		return err
	}
	name := s.segment(len(s.names) + 1).Name()
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	s.quota.protect(name)
	if err := s.beginSegmentLocked(f); err != nil {
		s.closeLocked()
		_ = os.Remove(f.Name()) // a segment without a header helps nobody
		return err
	}
	s.names = append(s.names, name)
	s.number++
	return nil
}

// beginSegmentLocked writes the blocks that a segment begins with.
func (s *segments) beginSegmentLocked(f *os.File) (err error) {
	s.file = f
	if s.blocks, err = openBlocks(f, s.mem); err != nil {
		return err
	}
	s.blocks.quota, s.blocks.filler = s.quota, pcapng.AppendPaddingBlock
	head := pcapng.AppendSectionHeader(nil, application)
	for _, l := range s.interfaces {
		head = pcapng.AppendInterface(head, l.name, l.description)
	}
	dst, err := s.blocks.room(len(head))
	if err != nil {
		return err
	}
	s.blocks.put(append(dst, head...))
	s.described = len(s.interfaces)
	if err := s.blocks.commit(); err != nil {
		return err
	}
	s.start = s.blocks.size()
	return nil
}

// interfaceRoom bounds the blocks of an interface, its name and description.
const interfaceRoom = 1 << 10

// application is how the files name the program that wrote them.
const application = "tcpcopy for MOSN"

func (s *segments) closeLocked() {
	if s.file == nil {
		return
	}
	if s.blocks != nil {
		s.blocks.closeDirect()
		s.blocks = nil
	}
	if err := s.file.Close(); err != nil {
		s.alert("close", err)
	}
	s.quota.release(filepath.Base(s.file.Name()))
	s.file = nil
}

// finish writes the statistics of the interfaces and closes the last segment. It
// returns the names of all.
func (s *segments) finish(closed time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return s.names
	}
	if err := s.statisticsLocked(closed); err != nil {
		s.alert("write", errors.Join(fmt.Errorf("statistics of window %s: %w", s.window.ID, err), s.blocks.rollback()))
	}
	s.closeLocked()
	return s.names
}

func (s *segments) statisticsLocked(closed time.Time) error {
	for i, l := range s.interfaces {
		dst, err := s.blocks.room(interfaceRoom)
		if err != nil {
			return err
		}
		s.blocks.put(pcapng.AppendInterfaceStatistics(dst, uint32(i), closed.UnixNano(), pcapng.InterfaceStatistics{
			Window:   s.window.ID,
			Opened:   s.window.Opened.UnixNano(),
			Closed:   closed.UnixNano(),
			Received: l.counts.records,
			Dropped:  l.counts.dropped,
			LostBy:   l.counts.lost,
		}))
	}
	return s.blocks.commit()
}
