package buffer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// Spool is the memory of a session's batches as a file that outlives the
// process, so that what was accepted is not lost when the process is killed. The
// batches are used as they are; beside them lie a few words, the states, which
// say how far their entries have got. Each word is written after what it speaks
// of, and a killed process leaves its stores in the order of the program.
//
//	    0  magic, length of the header, header as JSON
//	 4096  a ShardState for each shard, and behind them a batchState for each batch
//	       from the next page on, for each session: a WindowState, and a ReaderState for
//	       each shard
//	2 MiB  the batches, page-aligned; further on where the states need more
//
// What lies between has no blocks.
//
// The file is locked while its process lives. The dump directory has a pointer
// file with its path, because it lies elsewhere, in memory, by default.
type Spool struct {
	file    *os.File     // nil for plain memory
	dir     *safedir.Dir // that file is in; owned
	dump    *safedir.Dir // the pointer file is in
	pointer string       // base name of the pointer file, "" without one
	header  SpoolHeader
	mapped  mapping // the whole file
	layout  spoolLayout
}

// SpoolHeader is what a recovery must know of the session.
type SpoolHeader struct {
	Version int            `json:"version"` // set by NewSpool
	Dir     string         `json:"dir"`     // the dump directory
	Run     string         `json:"run"`
	Window  string         `json:"window"`
	Trigger record.Trigger `json:"trigger"`
	Opened  time.Time      `json:"opened"`
	Guard   string         `json:"guard,omitempty"` // record.Window.GuardWord
	Formats []string       `json:"formats"`
	Workers int            `json:"workers"` // shards
	Batch   int            `json:"batch"`   // bytes of one batch
	// Batches is how many batches a shard has, Sessions how many sessions may read them
	// at a time.
	Batches  int `json:"batches"`
	Sessions int `json:"sessions"`
	// Crash says that what is in the batches is to be written as a window of its own, Window.
	// The windows of sessions are then in their WindowStates.
	Crash  bool   `json:"crash,omitempty"`
	Parent FileID `json:"parent"` // the directory that Dir is in, set by NewSpool; zero where Dir is a mount of its own
}

// FileID tells files of a machine apart.
type FileID struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// IDOf returns the FileID of what is at path, the zero one where nothing can be found.
func IDOf(path string) FileID {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return FileID{}
	}
	return FileID{Device: uint64(st.Dev), Inode: st.Ino} //nolint:unconvert // it is an uint32 on some systems
}

const (
	spoolVersion = 5
	// versionOfTwo is the version before, with two batches a shard; see oldspool.go.
	versionOfTwo = 4
	spoolMagic   = "TCSPOOL\n"
	headerText   = len(spoolMagic) + 4 // where the header's text begins
)

// spoolLayout says where the parts of a spool begin, in bytes.
type spoolLayout struct {
	header   *SpoolHeader
	session  int // size of a session's part
	sessions int // where they begin
	states   int // where they end
	batches  int
	size     int
}

// layoutOf returns the layout of a spool with that header.
func layoutOf(h *SpoolHeader) (l spoolLayout) {
	if h.Version == versionOfTwo {
		return oldLayoutOf(h)
	}
	pages := func(n int) int { return (n + PageSize - 1) &^ (PageSize - 1) }
	l.header = h
	l.session = pages(sessionStateSize + h.Workers*readerStateSize)
	l.sessions = pages(PageSize + h.Workers*(shardStateSize+h.Batches*batchStateSize))
	l.states = l.sessions + h.Sessions*l.session
	return l.withBatches()
}

// withBatches adds the batches to a layout.
func (l spoolLayout) withBatches() spoolLayout {
	l.batches = (l.states + largePage - 1) &^ (largePage - 1)
	l.size = l.batches + l.header.Workers*l.header.Batches*l.header.Batch
	return l
}

// shard returns where the ShardState of a shard begins.
func (l *spoolLayout) shard(i int) int { return PageSize + i*shardStateSize }

// batchState returns where the state of a shard's batch begins.
func (l *spoolLayout) batchState(shard, which int) int {
	return PageSize + l.header.Workers*shardStateSize + (shard*l.header.Batches+which)*batchStateSize
}

