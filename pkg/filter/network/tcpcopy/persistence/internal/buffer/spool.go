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
	window  *WindowState // nil in a spool of the version before
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
}

const (
	spoolVersion = 4
	// versionWithoutWindow is the version before, without a WindowState.
	versionWithoutWindow = 3
	spoolMagic           = "TCSPOOL\n"
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
// What went wrong with the file is fault, beside the memory, which is plain then.
func NewSpool(dir string, dump *safedir.Dir, h SpoolHeader) (s *Spool, fault, err error) {
	h.Version = spoolVersion
	s = &Spool{header: h}
	if dir != "" {
		s.dir = safedir.New(dir)
		if fault = s.create(dir, dump); fault != nil {
			s.Remove()
		}
	}
	if s.file == nil {
		size, _, _ := spoolSize(h.Workers, h.Batch)
		if s.mapped, err = newMapping(plain, size); err != nil {
			return nil, fault, fmt.Errorf("map %d bytes of buffer: %w", size, err)
		}
	}
	s.overlay()
	return s, fault, nil
}

// create makes the file, and the pointer to it in the dump directory.
func (s *Spool) create(dir string, dump *safedir.Dir) error {
	name := s.header.Run + "-" + strings.SplitN(s.header.Window, "-", 2)[0]
	f, err := s.dir.Create(name + layout.SpoolExtension)
	if err != nil {
		return err
	}
	s.file = f
	// All blocks now: a write to a mapping whose file system is full kills.
	size, states, batches := spoolSize(s.header.Workers, s.header.Batch)
	for _, part := range [][2]int{{0, states}, {batches, size}} {
		if err := unix.Fallocate(int(f.Fd()), 0, int64(part[0]), int64(part[1]-part[0])); err != nil {
			return fmt.Errorf("reserve %d bytes in %s: %w", part[1]-part[0], dir, err)
		}
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	if s.mapped, err = newMapping(int(f.Fd()), size); err != nil {
		return fmt.Errorf("map %s: %w", f.Name(), err)
	}
	text, err := json.Marshal(s.header)
	if err != nil || len(text) > PageSize-12 {
		return fmt.Errorf("header of %d bytes: %w", len(text), errors.Join(err, ErrSpool))
	}
	binary.LittleEndian.PutUint32(s.mapped.mem[8:], uint32(len(text)))
	copy(s.mapped.mem[12:], text)
	copy(s.mapped.mem, spoolMagic)
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

// overlay finds the states in the mapping.
func (s *Spool) overlay() {
	s.states = make([]*ShardState, s.header.Workers)
	for i := range s.states {
		at := PageSize + i*int(unsafe.Sizeof(ShardState{}))
		s.states[i] = (*ShardState)(unsafe.Pointer(&s.mapped.mem[at]))
	}
	if s.header.Version != versionWithoutWindow {
		s.window = (*WindowState)(unsafe.Pointer(&s.mapped.mem[windowAt(s.header.Workers)]))
	}
}

// batchMemory returns the memory of one of the two batches of a shard.
func (s *Spool) batchMemory(shard, which int) []byte {
	_, _, at := spoolSize(s.header.Workers, s.header.Batch)
	at += (2*shard + which) * s.header.Batch
	return s.mapped.mem[at : at+s.header.Batch : at+s.header.Batch]
}

// Populate has the system find pages for the start of each batch, where bytes go
// first. Where the file is on a disk it does not, because that would have the disk
// write them.
func (s *Spool) Populate(g Geometry) {
	if s.file != nil {
		var fs unix.Statfs_t
		if unix.Fstatfs(int(s.file.Fd()), &fs) != nil || fs.Type != unix.TMPFS_MAGIC {
			return
		}
	}
	_, _, batches := spoolSize(s.header.Workers, s.header.Batch)
	if g.populated() == s.header.Batch { // large pages may lie across batches
		populate(s.mapped.mem[batches:])
		return
	}
	for shard := range s.states {
		populate(s.batchMemory(shard, 0)[:g.populated()])
		populate(s.batchMemory(shard, 1)[:g.populated()])
	}
}

// Remove gives the memory back and removes the files. It is for a session whose
// entries are all dealt with.
func (s *Spool) Remove() {
	s.unmap()
	if s.file != nil {
		_ = s.dir.Remove(filepath.Base(s.file.Name()))
		_ = s.file.Close() // which unlocks it
		s.file = nil
	}
	if s.dir != nil {
		s.dir.Close()
	}
	if s.pointer != "" {
		_ = s.dump.Remove(s.pointer)
		s.pointer = ""
	}
}

func (s *Spool) unmap() {
	s.mapped.free()
	s.states, s.window = nil, nil
}

// State returns how far the batches of a shard have got.
func (s *Spool) State(shard int) *ShardState { return s.states[shard] }

// Window returns what a recovery knows of the window, nil in a spool of the version before.
func (s *Spool) Window() *WindowState { return s.window }

// Keep gives the memory back and keeps the file, without its batches and locked: it is the
// result's, which the caller ends with Remove or Leave, and s is empty. It is for a
// session whose entries are all dealt with, and whose line the index does not have yet.
// Plain memory is not kept, and the result is nil.
func (s *Spool) Keep() *Spool {
	if s.file == nil {
		return nil
	}
	size, _, batches := spoolSize(s.header.Workers, s.header.Batch)
	for _, state := range s.states {
		for i := range state.batches {
			state.batches[i].used.Store(0)
		}
	}
	s.unmap()
	_ = unix.Fallocate(int(s.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(batches), int64(size-batches))
	kept := *s
	*s = Spool{header: s.header}
	return &kept
}
