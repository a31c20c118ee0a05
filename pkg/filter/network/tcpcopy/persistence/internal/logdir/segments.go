package logdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/blockfile"
	"mosn.io/tcpcopy/pkg/record"
)

// defaultSegment is the size of a segment in bytes where Roll.Size is 0.
const defaultSegment = 1 << 30

// Segments is the pcapng file of one window, in pieces: each is complete in itself,
// with the blocks that pcapng.AppendHead appends. Only this process writes
// them. The files appear with the first chunk.
type Segments struct {
	folder  *folder
	window  record.Window
	run     string
	roll    Roll
	limit   int64 // bytes after which the next segment begins
	quota   *quota
	archive *archive
	clock   clock.Clock
	alert   func(what string, err error)
	info    func(format string, args ...any)
	mem     []byte // what transactions encode into

	mu        sync.Mutex      // guards the rest; held between Begin and End
	file      *os.File        // nil before the first transaction and after a failure
	blocks    *blockfile.File // file
	start     int64           // its size without records
	number    uint32          // of the segments begun so far, from 1
	listeners []Listener      // in the order of the first Count
	traffic   map[Listener]*pcapng.Traffic
	backoff   backoff
	begun     int // number of the last segment that is in the directory, or was
	observe   func(begun int)
	tx        SegmentTransaction // what Begin returns
}

// Listener names a listener, as record.Identity does.
type Listener struct{ Name, Network, Port string }

func newSegments(d *Dir, w record.Window, roll Roll, mem []byte) *Segments {
	limit := roll.Size
	if limit == 0 {
		limit = defaultSegment
	}
	s := &Segments{
		folder:  d.folder,
		window:  w,
		run:     d.options.Run,
		roll:    roll,
		limit:   limit,
		quota:   d.quota,
		archive: d.archive,
		clock:   d.options.Clock,
		alert:   d.options.Alert,
		info:    d.options.Info,
		mem:     mem,
	}
	s.tx.segments = s
	d.quota.windows.add(s.segment(0).Set(), w.ID)
	return s
}

// Count adds to what is known of the traffic of a listener.
func (s *Segments) Count(l Listener, t *pcapng.Traffic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.traffic[l]
	if sum == nil {
		if s.traffic == nil {
			s.traffic = map[Listener]*pcapng.Traffic{}
		}
		sum = &pcapng.Traffic{}
		s.traffic[l] = sum
		s.listeners = append(s.listeners, l)
	}
	sum.Add(t)
}

// Begin implements Destination. The transaction is a *SegmentTransaction.
func (s *Segments) Begin() (Transaction, error) {
	s.mu.Lock()
	err := ErrWaiting
	if s.backoff.ready(s.clock.Now()) {
		if err = s.nextLocked(); err != nil {
			s.failLocked(err)
		}
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	return &s.tx, nil
}

// Retry implements FileDestination.
func (s *Segments) Retry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backoff.retry()
}

// SegmentTransaction is the FileTransaction of Segments. It also appends blocks from
// where they lie.
type SegmentTransaction struct{ segments *Segments }

// Segment returns the number of the segment that is being written, from 1. A segment
// that is begun after a failure has a new number.
func (t *SegmentTransaction) Segment() uint32 { return t.segments.number }

// Room implements Transaction.
func (t *SegmentTransaction) Room(n int) ([]byte, error) {
	if t.Full(n) {
		return nil, ErrFull
	}
	return t.segments.blocks.Room(n)
}

// Full reports whether n more bytes are too many for the segment.
func (t *SegmentTransaction) Full(n int) bool {
	s := t.segments
	n += blockfile.MaxPadding(pcapng.MinPaddingBlock)
	return s.blocks.Size()+int64(n) > s.limit && s.blocks.Size() > s.start
}

// AppendZeroCopy appends a block that is not too large for the segment, see Full. The
// block stays in the caller's memory, which may not change until the next Commit or
// Abort.
func (t *SegmentTransaction) AppendZeroCopy(block []byte) error {
	return t.segments.blocks.AppendZeroCopy(block)
}

// Next implements FileTransaction: it begins another segment.
func (t *SegmentTransaction) Next() error {
	t.segments.closeLocked()
	return t.segments.nextLocked()
}

// Position implements FileTransaction.
func (t *SegmentTransaction) Position() (inode, size uint64) {
	return t.segments.blocks.Inode(), uint64(t.segments.blocks.Committed())
}

// Put implements Transaction.
func (t *SegmentTransaction) Put(extended []byte) { t.segments.blocks.Put(extended) }

// Commit implements Transaction.
func (t *SegmentTransaction) Commit() error { return t.segments.blocks.Commit() }

// Abort implements Transaction. The segment ends as it was at the last commit, and
// the next transaction begins another one.
func (t *SegmentTransaction) Abort(err error) {
	s := t.segments
	if s.file != nil {
		err = errors.Join(err, s.blocks.Rollback())
		name := s.nameLocked()
		empty := s.blocks.Committed() == s.start
		s.closeLocked()
		if empty && s.folder.Remove(name) == nil {
			s.begunLocked(s.begun - 1)
		}
	}
	s.failLocked(err)
}

// End implements Transaction.
func (t *SegmentTransaction) End() {
	s := t.segments
	if s.file != nil && s.backoff.succeeded() { // not aborted
		s.info("segments of window %s are written again", s.window.ID)
	}
	s.mu.Unlock()
}

// TruncateUncommitted implements FileDestination.
func (s *Segments) TruncateUncommitted(inode, size uint64, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, name := range s.presentLocked() {
		inode, err := s.folder.unshare(name, inode)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f, err := s.folder.OpenToWrite(name)
		if err != nil {
			continue // retention has removed it, or it is compressed and complete
		}
		errs = append(errs, blockfile.Truncate(f, inode, size), f.Close())
	}
	return errors.Join(errs...)
}