// window returns where the WindowState of a session begins.
func (l *spoolLayout) window(session int) int { return l.sessions + session*l.session }

// reader returns where a session's ReaderState of a shard begins.
func (l *spoolLayout) reader(session, shard int) int {
	return l.window(session) + sessionStateSize + shard*readerStateSize
}

// batch returns where a batch of a shard begins.
func (l *spoolLayout) batch(shard, which int) int {
	return l.batches + (shard*l.header.Batches+which)*l.header.Batch
}

// SpoolBlocks returns how many bytes the file system has to reserve for a spool.
func SpoolBlocks(h SpoolHeader) int {
	h.Version = spoolVersion
	l := layoutOf(&h)
	return l.states + l.size - l.batches
}

// NewSpool returns the memory for a session's batches: a file in dir, or plain memory
// where dir is empty. The pointer to the file is in dump, which stays open until Remove.
// What went wrong with the file is fault, beside the memory, which is plain then. All of
// the memory is allocated, unless the file is on a disk; err is an ErrNoRoom where reserve
// has not allowed that.
func NewSpool(dir string, dump *safedir.Dir, h SpoolHeader, reserve Reserve) (s *Spool, fault, err error) {
	h.Version = spoolVersion
	s = &Spool{header: h}
	s.layout = layoutOf(&s.header)
	if dir != "" {
		s.dir = safedir.New(dir)
		if fault = s.create(dump, reserve); fault != nil {
			s.Remove()
		}
		if errors.Is(fault, ErrNoRoom) {
			return nil, nil, fault
		}
	}
	if s.file == nil {
		if s.mapped, err = newMapping(plain, s.layout.size); err != nil {
			return nil, fault, fmt.Errorf("%w: map %d bytes of buffer: %w", ErrNoRoom, s.layout.size, err)
		}
		if err = s.allocatePages(reserve); err != nil {
			s.mapped.free()
			return nil, fault, err
		}
	}
	return s, fault, nil
}

// create makes the file, and the pointer to it in the dump directory. The header comes
// last: a file without one and without a lock is nobody's.
func (s *Spool) create(dump *safedir.Dir, reserve Reserve) error {
	if parent := IDOf(filepath.Dir(s.header.Dir)); parent.Device == IDOf(s.header.Dir).Device {
		s.header.Parent = parent
	}
	name := s.header.Run + "-" + strings.SplitN(s.header.Window, "-", 2)[0]
	var err error
	if s.file, err = createLocked(s.dir, name+layout.SpoolExtension); err != nil {
		return err
	}
	if err := s.allocateBlocks(reserve); err != nil {
		return fmt.Errorf("reserve the blocks of a spool in %s: %w", s.dir.Path(), err)
	}
	if s.mapped, err = newMapping(int(s.file.Fd()), s.layout.size); err != nil {
		return fmt.Errorf("map %s: %w", s.file.Name(), err)
	}
	if err := s.writeHeader(); err != nil {
		return err
	}
	return s.point(dump, layout.SpoolPointerPrefix+name)
}

// point creates the pointer file.
func (s *Spool) point(dump *safedir.Dir, pointer string) error {
	f, err := dump.Create(pointer)
	if err != nil {
		return err
	}
	s.dump, s.pointer = dump, pointer
	_, err = f.WriteString(s.file.Name() + "\n")
	return errors.Join(err, f.Close())
}

// createLocked creates a file and locks it. Between the two, another process may find the
// file without a lock, and remove it as nobody's.
func createLocked(dir *safedir.Dir, name string) (*os.File, error) {
	const tries = 10
	for range tries {
		f, err := dir.Create(name)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		var st unix.Stat_t
		if err == nil {
			err = unix.Fstat(int(f.Fd()), &st)
		}
		if err == nil && st.Nlink > 0 {
			return f, nil
		}
		_ = f.Close()
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			_ = dir.Remove(name)
			return nil, fmt.Errorf("lock %s: %w", dir.Join(name), err)
		}
		_ = dir.Remove(name) // whoever has the lock is about to remove it
	}
	return nil, fmt.Errorf("lock %s: others have removed it %d times", dir.Join(name), tries)
}

