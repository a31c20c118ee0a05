package persistence

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// A spool is the memory of a session's batches as a file that outlives the
// process, so that what was accepted is not lost when the process is killed. The
// batches are used as they are; beside them lie a few words, the states, which
// say how far their entries have got. Each word is written after what it speaks
// of, and a killed process leaves its stores in the order of the program.
//
//	    0  magic, length of the header, header as JSON
//	 4096  a shardState for each shard
//	2 MiB  two batches for each shard, page-aligned; further on where the states take more
//
// What lies between has no blocks.
//
// The file is locked while its process lives. The dump directory has a pointer
// file with its path, because it lies elsewhere, in memory, by default.
type spool struct {
	file    *os.File // nil for plain memory
	pointer string   // path of the pointer file
	header  spoolHeader
	mapped  mapping // the whole file
	states  []*shardState
}

// spoolHeader is what a recovery must know of the session.
type spoolHeader struct {
	Version int            `json:"version"`
	Dir     string         `json:"dir"` // the dump directory
	Run     string         `json:"run"`
	Window  string         `json:"window"`
	Trigger record.Trigger `json:"trigger"`
	Opened  time.Time      `json:"opened"`
	Formats []Format       `json:"formats"`
	Workers int            `json:"workers"`
	Batch   int            `json:"batch"` // bytes of one batch
}

const (
	spoolVersion = 3
	spoolMagic   = "TCSPOOL\n"
)

// shardState is how far the batches of a shard have got.
type shardState struct {
	batches [2]batchState
	losses  losses
	// settled counts the accounts that were stored; the last one is in
	// accounts[settled%2].
	settled  atomic.Uint64
	accounts [2]spoolAccount
}

// losses counts the bytes of a shard that were never in a batch, by direction and
// reason.
type losses [2][record.NumReasons]atomic.Uint64

// batchState is how far one batch has got.
type batchState struct {
	used    atomic.Uint64 // bytes of whole entries, from the batch's end
	number  atomic.Uint64 // its place in the order of the shard's batches
	outputs [maxFormats]outputState
}

// maxFormats is how many formats there can be: one text format and pcapng.
const maxFormats = 2

// outputState is how far a batch has got into one format's file.
type outputState struct {
	// phase is an outputPhase, and in its lowest bit which of the places holds.
	phase  atomic.Uint64
	places [2]filePlace
}

type outputPhase uint64

const (
	phaseUntouched outputPhase = iota
	phaseBegun                 // the file may hold a part of it, behind the place
	phaseDone                  // the file holds it
)

// filePlace is where the entries of a batch begin in a file: what lies behind in
// that file is from them.
type filePlace struct {
	from  uint64 // position in the batch of the first entry that is not in the file
	inode uint64
	size  uint64 // of the file without them
}

// spoolAccount is what a shard had counted when a batch was done.
type spoolAccount struct {
	number uint64 // of the batch
	tally  tally
}

// set stores a phase and its place.
func (o *outputState) set(phase outputPhase, p filePlace) {
	next := (o.phase.Load() + 1) & 1
	o.places[next] = p
	o.phase.Store(uint64(phase)<<1 | next)
}

func (o *outputState) get() (outputPhase, filePlace) {
	v := o.phase.Load()
	return outputPhase(v >> 1), o.places[v&1]
}

// begin makes the state that of a new, empty batch.
func (b *batchState) begin(number uint64) {
	b.used.Store(0)
	for i := range b.outputs {
		b.outputs[i].set(phaseUntouched, filePlace{})
	}
	b.number.Store(number)
}

// settle stores that the batch of that number is done, and what was counted.
func (s *shardState) settle(number uint64, t *tally) {
	n := s.settled.Load() + 1
	s.accounts[n%2] = spoolAccount{number: number, tally: *t}
	s.settled.Store(n)
}

// account returns what was settled last.
func (s *shardState) account() spoolAccount { return s.accounts[s.settled.Load()%2] }

// spoolSize returns the size of a spool, where its states end and where its batches
// begin.
func spoolSize(workers, batch int) (size, states, batches int) {
	states = pageSize + workers*int(unsafe.Sizeof(shardState{}))
	batches = (states + largePage - 1) &^ (largePage - 1)
	return batches + 2*workers*batch, states, batches
}

// newSpool returns the memory for a session's batches: a file where the
// configuration wants one, otherwise plain memory. What went wrong with the file
// is returned beside the memory, which is plain then.
func newSpool(c Config, h spoolHeader) (s *spool, fault, err error) {
	h.Version = spoolVersion
	s = &spool{header: h}
	size, states, batches := spoolSize(h.Workers, h.Batch)
	if dir := c.spoolDir(states + size - batches); dir != "" {
		if fault = s.create(dir); fault != nil {
			s.remove()
		}
	}
	if s.file == nil {
		if s.mapped, err = newMapping(plain, size); err != nil {
			return nil, fault, fmt.Errorf("map %d bytes of buffer: %w", size, err)
		}
	}
	s.overlay()
	return s, fault, nil
}

// spoolDir returns the directory for spools, "" for plain memory.
func (c Config) spoolDir(size int) string {
	switch c.Spool {
	case SpoolOff:
		return ""
	case SpoolAuto:
		// Twice the size, so that others who use the memory keep some.
		var fs unix.Statfs_t
		if unix.Statfs(sharedMemory, &fs) != nil || fs.Bavail*uint64(fs.Bsize) < 2*uint64(size) {
			return ""
		}
		return filepath.Join(sharedMemory, fmt.Sprintf("tcpcopy-%d", os.Getuid()))
	default:
		return c.Spool
	}
}