// Resume makes the segments that a killed process has begun, that many at least, those
// before the next. It is called before the first transaction.
func (s *Segments) Resume(begun int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = begun
	for _, name := range s.presentLocked() {
		if segment, ok := layout.ParseSegment(name); ok {
			s.begun = max(s.begun, segment.Number)
		}
	}
}

// presentLocked returns the names of the window's segments that are in the directory, in
// their order, without the ending of compressed ones.
func (s *Segments) presentLocked() (names []string) {
	all, err := s.folder.Names()
	if err != nil {
		return nil // what cannot be listed cannot be opened either
	}
	prefix := s.segment(0).Set() + "_"
	numbers := map[string]int{}
	for _, name := range all {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		name = layout.TrimGzip(name)
		if segment, ok := layout.ParseSegment(name); ok {
			numbers[name] = segment.Number
		}
	}
	for name := range numbers {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return numbers[a] - numbers[b] })
	return names
}

// Observe has f called with the number of segments that have been begun, now and each
// time that it changes. f is called under the lock of s.
func (s *Segments) Observe(f func(begun int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observe = f
	f(s.begun)
}

// begunLocked says how many segments have been begun.
func (s *Segments) begunLocked(n int) {
	s.begun = n
	if s.observe != nil {
		s.observe(n)
	}
}

// segment returns what the name of the window's segment of that number says.
func (s *Segments) segment(number int) layout.Segment {
	return layout.Segment{Opened: s.window.Opened, Window: s.window.ID, Run: s.run, Number: number}
}

func (s *Segments) failLocked(err error) {
	if s.backoff.failed(s.clock.Now()) {
		s.alert("write", err)
	}
}

// nextLocked makes sure that there is a segment to write to.
func (s *Segments) nextLocked() error {
	if err := s.folder.refresh(); err != nil {
		s.closeLocked()
		return err
	}
	if s.file != nil {
		if s.folder.Is(s.file, s.nameLocked()) {
			return nil
		}
		s.closeLocked() // removed
	}
	name := s.segment(s.begun + 1).Name()
	f, err := s.folder.Create(name)
	if err != nil {
		return err
	}
	s.quota.startWriting(name)
	if err := s.beginSegmentLocked(f); err != nil {
		s.closeLocked()
		_ = s.folder.Remove(name) // a segment without a header helps nobody
		return err
	}
	s.begunLocked(s.begun + 1)
	s.number++
	return nil
}

// beginSegmentLocked writes the blocks that a segment begins with.
func (s *Segments) beginSegmentLocked(f *os.File) (err error) {
	s.file = f
	if s.blocks, err = blockfile.Open(f, s.mem, blockfile.Options{Space: s.quota, Padding: pcapng.AppendPaddingBlock, MinPadding: pcapng.MinPaddingBlock}); err != nil {
		return err
	}
	head := pcapng.AppendHead(nil, Application)
	dst, err := s.blocks.Room(len(head))
	if err != nil {
		return err
	}
	s.blocks.Put(append(dst, head...))
	if err := s.blocks.Commit(); err != nil {
		return err
	}
	s.start = s.blocks.Size()
	return nil
}

// Application is how pcapng files and streams name the program that wrote them.
const Application = "tcpcopy for MOSN"

// nameLocked returns the base name of the open segment.
func (s *Segments) nameLocked() string { return filepath.Base(s.file.Name()) }

func (s *Segments) closeLocked() {
	if s.file == nil {
		return
	}
	if s.blocks != nil {
		s.blocks.Close()
		s.blocks = nil
	}
	if err := s.file.Close(); err != nil {
		s.alert("close", err)
	}
	s.quota.stopWriting(s.nameLocked())
	s.file = nil
}

// Finish writes the statistics of a window that was closed then, and closes the last
// segment. It returns the base names of all, of very many those that are there and the
// last ones of them. It has old ones removed and these compressed as Roll says. No
// transaction may begin any more.
func (s *Segments) Finish(closed time.Time) FileNames {
	all, present := s.finish(closed)
	s.archive.segmentsFinished(s.roll, present)
	return all
}

// finish returns the segments of the window, and those that are to be compressed.
func (s *Segments) finish(closed time.Time) (all FileNames, present []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		if err := s.statisticsLocked(closed); err != nil {
			s.alert("write", errors.Join(fmt.Errorf("statistics of window %s: %w", s.window.ID, err), s.blocks.Rollback()))
		}
		s.closeLocked()
	}
	if s.begun <= maxFileNames {
		for n := range s.begun {
			all.Names = append(all.Names, s.segment(n+1).Name())
		}
		return all, all.Names
	}
	present = s.presentLocked()
	all.Names = present[max(0, len(present)-maxFileNames):]
	all.LeftOut = s.begun - len(all.Names)
	return all, present
}

func (s *Segments) statisticsLocked(closed time.Time) error {
	dst, err := s.blocks.Room(pcapng.StatisticsRoom)
	if err != nil {
		return err
	}
	statistics := pcapng.Statistics{
		Window: s.window.ID,
		Opened: s.window.Opened.UnixNano(),
		Closed: closed.UnixNano(),
	}
	for _, l := range s.listeners {
		statistics.Listeners = append(statistics.Listeners, pcapng.ListenerStatistics{Name: l.Name, Network: l.Network, Port: l.Port, Traffic: *s.traffic[l]})
	}
	s.blocks.Put(pcapng.AppendStatistics(dst, closed.UnixNano(), statistics))
	return s.blocks.Commit()
}