// writeHeader writes the header, its magic last. It writes to the file: a mapping may
// fault.
func (s *Spool) writeHeader() error {
	text, err := json.Marshal(s.header)
	if err != nil || len(text) > PageSize-headerText {
		return fmt.Errorf("header of %d bytes: %w", len(text), errors.Join(err, ErrSpool))
	}
	length := binary.LittleEndian.AppendUint32(nil, uint32(len(text)))
	if _, err := s.file.WriteAt(append(length, text...), int64(len(spoolMagic))); err != nil {
		return err
	}
	_, err = s.file.WriteAt([]byte(spoolMagic), 0)
	return err
}

// part returns the part of the mapping from at on.
func (s *Spool) part(at int) unsafe.Pointer { return unsafe.Pointer(&s.mapped.mem[at]) }

// shard returns what a shard has lost.
func (s *Spool) shard(i int) *ShardState { return (*ShardState)(s.part(s.layout.shard(i))) }

// newBatch returns one of a shard's batches.
func (s *Spool) newBatch(shard, which int) *Batch {
	at := s.layout.batch(shard, which)
	return &Batch{
		mem:   s.mapped.mem[at : at+s.header.Batch : at+s.header.Batch],
		state: (*batchState)(s.part(s.layout.batchState(shard, which))),
	}
}

// Window returns what a recovery will know of a session's window.
func (s *Spool) Window(session int) *WindowState {
	return (*WindowState)(s.part(s.layout.window(session)))
}

// reader returns how far a session's reader of a shard has got.
func (s *Spool) reader(session, shard int) *ReaderState {
	return (*ReaderState)(s.part(s.layout.reader(session, shard)))
}

// Populate has the system find the pages of all batches in a file in memory: that has
// its blocks, but the mapping does not. On a disk that would have the disk write them.
func (s *Spool) Populate() {
	if s.file != nil && inMemory(int(s.file.Fd())) {
		_ = populate(s.mapped.mem[s.layout.batches:]) // what cannot be had now comes at the first use
	}
}

// Remove gives the memory back and removes the files. It is for a session whose
// entries are all dealt with.
func (s *Spool) Remove() {
	s.mapped.free()
	// First: a recovery finds a spool without its pointer, and would miss the spool of a
	// pointer.
	if s.pointer != "" {
		_ = s.dump.Remove(s.pointer)
		s.pointer = ""
	}
	if s.file != nil {
		_ = s.dir.Remove(filepath.Base(s.file.Name()))
		_ = s.file.Close() // which unlocks it
		s.file = nil
	}
	if s.dir != nil {
		s.dir.Close()
	}
}

// Leave gives the memory back and keeps the files, as the death of the process does.
func (s *Spool) Leave() {
	s.mapped.free()
	_ = s.file.Close()
	s.dir.Close()
}

// Path returns the path of the spool's file, "" for plain memory.
func (s *Spool) Path() string {
	if s.file == nil {
		return ""
	}
	return s.file.Name()
}

// Whole reports whether a recovery would find the spool and its states: it is no plain
// memory, and nobody has removed its file or cut it off.
func (s *Spool) Whole() bool {
	var st unix.Stat_t
	if s.file == nil || unix.Fstat(int(s.file.Fd()), &st) != nil {
		return false
	}
	return st.Nlink > 0 && st.Size >= int64(s.layout.size)
}

// Keep gives the memory back and keeps the file, without its batches and locked: it is the
// result's, which the caller ends with Remove or Leave, and s is empty. It is for a
// session whose entries are all dealt with, and whose line the index does not have yet.
// What is not whole is not kept, and the result is nil.
func (s *Spool) Keep() *Spool {
	if !s.Whole() {
		return nil
	}
	guarded(func() {
		for shard := range s.header.Workers {
			for which := range s.header.Batches {
				s.newBatch(shard, which).state.used.Store(0)
			}
		}
	})
	s.mapped.free()
	_ = unix.Fallocate(int(s.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(s.layout.batches), int64(s.layout.size-s.layout.batches))
	kept := *s
	kept.layout.header = &kept.header
	*s = Spool{header: s.header}
	return &kept
}
