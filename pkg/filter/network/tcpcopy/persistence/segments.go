package persistence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// defaultSegment is how large a segment grows when the roller words name no size.
const defaultSegment = 1 << 30

// segments is the pcapng file of one session, in pieces: each is complete in
// itself, with a section header and the blocks of its interfaces. Only this
// process writes them. The files appear with the first chunk.
type segments struct {
	dir     string
	window  model.Window
	run     string
	limit   int64 // bytes after which the next segment begins
	quota   *quota
	now     func() time.Time
	alert   func(what string, err error)
	info    func(format string, args ...any)
	current atomic.Uint32 // number of the segment that chunks go to, from 1

	mu         sync.Mutex // guards the rest
	file       *os.File   // nil before the first chunk and after a failure
	size       int64
	described  int // interfaces whose block the file has
	interfaces []*listenerStats
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
	lost             [model.NumReasons]uint64 // bytes
}

func (c *trafficCount) add(o *trafficCount) {
	c.records += o.records
	c.dropped += o.dropped
	for r := range c.lost {
		c.lost[r] += o.lost[r]
	}
}

func newSegments(store *Store, w model.Window) *segments {
	limit := store.config.Roll.Size
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
	}
}

// interfaceOf returns the number of the interface that stands for f's listener.
func (s *segments) interfaceOf(f *dump.Flow) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	description := f.Network + " " + f.Port
	for i, l := range s.interfaces {
		if l.name == f.Listener && l.description == description {
			return uint32(i)
		}
	}
	s.interfaces = append(s.interfaces, &listenerStats{name: f.Listener, description: description})
	return uint32(len(s.interfaces) - 1)
}

// count adds what a worker has counted for an interface.
func (s *segments) count(number uint32, c *trafficCount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interfaces[number].counts.add(c)
}

func (s *segments) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backoff.ready(s.now())
}

// append writes chunk to the current segment, behind the blocks of interfaces
// that the segment does not have yet. A chunk that was encoded before another
// worker began a new segment may go to the new one: its connections' identities
// stand in the one before then.
func (s *segments) append(chunk []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !s.backoff.ready(now) {
		return fmt.Errorf("segment of window %s: waiting after a failure", s.window.ID)
	}
	if err := s.appendLocked(chunk); err != nil {
		if s.backoff.failed(now) {
			s.alert("write", err)
		}
		return err
	}
	if s.backoff.worked() {
		s.info("segments of window %s are written again", s.window.ID)
	}
	return nil
}

func (s *segments) appendLocked(chunk []byte) error {
	if s.file != nil && s.size+int64(len(chunk)) > s.limit {
		s.closeLocked()
	}
	if s.file == nil {
		if err := s.beginLocked(); err != nil {
			return err
		}
	}
	if err := s.quota.reserve(len(chunk)); err != nil {
		return err
	}
	size, described := s.size, s.described
	err := s.describeLocked()
	if err == nil {
		err = s.writeLocked(chunk)
	}
	if err != nil {
		s.size, s.described = size, described
		return errors.Join(err, s.file.Truncate(size))
	}
	return nil
}

// beginLocked creates the next segment.
func (s *segments) beginLocked() error {
	if err := os.MkdirAll(s.dir, dirMode); err != nil {
		return err
	}
	number := s.current.Load() + 1
	name := fmt.Sprintf("%s_%.8s_%s_%03d%s", s.window.Opened.UTC().Format(dump.SegmentTimeFormat), s.window.ID, s.run, number, dump.SegmentExtension)
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	s.file, s.size, s.described = f, 0, 0
	if err := s.writeLocked(dump.AppendSectionHeader(nil, application)); err != nil {
		s.file = nil
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	s.names = append(s.names, name)
	s.quota.protect(name)
	s.current.Store(number)
	return nil
}

// application is how the files name the program that wrote them.
const application = "tcpcopy for MOSN"

// describeLocked writes the blocks of the interfaces that are new.
func (s *segments) describeLocked() error {
	var blocks []byte
	for _, l := range s.interfaces[s.described:] {
		blocks = dump.AppendInterface(blocks, l.name, l.description)
	}
	s.described = len(s.interfaces)
	return s.writeLocked(blocks)
}

func (s *segments) writeLocked(p []byte) error {
	n, err := s.file.WriteAt(p, s.size)
	s.size += int64(n)
	return err
}

func (s *segments) closeLocked() {
	if s.file != nil {
		if err := s.file.Close(); err != nil {
			s.alert("close", err)
		}
		s.quota.release(filepath.Base(s.file.Name()))
		s.file = nil
	}
}

// finish writes the statistics of the interfaces and closes the last segment. It
// returns the names of all.
func (s *segments) finish(closed time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		var blocks []byte
		for i, l := range s.interfaces {
			blocks = dump.AppendInterfaceStatistics(blocks, uint32(i), closed.UnixNano(), dump.InterfaceStatistics{
				Window:   s.window.ID,
				Opened:   s.window.Opened.UnixNano(),
				Closed:   closed.UnixNano(),
				Received: l.counts.records,
				Dropped:  l.counts.dropped,
				LostBy:   l.counts.lost,
			})
		}
		if err := s.appendLocked(blocks); err != nil {
			s.alert("write", fmt.Errorf("statistics of window %s: %w", s.window.ID, err))
		}
		s.closeLocked()
	}
	return s.names
}
