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
//	 4096  a ShardState for each shard
//	       from the next page on a WindowState
//	2 MiB  two batches for each shard, page-aligned; further on where the states need more
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
	states  []*ShardState
	window  *WindowState
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
	Parent  FileID         `json:"parent"`  // the directory that Dir is in, set by NewSpool; zero where Dir is a mount of its own
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
	spoolVersion = 4
	// versionWithoutWindow is the version before, without a WindowState.
	versionWithoutWindow = 3
	spoolMagic           = "TCSPOOL\n"
	headerText           = len(spoolMagic) + 4 // where the header's text begins
)

// windowAt returns where the WindowState of a spool begins.
func windowAt(workers int) int {
	return (PageSize + workers*int(unsafe.Sizeof(ShardState{})) + PageSize - 1) &^ (PageSize - 1)
}

// spoolSize returns the size of a spool, where its states end and where its batches
// begin. In the version before, the states end sooner and the rest is the same.
func spoolSize(workers, batch int) (size, states, batches int) {
	states = windowAt(workers) + windowStateSize
	batches = (states + largePage - 1) &^ (largePage - 1)
	return batches + 2*workers*batch, states, batches
}

// SpoolBlocks returns how many bytes the file system has to reserve for a spool.
func SpoolBlocks(workers, batch int) int {
	size, states, batches := spoolSize(workers, batch)
	return states + size - batches
}

// NewSpool returns the memory for a session's batches: a file in dir, or plain memory
// where dir is empty. The pointer to the file is in dump, which stays open until Remove.
// What went wrong with the file is fault, beside the memory, which is plain then. All of
// the memory is allocated, unless the file is on a disk; err is an ErrNoRoom where reserve
// has not allowed that.
func NewSpool(dir string, dump *safedir.Dir, h SpoolHeader, reserve Reserve) (s *Spool, fault, err error) {
	h.Version = spoolVersion
	s = &Spool{header: h}
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
		size, _, _ := spoolSize(h.Workers, h.Batch)
		if s.mapped, err = newMapping(plain, size); err != nil {
			return nil, fault, fmt.Errorf("%w: map %d bytes of buffer: %w", ErrNoRoom, size, err)
		}
		if err = s.allocatePages(reserve); err != nil {
			s.unmap()
			return nil, fault, err
		}
	}
	s.overlay()
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
	size, _, _ := spoolSize(s.header.Workers, s.header.Batch)
	if s.mapped, err = newMapping(int(s.file.Fd()), size); err != nil {
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

// overlay finds the states in the mapping.
func (s *Spool) overlay() {
	s.states = make([]*ShardState, s.header.Workers)
	for i := range s.states {
		at := PageSize + i*int(unsafe.Sizeof(ShardState{}))
		s.states[i] = (*ShardState)(unsafe.Pointer(&s.mapped.mem[at]))
	}
	s.window = (*WindowState)(unsafe.Pointer(&s.mapped.mem[windowAt(s.header.Workers)]))
}

// batchAt returns where one of the two batches of a shard begins.
func (h *SpoolHeader) batchAt(shard, which int) int {
	_, _, at := spoolSize(h.Workers, h.Batch)
	return at + (2*shard+which)*h.Batch
}

// batchMemory returns the memory of one of the two batches of a shard.
func (s *Spool) batchMemory(shard, which int) []byte {
	at := s.header.batchAt(shard, which)
	return s.mapped.mem[at : at+s.header.Batch : at+s.header.Batch]
}

// Populate has the system find pages for the start of each batch, where bytes go
// first, in a file in memory: that has its blocks, but the mapping does not. On a disk
// that would have the disk write them.
func (s *Spool) Populate(g Geometry) {
	if s.file == nil || !inMemory(int(s.file.Fd())) {
		return
	}
	// What cannot be had now comes at the first use.
	_, _, batches := spoolSize(s.header.Workers, s.header.Batch)
	if g.populated() == s.header.Batch { // large pages may lie across batches
		_ = populate(s.mapped.mem[batches:])
		return
	}
	for shard := range s.states {
		_ = populate(s.batchMemory(shard, 0)[:g.populated()])
		_ = populate(s.batchMemory(shard, 1)[:g.populated()])
	}
}

// Remove gives the memory back and removes the files. It is for a session whose
// entries are all dealt with.
func (s *Spool) Remove() {
	s.unmap()
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
	s.unmap()
	_ = s.file.Close()
	s.dir.Close()
}

func (s *Spool) unmap() {
	s.mapped.free()
	s.states, s.window = nil, nil
}

// Path returns the path of the spool's file, "" for plain memory.
func (s *Spool) Path() string {
	if s.file == nil {
		return ""
	}
	return s.file.Name()
}

// State returns how far the batches of a shard have got.
func (s *Spool) State(shard int) *ShardState { return s.states[shard] }

// Window returns what a recovery will know of the window.
func (s *Spool) Window() *WindowState { return s.window }

// Whole reports whether a recovery would find the spool and its states: it is no plain
// memory, and nobody has removed its file or cut it off.
func (s *Spool) Whole() bool {
	var st unix.Stat_t
	if s.file == nil || unix.Fstat(int(s.file.Fd()), &st) != nil {
		return false
	}
	size, _, _ := spoolSize(s.header.Workers, s.header.Batch)
	return st.Nlink > 0 && st.Size >= int64(size)
}

// Keep gives the memory back and keeps the file, without its batches and locked: it is the
// result's, which the caller ends with Remove or Leave, and s is empty. It is for a
// session whose entries are all dealt with, and whose line the index does not have yet.
// What is not whole is not kept, and the result is nil.
func (s *Spool) Keep() *Spool {
	if !s.Whole() {
		return nil
	}
	size, _, batches := spoolSize(s.header.Workers, s.header.Batch)
	guarded(func() {
		for _, state := range s.states {
			for i := range state.batches {
				state.batches[i].used.Store(0)
			}
		}
	})
	s.unmap()
	_ = unix.Fallocate(int(s.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(batches), int64(size-batches))
	kept := *s
	*s = Spool{header: s.header}
	return &kept
}