// sharedMemory is the file system of Linux that lies in memory.
const sharedMemory = "/dev/shm"

// create makes the file, and the pointer to it in the dump directory.
func (s *spool) create(dir string) error {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	if err := ownersOnly(dir); err != nil {
		return err
	}
	name := s.header.Run + "-" + strings.SplitN(s.header.Window, "-", 2)[0]
	f, err := os.OpenFile(filepath.Join(dir, name+layout.SpoolExtension), os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
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
	if err != nil || len(text) > pageSize-12 {
		return fmt.Errorf("header of %d bytes: %w", len(text), errors.Join(err, errSpool))
	}
	binary.LittleEndian.PutUint32(s.mapped.mem[8:], uint32(len(text)))
	copy(s.mapped.mem[12:], text)
	copy(s.mapped.mem, spoolMagic)
	s.pointer = filepath.Join(s.header.Dir, layout.SpoolPointerPrefix+name)
	return os.WriteFile(s.pointer, []byte(f.Name()+"\n"), fileMode)
}

// ownersOnly makes sure that nobody else can put files into dir.
func ownersOnly(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(st.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a directory that only this user may write", dir)
	}
	return nil
}

// overlay finds the states in the mapping.
func (s *spool) overlay() {
	s.states = make([]*shardState, s.header.Workers)
	for i := range s.states {
		at := pageSize + i*int(unsafe.Sizeof(shardState{}))
		s.states[i] = (*shardState)(unsafe.Pointer(&s.mapped.mem[at]))
	}
}

// batchMemory returns the memory of one of the two batches of a shard.
func (s *spool) batchMemory(shard, which int) []byte {
	_, _, at := spoolSize(s.header.Workers, s.header.Batch)
	at += (2*shard + which) * s.header.Batch
	return s.mapped.mem[at : at+s.header.Batch : at+s.header.Batch]
}

// populate has the system find pages for the start of each batch, where bytes go
// first: as much as l says. Where the file is on a disk it does not, because that
// would have the disk write them.
func (s *spool) populate(l sizes) {
	if s.file != nil {
		var fs unix.Statfs_t
		if unix.Fstatfs(int(s.file.Fd()), &fs) != nil || fs.Type != unix.TMPFS_MAGIC {
			return
		}
	}
	_, _, batches := spoolSize(s.header.Workers, s.header.Batch)
	if l.populated() == s.header.Batch { // large pages may lie across batches
		populate(s.mapped.mem[batches:])
		return
	}
	for shard := range s.states {
		populate(s.batchMemory(shard, 0)[:l.populated()])
		populate(s.batchMemory(shard, 1)[:l.populated()])
	}
}

// remove gives the memory back and removes the files. It is for a session whose
// entries are all dealt with.
func (s *spool) remove() {
	s.unmap()
	if s.file != nil {
		_ = os.Remove(s.file.Name())
		_ = s.file.Close() // which unlocks it
		s.file = nil
	}
	if s.pointer != "" {
		_ = os.Remove(s.pointer)
		s.pointer = ""
	}
}

func (s *spool) unmap() {
	s.mapped.free()
	s.states = nil
}

// errSpool says that a file is not a spool that can be read.
var errSpool = errors.New("not a spool of this version")

// errSpoolBusy says that the process that writes a spool is alive.
var errSpoolBusy = errors.New("its process is alive")

// openSpool opens what a killed process has left, by its pointer file.
func openSpool(pointer string) (*spool, error) {
	text, err := os.ReadFile(pointer)
	if err != nil {
		return nil, err
	}
	return openSpoolFile(strings.TrimSpace(string(text)), pointer)
}

// openSpoolFile opens the spool at path, whose pointer may be gone.
func openSpoolFile(path, pointer string) (s *spool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	opened := &spool{file: f, pointer: pointer}
	defer func() {
		if err != nil {
			opened.leave()
		}
	}()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errSpoolBusy
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Getuid() || !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s is not a file that only this user may write", path)
	}
	if info.Size() < pageSize || info.Size() > 2*MaxBufferSize {
		return nil, fmt.Errorf("%s has %d bytes: %w", path, info.Size(), errSpool)
	}
	if opened.mapped, err = newMapping(int(f.Fd()), int(info.Size())); err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	if err := opened.readHeader(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	opened.overlay()
	return opened, nil
}

// readHeader reads and checks the header, which decides what is where.
func (s *spool) readHeader() error {
	n := int(binary.LittleEndian.Uint32(s.mapped.mem[8:]))
	if string(s.mapped.mem[:8]) != spoolMagic || n > pageSize-12 {
		return errSpool
	}
	if err := json.Unmarshal(s.mapped.mem[12:12+n], &s.header); err != nil {
		return errors.Join(errSpool, err)
	}
	h := s.header
	if h.Version != spoolVersion || h.Workers < 1 || h.Workers > MaxWorkers || h.Batch < 1 || h.Batch > MaxBufferSize ||
		h.Batch%pageSize != 0 || len(h.Formats) < 1 || len(h.Formats) > maxFormats ||
		!plainName.MatchString(h.Run) || !plainName.MatchString(h.Window) {
		return fmt.Errorf("%w: header %+v", errSpool, h)
	}
	if size, _, _ := spoolSize(h.Workers, h.Batch); size != len(s.mapped.mem) {
		return fmt.Errorf("%w: %d bytes, its header says %d", errSpool, len(s.mapped.mem), size)
	}
	return nil
}

// plainName is what runs and windows look like, which become parts of file names.
var plainName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// leave closes a spool and lets its files be.
func (s *spool) leave() {
	s.unmap()
	_ = s.file.Close()
}
